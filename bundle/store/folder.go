package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/offbake/offbake/internal/atomicfile"
)

// folder is a Store in a folder: each key is the path of a file, so that a pushed bundle is a bundle as a folder and
// any web server can serve it. It has no metadata; Head reads the file.
type folder struct{ root string }

func openFolder(root string) *folder { return &folder{filepath.Clean(root)} }

func (s *folder) String() string { return schemeDir + ":" + s.root }

// isTemp matches what package atomicfile leaves when a process is killed; the next Put of the same key removes it.
func isTemp(key string) bool {
	name := path.Base(key)
	return strings.HasPrefix(name, ".") && regexp.MustCompile(`\.offbake-[A-Z2-7]{26}\.tmp$`).MatchString(name)
}

func (s *folder) path(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	if isTemp(key) {
		return "", fmt.Errorf("key %q: reads as a temporary file", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// open opens a regular file and nothing else.
func (s *folder) open(key string) (*os.File, fs.FileInfo, error) {
	name, err := s.path(key)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist // a folder is no object
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

func (s *folder) Head(ctx context.Context, key string) (Object, error) {
	f, fi, err := s.open(key)
	if err != nil {
		return Object{}, fmt.Errorf("describing %q: %w", key, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx, f}); err != nil {
		return Object{}, fmt.Errorf("describing %q: %w", key, err)
	}
	return Object{Key: key, Size: fi.Size(), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

func (s *folder) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	f, fi, err := s.open(key)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", key, err)
	}
	if offset < 0 || offset > fi.Size() {
		f.Close()
		return nil, fmt.Errorf("reading %q: offset: got %d, want 0 to %d", key, offset, fi.Size())
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %q: %w", key, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{&contextReader{ctx, f}, f}, nil
}

func (s *folder) Put(ctx context.Context, u Upload) error {
	if err := s.put(ctx, u); err != nil {
		return fmt.Errorf("storing %q: %w", u.Key, err)
	}
	return nil
}

func (s *folder) put(ctx context.Context, u Upload) error {
	name, err := s.path(u.Key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	f, err := atomicfile.Create(name, 0o666)
	if err != nil {
		return err
	}
	defer f.Abort()
	sum := newBodySum(u)
	body := &contextReader{ctx, io.NewSectionReader(u.Body, 0, u.Size)}
	if _, err := io.CopyBuffer(io.MultiWriter(f, sum), body, make([]byte, 1<<20)); err != nil {
		return err
	}
	if err := sum.check(); err != nil {
		return err
	}
	return f.Commit()
}

// List reads all names below the folder of the prefix before it yields the first: the order of a walk is not that of keys.
func (s *folder) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return yieldAll(prefix, func() ([]Object, error) { return s.list(ctx, prefix) })
}

func (s *folder) list(ctx context.Context, prefix string) ([]Object, error) {
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		start = prefix[:i]
		if err := checkKey(start); err != nil {
			return nil, err
		}
	}
	var objects []Object
	err := fs.WalkDir(os.DirFS(s.root), start, func(key string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the start, or deleted meanwhile
		}
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(key, prefix) || isTemp(key) {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			objects = append(objects, Object{Key: key, Size: fi.Size()})
		}
		return err
	})
	slices.SortFunc(objects, byKey)
	return objects, err
}

func (s *folder) Delete(_ context.Context, key string) error {
	name, err := s.path(key)
	if err == nil {
		err = os.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting %q: %w", key, err)
	}
	return nil
}

// ErrNoURL says that no host can reach a store over HTTP.
var ErrNoURL = errors.New("a folder has no http address: serve it, or push to a UFile store")

func (s *folder) URL(_ context.Context, key string, _ time.Duration) (string, error) {
	return "", fmt.Errorf("addressing %q: %w", key, ErrNoURL)
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
