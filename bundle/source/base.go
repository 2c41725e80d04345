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
// file that is neither a listing of `rpm -qa` nor an rpm database is a *manifest.Error.
func Base(in *manifest.Inputs) ([]*rpm.Package, error) {
	name := in.Artifacts.RPMs.Base
	if name == "" || name == manifest.BareBase {
		return nil, nil
	}
	installed, err := readBase(filepath.Join(in.Dir, filepath.FromSlash(name)))
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, fmt.Errorf("reading rpms.base: %w", err)
	case err != nil:
		return nil, manifestError("artifacts.rpms.base", fmt.Sprintf("%q: %v", name, err))
	}
	return installed, nil
}

func readBase(path string) ([]*rpm.Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	prefix := make([]byte, rpmdb.Prefix)
	n, err := f.ReadAt(prefix, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if rpmdb.Known(prefix[:n]) {
		return rpmdb.Read(path)
	}
	return rpm.ReadInstalled(f)
}
