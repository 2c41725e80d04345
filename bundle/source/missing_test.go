package source_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/manifest"
)

const (
	dockerBase  = "https://docker.example/7/stable/"
	centosBase  = "https://vault.example/7.9.2009/os/x86_64/"
	dockerEntry = "{id: docker, baseurl: " + dockerBase + ", gpgcheck: false}"
	centosEntry = "{id: base, baseurl: " + centosBase + ", gpgcheck: false}"
)

// ofDocker tells Docker's own packages from those of CentOS in the real metadata of docker-el7.
func ofDocker(name string) bool {
	return strings.HasPrefix(name, "docker-") || name == "containerd.io"
}

// newRealWorld serves docker-ce 20.10.12 for CentOS 7 and all that it needs as two repositories, as vendors have it, and
// puts what a CentOS 7.5 container has installed beside the manifest.
func newRealWorld(t *testing.T, docker, centos func(name string) bool) *world {
	t.Helper()
	w := newWorld(t)
	for address, keep := range map[string]func(string) bool{dockerBase: docker, centosBase: centos} {
		dir := t.TempDir()
		if err := faulttest.CutRepo(dir, "../rpm/testdata/docker-el7", keep); err != nil {
			t.Fatal(err)
		}
		if err := w.PutFolder(address, dir); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("../../examples/base/centos-7.5.rpmqa.gz")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "base/centos-7.5.rpmqa.gz", data)
	return w
}

func onCentOS(repos, install string) string {
	return strings.Replace(rpms(repos, install), "base: bare", "base: base/centos-7.5.rpmqa.gz", 1)
}

func others(name string) bool { return !ofDocker(name) }

// The whole of docker-ce on a CentOS 7.5 container: dnf 4.14 installs 26 packages and upgrades 4 that the container has.
func TestResolveRealClosure(t *testing.T) {
	w := newRealWorld(t, ofDocker, others)
	res, err := w.resolve(t, onCentOS(dockerEntry+", "+centosEntry, "docker-ce-20.10.12, docker-ce-cli-20.10.12"))
	if err != nil {
		t.Fatal(err)
	}
	upgraded := []string{"audit-libs-2.8.5-4.el7.x86_64", "libselinux-2.5-15.el7.x86_64", "libsemanage-2.5-14.el7.x86_64", "libsepol-2.5-10.el7.x86_64"}
	n := 0
	for _, r := range res.Rows {
		if slices.Contains(upgraded, r.Name) {
			n++
		}
		from := centosBase
		if h := strings.HasPrefix; h(r.Name, "docker-") || h(r.Name, "containerd.io-") {
			from = dockerBase
		}
		if !strings.HasPrefix(r.URL, from) || r.Verified != source.FirstUse || len(r.SHA256) != 64 || r.Size <= 0 {
			t.Errorf("got %+v, want a row from %s", r, from)
		}
	}
	if len(res.Rows) != 30 || n != len(upgraded) {
		t.Errorf("got %d packages, %d of them upgrades, want 30 and %d", len(res.Rows), n, len(upgraded))
	}
	if len(res.Blobs) != 0 {
		t.Errorf("got %d packages downloaded, want metadata alone", len(res.Blobs))
	}
}

// The usual beginning: Docker's repository alone. Everything that is missing is told at once, and where it comes from.
func TestResolveNaive(t *testing.T) {
	const docker = "docker-ce-3:20.10.12-3.el7.x86_64"
	const wantCentOS = `locking "rpms": 7 things are needed that the base image and repository "docker" cannot give:
  container-selinux >= 2:2.74, needed by containerd.io-1.4.12-3.1.el7.x86_64 and ` + docker + `: CentOS 7 has it in extras
  fuse-overlayfs >= 0.7, needed by docker-ce-rootless-extras-20.10.12-3.el7.x86_64
  iptables, needed by ` + docker + `
  libcgroup, needed by ` + docker + `
  libseccomp >= 2.3, needed by ` + docker + `
  slirp4netns >= 0.4, needed by docker-ce-rootless-extras-20.10.12-3.el7.x86_64
  unzip, which rpms.install names
  CentOS 7 has such packages in base, updates and extras, which the manifest lacks`
	w := newRealWorld(t, ofDocker, others)
	_, err := w.resolve(t, onCentOS(dockerEntry, "docker-ce, docker-ce-cli, unzip"))
	if diff := cmp.Diff(wantCentOS, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
	// Two files that somebody downloaded, on a base that is said to have nothing: each library is told once.
	w = newRealWorld(t, func(name string) bool { return name == "docker-ce" || name == "docker-ce-cli" }, others)
	_, err = w.resolve(t, rpms(dockerEntry, "docker-ce, docker-ce-cli"))
	var u *source.UnsolvableError
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want an UnsolvableError", err)
	}
	var got []string
	for _, m := range u.Missing {
		got = append(got, m.Dep)
	}
	want := []string{"/bin/sh", "/usr/sbin/groupadd", "container-selinux >= 2:2.74", "containerd.io >= 1.4.1", "docker-ce-rootless-extras",
		"docker-scan-plugin(x86-64)", "iptables", "libc.so.6", "libcgroup", "libdevmapper.so.1.02", "libdl.so.2", "libpthread.so.0",
		"libseccomp >= 2.3", "libsystemd.so.0", "rtld(GNU_HASH)", "systemd", "tar", "xz"}
	if diff := cmp.Diff(want, got); diff != "" || !u.Bare || len(u.Others) != 0 {
		t.Errorf("bare %t, others %q, missing:\n%s", u.Bare, u.Others, diff)
	}
	if !strings.HasPrefix(err.Error(), `locking "rpms": 18 things are needed that repository "docker" cannot give:`+"\n  /bin/sh, needed by "+docker+" and docker-ce-cli-1:20.10.12-3.el7.x86_64\n") {
		t.Errorf("got %v", err)
	}
	if len(u.Lacks) != 1 || u.Lacks[0].Name != "CentOS 7" || len(u.Lacks[0].Repos) != 3 {
		t.Errorf("got %+v, want the three repositories of CentOS 7", u.Lacks)
	}
}

