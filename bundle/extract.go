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
	"slices"
	"strings"
)

// Extract writes files of a bundle that Trust or Verify accepted into dir, which is made if need be. Paths are files
// or folders of the bundle; none means all of it, bundle.json, signatures and SHA256SUMS included, so that dir is
// the same bundle as a folder.
//
// Each file appears whole and checked, with its mode, or not at all. A file that is there with the same bytes is
// left as it is, another is an *ExistsError. Nothing outside dir is written, also if links in it point there. After
// an error what this call made is gone; only a process that is killed leaves files behind, one of which may be a
// .offbake-*.tmp.
func (b *Bundle) Extract(ctx context.Context, dir string, paths []string) (err error) {
	if !b.trusted.Load() {
		return fmt.Errorf("extracting: %w", ErrUnverified)
	}
	files, err := b.choose(paths)
	if err != nil {
		return err
	}
	if os.Mkdir(dir, 0o755) == nil { // if not, OpenRoot says why
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(dir))
			}
		}()
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("extracting to %q: %w", dir, cause(err))
	}
	x := extraction{bundle: b, root: root}
	for _, f := range files {
		if err = x.file(ctx, f); err != nil {
			break
		}
	}
	if err == nil {
		err = x.sync()
	}
	if err != nil {
		err = fmt.Errorf("extracting to %q: %w", dir, errors.Join(err, x.undo()))
	}
	return errors.Join(err, root.Close())
}

// choose returns the files that paths stand for, those outside the index included, each once.
func (b *Bundle) choose(paths []string) ([]File, error) {
	all := slices.Clone(b.index.Files)
	for _, m := range (Output{Index: b.index, Signatures: b.sigs}).meta(b.raw) {
		all = append(all, File{Path: m.name, Size: int64(len(m.data)), SHA256: Identity(m.data), Mode: "0644"})
	}
	if len(paths) == 0 {
		return all, nil
	}
	for _, p := range paths {
		if !slices.ContainsFunc(all, func(f File) bool { return within(f.Path, p) }) {
			return nil, fmt.Errorf("extracting %q: %w in the bundle", p, fs.ErrNotExist)
		}
	}
	return slices.DeleteFunc(all, func(f File) bool {
		return !slices.ContainsFunc(paths, func(p string) bool { return within(f.Path, p) })
	}), nil
}

// within tells whether a path is chosen by what the user typed: the file itself or a folder above it.
func within(p, chosen string) bool {
	chosen = path.Clean(chosen)
	return chosen == "." || p == chosen || strings.HasPrefix(p, chosen+"/")
}

// extraction remembers what it made, to take it back.
type extraction struct {
	bundle *Bundle
	root   *os.Root
	made   []string
}

func (x *extraction) file(ctx context.Context, f File) (err error) {
	if fi, err := x.root.Lstat(f.Path); err == nil {
		return x.keep(ctx, f, fi)
	}
	if err := x.folder(path.Dir(f.Path)); err != nil {
		return fmt.Errorf("making the folder of %q: %w", f.Path, cause(err))
	}
	rc, err := x.bundle.Open(f.Path)
	if err != nil {
		return err
	}
	temp := path.Join(path.Dir(f.Path), tempMark+rand.Text()+tempSuffix)
	dst, err := x.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("writing %q: %w", f.Path, cause(err)), rc.Close())
	}
	err = pump(ctx, dst, rc, f)
	if err == nil {
		err = cause(dst.Chmod(f.perm())) // not OpenFile's: the umask is no part of the bundle
	}
	if err = errors.Join(err, rc.Close(), cause(dst.Close())); err == nil {
		err = x.root.Rename(temp, f.Path)
	}
	if err != nil {
		return errors.Join(err, x.root.Remove(temp))
	}
	x.made = append(x.made, f.Path)
	return nil
}

// keep decides about a file that is there already.
func (x *extraction) keep(ctx context.Context, f File, fi fs.FileInfo) error {
	exists := fmt.Errorf("%q: %w", f.Path, &ExistsError{f.Path})
	if !fi.Mode().IsRegular() || fi.Size() != f.Size {
		return exists
	}
	old, err := x.root.Open(f.Path)
	if err != nil {
		return fmt.Errorf("reading %q: %w", f.Path, cause(err))
	}
	defer old.Close()
	err = copyHashed(ctx, io.Discard, old, f)
	var mismatch *MismatchError
	if errors.As(err, &mismatch) {
		return exists
	}
	return err
}

// folder makes a folder and those above it.
func (x *extraction) folder(dir string) error {
	if dir == "." {
		return nil
	}
	if err := x.folder(path.Dir(dir)); err != nil {
		return err
	}
	err := x.root.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil // if it is no folder the file in it cannot be made
	}
	if err == nil {
		x.made = append(x.made, dir)
	}
	return err
}

func (x *extraction) sync() error {
	d, err := x.root.Open(".")
	if err != nil {
		return cause(err)
	}
	return errors.Join(syncTree(d), d.Close())
}

func (x *extraction) undo() error {
	var errs []error
	for _, name := range slices.Backward(x.made) {
		errs = append(errs, x.root.Remove(name))
	}
	return errors.Join(errs...)
}
