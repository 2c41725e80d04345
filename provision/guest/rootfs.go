package guest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Digest is the identity of a root file system, lower-case hex: the sha256 of a tar file's bytes, or of the tar that
// Pack makes of a folder.
func Digest(ctx context.Context, rootfs string) (string, error) {
	h := sha256.New()
	f, err := os.Open(rootfs)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		err = Pack(ctx, rootfs, h)
	default:
		_, err = io.Copy(h, reader{ctx, f})
	}
	if err != nil {
		return "", fmt.Errorf("hashing %q: %w", rootfs, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Pack writes a folder as a tar of pax format: every file but sockets, by name, with numeric owners, extended
// attributes, devices and hard links; the same tree gives the same bytes. The folder must not change meanwhile.
func Pack(ctx context.Context, root string, w io.Writer) error {
	return runTar(ctx, nil, w, "--create", "--file=-", "--directory="+root, "--sort=name", "--format=posix",
		"--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--numeric-owner",
		"--xattrs", "--xattrs-include=*", "--warning=no-file-ignored", ".")
}

// PackLive is Pack for a folder that changes meanwhile: a file that changes while it is read is in the tar as it came.
func PackLive(ctx context.Context, root string, w io.Writer) error {
	err := Pack(ctx, root, w)
	// GNU tar, "Synopsis of return values": 1 is that some files differ, or went.
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return nil
	}
	return err
}

// unpack is the inverse of Pack.
func unpack(ctx context.Context, r io.Reader, root string) error {
	return runTar(ctx, r, nil, "--extract", "--file=-", "--directory="+root, "--same-owner", "--same-permissions",
		"--numeric-owner", "--xattrs", "--xattrs-include=*")
}

// runTar runs GNU tar, which knows every kind of file and attribute, also those that archive/tar leaves to its caller.
func runTar(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "tar", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TAR_OPTIONS=")
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(stderr.Bytes()), []byte("\n"))
		return fmt.Errorf("running tar: %w (%s)", err, line)
	}
	return nil
}

// openRootfs returns a folder with the root file system. A tar is unpacked on its first use; the lease that comes with
// it keeps Prune away until it is closed.
func openRootfs(ctx context.Context, c Config) (dir string, lease *os.File, err error) {
	info, err := os.Stat(c.Rootfs)
	if err != nil || info.IsDir() {
		return c.Rootfs, nil, err
	}
	digest := c.Digest
	if digest == "" {
		if digest, err = Digest(ctx, c.Rootfs); err != nil {
			return "", nil, err
		}
	}
	dir = filepath.Join(c.Work, "rootfs", digest)
	// For root alone: set-user-id programs of all ages lie below.
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", nil, err
	}
	lease, err = os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	if err := unpackOnce(ctx, lease, c.Rootfs, dir); err != nil {
		closeFiles(lease)
		return "", nil, err
	}
	return dir, lease, nil
}

// unpackOnce leaves dir complete and a shared lock on lease.
func unpackOnce(ctx context.Context, lease *os.File, rootfs, dir string) error {
	for {
		if err := lock(ctx, lease, unix.LOCK_SH); err != nil {
			return err
		}
		now := time.Now()
		if err := os.Chtimes(lease.Name(), now, now); err != nil { // when it was last used, for Prune
			return err
		}
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
		if err := lock(ctx, lease, unix.LOCK_EX); err != nil {
			return err
		}
		// Another process may have unpacked it while the lock was changed.
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := unpackTo(ctx, rootfs, dir); err != nil {
			return err
		}
	}
}

// unpackTo makes dir from a tar whose bytes must have the digest that dir is named for: it was computed in another read.
func unpackTo(ctx context.Context, rootfs, dir string) (err error) {
	f, err := os.Open(rootfs)
	if err != nil {
		return err
	}
	defer f.Close()
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil { // of a process that died
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	h := sha256.New()
	raw := io.TeeReader(reader{ctx, f}, h)
	plain, err := decompress(raw)
	if err != nil {
		return err
	}
	defer plain.Close()
	whole := &trailer{r: plain}
	if err := unpack(ctx, whole, tmp); err != nil {
		return err
	}
	for _, rest := range []io.Reader{whole, raw} { // tar stops at the end mark; checksums stand behind it
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return err
		}
	}
	if whole.zeros < 2*tarBlock {
		return errors.New("unpacking: the tar is cut off")
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), filepath.Base(dir); got != want {
		return fmt.Errorf("unpacking: got sha256 %s, want %s: the file changed", got, want)
	}
	return os.Rename(tmp, dir)
}

const tarBlock = 512

// trailer counts the zero bytes at the end of what was read. A tar ends in two blocks of them (pax(1), ustar Interchange
// Format), but GNU tar takes the end of the file for the end of the archive as well.
type trailer struct {
	r     io.Reader
	zeros int
}

func (t *trailer) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	content := len(bytes.TrimRight(p[:n], "\x00"))
	if content > 0 {
		t.zeros = 0
	}
	t.zeros += n - content
	return n, err
}

// decompress tells the compression by its magic number.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	magic, err := b.Peek(4)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		d, err := zstd.NewReader(b)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		return gzip.NewReader(b)
	}
	return io.NopCloser(b), nil
}

// Prune removes unpacked root file systems that no guest uses and that none was started from for age.
func Prune(ctx context.Context, work string, age time.Duration) error {
	locks, err := filepath.Glob(filepath.Join(work, "rootfs", "*.lock"))
	if err != nil {
		return err
	}
	for _, path := range locks {
		if err := prune(ctx, path, age); err != nil {
			return fmt.Errorf("pruning %q: %w", path, err)
		}
	}
	return nil
}

func prune(ctx context.Context, path string, age time.Duration) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || time.Since(info.ModTime()) < age || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // in use
	}
	// The lock file stays: another process may be waiting for this very one.
	dir := path[:len(path)-len(".lock")]
	return errors.Join(os.RemoveAll(dir+".tmp"), os.RemoveAll(dir))
}

// lock waits for a flock(2) lock, until ctx ends.
func lock(ctx context.Context, f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("flock", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q: %w", f.Name(), context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
