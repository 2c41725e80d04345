package rpm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/faulttest"
)

// bundleRepo is a bundle's rpms/ on disk, and what it takes to run dnf on it without the machine's own state.
type bundleRepo struct {
	dir  string // the repository
	home string
	root string // the installroot
	key  *faulttest.SigningKey

	unsigned []string // names that offbake.conf excepts
	keyless  bool     // offbake.conf knows no key
}

// newBundleRepo builds and signs packages and writes the repository of them as a bundle has it.
func newBundleRepo(tb testing.TB, key *faulttest.SigningKey, specs ...faulttest.RPMSpec) *bundleRepo {
	tb.Helper()
	b := &bundleRepo{dir: tb.TempDir(), home: tb.TempDir(), root: tb.TempDir(), key: key}
	packages := filepath.Join(b.dir, "Packages")
	if err := os.Mkdir(packages, 0o755); err != nil {
		tb.Fatal(err)
	}
	paths, err := faulttest.BuildRPMs(packages, key, specs...)
	if err != nil {
		tb.Fatal(err)
	}
	// Debian's rpm has its database in the home directory.
	writeFiles(tb, b.home, map[string][]byte{".rpmmacros": []byte("%_dbpath /var/lib/rpm\n")})
	b.write(tb, paths)
	return b
}

// write makes the metadata of the packages as they are now, and the configuration.
func (b *bundleRepo) write(tb testing.TB, paths []string) {
	tb.Helper()
	armored, err := b.key.Armored()
	if err != nil {
		tb.Fatal(err)
	}
	conf := rpm.ConfOptions{Keys: []string{"RPM-GPG-KEY-stand-in"}, Unsigned: b.unsigned}
	if b.keyless {
		conf.Keys = nil
	}
	writeFiles(tb, b.dir, map[string][]byte{
		"keys/RPM-GPG-KEY-stand-in": armored,
		"offbake.conf":              rpm.Conf(conf),
	})
	var files []rpm.RepoFile
	for _, path := range paths {
		files = append(files, repoFile(tb, path))
	}
	out, err := rpm.WriteRepo(files)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "repodata")); err != nil {
		tb.Fatal(err)
	}
	writeFiles(tb, b.dir, out)
}

