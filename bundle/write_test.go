package bundle_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
)

// forms are the two ways to write a bundle.
func forms() map[string]func(context.Context, string, bundle.Output) error {
	return map[string]func(context.Context, string, bundle.Output) error{"tar": bundle.WriteTar, "folder": bundle.WriteDir}
}

// from replaces the content of an output by files on disk with this mode, held open or by path.
func from(t *testing.T, o bundle.Output, mode fs.FileMode, held bool) bundle.Output {
	t.Helper()
	dir := t.TempDir()
	contents := map[string]bundle.Content{}
	for i, f := range o.Index.Files {
		path := writeFile(t, filepath.Join(dir, fmt.Sprint(i)), o.Contents[f.Path].Data, mode)
		if !held {
			contents[f.Path] = bundle.Content{Path: path}
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		if _, err := file.Seek(0, 2); err != nil { // where hashing left it
			t.Fatal(err)
		}
		contents[f.Path] = bundle.Content{File: file}
	}
	o.Contents = contents
	return o
}

func TestContents(t *testing.T) {
	want := sum(readFile(t, writeTar(t, mustSample(t))))
	wantTree := tree(t, writeDir(t, mustSample(t)))
	for name, o := range map[string]bundle.Output{
		"held files":       from(t, mustSample(t), 0o644, true),
		"held cache files": from(t, mustSample(t), 0o444, true),
		"paths":            from(t, mustSample(t), 0o644, false),
		"cache paths":      from(t, mustSample(t), 0o444, false),
	} {
		for range 2 { // the caller's files stay usable
			if got := sum(readFile(t, writeTar(t, o))); got != want {
				t.Errorf("%s: got a tar of sha256 %s, want %s", name, got, want)
			}
			if diff := cmp.Diff(wantTree, tree(t, writeDir(t, o))); diff != "" {
				t.Errorf("%s: folder (-want +got):\n%s", name, diff)
			}
		}
	}
}

// TestFolderLinks looks at how a file came into a folder: sharing what it can, never a file that may be written to.
func TestFolderLinks(t *testing.T) {
	for _, c := range []struct {
		name string
		mode fs.FileMode
		held bool
		want bool
	}{
		{"held file of the cache", 0o444, true, true},
		{"path of the cache", 0o444, false, true},
		{"held file that may change", 0o644, true, false},
		{"path that may change", 0o600, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := from(t, small(t), c.mode, c.held)
			dir := writeDir(t, o)
			got, err := os.Stat(filepath.Join(dir, "bin", "a"))
			if err != nil {
				t.Fatal(err)
			}
			source := o.Contents["bin/a"].Path
			if c.held {
				source = o.Contents["bin/a"].File.Name()
			}
			src, err := os.Stat(source)
			if err != nil {
				t.Fatal(err)
			}
			// A reflink has an inode of its own; where the file system makes those there are no hard links.
			if linked := os.SameFile(got, src); linked != c.want && !reflinks(t, filepath.Dir(dir)) {
				t.Errorf("hard link: got %v, want %v", linked, c.want)
			}
			if mode := got.Mode(); !os.SameFile(got, src) && mode != 0o755 {
				t.Errorf("mode of a copy: got %v, want 0755", mode)
			}
			if _, err := verify(t, dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func reflinks(t *testing.T, dir string) bool {
	t.Helper()
	a := writeFile(t, filepath.Join(dir, "reflink-a"), []byte("a"), 0o644)
	return exec.Command("cp", "--reflink=always", a, a+"-b").Run() == nil
}

// TestWriteFaults makes the content of each file wrong in turn: nothing appears and nothing is left.
func TestWriteFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]func(t *testing.T, o bundle.Output, path string) bundle.Output{
		"missing": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o.Contents = maps.Clone(o.Contents)
			delete(o.Contents, path)
			return o
		},
		"given twice": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o.Contents[path] = bundle.Content{Data: []byte("x"), Path: "x"}
			return o
		},
		"other data": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o.Contents[path] = bundle.Content{Data: append([]byte("x"), o.Contents[path].Data[min(1, len(o.Contents[path].Data)):]...)}
			return o
		},
		"longer data": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o.Contents[path] = bundle.Content{Data: append(o.Contents[path].Data, 'x')}
			return o
		},
		"held file longer": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o = from(t, o, 0o644, true)
			return grow(t, o, o.Contents[path].File.Name())
		},
		"path altered": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o = from(t, o, 0o444, false)
			data := readFile(t, o.Contents[path].Path)
			if len(data) == 0 {
				return grow(t, o, o.Contents[path].Path)
			}
			data[len(data)-1] ^= 1
			writeFile(t, o.Contents[path].Path, data, 0o444)
			return o
		},
		"path missing": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o = from(t, o, 0o644, false)
			if err := os.Remove(o.Contents[path].Path); err != nil {
				t.Fatal(err)
			}
			return o
		},
		"path a folder": func(t *testing.T, o bundle.Output, path string) bundle.Output {
			o.Contents[path] = bundle.Content{Path: t.TempDir()}
			return o
		},
	}
	for fault, change := range faults {
		for form, write := range forms() {
			for _, f := range mustSample(t).Index.Files {
				o := change(t, mustSample(t), f.Path)
				dir := t.TempDir()
				if err := write(t.Context(), filepath.Join(dir, "out"), o); err == nil {
					t.Errorf("%s of %.20s in a %s: got no error", fault, f.Path, form)
				} else if strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: error of several lines: %q", fault, err)
				}
				if got := tree(t, dir); len(got) > 0 {
					t.Errorf("%s of %.20s in a %s: left %v behind", fault, f.Path, form, got)
				}
			}
		}
	}
}

