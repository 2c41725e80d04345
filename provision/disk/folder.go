package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/internal/atomicfile"
)

// folder is a place below Work for one disk. Its lock lives as long as its process, so that a later one sees what is
// left over.
type folder struct {
	path string
	lock *os.File
}

// sweepTime is how long another process may take to see that a folder which is about to be made is empty.
const sweepTime = 100 * time.Millisecond

func foldersOf(work string) string { return filepath.Join(work, "disks") }

func random() string { return strings.ToLower(rand.Text()[:12]) }

// makeFolder makes the folder called name, which no process may hold.
func makeFolder(work, name string) (*folder, error) {
	path := filepath.Join(foldersOf(work), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := lockFolder(path, os.O_CREATE)
	for end := time.Now().Add(sweepTime); f == nil && err == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		f, err = lockFolder(path, os.O_CREATE)
	}
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("making %q: another process works there", path)
	}
	err = f.clear()
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err == nil {
		err = os.Mkdir(f.root(), 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, f.remove())
	}
	return f, nil
}

// lockFolder returns the folder at path, or nil where a living process has it.
func lockFolder(path string, flag int) (*folder, error) {
	lock, err := os.OpenFile(path+".lock", flag|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ours, err := atomicfile.TryLock(lock)
	if err != nil || !ours {
		lock.Close()
		return nil, err
	}
	return &folder{path: path, lock: lock}, nil
}

// root is where the folder's disk is mounted.
func (f *folder) root() string { return filepath.Join(f.path, "root") }

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// clear unmounts and removes what is in the folder. A guest that still runs on it keeps a mount of its own.
func (f *folder) clear() error {
	if err := unmount(f.root()); err != nil {
		return err
	}
	return os.RemoveAll(f.path)
}

// remove ends the folder.
func (f *folder) remove() error {
	if err := f.clear(); err != nil {
		return errors.Join(err, f.lock.Close())
	}
	return errors.Join(os.Remove(f.lock.Name()), f.lock.Close())
}

// unmount takes every mount away from path.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) { // nobody's but a killed process's child, which has not ended yet
			err = unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // nothing is mounted there
		case err != nil:
			return fmt.Errorf("unmounting %q: %w", path, err)
		}
	}
}

// sweep removes the folders that no living process holds.
func sweep(work string) error {
	locks, err := filepath.Glob(filepath.Join(foldersOf(work), "*.lock"))
	if err != nil {
		return err
	}
	var errs []error
	for _, lock := range locks {
		errs = append(errs, removeFolder(strings.TrimSuffix(lock, ".lock")))
	}
	return errors.Join(errs...)
}

// removeFolder removes the folder at path unless it is not there or a living process holds it.
func removeFolder(path string) error {
	f, err := lockFolder(path, 0)
	if errors.Is(err, fs.ErrNotExist) || err == nil && f == nil {
		return nil
	}
	if err != nil {
		return err
	}
	return f.remove()
}
