package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/internal/atomicfile"
)

const (
	blobsDir   = "sha256"
	partialDir = "partial"
	putPrefix  = "put-"
	blobMode   = 0o444
	// hashBuffer is what is read at once when a file is hashed or copied.
	hashBuffer = 1 << 20
)

// Cache is a folder of blobs named by their digests:
//
//	sha256/ab/abcd…   whole blobs, 0444
//	partial/          what is being downloaded, or was when a process died; see type partial
//
// Several processes may share it. A blob appears by a rename once it is whole and its digest is right. Nothing is
// synced: a killed process loses nothing, and what a power cut may tear is found by the hash that every later use makes.
type Cache struct {
	dir     string
	buffers sync.Pool
}

// OpenCache opens the cache in dir and makes it if it is not there.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir}
	c.buffers.New = func() any { return new([hashBuffer]byte) }
	for _, sub := range []string{blobsDir, partialDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("opening cache: %w", err)
		}
	}
	if err := c.removeAbandoned(); err != nil {
		return nil, fmt.Errorf("cleaning cache %q: %w", dir, err)
	}
	return c, nil
}

// Dir returns the cache's folder.
func (c *Cache) Dir() string { return c.dir }

// Lookup returns the blob with digest, hashed anew, or an error that is fs.ErrNotExist. A file whose content is not
// what its name says is removed and counts as not there.
func (c *Cache) Lookup(ctx context.Context, digest string) (*Blob, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	path := c.path(digest)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	got, size, err := c.hashFile(ctx, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hashing cached blob: %w", err), f.Close())
	}
	if got == digest {
		return &Blob{SHA256: digest, Size: size, File: f, Reused: true}, nil
	}
	if err := errors.Join(removeSame(f), f.Close()); err != nil {
		return nil, fmt.Errorf("removing damaged blob: %w", err)
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// Put stores what r yields and returns it as a blob. It is hashed while it is written; after an error nothing is kept.
func (c *Cache) Put(ctx context.Context, r io.Reader) (*Blob, error) {
	t, err := c.newTemp()
	if err != nil {
		return nil, fmt.Errorf("storing a blob: %w", err)
	}
	h := sha256.New()
	buf := c.buffers.Get().(*[hashBuffer]byte)
	defer c.buffers.Put(buf)
	size, err := io.CopyBuffer(io.MultiWriter(h, t), readerContext{ctx, r}, buf[:])
	if err != nil {
		return nil, errors.Join(fmt.Errorf("storing a blob: %w", err), discard(t))
	}
	return c.keep(t, hex.EncodeToString(h.Sum(nil)), size)
}

// keep gives t, a locked file in partial/ that holds the size bytes of digest, its place among the blobs. It closes t
// in any case; on error t is removed.
func (c *Cache) keep(t *os.File, digest string, size int64) (*Blob, error) {
	f, err := c.place(t, digest, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("storing blob sha256:%s: %w", digest, err), discard(t))
	}
	// The lock ends here, after the name is gone from partial/.
	if err := t.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("storing blob sha256:%s: %w", digest, err), f.Close(), os.Remove(c.path(digest)))
	}
	return &Blob{SHA256: digest, Size: size, File: f}, nil
}

// place renames t and returns a read-only handle of the same file.
func (c *Cache) place(t *os.File, digest string, size int64) (*os.File, error) {
	fi, err := t.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() != size {
		return nil, fmt.Errorf("%s on disk: got %d bytes, want %d", t.Name(), fi.Size(), size)
	}
	path := c.path(digest)
	f, err := reopen(t, path)
	if err != nil {
		return nil, err
	}
	if err := t.Chmod(blobMode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	err = os.Rename(t.Name(), path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.Rename(t.Name(), path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// reopen returns a read-only handle of the very file that t is, under the name it will have.
func reopen(t *os.File, name string) (*os.File, error) {
	fd, err := unix.Open(t.Name(), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: t.Name(), Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if same, err := sameFile(t, f); err != nil || !same {
		return nil, errors.Join(fmt.Errorf("%s was replaced while it was written", t.Name()), err, f.Close())
	}
	return f, nil
}

// newTemp makes a locked file in partial/ that a later OpenCache removes if this process dies.
func (c *Cache) newTemp() (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Join(c.dir, partialDir), putPrefix+"*")
		if err != nil {
			return nil, err
		}
		ours, err := atomicfile.TryLock(f)
		if err == nil && ours {
			return f, nil
		}
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			return nil, err
		}
	}
}

// removeAbandoned removes what killed processes left and nobody will use: files of Put that no living process holds, and
// origins whose partial is a blob by now. Partial downloads stay: they will be resumed.
func (c *Cache) removeAbandoned() error {
	dir := filepath.Join(c.dir, partialDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), putPrefix) {
			errs = append(errs, removeUnlocked(path))
		} else if of, ok := strings.CutSuffix(path, originSuffix); ok {
			if _, err := os.Lstat(of); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, ignoreMissing(os.Remove(path)))
			}
		}
	}
	return errors.Join(errs...)
}

// removeUnlocked removes a file unless a process holds it.
func removeUnlocked(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return ignoreMissing(err)
	}
	ours, err := atomicfile.TryLock(f)
	if err == nil && ours {
		err = os.Remove(path)
	}
	return errors.Join(err, f.Close())
}

func (c *Cache) path(digest string) string {
	return filepath.Join(c.dir, blobsDir, digest[:2], digest)
}

// hashFile returns the digest and size of f's content from its start.
func (c *Cache) hashFile(ctx context.Context, f *os.File) (digest string, size int64, err error) {
	h := sha256.New()
	size, err = c.feed(ctx, h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// feed writes f's content from its start to w with large reads, without moving f's offset.
func (c *Cache) feed(ctx context.Context, w io.Writer, f *os.File) (int64, error) {
	buf := c.buffers.Get().(*[hashBuffer]byte)
	defer c.buffers.Put(buf)
	var at int64
	for {
		if err := context.Cause(ctx); err != nil {
			return at, err
		}
		n, err := f.ReadAt(buf[:], at)
		at += int64(n)
		if _, err := w.Write(buf[:n]); err != nil {
			return at, err
		}
		if err == io.EOF {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}

// removeSame removes f's name unless another file has it by now.
func removeSame(f *os.File) error {
	open, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(f.Name())
	if err != nil {
		return ignoreMissing(err)
	}
	if !os.SameFile(open, named) {
		return nil
	}
	return ignoreMissing(os.Remove(f.Name()))
}

func sameFile(a, b *os.File) (bool, error) {
	x, err := a.Stat()
	if err != nil {
		return false, err
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y), err
}

// discard removes and closes a file of partial/.
func discard(f *os.File) error {
	return errors.Join(ignoreMissing(os.Remove(f.Name())), f.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// checkDigest requires lower-case hex of 32 bytes: a digest becomes a path.
func checkDigest(digest string) error {
	raw, err := hex.DecodeString(digest)
	if err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != digest {
		return fmt.Errorf("invalid sha256 %q: want 64 lower-case hex digits", digest)
	}
	return nil
}

// readerContext ends a copy when ctx ends.
type readerContext struct {
	ctx context.Context
	r   io.Reader
}

func (r readerContext) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