// What is there and does not do is told with its reason.
func TestResolveTellsWhatDoesNotDo(t *testing.T) {
	extra := func(text string) string { return "    " + text + "\n" }
	both := dockerEntry + ", " + centosEntry
	for _, row := range []struct {
		name, install, more string
		want                []string // a line for each but the first, with what is in it
	}{
		{"excluded", "docker-ce", extra("exclude: [iptables]"), []string{"iptables-1.4.21-35.el7.x86_64 … is excluded by rpms.exclude"}},
		{"excluded by a pattern, beside something that is missing", "docker-ce, nano", extra(`exclude: ["container-selinux-2.119*", libcgroup]`),
			[]string{"nano, which rpms.install names", "container-selinux-2:2.119.2-1.911c772.el7_8.noarch … is excluded by rpms.exclude",
				"libcgroup-0.41-21.el7.x86_64 … is excluded by rpms.exclude", "CentOS 7 has such packages in updates and extras, which the manifest lacks"}},
		{"too old", "docker-ce-24.0", "",
			[]string{`docker-ce-24.0, which rpms.install names: repository "docker" has only docker-ce-3:20.10.12-3.el7.x86_64`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newRealWorld(t, ofDocker, others)
			_, err := w.resolve(t, onCentOS(both, row.install)+row.more)
			lines := strings.Split(fmt.Sprint(err), "\n")[1:]
			for _, want := range row.want {
				begin, end, _ := strings.Cut(want, " … ")
				if !slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, begin) && strings.HasSuffix(s, end) }) {
					t.Errorf("no line with %q", want)
				}
			}
			if len(lines) != len(row.want) || t.Failed() {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Names in rpms.upgrade move what the base has, to the newest, and nothing else; without them it stays.
func TestResolveUpgrade(t *testing.T) {
	w := newRealWorld(t, ofDocker, others)
	res, err := w.resolve(t, onCentOS(centosEntry, "audit-libs")+"    upgrade: [bash, nano]\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 1 || res.Rows[0].Name != "bash-4.2.46-35.el7_9.x86_64" {
		t.Errorf("got %+v, want bash alone: audit-libs is there", res.Rows)
	}
	if !slices.ContainsFunc(res.Warnings, func(s string) bool { return strings.Contains(s, `rpms.upgrade names "nano"`) }) ||
		slices.ContainsFunc(res.Warnings, func(s string) bool { return strings.Contains(s, `"bash"`) }) {
		t.Errorf("got warnings %q, want one of nano", res.Warnings)
	}
}

// A spec in rpms.upgrade need not be a name of what is installed.
func TestResolveUpgradeByAnotherSpec(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := faulttest.BuildRepo(dir, nil, faulttest.RPMSpec{Name: "bb", Version: "2", Files: map[string]faulttest.RPMFile{"/usr/share/bb.txt": {}}},
		faulttest.RPMSpec{Name: "next", Obsoletes: []string{"old"}}, faulttest.RPMSpec{Name: "apart"}); err != nil {
		t.Fatal(err)
	}
	w.write(t, "base/host", []byte("P|bb|0|1|1|noarch\nP|old|0|1|1|noarch\n"))
	for spec, want := range map[string]string{
		"bb": "bb-2-1.noarch", "bb-2": "bb-2-1.noarch", "bb-1": "bb-2-1.noarch", "/usr/share/bb.txt": "bb-2-1.noarch", "b?.noarch": "bb-2-1.noarch",
		"next": "next-1.0-1.noarch", "apart": "", "bb-3": "", "nano": "",
	} {
		text := strings.Replace(rpms("{id: loose, baseurl: \"file://"+dir+"\", gpgcheck: false}", "bb"), "base: bare", "base: base/host", 1)
		res, err := w.resolve(t, text+"    upgrade: [\""+spec+"\"]\n")
		if err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(res.Warnings, func(s string) bool { return strings.Contains(s, "rpms.upgrade names") })
		if got := fmt.Sprint(res.Rows); warned != (want == "") || (want != "") != strings.Contains(got, want) && want != "" || want == "" && len(res.Rows) != 0 {
			t.Errorf("%s: got %s, warnings %q, want %q", spec, got, res.Warnings, want)
		}
	}
}

// What only hosts of another kind could install is told.
func TestResolveTellsAnotherArchitecture(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := faulttest.BuildRepo(dir, nil, faulttest.RPMSpec{Name: "app", Requires: []string{"lib >= 1", "libx.so.1()(64bit)"}},
		faulttest.RPMSpec{Name: "lib", Version: "2", Arch: "x86_64", Provides: []string{"libx.so.1()(64bit)"}}); err != nil {
		t.Fatal(err)
	}
	rewritePrimary(t, dir, "<arch>x86_64</arch>", "<arch>aarch64</arch>")
	repo := "{id: loose, baseurl: \"file://" + dir + "\", gpgcheck: false}"
	for install, want := range map[string]string{
		"app": "\n  lib >= 1, needed by app-1.0-1.noarch: lib-2-1.aarch64 of repository \"loose\" is for another architecture" +
			"\n  libx.so.1, needed by app-1.0-1.noarch: lib-2-1.aarch64 of repository \"loose\" is for another architecture",
		"lib-2": "\n  lib-2, which rpms.install names: lib-2-1.aarch64 of repository \"loose\" is for another architecture",
	} {
		_, err := w.resolve(t, rpms(repo, install))
		var u *source.UnsolvableError
		if !errors.As(err, &u) || !strings.HasSuffix(err.Error(), want) || slices.ContainsFunc(u.Missing, func(m source.Missing) bool { return !m.Near }) {
			t.Errorf("%s: got %v, want %s", install, err, want)
		}
	}
}

func TestResolveRefusesABaseThatIsNone(t *testing.T) {
	w := newRealWorld(t, ofDocker, others)
	w.write(t, "base/centos-7.5.rpmqa.gz", []byte("bash\n"))
	_, err := w.resolve(t, onCentOS(centosEntry, "bash"))
	var bad *manifest.Error
	if !errors.As(err, &bad) || bad.Field != "artifacts.rpms.base" || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v, want a manifest error with the line", err)
	}
}

// The database of the machine that the dump was made of says the same as the dump.
func TestResolveOnAnRPMDatabase(t *testing.T) {
	const install = "docker-ce, docker-ce-cli"
	w := newRealWorld(t, ofDocker, others)
	dump, err := w.resolve(t, onCentOS(dockerEntry+", "+centosEntry, install))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/knqyf263/go-rpmdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "base/Packages", readFile(t, filepath.Join(strings.TrimSpace(string(dir)), "pkg/testdata/centos7-plain/Packages")))
	database, err := w.resolve(t, strings.Replace(onCentOS(dockerEntry+", "+centosEntry, install), "centos-7.5.rpmqa.gz", "Packages", 1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dump.Rows, database.Rows); diff != "" || len(dump.Rows) != 30 {
		t.Errorf("got %d rows of the dump, and of the database:\n%s", len(dump.Rows), diff)
	}
	w.write(t, "base/Packages", readFile(t, filepath.Join(strings.TrimSpace(string(dir)), "pkg/testdata/centos7-plain/Packages"))[:8192])
	_, err = w.resolve(t, strings.Replace(onCentOS(centosEntry, "bash"), "centos-7.5.rpmqa.gz", "Packages", 1))
	var bad *manifest.Error
	if !errors.As(err, &bad) || bad.Field != "artifacts.rpms.base" {
		t.Errorf("a database that was cut off: got %v, want a manifest error", err)
	}
}

// TestResolveCarriesWhatIsNamed: who asks for a package that another one has replaced gets that one, but only where the old one
// is offered, too; so the bundle has to offer it.
func TestResolveCarriesWhatIsNamed(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := faulttest.BuildRepo(dir, nil, faulttest.RPMSpec{Name: "docker-engine"}, faulttest.RPMSpec{Name: "unwanted"},
		faulttest.RPMSpec{Name: "docker-next", Obsoletes: []string{"docker-engine"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.PutFolder("https://rpms.example/", dir); err != nil {
		t.Fatal(err)
	}
	res, err := w.resolve(t, rpms("{id: loose, baseurl: https://rpms.example/, gpgcheck: false}", "docker-engine"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.Rows {
		got = append(got, r.Name)
	}
	if want := []string{"docker-engine-1.0-1.noarch", "docker-next-1.0-1.noarch"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
