package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/internal/atomicfile"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/guest"
)

// recordSchema is the schema field of NAME.image.json.
const recordSchema = "offbake/image/1"

// shutdownTimeout is how long a host may take to stop before its image is given up.
const shutdownTimeout = 2 * time.Minute

// record is NAME.image.json: what Find knows an image by. It is written after the image, so one without is no image.
type record struct {
	Schema      string `json:"schema"`
	Name        string `json:"name"`
	Key         string `json:"key"`
	Description string `json:"description"`
	Base        string `json:"base"`
	SHA256      string `json:"sha256"` // of NAME.rootfs.tar.zst
	Size        int64  `json:"size"`   // of NAME.rootfs.tar.zst, bytes
}

func (b *Cloud) tarPath(name string) string    { return filepath.Join(b.c.Out, name+".rootfs.tar.zst") }
func (b *Cloud) recordPath(name string) string { return filepath.Join(b.c.Out, name+".image.json") }

// Find returns the image in Out under img's image name, if it carries key and its bytes are those that were recorded.
func (b *Cloud) Find(ctx context.Context, img manifest.Image, key string) (provision.Made, bool, error) {
	if err := checkImageName(img.ImageName); err != nil {
		return provision.Made{}, false, err
	}
	data, err := os.ReadFile(b.recordPath(img.ImageName))
	if errors.Is(err, fs.ErrNotExist) {
		return provision.Made{}, false, nil
	}
	if err != nil {
		return provision.Made{}, false, fmt.Errorf("finding image %q: %w", img.ImageName, err)
	}
	var r record
	// A record that cannot be read is of another version or was edited: the image is made again.
	if json.Unmarshal(data, &r) != nil || r.Schema != recordSchema || r.Key != key {
		return provision.Made{}, false, nil
	}
	path := b.tarPath(img.ImageName)
	if info, err := os.Stat(path); err != nil || info.Size() != r.Size {
		return provision.Made{}, false, nil
	}
	digest, err := guest.Digest(ctx, path)
	if err != nil {
		return provision.Made{}, false, fmt.Errorf("finding image %q: %w", img.ImageName, err)
	}
	return provision.Made{Path: path}, digest == r.SHA256, nil
}

// Capture stops the host and packs its tree while a copy of it runs the trial.
func (b *Cloud) Capture(ctx context.Context, ph provision.Host, c provision.Capture) (provision.Made, error) {
	made, err := b.capture(ctx, ph, c)
	if err != nil {
		return provision.Made{}, fmt.Errorf("capturing image %q: %w", c.Name, err)
	}
	return made, nil
}

func (b *Cloud) capture(ctx context.Context, ph provision.Host, c provision.Capture) (made provision.Made, err error) {
	if err := checkImageName(c.Name); err != nil {
		return provision.Made{}, err
	}
	if err := os.MkdirAll(b.c.Out, 0o755); err != nil {
		return provision.Made{}, err
	}
	out, err := atomicfile.Create(b.tarPath(c.Name), 0o644)
	if err != nil {
		return provision.Made{}, err
	}
	defer out.Abort()
	base, err := b.Base(ctx, manifest.Image{})
	if err != nil {
		return provision.Made{}, err
	}
	r := record{Schema: recordSchema, Name: c.Name, Key: c.Key, Description: c.Description, Base: base.ID}
	err = b.Stopped(ctx, ph, c.Trial, func(ctx context.Context, root string) (err error) {
		r.SHA256, r.Size, err = pack(ctx, root, out)
		return err
	})
	if err != nil {
		return provision.Made{}, err
	}
	return b.publish(out, r)
}

