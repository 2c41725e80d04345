// Package atomicfile writes files that appear whole or not at all.
//
// The bytes go to a temporary file in the target's own folder, which a rename puts in place once they are on disk.
// A process that is killed leaves the temporary file behind; the next Create of the same target removes it. The
// temporary file is locked (flock) while it is written, so that a file another process still writes is left alone.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	mark   = ".offbake-" // between the target's name and a random text
	suffix = ".tmp"
	// nameMax keeps a temporary name within the 255 bytes of Linux file systems for targets with long names.
	nameMax = 255 - len(".") - len(mark) - randLen - len(suffix)
	randLen = 26 // rand.Text
)

// File is a file being written. The caller ends it with Commit or Abort, and may defer Abort in any case.
type File struct {
	*os.File
	path string
	done bool
}

// Create starts a new content for path, with perm before umask. Nothing is at path, or what was there stays, until
// Commit. A symbolic link at path is replaced, not followed. Leftovers of killed processes for the same path are removed.
func Create(path string, perm fs.FileMode) (*File, error) {
	if fi, err := os.Lstat(path); err == nil && fi.IsDir() {
		return nil, &fs.PathError{Op: "create", Path: path, Err: syscall.EISDIR}
	}
	if err := removeLeftovers(path); err != nil {
		return nil, fmt.Errorf("removing leftovers of %q: %w", path, err)
	}
	for {
		f, err := os.OpenFile(tempPrefix(path)+rand.Text()+suffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err != nil {
			return nil, err
		}
		ours, err := TryLock(f)
		if err == nil && ours {
			return &File{File: f, path: path}, nil
		}
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			return nil, fmt.Errorf("locking %q: %w", f.Name(), err)
		}
	}
}

// WriteFile writes data to path as Create and Commit do.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Commit puts the file in place: content on disk, then the name. After an error nothing is at the path that was not
// there before; only closing the file and the fsync of its folder come after the rename.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("committing %q: %w", f.path, os.ErrClosed)
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Abort())
	}
	// Renamed before it is closed: the lock goes with Close, and an unlocked temporary file is a leftover to others.
	if err := os.Rename(f.Name(), f.path); err != nil {
		return errors.Join(err, f.Abort())
	}
	f.done = true
	if err := f.Close(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// Abort removes the file. It does nothing after Commit or another Abort.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(os.Remove(f.Name()), f.Close())
}

func tempPrefix(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+name[:min(len(name), nameMax)]+mark)
}

// removeLeftovers removes temporary files of path that no living process holds.
func removeLeftovers(path string) error {
	prefix := tempPrefix(path)
	entries, err := os.ReadDir(filepath.Dir(prefix))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		ours := strings.HasPrefix(name, filepath.Base(prefix)) && strings.HasSuffix(name, suffix) &&
			len(name) == len(filepath.Base(prefix))+randLen+len(suffix)
		if ours && e.Type().IsRegular() {
			errs = append(errs, removeUnlocked(filepath.Join(filepath.Dir(prefix), name)))
		}
	}
	return errors.Join(errs...)
}

func removeUnlocked(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if ours, err := TryLock(f); err != nil || !ours {
		return err
	}
	return os.Remove(path)
}

// TryLock takes f's lock and says whether f is ours now: no other process holds it, and its name still names it. A file
// between its creation and its lock looks like a leftover to another process, which may have removed or renamed it. The
// lock ends when f is closed.
func TryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, named), err
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
