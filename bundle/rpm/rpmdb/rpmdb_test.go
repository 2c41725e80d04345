package rpmdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/knqyf263/go-rpmdb/pkg/bdb"
	dbi "github.com/knqyf263/go-rpmdb/pkg/db"
	"github.com/knqyf263/go-rpmdb/pkg/ndb"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/rpmdb"
	"github.com/offbake/offbake/internal/faulttest"
)

// realDatabases is the folder of the databases that come with the Go module go-rpmdb, of real machines.
func realDatabases(tb testing.TB) string {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/knqyf263/go-rpmdb").Output()
	if err != nil {
		tb.Fatalf("finding databases: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "pkg", "testdata")
}

// TestReadAgreesWithRPM holds what Read finds in real databases to what rpm 4.18 prints of them.
func TestReadAgreesWithRPM(t *testing.T) {
	dir := realDatabases(t)
	for _, tt := range []struct {
		path     string
		packages int
		whole    bool // in OFFBAKE_SWEEP=whole only
	}{
		{"centos5-plain/Packages", 110, false}, // unsorted pages
		{"centos6-plain/Packages", 129, true},
		{"centos6-many/Packages", 325, true},
		{"centos6-devtools/Packages", 262, true},
		{"centos7-plain/Packages", 144, false},
		{"centos7-many/Packages", 395, true},
		{"centos7-devtools/Packages", 263, true},
		{"centos7-httpd24/Packages", 222, true},
		{"centos7-python35/Packages", 342, true},
		{"centos8-modularitylabel/Packages", 517, true},
		{"ubi8-s390x/Packages", 181, false}, // big-endian, weak dependencies
		{"libuuid/Packages", 1, false},
		{"fedora35/rpmdb.sqlite", 137, false},
		{"fedora35-plus-mongo/rpmdb.sqlite", 141, true},
		{"cbl-mariner-2.0/rpmdb.sqlite", 129, false},
	} {
		if tt.whole && os.Getenv("OFFBAKE_SWEEP") != "whole" {
			continue
		}
		t.Run(strings.ReplaceAll(tt.path, "/", "_"), func(t *testing.T) {
			database := filepath.Join(dir, tt.path)
			got, err := rpmdb.Read(database)
			if err != nil || len(got) != tt.packages {
				t.Fatalf("got %d packages, %v, want %d", len(got), err, tt.packages)
			}
			agrees(t, newHost(t, database), got)
		})
	}
}

// agrees wants from rpm what Read gave.
func agrees(t *testing.T, h host, got []*rpm.Package) {
	t.Helper()
	want := h.query(t, rpm.QueryFormat)
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Errorf("rpm (-), ours (+):\n%.4000s", diff)
	}
	weak := h.query(t, `P|%{NAME}|%{EPOCHNUM}|%{VERSION}|%{RELEASE}|%{ARCH}\n`+
		`[p|%{RECOMMENDNAME}|%{RECOMMENDFLAGS:depflags}|%{RECOMMENDVERSION}\n][r|%{SUGGESTNAME}|%{SUGGESTFLAGS:depflags}|%{SUGGESTVERSION}\n]`+
		`[c|%{SUPPLEMENTNAME}|%{SUPPLEMENTFLAGS:depflags}|%{SUPPLEMENTVERSION}\n][o|%{ENHANCENAME}|%{ENHANCEFLAGS:depflags}|%{ENHANCEVERSION}\n]`)
	var ours []*rpm.Package
	for _, p := range got {
		ours = append(ours, &rpm.Package{Name: p.Name, EVR: p.EVR, Arch: p.Arch,
			Provides: p.Recommends, Requires: p.Suggests, Conflicts: p.Supplements, Obsoletes: p.Enhances})
	}
	if diff := cmp.Diff(plain(weak), plain(ours)); diff != "" {
		t.Errorf("weak dependencies, rpm (-), ours (+):\n%.4000s", diff)
	}
}

// plain is what a listing tells of packages, sorted: no weak dependencies, and not when a requirement is needed.
func plain(list []*rpm.Package) []rpm.Package {
	var out []rpm.Package
	for _, p := range list {
		q := rpm.Package{Name: p.Name, EVR: p.EVR, Arch: p.Arch, Files: p.Files,
			Provides: p.Provides, Conflicts: p.Conflicts, Obsoletes: p.Obsoletes}
		for _, d := range p.Requires {
			d.Flags &^= rpm.Pre
			q.Requires = append(q.Requires, d)
		}
		out = append(out, q)
	}
	slices.SortStableFunc(out, func(a, b rpm.Package) int { return strings.Compare(a.NEVRA(), b.NEVRA()) })
	return out
}

// host asks rpm about a database of its own.
type host struct{ dir, home string }

// newHost copies a database to where rpm can write. Berkeley DB it can only convert, into SQLite; ndb Debian's has not.
func newHost(t *testing.T, database string) host {
	t.Helper()
	h := host{dir: t.TempDir(), home: t.TempDir()}
	data, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(database)
	if err := os.WriteFile(filepath.Join(h.dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if name == "Packages" {
		h.run(t, "rpmdb", "--rebuilddb")
	}
	return h
}

func (h host) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, append([]string{"--dbpath", h.dir}, args...)...)
	cmd.Env = append(cmd.Environ(), "HOME="+h.home, "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %s: %v: %s", name, err, &stderr)
	}
	return string(out)
}

