package rpm_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/offbake/offbake/bundle/rpm"
)

// loadEnv names the folder of a repository to a process that is to load it and nothing else.
const loadEnv = "OFFBAKE_LOAD_REPO"

// BenchmarkLoadRepoLarge loads a primary of 13,500 packages and 105 MB in a process of its own, which may take 250 MB.
func BenchmarkLoadRepoLarge(b *testing.B) {
	if dir := os.Getenv(loadEnv); dir != "" {
		repo, err := rpm.LoadRepo(b.Context(), rpm.RepoOptions{}, folder(dir))
		if err != nil || len(repo.Packages) != 13_500 {
			b.Fatalf("got %v, %v, want 13500 packages", repo, err)
		}
		runtime.KeepAlive(repo)
		return
	}
	dir := b.TempDir()
	size := multiply(b, dir, 12)
	var most int64
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkLoadRepoLarge$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), loadEnv+"="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		most = max(most, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss*1024)
	}
	b.SetBytes(size)
	b.ReportMetric(float64(most)/1e6, "RSS-MB")
	if most > 250e6 {
		b.Errorf("got %d bytes of memory for a primary of %d, want at most 250 MB", most, size)
	}
}

// multiply writes a repository whose primary has all packages of CentOS Stream 9 BaseOS several times, each time with
// names, versions, dependencies and files of its own, so that nothing can be shared between the copies, and returns the
// size of its primary.
func multiply(tb testing.TB, dir string, copies int) int64 {
	tb.Helper()
	paths, err := filepath.Glob("testdata/cs9-baseos/repodata/*-primary.xml.gz")
	if err != nil || len(paths) != 1 {
		tb.Fatalf("got %v, %v, want one file", paths, err)
	}
	doc := gunzipped(tb, paths[0])
	start, end := bytes.Index(doc, []byte("<package ")), bytes.LastIndex(doc, []byte("</metadata>"))
	if err := os.Mkdir(filepath.Join(dir, "repodata"), 0o755); err != nil {
		tb.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "repodata", "primary.xml.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	stored, open := sha256.New(), sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(file, stored), gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	var size int64
	write := func(b []byte) {
		n, err := io.MultiWriter(zip, open).Write(b)
		if err != nil {
			tb.Fatal(err)
		}
		size += int64(n)
	}
	named := regexp.MustCompile(`( name="|<name>|<file[^>]*>| ver="|href=")([^"<]+)`)
	write(doc[:start])
	for i := range copies {
		write(named.ReplaceAll(doc[start:end], fmt.Appendf(nil, "${1}%02x${2}", i)))
	}
	write(doc[end:])
	for _, w := range []io.Closer{zip, file} {
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	repomd := fmt.Sprintf(`<repomd><data type="primary"><checksum type="sha256">%x</checksum><open-checksum type="sha256">%x</open-checksum>
<location href="repodata/primary.xml.gz"/><open-size>%d</open-size></data></repomd>`, stored.Sum(nil), open.Sum(nil), size)
	if err := os.WriteFile(filepath.Join(dir, "repodata", "repomd.xml"), []byte(repomd), 0o644); err != nil {
		tb.Fatal(err)
	}
	return size
}