// grow appends a byte to a file behind a content of o.
func grow(t *testing.T, o bundle.Output, path string) bundle.Output {
	t.Helper()
	writeFile(t, path, append(readFile(t, path), 'x'), 0o644)
	return o
}

func TestWriteRefuses(t *testing.T) {
	extra := small(t)
	extra.Contents["files/more"] = bundle.Content{Data: []byte("x")}
	unsorted := small(t)
	unsorted.Index.Files[0], unsorted.Index.Files[1] = unsorted.Index.Files[1], unsorted.Index.Files[0]
	resigned := small(t)
	resigned.Index.Version = "2.0.0" // the signature is over 1.2.3-rc.1
	for fault, o := range map[string]bundle.Output{
		"content outside the index": extra, "files out of order": unsorted, "signature of another version": resigned,
	} {
		for form, write := range forms() {
			dir := t.TempDir()
			if err := write(t.Context(), filepath.Join(dir, "out"), o); !bundle.Refused(err) {
				t.Errorf("%s in a %s: got %v, want a refusal", fault, form, err)
			}
			if got := tree(t, dir); len(got) > 0 {
				t.Errorf("%s in a %s: left %v behind", fault, form, got)
			}
		}
	}
	for form, write := range forms() {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := write(ctx, filepath.Join(dir, "out"), small(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled %s: got %v, want context.Canceled", form, err)
		}
		if err := write(t.Context(), filepath.Join(dir, "none", "out"), small(t)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s in a missing folder: got %v, want fs.ErrNotExist", form, err)
		}
		if got := tree(t, dir); len(got) > 0 {
			t.Errorf("%s: left %v behind", form, got)
		}
	}
}

// TestOverwrite has all that can be in the way of a bundle.
func TestOverwrite(t *testing.T) {
	t.Parallel()
	other := mustOutput(t, map[string]string{"files/other": "x"})
	unsigned := small(t)
	unsigned.Signatures = nil
	broken := func(path string) error {
		if err := bundle.WriteDir(t.Context(), path, small(t)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(path, "bin", "a"), []byte("tnetnoc of a"), 0o755)
	}
	write := func(form string, o bundle.Output) func(string) error {
		return func(path string) error { return forms()[form](t.Context(), path, o) }
	}
	for _, c := range []struct {
		name, form string
		before     func(path string) error
		want       string // "same": left as it is; "refused": with Force too; "forced": with Force only; "filled"
	}{
		{"same tar", "tar", write("tar", small(t)), "same"},
		{"same folder", "folder", write("folder", small(t)), "same"},
		{"other tar", "tar", write("tar", other), "forced"},
		{"other folder", "folder", write("folder", other), "forced"},
		{"unsigned tar of it", "tar", write("tar", unsigned), "forced"},
		{"damaged folder of it", "folder", broken, "forced"},
		{"a file", "tar", func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) }, "forced"},
		{"a file", "folder", func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) }, "refused"},
		{"empty folder", "folder", func(p string) error { return os.Mkdir(p, 0o755) }, "filled"},
		{"empty folder", "tar", func(p string) error { return os.Mkdir(p, 0o755) }, "refused"},
		{"folder of it", "tar", write("folder", small(t)), "refused"},
		{"tar of it", "folder", write("tar", small(t)), "refused"},
		{"somebody's folder", "folder", func(p string) error {
			return errors.Join(os.Mkdir(p, 0o755), os.WriteFile(p+"/thesis", []byte("x"), 0o644))
		}, "refused"},
		{"link to the same tar", "tar", func(p string) error {
			return errors.Join(write("tar", small(t))(p+".real"), os.Symlink(p+".real", p))
		}, "refused"},
	} {
		t.Run(c.name+" for a "+c.form, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out")
			if err := c.before(path); err != nil {
				t.Fatal(err)
			}
			before, was := tree(t, dir), inode(t, path)
			err := forms()[c.form](t.Context(), path, small(t))
			var exists *bundle.ExistsError
			if ok := c.want == "same" || c.want == "filled"; ok != (err == nil) {
				t.Fatalf("got %v, want it %s", err, c.want)
			}
			if err != nil && (!errors.As(err, &exists) || !errors.Is(err, fs.ErrExist) || exists.Path != path || bundle.Refused(err)) {
				t.Errorf("got %v, want an ExistsError of %q", err, path)
			}
			if diff := cmp.Diff(before, tree(t, dir)); c.want != "filled" && (diff != "" || inode(t, path) != was) {
				t.Errorf("without Force: what was there changed (-want +got):\n%s", diff)
			}
			o := small(t)
			o.Force = true
			err = forms()[c.form](t.Context(), path, o)
			if (c.want == "refused") != errors.As(err, &exists) {
				t.Errorf("with Force: got %v, want it %s", err, c.want)
			}
			if c.want == "refused" {
				if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
					t.Errorf("with Force: what was there changed (-want +got):\n%s", diff)
				}
				return
			}
			if _, err := verify(t, path); err != nil {
				t.Errorf("with Force: %v", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("with Force: got %v, %v, want the bundle alone", entries, err)
			}
		})
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

