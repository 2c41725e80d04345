package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// umask is root's on the hosts: what this process has is another matter.
const umask = 0o022

// maxLinks is how many symbolic links a path may pass: the kernel's own limit, path_resolution(7).
const maxLinks = 40

// tree is the file tree of a host. Paths mean what they mean to the host's own processes: absolute links begin at the
// tree's root and none leads out of it, whatever the host does to its files meanwhile.
type tree struct{ root *os.Root }

func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root}, nil
}

func (t *tree) close() { t.root.Close() }

// home is where relative paths begin: root's home folder, or / where there is none.
func (t *tree) home() string {
	if info, err := t.stat("/root"); err == nil && info.IsDir() {
		return "/root"
	}
	return "/"
}

// resolve returns the path below t.root, without links, that name stands for; the last part is followed if it is a link
// and follow is set. It need not exist. os.Root, which takes only links that are relative and stay inside, meets none
// then, or refuses one that came since.
func (t *tree) resolve(name string, follow bool) (string, error) {
	todo, done := strings.Split(name, "/"), "."
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		at := path.Join(done, part)
		if target, err := t.root.Readlink(at); err == nil && (follow || len(todo) > 0) {
			if links++; links > maxLinks {
				return "", &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
			}
			if path.IsAbs(target) {
				done = "."
			}
			todo = append(strings.Split(target, "/"), todo...)
			continue
		}
		done = at
	}
	return done, nil
}

func (t *tree) stat(name string) (fs.FileInfo, error) {
	at, err := t.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return t.root.Lstat(at)
}

func (t *tree) lstat(name string) (fs.FileInfo, error) {
	at, err := t.resolve(name, false)
	if err != nil {
		return nil, err
	}
	return t.root.Lstat(at)
}

// open opens a file; one that it creates gets mode without umask. It does not wait for the other end of a fifo.
func (t *tree) open(name string, flags int, mode fs.FileMode) (*os.File, error) {
	at, err := t.resolve(name, true)
	if err != nil {
		return nil, err
	}
	flags |= syscall.O_NONBLOCK
	if flags&os.O_CREATE != 0 {
		f, err := t.root.OpenFile(at, flags|os.O_EXCL, mode.Perm())
		switch {
		case err == nil:
			return f, errors.Join(f.Chmod(mode & (fs.ModePerm | special) &^ umask))
		case !errors.Is(err, fs.ErrExist) || flags&os.O_EXCL != 0:
			return nil, err
		}
	}
	return t.root.OpenFile(at, flags&^os.O_CREATE, 0)
}

// special are the mode bits beside the permissions.
const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

func (t *tree) mkdir(name string, mode fs.FileMode) error {
	at, err := t.resolve(name, false)
	if err != nil {
		return err
	}
	if err := t.root.Mkdir(at, mode.Perm()); err != nil {
		return err
	}
	return t.root.Chmod(at, mode.Perm()&^umask)
}

// remove removes a file, a link or an empty folder.
func (t *tree) remove(name string) error {
	at, err := t.resolve(name, false)
	if err != nil {
		return err
	}
	return t.root.Remove(at)
}

// rename replaces what is at to.
func (t *tree) rename(from, to string) error { return t.both(from, to, t.root.Rename) }

// link makes to another name of from.
func (t *tree) link(from, to string) error { return t.both(from, to, t.root.Link) }

func (t *tree) both(from, to string, do func(from, to string) error) error {
	from, err := t.resolve(from, false)
	if err != nil {
		return err
	}
	to, err = t.resolve(to, false)
	if err != nil {
		return err
	}
	return do(from, to)
}

// symlink makes a link that says target, whatever that is.
func (t *tree) symlink(target, name string) error {
	at, err := t.resolve(name, false)
	if err != nil {
		return err
	}
	return t.root.Symlink(target, at)
}

// readDir lists a folder; the caller's processes may change it meanwhile.
func (t *tree) readDir(name string) ([]fs.FileInfo, error) {
	f, err := t.open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdir(-1)
}

func (t *tree) readFile(name string) ([]byte, error) {
	at, err := t.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return t.root.ReadFile(at)
}

// writeFile makes a file anew, with mode.
func (t *tree) writeFile(name string, data []byte, mode fs.FileMode) error {
	at, err := t.resolve(name, true)
	if err != nil {
		return err
	}
	if err := t.root.WriteFile(at, data, mode); err != nil {
		return err
	}
	return t.root.Chmod(at, mode)
}

// isDir says whether name is a folder, or leads to one.
func (t *tree) isDir(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.IsDir()
}
