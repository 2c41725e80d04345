package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bench is what the contenders share: the files, a server for them, a manifest and a key.
type bench struct {
	dir, offbake, self, url string
	server                  *exec.Cmd
}

type measure struct {
	wall time.Duration
	peak int64 // bytes of the largest step's resident set
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func newBench(dir string, o options) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := filepath.Abs(o.offbake)
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, offbake: program, self: self}
	sums, err := b.makeFiles(o)
	if err != nil {
		return nil, err
	}
	if err := b.startServer(); err != nil {
		return nil, err
	}
	if err := b.writeInputs(sums); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"keygen", "--no-password", "-o", dir}, {"lock", "-q", "-f", b.path("manifest.yaml"), "--cache", b.path("cache")}} {
		if out, err := exec.Command(b.offbake, args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("offbake %s: %w: %s", args[0], err, out)
		}
	}
	return b, nil
}

// makeFiles writes incompressible files with fixed content, so that every run measures the same.
func (b *bench) makeFiles(o options) (sums []string, err error) {
	if err := os.MkdirAll(b.path("www"), 0o755); err != nil {
		return nil, err
	}
	noise := rand.NewChaCha8([32]byte{1})
	for i := range o.small + o.large {
		size := int64(1 << 20)
		if i >= o.small {
			size = 500 << 20
		}
		name := fmt.Sprintf("f%05d.bin", i)
		f, err := os.Create(filepath.Join(b.dir, "www", name))
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(noise, size)); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		sums = append(sums, fmt.Sprintf("%x  %s", h.Sum(nil), name))
	}
	return sums, nil
}

func (b *bench) startServer() error {
	b.server = exec.Command(b.self, "-serve", b.path("www"))
	b.server.Stderr = os.Stderr
	out, err := b.server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.server.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.url = strings.TrimSpace(line)
	return err
}

func (b *bench) writeInputs(sums []string) error {
	var manifest, urls strings.Builder
	manifest.WriteString("schema: offbake/v1\nname: bench\nversion: 1.0.0\nplatform: linux/amd64\nartifacts:\n  files:\n")
	for _, line := range sums {
		sum, name, _ := strings.Cut(line, "  ")
		fmt.Fprintf(&manifest, "    - {url: %q, sha256: %q, path: %q}\n", b.url+"/"+name, sum, name)
		fmt.Fprintf(&urls, "%s/%s\n", b.url, name)
	}
	for name, text := range map[string]string{"manifest.yaml": manifest.String(), "urls": urls.String(),
		"sums": strings.Join(sums, "\n") + "\n"} {
		if err := os.WriteFile(b.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) run(c contender) (measure, error) {
	for _, path := range c.out {
		if err := os.RemoveAll(path); err != nil {
			return measure{}, err
		}
	}
	var m measure
	started := time.Now()
	for _, step := range c.steps {
		cmd := exec.Command(step[0], step[1:]...)
		cmd.Dir = b.dir
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return m, fmt.Errorf("%s: %w", step[0], err)
		}
		m.peak = max(m.peak, peakMemory(cmd.ProcessState))
	}
	m.wall = time.Since(started)
	return m, nil
}

func (b *bench) close() {
	b.server.Process.Kill()
	b.server.Wait()
}
