package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// Open opens one file of a bundle that Trust or Verify accepted: a file of the index, bundle.json, a signature or
// SHA256SUMS. The reader checks size and sha256 while it reads and returns a *MismatchError in place of the last
// bytes when they are not those of the index, so that who got all bytes, with or without io.EOF, got the right ones.
// A path that the bundle does not hold is fs.ErrNotExist. The caller closes the reader.
func (b *Bundle) Open(path string) (io.ReadCloser, error) {
	if !b.trusted.Load() {
		return nil, fmt.Errorf("opening %q: %w", path, ErrUnverified)
	}
	if data, ok := b.meta(path); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	f, ok := find(b.index.Files, path)
	if !ok {
		return nil, fmt.Errorf("opening %q in the bundle: %w", path, fs.ErrNotExist)
	}
	return b.openChecked(f)
}

func (b *Bundle) openChecked(f File) (*checked, error) {
	rc, err := b.src.open(f)
	if err != nil {
		return nil, err
	}
	return newChecked(rc, f), nil
}

// ReadFile returns the checked content of a file of at most max bytes; see Open.
func (b *Bundle) ReadFile(path string, max int64) ([]byte, error) {
	rc, err := b.Open(path)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("reading %q in the bundle: got more than %d bytes", path, max)
	}
	return data, nil
}

// Section is random access to one file of a bundle.
type Section struct {
	*io.SectionReader
	io.Closer
}

// OpenAt opens one file of those that Open takes for random access. All of it is checked before OpenAt returns, through the
// descriptor that the section reads from; after a Verify of a tar that has been done already and is not repeated.
// It needs a tar, a folder, or an fs.FS whose files are io.ReaderAt. The caller closes the section.
func (b *Bundle) OpenAt(path string) (*Section, error) {
	if !b.trusted.Load() {
		return nil, fmt.Errorf("opening %q: %w", path, ErrUnverified)
	}
	if data, ok := b.meta(path); ok {
		return &Section{io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), io.NopCloser(nil)}, nil
	}
	f, ok := find(b.index.Files, path)
	if !ok {
		return nil, fmt.Errorf("opening %q in the bundle: %w", path, fs.ErrNotExist)
	}
	rc, err := b.src.open(f)
	if err != nil {
		return nil, err
	}
	ra, ok := rc.(io.ReaderAt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("opening %q in the bundle: no random access", path), rc.Close())
	}
	section := io.NewSectionReader(ra, 0, f.Size)
	if _, held := b.src.(tarSource); !held || !b.verified.Load() {
		if _, err := io.Copy(io.Discard, newChecked(io.NopCloser(section), f)); err != nil {
			return nil, errors.Join(err, rc.Close())
		}
		section = io.NewSectionReader(ra, 0, f.Size)
	}
	return &Section{section, rc}, nil
}

// meta returns the content of the files that are not in the index.
func (b *Bundle) meta(path string) ([]byte, bool) {
	switch path {
	case IndexFile:
		return b.raw, true
	case SumsFile:
		return b.sums, true
	}
	data, ok := b.sigs[path]
	return data, ok
}

// tarSource reads from one descriptor that stays open as long as the bundle.
type tarSource struct {
	r       io.ReaderAt
	offsets map[string]int64
}

func (s tarSource) open(f File) (io.ReadCloser, error) {
	return tarFile{io.NewSectionReader(s.r, s.offsets[f.Path], f.Size)}, nil
}

type tarFile struct{ *io.SectionReader }

func (tarFile) Close() error { return nil }

// fsSource opens files by name.
type fsSource struct{ fsys fs.FS }

func (s fsSource) open(f File) (io.ReadCloser, error) {
	file, err := s.fsys.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", f.Path, cause(err))
	}
	fi, err := file.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("reading %q: %w", f.Path, cause(err))
	case !fi.Mode().IsRegular():
		err = formatErrorf(f.Path, "got something that is not a file (%v)", fi.Mode().Type())
	case fi.Size() != f.Size:
		err = sizeMismatch(f, fi.Size())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// checked is a file of the index whose bytes are hashed as they pass.
type checked struct {
	rc   io.ReadCloser
	file File
	hash hash.Hash
	n    int64
	err  error // what every further Read returns
}

func newChecked(rc io.ReadCloser, f File) *checked {
	return &checked{rc: rc, file: f, hash: sha256.New()}
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.n == c.file.Size {
		c.err = c.finish()
		return 0, c.err
	}
	p = p[:min(int64(len(p)), c.file.Size-c.n)]
	n, err := c.rc.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	if err == io.EOF && c.n < c.file.Size {
		err = sizeMismatch(c.file, c.n)
	} else if err != nil && err != io.EOF {
		err = fmt.Errorf("reading %q: %w", c.file.Path, cause(err))
	}
	if c.n == c.file.Size {
		if err = c.digest(); err == nil {
			return n, nil
		}
	}
	if err != nil {
		c.err = err
		return 0, err
	}
	return n, nil
}

// finish tells a file that ended from one that goes on.
func (c *checked) finish() error {
	if err := c.digest(); err != nil { // an empty file gets here unread
		return err
	}
	var one [1]byte
	n, err := io.ReadFull(c.rc, one[:])
	if n > 0 {
		return sizeMismatch(c.file, c.n+1)
	}
	return err
}

func (c *checked) digest() error {
	if got := hex.EncodeToString(c.hash.Sum(nil)); got != c.file.SHA256 {
		return &MismatchError{Path: c.file.Path, Got: "sha256 " + got, Want: c.file.SHA256}
	}
	return nil
}

func (c *checked) Close() error { return c.rc.Close() }