// Stopped stops the host cleanly and has use read its tree, the folder root, while a copy of it runs the trial, if there is
// one. When one of the two fails the other's context ends. use must not change the tree.
func (b *Cloud) Stopped(ctx context.Context, ph provision.Host, trial string, use func(ctx context.Context, root string) error) error {
	h, ok := ph.(*host)
	if !ok {
		return fmt.Errorf("got a host of %T, want one of this builder", ph)
	}
	stopCtx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	if err := h.guest.Stop(stopCtx); err != nil {
		return err
	}
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error { return b.try(workCtx, h, trial) })
	work.Go(func() error { return use(workCtx, h.guest.Root()) })
	return work.Wait()
}

// publish puts the image in place and then what Find knows it by. In between, the record of an image of that name from
// before does not fit the new bytes, so Find takes neither.
func (b *Cloud) publish(out *atomicfile.File, r record) (provision.Made, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return provision.Made{}, err
	}
	if err := out.Commit(); err != nil {
		return provision.Made{}, err
	}
	if err := atomicfile.WriteFile(b.recordPath(r.Name), append(data, '\n'), 0o644); err != nil {
		return provision.Made{}, errors.Join(err, os.Remove(b.tarPath(r.Name)))
	}
	return provision.Made{Path: b.tarPath(r.Name)}, nil
}

// pack writes root to w as a zstd-compressed tar and returns the digest and size of what it wrote. The zstd program
// compresses on all cores in another process; a tar and its program are needed anyway.
func pack(ctx context.Context, root string, w io.Writer) (digest string, size int64, err error) {
	h, n := sha256.New(), &counter{}
	var stderr bytes.Buffer
	zstd := exec.CommandContext(ctx, "zstd", "--quiet", "--stdout", "-3", "--threads=0")
	zstd.Stdout, zstd.Stderr = io.MultiWriter(w, h, n), &stderr
	in, err := zstd.StdinPipe()
	if err != nil {
		return "", 0, err
	}
	if err := zstd.Start(); err != nil {
		return "", 0, err
	}
	packErr := guest.Pack(ctx, root, in)
	closeErr := in.Close()
	err = zstd.Wait()
	switch {
	case ctx.Err() != nil:
		return "", 0, context.Cause(ctx)
	case err != nil: // the cause, where Pack only found its pipe broken
		return "", 0, fmt.Errorf("running zstd: %w%s", err, lastLine(stderr.Bytes()))
	case packErr != nil:
		return "", 0, packErr
	case closeErr != nil:
		return "", 0, closeErr
	}
	return hex.EncodeToString(h.Sum(nil)), n.n, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// try boots a throw-away copy of the stopped host, with the /data that the cluster's set-up mounts and no network but
// its own eth0, and runs the trial there.
func (b *Cloud) try(ctx context.Context, h *host, script string) (err error) {
	if script == "" {
		return nil
	}
	g, err := h.guest.Copy(ctx, guest.Config{
		Name:    trialName(h.Name()),
		Prepare: func(root string) error { return os.MkdirAll(filepath.Join(root, "data"), 0o755) },
	})
	if err != nil {
		return fmt.Errorf("trying: %w", err)
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	var output bytes.Buffer
	err = g.Run(ctx, guest.Process{
		Argv: []string{"/bin/sh", "-s"}, Stdin: strings.NewReader(script), Stdout: &output, Stderr: &output,
	})
	if err != nil {
		return fmt.Errorf("trying: %w%s", inTerms(err), lastLine(output.Bytes()))
	}
	return nil
}

// lastLine is what an error adds of a script's output: the last line with anything on it, quoted.
func lastLine(output []byte) string {
	output = bytes.TrimSpace(output)
	if i := bytes.LastIndexByte(output, '\n'); i >= 0 {
		output = output[i+1:]
	}
	if len(output) == 0 {
		return ""
	}
	return fmt.Sprintf(": %q", output[max(0, len(output)-400):])
}

// checkImageName keeps an image name inside the folder for images.
func checkImageName(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") || len(name) > 200 {
		return fmt.Errorf("naming image %q: want a file name of at most 200 bytes that does not begin with a dot", name)
	}
	return nil
}
