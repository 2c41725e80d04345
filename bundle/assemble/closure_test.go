package assemble_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/manifest"
)

// closureWorld has a manifest that takes packages from a folder, where @ stands for the rest of rpms.
func closureWorld(t *testing.T) (w *world, with func(rest string)) {
	t.Helper()
	file := func(content string) map[string]faulttest.RPMFile {
		return map[string]faulttest.RPMFile{"/usr/share/words": {Content: content}}
	}
	dir := t.TempDir()
	must(t, faulttest.BuildRepo(dir, faulttest.MustSigningKey(t, faulttest.KeyOptions{}),
		faulttest.RPMSpec{Name: "aa", Requires: []string{"lib"}}, faulttest.RPMSpec{Name: "lib", Files: file("one")},
		faulttest.RPMSpec{Name: "clash", Files: file("two")}, faulttest.RPMSpec{Name: "bb"}, faulttest.RPMSpec{Name: "bb", Version: "2.0"}))
	w = newWorld(t, basicManifest)
	return w, func(rest string) {
		w.manifest = basicManifest + "  rpms:\n    repos: [{id: own, baseurl: \"file://" + dir + "/\", gpgcheck: false}]\n    base: bare\n" + rest
	}
}

// lockedAs is a lock of the manifest as it is now, with the rows of the packages of these names.
func (w *world) lockedAs(t *testing.T, rows []manifest.Row, packages ...string) *manifest.Lock {
	t.Helper()
	_, in := w.load(t)
	digest, err := in.Digest()
	must(t, err)
	lock := &manifest.Lock{Schema: manifest.LockSchema, Name: in.Name, Version: in.Version, Platform: in.Platform, Created: lockTime(),
		Inputs: digest, Variables: in.Variables}
	for _, row := range rows {
		if row.Kind != manifest.KindRPM || slices.Contains(packages, strings.TrimSuffix(row.Name, "-1.noarch")) {
			lock.Rows = append(lock.Rows, row)
		}
	}
	return lock
}

// TestFetchHoldsRowsToTheManifest takes rows of packages from a lock, and adds some.
func TestFetchHoldsRowsToTheManifest(t *testing.T) {
	w, with := closureWorld(t)
	with("    install: [aa, clash, bb-1.0]\n")
	rows := w.mustLock(t).Rows
	with("    install: [bb]\n")
	rows = append(rows, w.mustLock(t).Rows...)
	slices.SortFunc(rows, func(a, b manifest.Row) int { return strings.Compare(a.Path, b.Path) })
	rows = slices.CompactFunc(rows, func(a, b manifest.Row) bool { return a.Path == b.Path })
	for _, tt := range []struct {
		rest, rows string
		want       string // "" for none
	}{
		{"install: [aa]", "aa-1.0 lib-1.0", ""},
		{"install: [aa]", "aa-1.0", "nothing provides lib needed by aa-1.0-1.noarch"},
		{"install: [aa]", "lib-1.0", `"aa"`},
		{"install: [aa]", "aa-1.0 lib-1.0 clash-1.0", "nothing asks for its packages clash-1.0-1.noarch"},
		{"install: [bb]", "bb-2.0", ""},
		{"install: [bb]", "bb-1.0 bb-2.0", "nothing asks for its packages bb-1.0-1.noarch"},
		{"install: [bb-1.0]", "bb-1.0 bb-2.0", "nothing asks for its packages bb-2.0-1.noarch"},
		{"install: [aa]\n    upgrade: [bb]", "aa-1.0 lib-1.0 bb-2.0", "nothing asks for its packages bb-2.0-1.noarch"},
		{"install: [aa]\n    modules: [\"mm:1\"]", "aa-1.0 lib-1.0 bb-1.0", "nothing asks for its packages bb-1.0-1.noarch"},
		{"install: [aa]\n    modules: [\"mm:1/all\"]", "aa-1.0 lib-1.0 bb-1.0", ""}, // for all that the rows tell
		{"install: [aa]\n    modules: [\"mm:1/all\"]", "aa-1.0 lib-1.0 bb-1.0 bb-2.0", "nothing asks for its packages bb-1.0-1.noarch"},
	} {
		with("    " + tt.rest + "\n")
		o := w.options(t, w.lockedAs(t, rows, strings.Fields(tt.rows)...), "demo.tar")
		o.Force = true
		_, err := assemble.Fetch(t.Context(), o)
		if tt.want == "" && err != nil || tt.want != "" && (!is[*assemble.StaleLockError](err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s with rows of %s: got %v, want %q", tt.rest, tt.rows, err, tt.want)
		}
	}
}

// TestFetchReplaysWithoutImages: packages that cannot be installed together are not signed, whoever is to install them.
func TestFetchReplaysWithoutImages(t *testing.T) {
	w, with := closureWorld(t)
	for rest, packages := range map[string]string{
		"install: [aa, clash]":                       "",
		"install: [aa]\n    modules: [\"mm:1/all\"]": "aa-1.0 lib-1.0 clash-1.0", // a profile asks for clash
	} {
		with("    install: [aa, clash]\n")
		lock := w.mustLock(t)
		if with("    " + rest + "\n"); packages != "" {
			lock = w.lockedAs(t, lock.Rows, strings.Fields(packages)...)
		}
		_, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
		var replay *assemble.ReplayError
		const want = `installing everything on base "bare": artifacts.rpms: conflict of files: /usr/share/words`
		if !errors.As(err, &replay) || len(replay.Problems) != 1 || replay.Problems[0].Image != "" || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", rest, err, want)
		}
		// An image that meets the same is told of instead.
		if packages == "" {
			_, err = assemble.Fetch(t.Context(), w.replaying(t, lock, solve.Plan{Name: "one", Calls: []solve.Call{installing("x", "lib", "clash")}}))
			if !errors.As(err, &replay) || len(replay.Problems) != 1 || replay.Problems[0].Image != "one" {
				t.Errorf("%s: got %v, want the image told", rest, err)
			}
		}
		w.empty(t)
	}
}
