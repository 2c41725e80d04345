package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Output is a bundle to be written. What is written is a function of Index, Signatures and the bytes of Contents
// alone: bundle.json and SHA256SUMS are made of Index.
type Output struct {
	Index Index
	// Signatures are texts by file name; see Sign and SignatureName. None makes an unsigned bundle.
	Signatures map[string][]byte
	// Contents has the bytes of every file of the index, by path, and of no other.
	Contents map[string]Content
	// Force replaces what is at the target: a file, or a folder that holds a bundle, never another folder.
	Force bool
}

// Content says where the bytes of one file are: exactly one field is set, or none for an empty file.
type Content struct {
	// Data is small derived content. It is hashed while it is written.
	Data []byte
	// File is a file whose bytes this process hashed and that it has held open since. It is read from its start
	// and not hashed again; only its size is checked. The caller closes it; its offset moves.
	File *os.File
	// Path is a file that is hashed while it is copied; other bytes than the index names are a *MismatchError.
	Path string
}

// ExistsError says that a target is there already and is not what was to be written. It is fs.ErrExist. Its text leaves
// the path to the caller.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return "it exists and holds something else"
}

// Is makes errors.Is(err, fs.ErrExist) true.
func (e *ExistsError) Is(target error) bool { return target == os.ErrExist }

// check finds what can be wrong with an Output before anything is written, and returns the bytes of its index.
func (o Output) check() ([]byte, error) {
	data, err := o.Index.Marshal()
	if err != nil {
		return nil, err
	}
	if len(data) > MaxIndex {
		return nil, formatErrorf(IndexFile, "got %d bytes, want at most %d", len(data), MaxIndex)
	}
	if err := checkSignatures(o.Signatures, o.Index); err != nil {
		return nil, err
	}
	for _, f := range o.Index.Files {
		c, ok := o.Contents[f.Path]
		if !ok {
			return nil, formatErrorf(f.Path, "in the index, but its content is missing")
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%q: %w", f.Path, err)
		}
	}
	if len(o.Contents) != len(o.Index.Files) {
		return nil, formatErrorf("", "got content of %d files, want %d", len(o.Contents), len(o.Index.Files))
	}
	return data, nil
}

func (c Content) check() error {
	n := 0
	for _, set := range []bool{c.Data != nil, c.File != nil, c.Path != ""} {
		if set {
			n++
		}
	}
	if n > 1 {
		return errors.New("content is given twice")
	}
	return nil
}

// CheckTarget tries whether a bundle could be put at path: the folder is there and takes files. WriteTar and WriteDir
// would find out too, but only when everything has been downloaded.
func CheckTarget(path string) error {
	dir := filepath.Dir(filepath.Clean(path))
	f, err := os.CreateTemp(dir, tempMark+"*"+tempSuffix)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("writing to %q: %w", dir, cause(err))
	}
	return nil
}

// metaFile is a file that is not in the index.
type metaFile struct {
	name string
	data []byte
}

// meta returns those files in the order of the tar.
func (o Output) meta(index []byte) []metaFile {
	files := []metaFile{{IndexFile, index}}
	for _, name := range slices.Sorted(maps.Keys(o.Signatures)) {
		files = append(files, metaFile{name, o.Signatures[name]})
	}
	return append(files, metaFile{SumsFile, o.Index.Sums()})
}

// present looks at what is at path. It returns true when that is this bundle, byte for byte and as a folder or not;
// an *ExistsError when it is something else that must stay; and false when the way is free.
func (o Output) present(ctx context.Context, path string, index []byte, folder bool) (bool, error) {
	exists := &ExistsError{path}
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, cause(err)
	case folder && fi.IsDir():
		entries, err := os.ReadDir(path)
		if err != nil {
			return false, cause(err)
		}
		if len(entries) == 0 {
			return false, nil
		}
		if o.Force && !isBundleFolder(path) {
			return false, exists
		}
	case folder || !fi.Mode().IsRegular():
		return false, exists // also with Force: a file is no folder, and neither gives way to the other
	}
	if o.Force {
		return false, nil
	}
	b, err := open(path)
	if err != nil {
		return false, exists
	}
	defer b.Close()
	if !bytes.Equal(b.raw, index) || !maps.EqualFunc(b.sigs, o.Signatures, bytes.Equal) {
		return false, exists
	}
	if _, err := b.hashAll(ctx, 0, nil); err != nil {
		if ctx.Err() != nil {
			return false, err
		}
		return false, exists
	}
	return true, nil
}