// TestLeftovers has a folder that a killed writer left and one that another writer is writing.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	name := func(target, random string) string {
		return filepath.Join(dir, "."+target+".offbake-"+strings.Repeat(random, 26)+".tmp")
	}
	dead, living, foreign := name("out", "A"), name("out", "B"), name("other", "C")
	for _, p := range []string{dead, living, foreign} {
		if err := os.Mkdir(p, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(p, "half"), []byte("x"), 0o644)
	}
	lock, err := os.Open(living)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := bundle.WriteDir(t.Context(), filepath.Join(dir, "out"), small(t)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{dead: false, living: true, foreign: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: got %v, want it there: %v", filepath.Base(path), err, want)
		}
	}
}

// TestFullDisk writes to a file system that is full at each step of the way.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	// The child mounts a tmpfs of its own, so that nothing has to be undone here.
	script := `set -eu
mount -t tmpfs -o size=$1 tmpfs "$2"
if "$0" 2>"$2.err"; then echo done; else cat "$2.err"; fi
find "$2" -mindepth 1`
	args := []string{"--mount"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	full := 0
	for _, size := range []string{"4k", "8k", "12k", "16k", "1m"} {
		mnt := filepath.Join(tmp, size)
		if err := os.Mkdir(mnt, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("unshare", append(args, "sh", "-c", script, os.Args[0], size, mnt)...)
		cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(mnt, "out.tar"), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		switch got := string(out); {
		case got == "done\n"+filepath.Join(mnt, "out.tar")+"\n":
		case strings.HasSuffix(got, ": no space left on device\n") && strings.Count(got, "\n") == 1:
			full++
		default:
			t.Errorf("%s: got %q, want the whole bundle, or one line and nothing left", size, got)
		}
	}
	if full == 0 || full == 5 {
		t.Errorf("full %d times of 5, want some and not all", full)
	}
}
