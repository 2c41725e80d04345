package bundle_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
)

func trustedBundle(t *testing.T, path string) *bundle.Bundle {
	t.Helper()
	b := openBundle(t, path)
	if _, err := b.Trust(trusted(t), false); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExtractAll(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // no part of a bundle
	b := trustedBundle(t, writeTar(t, mustSample(t)))
	dir := filepath.Join(t.TempDir(), "new")
	if err := b.Extract(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, dir); err != nil {
		t.Errorf("as a folder: %v", err)
	}
	for path, want := range map[string]fs.FileMode{"bin/tool": 0o755, "files/block": 0o644, bundle.IndexFile: 0o644} {
		fi, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", path, fi.Mode(), want)
		}
	}
	before := tree(t, dir)
	if err := b.Extract(t.Context(), dir, nil); err != nil {
		t.Errorf("again: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
}

func TestExtractSome(t *testing.T) {
	b := trustedBundle(t, writeTar(t, mustSample(t)))
	under := func(prefix string) (names []string) {
		for name := range sampleFiles() {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	for name, c := range map[string]struct{ paths, want []string }{
		"a file":           {[]string{"files/block"}, []string{"files/block"}},
		"two, one twice":   {[]string{"bin/tool", "files/block", "bin/tool"}, []string{"bin/tool", "files/block"}},
		"a folder":         {[]string{"files/"}, under("files/")},
		"a folder, a file": {[]string{"./files", "files/block"}, under("files/")},
		"the index":        {[]string{bundle.IndexFile}, []string{bundle.IndexFile}},
	} {
		dir := t.TempDir()
		if err := b.Extract(t.Context(), dir, c.paths); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := slices.Sorted(maps.Keys(tree(t, dir))); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	for _, path := range []string{"none", "file", "files/bloc", "files/block/x", "..", "/files", "../files", "FILES"} {
		dir := filepath.Join(t.TempDir(), "new")
		err := b.Extract(t.Context(), dir, []string{"bin/tool", path})
		if !errors.Is(err, fs.ErrNotExist) || bundle.Refused(err) {
			t.Errorf("%q: got %v, want fs.ErrNotExist", path, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q: the folder was made", path)
		}
	}
}

// TestExtractIntoWhatIsThere keeps what the user has and takes back what it made.
func TestExtractIntoWhatIsThere(t *testing.T) {
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "block"), []byte("outside"), 0o644)
	for name, before := range map[string]func(dir string) error{
		"another file": func(dir string) error { return os.WriteFile(dir+"/manifest.yaml", []byte("mine"), 0o644) },
		"another same size": func(dir string) error {
			return os.WriteFile(dir+"/manifest.yaml", []byte("Schema: offbake/v1\n"), 0o644)
		},
		"a folder":          func(dir string) error { return os.Mkdir(dir+"/manifest.yaml", 0o755) },
		"a file for folder": func(dir string) error { return os.WriteFile(dir+"/files", nil, 0o644) },
		"a link for file":   func(dir string) error { return os.Symlink(outside+"/block", dir+"/manifest.yaml") },
		"a dangling link":   func(dir string) error { return os.Symlink("none", dir+"/manifest.yaml") },
		"a link out":        func(dir string) error { return os.Symlink(outside, dir+"/files") },
		"a relative one":    func(dir string) error { return os.Symlink("../../../../../../../tmp", dir+"/files") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := before(dir); err != nil {
				t.Fatal(err)
			}
			was := names(t, dir)
			b := trustedBundle(t, writeTar(t, mustSample(t)))
			if err := b.Extract(t.Context(), dir, nil); err == nil {
				t.Error("got no error")
			} else if bundle.Refused(err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line and no refusal", err)
			}
			if diff := cmp.Diff(was, names(t, dir)); diff != "" {
				t.Errorf("what is there now (-want +got):\n%s", diff)
			}
			if got := tree(t, outside); len(got) != 1 || got["block"] != "outside" {
				t.Errorf("outside: got %v", got)
			}
		})
	}
}

// names lists what is under dir without following links.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		all = append(all, d.Type().String()+" "+p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestExtractLeavesNothing damages each file of a bundle in turn, and ends extraction early.
func TestExtractLeavesNothing(t *testing.T) {
	for path, content := range sampleFiles() {
		if content == "" {
			continue
		}
		folder := writeDir(t, mustSample(t))
		b := trustedBundle(t, folder)
		data := []byte(content)
		data[len(data)-1] ^= 1
		writeFile(t, filepath.Join(folder, filepath.FromSlash(path)), data, 0o644)
		old, dir := t.TempDir(), filepath.Join(t.TempDir(), "new")
		for _, to := range []string{old, dir} {
			var mismatch *bundle.MismatchError
			if err := b.Extract(t.Context(), to, nil); !errors.As(err, &mismatch) || mismatch.Path != path {
				t.Errorf("%.20s damaged: got %v, want a MismatchError", path, err)
			}
		}
		if got := names(t, old); len(got) != 1 {
			t.Errorf("%.20s damaged: got %q left behind", path, got[1:])
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%.20s damaged: the folder stays", path)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "new")
	b := trustedBundle(t, writeTar(t, mustSample(t)))
	if err := b.Extract(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("cancelled: the folder stays")
	}
}