func (h host) query(t *testing.T, format string) []*rpm.Package {
	t.Helper()
	list, err := rpm.ReadInstalled(strings.NewReader(h.run(t, "rpm", "-qa", "--qf", format)))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(p *rpm.Package) bool { return p.Name == "gpg-pubkey" })
}

// TestReadWhatRPMWrites lets rpm install, update and remove packages, so many that their table is a tree.
func TestReadWhatRPMWrites(t *testing.T) {
	build := func(specs ...faulttest.RPMSpec) []string {
		paths, err := faulttest.BuildRPMs(t.TempDir(), nil, specs...)
		if err != nil {
			t.Fatal(err)
		}
		return paths
	}
	var many []faulttest.RPMSpec
	for i := range 12 {
		many = append(many, faulttest.RPMSpec{Name: fmt.Sprintf("many%d", i), Provides: []string{strings.Repeat("p", 300*i+1) + " = 1"}})
	}
	old := build(append(many, faulttest.RPMSpec{Name: "aa", Version: "1.0", Epoch: 3, Requires: []string{"(bb >= 1 or cc)", "dd < 2"},
		Files: map[string]faulttest.RPMFile{"/etc/aa": {}, "/usr/share/aa": {Dir: true}}})...)
	newer := build(faulttest.RPMSpec{Name: "aa", Version: "2.0", Epoch: 3, Conflicts: []string{"ee > 1"}, Obsoletes: []string{"ff <= 1:2-3"}})
	h := host{dir: t.TempDir(), home: t.TempDir()}
	check := func(packages int, version string) {
		t.Helper()
		got, err := rpmdb.Read(filepath.Join(h.dir, "rpmdb.sqlite"))
		if err != nil || len(got) != packages {
			t.Fatalf("got %d packages, %v, want %d", len(got), err, packages)
		}
		i := slices.IndexFunc(got, func(p *rpm.Package) bool { return p.Name == "aa" })
		if i < 0 || got[i].EVR.Version != version {
			t.Errorf("got no aa of version %s at %d", version, i)
		}
		agrees(t, h, got)
	}
	install := []string{"--justdb", "--nodeps", "--force-debian", "--nosignature", "-U"}
	h.run(t, "rpm", append(install, old...)...)
	check(13, "1.0")
	h.run(t, "rpm", append(install, newer...)...)
	h.run(t, "rpm", "--justdb", "--nodeps", "-e", "many0", "many11")
	check(11, "2.0")
}

// TestReadAgreesWithLibrary holds the numbers and headers of real databases to those that go-rpmdb finds in sound files.
func TestReadAgreesWithLibrary(t *testing.T) {
	dir := realDatabases(t)
	for path, open := range map[string]func(string) (interface{ Read() <-chan dbi.Entry }, error){
		"centos7-plain/Packages": func(p string) (interface{ Read() <-chan dbi.Entry }, error) { return bdb.Open(p) },
		"sle15-bci/Packages.db":  func(p string) (interface{ Read() <-chan dbi.Entry }, error) { return ndb.Open(p) },
	} {
		theirs, err := open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for e := range theirs.Read() {
			h, err := rpm.ReadHeaderBlob(e.Value)
			if err := errors.Join(err, e.Err); err != nil {
				t.Fatal(err)
			}
			if h.Name != "gpg-pubkey" {
				want = append(want, h.Name+" "+h.EVR.Version+" "+h.EVR.Release)
			}
		}
		got, err := rpmdb.Read(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range got {
			names = append(names, p.Name+" "+p.EVR.Version+" "+p.EVR.Release)
		}
		slices.Sort(want)
		slices.Sort(names)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: go-rpmdb (-), ours (+):\n%s", path, diff)
		}
	}
}

func TestKnown(t *testing.T) {
	dir := realDatabases(t)
	for path, want := range map[string]bool{
		"centos7-plain/Packages": true, "ubi8-s390x/Packages": true, "sle15-bci/Packages.db": true, "fedora35/rpmdb.sqlite": true, "blob.bin": false,
	} {
		f, err := os.Open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		prefix := make([]byte, rpmdb.Prefix)
		if _, err := io.ReadFull(f, prefix); err != nil {
			t.Fatal(err)
		}
		f.Close() // read only
		if got := rpmdb.Known(prefix); got != want {
			t.Errorf("%s: got %t, want %t", path, got, want)
		}
		if rpmdb.Known(prefix[:rpmdb.Prefix-1]) {
			t.Errorf("%s: got true for too short a prefix", path)
		}
	}
	if rpmdb.Known([]byte("P|bash|0|5.1|2.el9|x86_64\n")) {
		t.Error("got a listing taken for a database")
	}
}

// TestReadWantsTheLog refuses a database whose last changes are not in it.
func TestReadWantsTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	if err := os.WriteFile(path, sqliteOf(headerBlob("aa")), 0o644); err != nil {
		t.Fatal(err)
	}
	for log, want := range map[string]error{"": nil, "x": rpmdb.ErrUnfinished} {
		if err := os.WriteFile(path+"-wal", []byte(log), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := rpmdb.Read(path); !errors.Is(err, want) {
			t.Errorf("log %q: got %v, want %v", log, err, want)
		}
	}
	if _, err := rpmdb.Read(path + "absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v of no file", err)
	}
}
