package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/offbake/offbake/bundle/sign"
)

// Bundle is a bundle opened for reading. Its form was checked when it was opened: the index obeys the format, the
// tree or tar holds exactly the index's files with the sizes (and in a tar the modes and order) it names, SHA256SUMS
// is right, and signatures are well formed and speak of this index. Who signed is Trust's matter, the bytes of files
// are Verify's; content is not given out before one of the two succeeded (ErrUnverified).
//
// Methods may be called from several goroutines.
type Bundle struct {
	index Index
	raw   []byte // of bundle.json
	sums  []byte
	sigs  map[string][]byte
	src   source
	close func() error

	trusted  atomic.Bool
	verified atomic.Bool
}

// source gives the unchecked bytes of one file of the index. Its errors name the file.
type source interface {
	open(f File) (io.ReadCloser, error)
}

// Open opens a bundle: a tar or a folder with the same tree. Nothing is unpacked. The caller closes it.
// An error for which Refused is true says that it is no whole bundle; others say that it cannot be read.
func Open(path string) (*Bundle, error) {
	b, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", path, err)
	}
	return b, nil
}

func open(path string) (*Bundle, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo would wait for somebody who writes to it
	if err != nil {
		return nil, cause(err)
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		f.Close()
		return openFolder(path)
	}
	var b *Bundle
	switch {
	case err != nil:
	case !fi.Mode().IsRegular():
		err = formatErrorf("", "not a bundle: got neither a file nor a folder")
	default:
		b, err = scanTar(f, fi.Size())
	}
	if err != nil {
		f.Close()
		return nil, cause(err)
	}
	b.close = f.Close
	return b, nil
}

func openFolder(path string) (*Bundle, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, cause(err)
	}
	b, err := openFS(root.FS())
	if err != nil {
		root.Close()
		return nil, err
	}
	b.close = root.Close
	return b, nil
}

// OpenFS opens a bundle whose files are those of fsys. It is walked with ReadDir, so fsys must implement that for
// every folder; only regular files may be in it. Folders without files are passed over.
func OpenFS(fsys fs.FS) (*Bundle, error) {
	b, err := openFS(fsys)
	if err != nil {
		return nil, fmt.Errorf("opening a bundle: %w", err)
	}
	b.close = func() error { return nil }
	return b, nil
}

func openFS(fsys fs.FS) (*Bundle, error) {
	b := &Bundle{sigs: map[string][]byte{}, src: fsSource{fsys}}
	var err error
	if b.raw, err = readSmall(fsys, IndexFile, MaxIndex); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, formatErrorf("", "not a bundle: it has no %q", IndexFile)
		}
		return nil, err
	}
	if b.index, err = ParseIndex(b.raw); err != nil {
		return nil, err
	}
	b.sums = b.index.Sums()
	sums, err := b.walk(fsys)
	if err != nil {
		return nil, err
	}
	if err := b.checkMeta(sums); err != nil {
		return nil, err
	}
	return b, nil
}

// walk checks that fsys holds the files of the index and no others, reads the signatures and returns SHA256SUMS.
func (b *Bundle) walk(fsys fs.FS) (sums []byte, err error) {
	seen := make(map[string]bool, len(b.index.Files))
	err = fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("reading %q: %w", path, cause(err))
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return formatErrorf(path, "got something that is not a file (%v)", d.Type())
		case path == IndexFile:
			return nil
		case path == SumsFile:
			sums, err = readSmall(fsys, path, int64(len(b.sums)))
			return err
		case isSignature(path) && len(b.sigs) <= MaxSignatures:
			b.sigs[path], err = readSmall(fsys, path, sign.MaxSignature)
			return err
		}
		f, ok := find(b.index.Files, path)
		if !ok {
			return formatErrorf(path, "not in the index")
		}
		fi, err := d.Info()
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, cause(err))
		}
		if fi.Size() != f.Size {
			return sizeMismatch(f, fi.Size())
		}
		seen[path] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range b.index.Files {
		if !seen[f.Path] {
			return nil, formatErrorf(f.Path, "missing")
		}
	}
	if sums == nil {
		return nil, formatErrorf(SumsFile, "missing")
	}
	return sums, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(fsys fs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, cause(err))
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && !fi.Mode().IsRegular() {
		return nil, formatErrorf(path, "got something that is not a file (%v)", fi.Mode().Type())
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, cause(err))
	}
	if int64(len(data)) > limit {
		return nil, formatErrorf(path, "got more than %d bytes", limit)
	}
	return data, nil
}

// checkMeta checks SHA256SUMS and the form of the signatures.
func (b *Bundle) checkMeta(sums []byte) error {
	if !bytes.Equal(sums, b.sums) {
		return formatErrorf(SumsFile, "got other lines than the index makes")
	}
	return checkSignatures(b.sigs, b.index)
}

// Index is what bundle.json says. It is not authentic before Trust or Verify succeeded.
func (b *Bundle) Index() Index { return b.index }

// IndexBytes is bundle.json as it is. The caller does not change it.
func (b *Bundle) IndexBytes() []byte { return b.raw }

// Identity is the sha256 of bundle.json in lower-case hex.
func (b *Bundle) Identity() string { return Identity(b.raw) }

// Signatures returns the texts of the signatures by file name.
func (b *Bundle) Signatures() map[string][]byte { return maps.Clone(b.sigs) }

// Close ends all reading. Readers that Open returned before fail then.
func (b *Bundle) Close() error { return b.close() }

// cause drops the operation and path that package os puts before an error: the caller names them better.
func cause(err error) error {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err
	}
	return err
}
