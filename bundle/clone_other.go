//go:build !linux

package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

func reflink(_, _ *os.File) error { return errors.ErrUnsupported }

func hardLink(*os.File, string) error { return errors.ErrUnsupported }

func syncTree(dir *os.File) error {
	return filepath.WalkDir(dir.Name(), func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// exchange swaps two folders. Between its steps nothing is at b.
func exchange(a, b string) error {
	aside := a + ".old"
	if err := os.Rename(b, aside); err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, os.Rename(aside, b))
	}
	return os.Rename(aside, a)
}
