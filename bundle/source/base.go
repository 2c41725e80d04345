package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/rpmdb"
	"github.com/offbake/offbake/manifest"
)

// Base reads what rpms.base says that a host has installed before anything is done to it: nothing where that is `bare`. A
// file that is neither a listing of `rpm -qa` nor an rpm database, or that lists no package, is a *manifest.Error.
func Base(in *manifest.Inputs) ([]*rpm.Package, error) {
	name := in.Artifacts.RPMs.Base
	if name == "" || name == manifest.BareBase {
		return nil, nil
	}
	installed, err := openBase(name, filepath.Join(in.Dir, filepath.FromSlash(name)))
	var file *fs.PathError
	var field *manifest.Error
	switch {
	case errors.As(err, &field):
		return nil, err
	case errors.As(err, &file):
		return nil, fmt.Errorf("reading rpms.base: %w", err)
	case err != nil:
		return nil, manifestError("artifacts.rpms.base", fmt.Sprintf("%q: %v", name, err))
	}
	return installed, nil
}

func openBase(name, path string) ([]*rpm.Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readBase(name, io.NewSectionReader(f, 0, info.Size()), func() ([]*rpm.Package, error) { return rpmdb.Read(path) })
}

// ReadBase reads what Base does of a file of size bytes that has been opened; name is as rpms.base has it. One that lists no
// package is a *manifest.Error, for what was meant may be a bare host or not.
func ReadBase(name string, r io.ReaderAt, size int64) ([]*rpm.Package, error) {
	return readBase(name, io.NewSectionReader(r, 0, size), func() ([]*rpm.Package, error) { return rpmdb.Parse(r, size) })
}

func readBase(name string, r *io.SectionReader, database func() ([]*rpm.Package, error)) ([]*rpm.Package, error) {
	prefix := make([]byte, rpmdb.Prefix)
	n, err := r.ReadAt(prefix, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var installed []*rpm.Package
	if rpmdb.Known(prefix[:n]) {
		installed, err = database()
	} else {
		installed, err = rpm.ReadInstalled(r)
	}
	if err == nil && len(installed) == 0 {
		err = manifestError("artifacts.rpms.base", fmt.Sprintf("%q lists no package; write `%s` if that is meant", name, manifest.BareBase))
	}
	return installed, err
}
