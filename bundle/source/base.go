package source

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// Base reads what rpms.base says that a host has installed before anything is done to it: nothing where that is `bare`. A
// file that is no such listing is a *manifest.Error.
func Base(in *manifest.Inputs) ([]*rpm.Package, error) {
	name := in.Artifacts.RPMs.Base
	if name == "" || name == manifest.BareBase {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(in.Dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("reading rpms.base: %w", err)
	}
	defer f.Close() // read only
	installed, err := rpm.ReadInstalled(f)
	if err != nil {
		return nil, manifestError("artifacts.rpms.base", fmt.Sprintf("%q: %v", name, err))
	}
	return installed, nil
}
