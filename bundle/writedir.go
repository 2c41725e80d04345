package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// WriteDir writes a bundle as a folder. It appears whole, with all bytes on disk, or not at all. Nothing, or an empty
// folder, gives way to it; the very same bundle is left as it is; anything else is an *ExistsError unless o.Force,
// which replaces a folder that holds a bundle and no other.
//
// A file that comes from a File or Path is a reflink of it where the file system makes those, else a hard link where
// it is a 0444 file of the cache, else a copy. A linked file keeps its mode.
func WriteDir(ctx context.Context, target string, o Output) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %q: %w", target, err)
		}
	}()
	target = filepath.Clean(target)
	data, err := o.check()
	if err != nil {
		return err
	}
	if done, err := o.present(ctx, target, data, true); done || err != nil {
		return err
	}
	t, err := newTempFolder(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	for _, m := range o.meta(data) {
		if err := t.write(m.name, m.data, 0o644); err != nil {
			return err
		}
	}
	for _, f := range o.Index.Files {
		if err := t.content(ctx, f, o.Contents[f.Path]); err != nil {
			return err
		}
	}
	return t.commit(target, o.Force)
}

const (
	tempMark   = ".offbake-"
	tempSuffix = ".tmp"
)

// tempFolder is a folder being written beside its target. It is locked while its writer lives, so that the next
// writer of the same target can tell what a killed one left behind.
type tempFolder struct {
	path string
	root *os.Root
	lock *os.File
}

func newTempFolder(target string) (*tempFolder, error) {
	prefix := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+tempMark)
	if err := removeLeftFolders(prefix); err != nil {
		return nil, err
	}
	for {
		t := &tempFolder{path: prefix + rand.Text() + tempSuffix}
		if err := os.Mkdir(t.path, 0o755); err != nil {
			return nil, cause(err)
		}
		var ours bool
		var err error
		if t.lock, ours, err = lockFolder(t.path); err == nil && ours {
			if t.root, err = os.OpenRoot(t.path); err == nil {
				return t, nil
			}
		}
		if err != nil {
			return nil, errors.Join(cause(err), t.remove())
		}
	}
}

// removeLeftFolders removes the folders that writers which are dead by now left for the same target.
func removeLeftFolders(prefix string) error {
	entries, err := os.ReadDir(filepath.Dir(prefix))
	if err != nil {
		return cause(err)
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), filepath.Base(prefix))
		if !ours || !e.IsDir() || len(rest) != len(rand.Text())+len(tempSuffix) || !strings.HasSuffix(rest, tempSuffix) {
			continue
		}
		p := filepath.Join(filepath.Dir(prefix), e.Name())
		lock, free, err := lockFolder(p)
		if err != nil {
			return fmt.Errorf("removing %q: %w", p, cause(err))
		}
		if !free {
			continue
		}
		if err := errors.Join(os.RemoveAll(p), lock.Close()); err != nil {
			return fmt.Errorf("removing %q: %w", p, cause(err))
		}
	}
	return nil
}

// lockFolder takes the lock of a folder and says whether it is ours now: nobody else has it and the name still
// stands for it.
func lockFolder(p string) (lock *os.File, ours bool, err error) {
	lock, err = os.Open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		held, herr := lock.Stat()
		named, nerr := os.Lstat(p)
		if ours = herr == nil && nerr == nil && os.SameFile(held, named); ours {
			return lock, true, nil
		}
	}
	lock.Close()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, nil
	}
	return nil, false, err
}

func (t *tempFolder) create(name string, mode fs.FileMode) (*os.File, error) {
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of %q: %w", name, cause(err))
	}
	f, err := t.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, fmt.Errorf("making %q: %w", name, cause(err))
	}
	return f, nil
}

func (t *tempFolder) write(name string, data []byte, mode fs.FileMode) error {
	dst, err := t.create(name, mode)
	if err != nil {
		return err
	}
	_, err = dst.Write(data)
	if err := errors.Join(cause(err), cause(dst.Close())); err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	return nil
}

func (t *tempFolder) content(ctx context.Context, f File, c Content) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.File == nil && c.Path == "" {
		if err := checkData(c.Data, f); err != nil {
			return err
		}
		return t.write(f.Path, c.Data, f.perm())
	}
	src, held, err := openContent(c, f)
	if err != nil {
		return err
	}
	if !held {
		defer func() { err = errors.Join(err, src.Close()) }()
	}
	dst, err := t.create(f.Path, f.perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	switch {
	case reflink(dst, src) == nil:
		// What was cloned is hashed, not what it was cloned from.
		return rehash(ctx, dst, f, held)
	case t.link(f.Path, src):
		return rehash(ctx, src, f, held)
	case held:
		return copyHeld(ctx, dst, src, f)
	}
	return copyHashed(ctx, dst, src, f)
}

// rehash checks the bytes of a file unless they were hashed before.
func rehash(ctx context.Context, file *os.File, f File, held bool) error {
	if held {
		return nil
	}
	return copyHashed(ctx, io.Discard, file, f)
}

// link puts a hard link to src in the place of the file just created, if src is a file that nobody is to write to.
func (t *tempFolder) link(name string, src *os.File) bool {
	fi, err := src.Stat()
	if err != nil || fi.Mode() != 0o444 {
		return false
	}
	spare := name + tempSuffix
	full := filepath.Join(t.path, filepath.FromSlash(spare))
	if err := hardLink(src, full); err != nil {
		return false
	}
	if err := t.root.Rename(spare, name); err != nil {
		t.root.Remove(spare)
		return false
	}
	return true
}

// commit puts the folder in its place.
func (t *tempFolder) commit(target string, force bool) error {
	if err := syncTree(t.lock); err != nil {
		return fmt.Errorf("syncing: %w", cause(err))
	}
	// rename(2) takes the place of nothing or of an empty folder; os.Rename refuses the latter.
	err := syscall.Rename(t.path, target)
	if err != nil && force && isBundleFolder(target) {
		err = exchange(t.path, target)
	} else if err == nil {
		t.path = "" // nothing to remove
	}
	if err != nil {
		return fmt.Errorf("renaming: %w", err)
	}
	parent, err := os.Open(filepath.Dir(target))
	if err != nil {
		return cause(err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// remove removes what is under the temporary name: an unfinished folder, or an old one that was replaced.
func (t *tempFolder) remove() error {
	var errs []error
	if t.root != nil {
		errs = append(errs, t.root.Close())
	}
	if t.path != "" {
		errs = append(errs, os.RemoveAll(t.path))
	}
	if t.lock != nil {
		errs = append(errs, t.lock.Close())
	}
	return errors.Join(errs...)
}

func isBundleFolder(dir string) bool {
	fi, err := os.Lstat(filepath.Join(dir, IndexFile))
	return err == nil && fi.Mode().IsRegular()
}