// dnf runs dnf with offbake.conf as a user would who keeps the repository in another place.
func (b *bundleRepo) dnf(args ...string) (string, error) {
	options := []string{"-c", b.dir + "/offbake.conf", "--installroot=" + b.root, "--releasever=1", "--forcearch=x86_64"}
	if !b.keyless {
		options = append(options, "--setopt=offbake.baseurl=file://"+b.dir, "--setopt=offbake.gpgkey=file://"+b.dir+"/keys/RPM-GPG-KEY-stand-in")
	}
	if len(b.unsigned) > 0 {
		options = append(options, "--setopt=offbake-unsigned.baseurl=file://"+b.dir)
	}
	cmd := exec.Command("dnf", append(options, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+b.home, "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// dnfSpecs are packages that need each other in the ways that metadata can say.
func dnfSpecs() []faulttest.RPMSpec {
	tool := map[string]faulttest.RPMFile{"/usr/bin/aa-tool": {Content: "#!/bin/sh\n", Mode: 0o755}, "/var/log/aa": {Ghost: true}}
	return []faulttest.RPMSpec{
		{Name: "aa++", Version: "1.0", Release: "1", Epoch: 1, Arch: "x86_64", Files: tool,
			Requires: []string{"/usr/bin/bb-tool", "(cc or dd)", "ee >= 2:1"}, Recommends: []string{"weak"}, Changelog: changelog(2)},
		{Name: "bb", Files: map[string]faulttest.RPMFile{"/usr/bin/bb-tool": {Mode: 0o755}}, Requires: []string{"aa++"}},
		{Name: "cc", Conflicts: []string{"ee"}},
		{Name: "dd"},
		{Name: "ee-new", Provides: []string{"ee = 2:1.5"}, Obsoletes: []string{"ee < 2:1"}},
		{Name: "weak"},
	}
}

func TestDnfReadsOurRepo(t *testing.T) {
	t.Parallel()
	b := newBundleRepo(t, faulttest.MustSigningKey(t, faulttest.KeyOptions{}), dnfSpecs()...)
	out, err := b.dnf("-q", "repoquery", "--qf", "%{name} %{evr} %{arch} %{location}")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"aa++ 1:1.0-1 x86_64 Packages/aa++-1.0-1.x86_64.rpm",
		"bb 1.0-1 noarch Packages/bb-1.0-1.noarch.rpm",
		"cc 1.0-1 noarch Packages/cc-1.0-1.noarch.rpm",
		"dd 1.0-1 noarch Packages/dd-1.0-1.noarch.rpm",
		"ee-new 1.0-1 noarch Packages/ee-new-1.0-1.noarch.rpm",
		"weak 1.0-1 noarch Packages/weak-1.0-1.noarch.rpm",
	}, got); diff != "" {
		t.Error(diff)
	}
	// What is in filelists and in other.
	if out, err := b.dnf("-q", "repoquery", "--whatprovides=/var/log/aa"); err != nil || out != "aa++-1:1.0-1.x86_64\n" {
		t.Errorf("got %q, %v, want the owner of /var/log/aa", out, err)
	}
	if out, err := b.dnf("-q", "repoquery", "--changelogs", "aa++"); err != nil || strings.Count(out, "Ann <ann@vendor.example>") != 2 {
		t.Errorf("got %q, %v, want two changes", out, err)
	}
}

// TestDnfInstalls lets dnf resolve, check signatures and take the packages, by name, from our repository alone.
func TestDnfInstalls(t *testing.T) {
	t.Parallel()
	b := newBundleRepo(t, faulttest.MustSigningKey(t, faulttest.KeyOptions{RSA: true}), dnfSpecs()...)
	dest := t.TempDir()
	out, err := b.dnf("-y", "install", "--downloadonly", "--downloaddir="+dest, "aa++")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	names, err := filepath.Glob(dest + "/*.rpm")
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if diff := cmp.Diff([]string{"aa++-1.0-1.x86_64.rpm", "bb-1.0-1.noarch.rpm", "dd-1.0-1.noarch.rpm", "ee-new-1.0-1.noarch.rpm"},
		names); diff != "" {
		t.Error(diff)
	}
}

// TestDnfRefusesTampered gives dnf packages whose metadata was written anew after they were altered or signed by another.
func TestDnfRefusesTampered(t *testing.T) {
	t.Parallel()
	b := newBundleRepo(t, faulttest.MustSigningKey(t, faulttest.KeyOptions{}), faulttest.RPMSpec{Name: "aa"})
	path := b.dir + "/Packages/aa-1.0-1.noarch.rpm"
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The age of what dnf has cached counts in whole seconds.
	install := func() (string, error) { return b.dnf("-y", "--refresh", "install", "--downloadonly", "aa") }
	if out, err := install(); err != nil {
		t.Fatalf("untouched: %v: %s", err, out)
	}
	stranger := faulttest.MustSigningKey(t, faulttest.KeyOptions{})
	for _, tt := range []struct {
		fault  string
		change func() error
		want   string
	}{
		{"last byte altered", func() error {
			bad := slices.Clone(good)
			bad[len(bad)-1] ^= 1
			return os.WriteFile(path, bad, 0o644)
		}, "GPG check FAILED"},
		{"signed by a stranger", func() error { return stranger.SignRPMs([]string{path}) }, "GPG check FAILED"},
		{"signature removed", func() error { return exec.Command("rpmsign", "--delsign", path).Run() }, "is not signed"},
	} {
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tt.change(); err != nil {
			t.Fatal(err)
		}
		b.write(t, []string{path})
		if out, err := install(); err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v, want dnf to say %q: %s", tt.fault, err, tt.want, out)
		}
	}
}

