package rpm_test

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/internal/faulttest"
)

const tinyListing = `P|aa|1|1.0|2.el7|x86_64
p|aa|=|1:1.0-2.el7
p|webserver||
r|bb|>=|2:1-1
r|(cc >= 1 or dd)||
r|odd|name|<|3
c|ee|<=|4
o|ff|>|5~rc1
f|/usr/bin/aa
f|/usr/share/a name
that goes on
(none)
P|gpg-pubkey|0|352c64e5|52ae6884|(none)
(none)
P|old|(none)|1|1|noarch
p|old||1
`

func TestReadInstalled(t *testing.T) {
	evr := func(s string) *rpm.EVR { e := rpm.ParseEVR(s); return &e }
	want := []*rpm.Package{
		{Name: "aa", EVR: rpm.EVR{Epoch: "1", Version: "1.0", Release: "2.el7"}, Arch: "x86_64",
			Provides: []rpm.Dep{{Name: "aa", EVR: evr("1:1.0-2.el7"), Flags: rpm.Equal}, {Name: "webserver"}},
			Requires: []rpm.Dep{{Name: "bb", EVR: evr("2:1-1"), Flags: rpm.Greater | rpm.Equal}, {Name: "(cc >= 1 or dd)"},
				{Name: "odd|name", EVR: evr("3"), Flags: rpm.Less}},
			Conflicts: []rpm.Dep{{Name: "ee", EVR: evr("4"), Flags: rpm.Less | rpm.Equal}},
			Obsoletes: []rpm.Dep{{Name: "ff", EVR: evr("5~rc1"), Flags: rpm.Greater}},
			Files:     []string{"/usr/bin/aa", "/usr/share/a name"}},
		{Name: "old", EVR: rpm.EVR{Epoch: "0", Version: "1", Release: "1"}, Arch: "noarch", Provides: []rpm.Dep{{Name: "old"}}},
	}
	for name, listing := range map[string][]byte{"plain": []byte(tinyListing), "gzip": gzipped(t, tinyListing)} {
		got, err := rpm.ReadInstalled(bytes.NewReader(listing))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if got, err := rpm.ReadInstalled(strings.NewReader("")); len(got) > 0 || err != nil {
		t.Errorf("got %v, %v of nothing", got, err)
	}
}

func TestReadInstalledRefuses(t *testing.T) {
	const head = "P|aa|0|1|1|noarch\n"
	for listing, want := range map[string]string{
		"bash\n":                        `line 1: got "bash", want P, p, r, c, o or f and a bar`,
		"p|aa||\n":                      `line 1: got "p|aa||" before any package`,
		"f|/bin/sh\n":                   `line 1: got "f|/bin/sh" before any package`,
		"P|aa|0|1|1\n":                  "line 1: got 4 fields of a package, want name, epoch, version, release and architecture",
		"P|a a|0|1|1|noarch\n":          `line 1: got "a a" in field 1 of a package`,
		"P|aa|x|1|1|noarch\n":           `line 1: got epoch "x" of package "aa"`,
		"P|aa|0||1|noarch\n":            `line 1: got "" in field 3 of a package`,
		head + "r|bb|=\n":               `line 2: got "bb|=", want a name, a comparison and a version`,
		head + "r|||\n":                 `line 2: got a dependency on ""`,
		head + "r|b\x1bb||\n":           `line 2: got a dependency on "b\x1bb"`,
		head + "r|bb|~|1\n":             `line 2: got comparison "~", want =, <, <=, > or >=`,
		head + "r|bb|=|1 2\n":           `line 2: got version "1 2" in a dependency on "bb"`,
		head + "x\n":                    `line 2: got "x", want P, p, r, c, o or f and a bar`,
		strings.Repeat("x", 1<<20+1):    "after line 0: bufio.Scanner: token too long",
		strings.Repeat(head, 50_001):    "line 50001: got more than 50000 packages: too large",
		"\x1f\x8b":                      "unexpected EOF",
		head + "f|/a\nb\n" + "P|broken": "line 4: got 1 fields of a package",
	} {
		got, err := rpm.ReadInstalled(strings.NewReader(listing))
		if err == nil || len(got) > 0 || !strings.HasPrefix(err.Error(), "reading installed packages: "+want) {
			t.Errorf("%.40q: got %v, %v, want %s", listing, got, err, want)
		}
	}
}

// FuzzInstalled reads any listing.
func FuzzInstalled(f *testing.F) {
	f.Add(tinyListing)
	f.Add("P|a|0|1|1|noarch\np|a|=|1\nr|(b if c else (d with e < 2))||\nP|b|0|1|1|noarch\np|b||\no|a|<|9\nc|(a or c)||\n")
	f.Fuzz(func(t *testing.T, listing string) {
		got, err := rpm.ReadInstalled(strings.NewReader(listing))
		if err != nil {
			if len(got) > 0 {
				t.Errorf("got %d packages and %v", len(got), err)
			}
			return
		}
		for _, p := range got {
			if p.Name == "" || p.EVR.Version == "" {
				t.Errorf("got package %+v", p)
			}
		}
	})
}

// host installs packages in an rpm database of its own, without their files.
type host struct{ *bundleRepo }

func (h host) install(t *testing.T, specs ...faulttest.RPMSpec) {
	t.Helper()
	paths, err := faulttest.BuildRPMs(t.TempDir(), nil, specs...)
	if err != nil {
		t.Fatal(err)
	}
	h.rpm(t, append([]string{"--install", "--justdb", "--force-debian", "--nosignature"}, paths...)...)
}

func (h host) rpm(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("rpm", append([]string{"--root", h.root, "--define", "_dbpath /var/lib/rpm"}, args...)...)
	cmd.Env = append(cmd.Environ(), "HOME="+h.home, "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running rpm: %v: %s", err, &stderr)
	}
	return string(out)
}

// TestInstalledRealDatabase asks rpm what is installed, ourselves what a repository would do to that, and dnf whether that is so.
func TestInstalledRealDatabase(t *testing.T) {
	t.Parallel()
	h := host{newBundleRepo(t, faulttest.MustSigningKey(t, faulttest.KeyOptions{}),
		faulttest.RPMSpec{Name: "app", Requires: []string{"lib >= 2", "(web or mail)", "/usr/bin/tool"}},
		faulttest.RPMSpec{Name: "other", Requires: []string{"base"}},
		faulttest.RPMSpec{Name: "clash", Conflicts: []string{"base < 2:5"}},
		faulttest.RPMSpec{Name: "lib", Version: "2.0"},
		faulttest.RPMSpec{Name: "mail"},
		faulttest.RPMSpec{Name: "toolbox", Files: map[string]faulttest.RPMFile{"/usr/bin/tool": {Mode: 0o755}}})}
	h.install(t,
		faulttest.RPMSpec{Name: "base", Version: "1.2", Release: "3.el7", Epoch: 2, Arch: "x86_64", Provides: []string{"base(x86-64) = 2:1.2-3.el7"},
			Files: map[string]faulttest.RPMFile{"/etc/base": {}, "/usr/share/base": {Dir: true}}},
		faulttest.RPMSpec{Name: "lib", Version: "1.0"},
		faulttest.RPMSpec{Name: "plug", Requires: []string{"base >= 2:1", "(lib if base)"}, Obsoletes: []string{"plugin <= 3"}, Conflicts: []string{"old < 1"}})

	got := h.installed(t)
	i := slices.IndexFunc(got, func(p *rpm.Package) bool { return p.Name == "base" })
	evr := rpm.ParseEVR("2:1.2-3.el7")
	want := &rpm.Package{Name: "base", EVR: rpm.EVR{Epoch: "2", Version: "1.2", Release: "3.el7"}, Arch: "x86_64",
		Provides: []rpm.Dep{{Name: "base", EVR: &evr, Flags: rpm.Equal}, {Name: "base(x86-64)", EVR: &evr, Flags: rpm.Equal}},
		Files:    []string{"/etc/base", "/usr/share/base"}}
	ignoreRpmlib(got)
	if diff := cmp.Diff(want, got[max(i, 0)]); diff != "" || len(got) != 3 {
		t.Errorf("%d packages (-want +got):\n%s", len(got), diff)
	}

	h.agrees(t, "app", "+app-1.0-1.noarch", "+mail-1.0-1.noarch", "+toolbox-1.0-1.noarch", "lib-1.0-1.noarch > lib-2.0-1.noarch")
	h.agrees(t, "other", "+other-1.0-1.noarch")
	h.agrees(t, "clash")

	h.install(t, faulttest.RPMSpec{Name: "lib-devel", Version: "1.0", Requires: []string{"lib = 1.0-1"}})
	h.agrees(t, "app")
}

// installed is what the host has, as it tells itself.
func (h host) installed(t *testing.T) []*rpm.Package {
	t.Helper()
	got, err := rpm.ReadInstalled(strings.NewReader(h.rpm(t, "-qa", "--qf", rpm.QueryFormat)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// agrees wants what comes and what takes the place of what, or nothing where it cannot be done; and that dnf does it, or
// refuses.
func (h host) agrees(t *testing.T, name string, want ...string) {
	t.Helper()
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, folder(h.dir))
	if err != nil {
		t.Fatal(err)
	}
	pool := solve.NewPool(solve.PoolOptions{Installed: h.installed(t), Repos: []*rpm.Repo{repo}})
	tr, err := pool.Solve(solve.Job{Install: []string{name}})
	var unsolved *solve.Error
	if err != nil && !errors.As(err, &unsolved) {
		t.Fatal(err)
	}
	var got []string
	if err == nil {
		for _, i := range tr.Install {
			got = append(got, "+"+i.Package.NEVRA())
		}
		for _, c := range tr.Upgrade {
			got = append(got, c.From.NEVRA()+" > "+c.Package.NEVRA())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got), %v:\n%s", name, err, diff)
	}
	out, refused := h.dnf("-y", "install", "--downloadonly", name)
	if (refused != nil) != (err != nil) {
		t.Errorf("%s: got %v, dnf says %v: %s", name, err, refused, out)
	}
}

func ignoreRpmlib(packages []*rpm.Package) {
	for _, p := range packages {
		p.Requires = slices.DeleteFunc(p.Requires, func(d rpm.Dep) bool { return strings.HasPrefix(d.Name, "rpmlib(") })
		if len(p.Requires) == 0 {
			p.Requires = nil
		}
	}
}