// TestDnfTakesUnsignedByName gives dnf a repository in which some packages have no signature, of which offbake.conf names
// one: that one comes, beside signed ones, and no other.
func TestDnfTakesUnsignedByName(t *testing.T) {
	t.Parallel()
	key := faulttest.MustSigningKey(t, faulttest.KeyOptions{})
	b := newBundleRepo(t, key, faulttest.RPMSpec{Name: "signed"}, faulttest.RPMSpec{Name: "mixed", Requires: []string{"own++"}},
		faulttest.RPMSpec{Name: "own++", Requires: []string{"signed"}}, faulttest.RPMSpec{Name: "own-more"},
		faulttest.RPMSpec{Name: "stranger"}, faulttest.RPMSpec{Name: "tampered"})
	path := func(name string) string { return b.dir + "/Packages/" + name + "-1.0-1.noarch.rpm" }
	for _, name := range []string{"own++", "own-more"} {
		if out, err := exec.Command("rpmsign", "--delsign", path(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := faulttest.MustSigningKey(t, faulttest.KeyOptions{}).SignRPMs([]string{path("stranger")}); err != nil {
		t.Fatal(err)
	}
	bad, err := os.ReadFile(path("tampered"))
	if err != nil {
		t.Fatal(err)
	}
	bad[len(bad)-1] ^= 1
	if err := os.WriteFile(path("tampered"), bad, 0o644); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(b.dir + "/Packages/*.rpm")
	if err != nil || len(paths) != 6 {
		t.Fatalf("got %v, %v, want six packages", paths, err)
	}
	b.unsigned = []string{"own++"}
	b.write(t, paths)
	for _, tt := range []struct{ name, want string }{
		{"mixed", ""}, {"own-more", "is not signed"}, {"stranger", "GPG check FAILED"}, {"tampered", "GPG check FAILED"},
		{path("own-more"), "is not signed"},
	} {
		dest := t.TempDir()
		out, err := b.dnf("-y", "install", "--downloadonly", "--downloaddir="+dest, tt.name)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(out, tt.want)) {
			t.Errorf("%s: got %v, want dnf to say %q: %s", tt.name, err, tt.want, out)
		}
	}
	if out, err := b.dnf("-y", "install", "mixed"); err != nil {
		t.Errorf("really installing: %v: %s", err, out)
	}
	if out, err := b.dnf("-q", "repoquery", "--installed", "--qf", "%{name} %{from_repo}"); err != nil ||
		!strings.Contains(out, "own++ offbake-unsigned\n") || !strings.Contains(out, "signed offbake\n") {
		t.Errorf("got %q, %v, want each package from its own section", out, err)
	}
}

// TestDnfTakesWhatNobodySigned has a bundle of repositories without gpgcheck alone, on a root that knows no key.
func TestDnfTakesWhatNobodySigned(t *testing.T) {
	t.Parallel()
	b := newBundleRepo(t, faulttest.MustSigningKey(t, faulttest.KeyOptions{}), faulttest.RPMSpec{Name: "aa", Requires: []string{"bb"}},
		faulttest.RPMSpec{Name: "bb"}, faulttest.RPMSpec{Name: "other"})
	paths, err := filepath.Glob(b.dir + "/Packages/*.rpm")
	if err != nil || len(paths) != 3 {
		t.Fatalf("got %v, %v, want three packages", paths, err)
	}
	for _, path := range paths {
		if out, err := exec.Command("rpmsign", "--delsign", path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	b.keyless, b.unsigned = true, []string{"aa", "bb"}
	b.write(t, paths)
	if out, err := b.dnf("-y", "install", "aa"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := b.dnf("-q", "repoquery", "--installed", "--qf", "%{name} %{from_repo}"); err != nil ||
		out != "aa offbake-unsigned\nbb offbake-unsigned\n" {
		t.Errorf("got %q, %v, want both from the section without check", out, err)
	}
	// What the configuration does not name stays out, by name and by path.
	for _, name := range []string{"other", b.dir + "/Packages/other-1.0-1.noarch.rpm"} {
		if out, err := b.dnf("-y", "install", name); err == nil {
			t.Errorf("%s came without a signature: %s", name, out)
		}
	}
}
