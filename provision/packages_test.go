package provision_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// offer makes headers of packages that require nothing.
func offer(names ...string) []rpm.Header {
	out := make([]rpm.Header, len(names))
	for i, name := range names {
		evr := rpm.EVR{Version: "2.0", Release: "1"}
		out[i] = rpm.Header{Name: name, EVR: evr, Arch: "noarch", Provides: []rpm.Dep{{Name: name, EVR: &evr, Flags: rpm.Equal}}}
	}
	return out
}

// repository is the metadata of a bundle's repository of these packages, by path in the bundle.
func repository(packages ...rpm.Header) map[string]string {
	var files []rpm.RepoFile
	for _, h := range packages {
		files = append(files, rpm.RepoFile{Header: &h, Href: "Packages/" + h.NEVRA() + ".rpm", Size: 1, SHA256: digest(h.NEVRA())})
	}
	written, err := rpm.WriteRepo(files)
	if err != nil {
		panic(err)
	}
	out := map[string]string{}
	for path, data := range written {
		out["rpms/"+path] = string(data)
	}
	return out
}

// without is the files but for those of the repository, and with another one.
func without(files map[string]string, packages ...rpm.Header) map[string]string {
	out := repository(packages...)
	for path, content := range files {
		if !strings.HasPrefix(path, "rpms/repodata/") {
			out[path] = content
		}
	}
	return out
}

func requires(h rpm.Header, name, version string) rpm.Header {
	evr := rpm.ParseEVR(version)
	h.Requires = append(h.Requires, rpm.Dep{Name: name, EVR: &evr, Flags: rpm.Greater | rpm.Equal})
	return h
}

// untouched says that a bake asked the host what is installed, and nothing else.
func (f *fake) untouched(t *testing.T) {
	t.Helper()
	runs := 0
	for _, call := range f.calls {
		switch call, _, _ := strings.Cut(call, " "); call {
		case "run":
			runs++
		case "seal", "capture", "url", "open":
			t.Errorf("got a call of %s", call)
		}
	}
	if runs != 1 || !strings.Contains(f.seen.String(), `"rpm" "-qa"`) {
		t.Errorf("the host was changed, by %d commands:\n%s", runs, f.seen.String())
	}
	f.checkNothingLeft(t)
}

func TestBakeFindsMissingPackagesBeforeAnyChange(t *testing.T) {
	f := newFake(t, newBundle(t, without(clusterFiles(), offer("wget", "unzip", "vim")...)))
	f.listing = "P|sed|0|4.2|1|x86_64\np|sed||\nP|lvm2|7|2.0|1|x86_64\np|lvm2||\np|lvm2(x86-64)||\n"
	_, err := provision.Bake(t.Context(), f.request(consulServer()))
	var missing *provision.PackageError
	if !errors.As(err, &missing) || provision.IsPlanError(err) {
		t.Fatalf("got %v, want a *PackageError", err)
	}
	want := `baking "consul-server": comparing its packages with the bundle: neither the host nor the bundle has ` +
		`yum-utils (recipe yum), device-mapper-persistent-data (recipe yum)`
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	f.untouched(t)
}

const lockstep = "P|audit-libs|0|1.0|1|noarch\np|audit-libs|=|1.0-1\nP|audit-libs-devel|0|1.0|1|noarch\n" +
	"p|audit-libs-devel|=|1.0-1\nr|audit-libs|=|1.0-1\n"

// dockerNeedsNewAudit is a cluster whose docker-ce needs a newer audit-libs than the host has.
func dockerNeedsNewAudit() map[string]string {
	packages := offer("yum-utils", "device-mapper-persistent-data", "lvm2", "wget", "sed", "unzip", "vim", "docker-ce", "docker-ce-cli",
		"audit-libs")
	packages[7] = requires(packages[7], "audit-libs", "2")
	return without(clusterFiles(), packages...)
}

func TestBakeRefusesTheWrongBaseBeforeAnyChange(t *testing.T) {
	want := []string{"comparing its packages with the bundle: ", "installed audit-libs-devel-1.0-1.noarch requires audit-libs = 1.0-1, ",
		"but audit-libs-2.0-1.noarch (for docker-ce, asked for) would replace installed audit-libs-1.0-1.noarch; no other audit-libs-devel is offered"}
	script := func(text string) manifest.Image {
		img := withScript(image("plain"))
		img.Check = []string{text} // tells the images' inputs apart
		return img
	}
	for name, tt := range map[string]struct {
		image  manifest.Image
		script string
		good   bool
	}{
		"a recipe":                   {image: nomadClient()},
		"a script":                   {image: script("1"), script: "#!/bin/bash\nset -ex\nyum install -y wget docker-ce\n"},
		"a script, by the file":      {image: script("2"), script: "yum makecache && yum -y \\\n  install \"${DOCKER_RPM}\" ${DOCKER_CLI_RPM}\n"},
		"an image that does without": {image: nomadServer(), good: true},
		"a script that does without": {image: script("3"), script: "yum install -y wget # docker-ce\n# yum install docker-ce\npip install docker-ce\n", good: true},
	} {
		files := dockerNeedsNewAudit()
		if tt.script != "" {
			files["scripts/motd.sh"] = tt.script
		}
		f := newFake(t, newBundle(t, files))
		f.listing = lockstep
		_, err := provision.Bake(t.Context(), f.request(tt.image))
		if tt.good {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var refused *provision.PackageError
		if !errors.As(err, &refused) || len(refused.Missing) != 0 {
			t.Errorf("%s: got %v, want a *PackageError", name, err)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got  %v\nwant %s", name, err, part)
			}
		}
		f.untouched(t)
	}
}

// TestBakeTellsAllThatIsWrongWithTheBase has something missing, something in the way and an upgrade that cannot be made.
func TestBakeTellsAllThatIsWrongWithTheBase(t *testing.T) {
	files := without(dockerNeedsNewAudit(), append(offer("yum-utils", "lvm2", "wget", "sed", "unzip", "vim", "docker-ce-cli"),
		requires(offer("docker-ce")[0], "containerd.io", "1.2"), requires(offer("openssl")[0], "libc", "9"))...)
	f := newFake(t, newBundle(t, files))
	f.listing = lockstep + "P|openssl|1|1.0|1|x86_64\np|openssl||\nP|libc|0|8|1|x86_64\np|libc|=|8-1\n"
	r := f.request(nomadClient())
	r.Upgrade = []string{"openssl", "absent"}
	_, err := provision.Bake(t.Context(), r)
	f.untouched(t)
	if err == nil {
		t.Fatal("got no error")
	}
	// An epoch is newer than none, so there is nothing to upgrade to.
	want := []string{"neither the host nor the bundle has device-mapper-persistent-data (recipe yum)",
		"nothing provides containerd.io >= 1.2 needed by docker-ce-2.0-1.noarch (asked for)"}
	_, list, _ := strings.Cut(err.Error(), "with the bundle: ")
	if diff := cmp.Diff(want, strings.Split(list, "; ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	f = newFake(t, newBundle(t, files))
	f.listing = lockstep + "P|openssl|0|1.0|1|noarch\np|openssl||\nP|libc|0|8|1|x86_64\np|libc|=|8-1\n"
	r = f.request(image("plain", "yum"))
	r.Upgrade = []string{"openssl", "absent"}
	_, err = provision.Bake(t.Context(), r)
	f.untouched(t)
	if want := "nothing provides libc >= 9 needed by openssl-2.0-1.noarch (asked for); there is only installed libc-8-1.x86_64"; err == nil ||
		!strings.HasSuffix(err.Error(), "; "+want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBakeWarnsOfWhatScriptsWillMiss(t *testing.T) {
	files := clusterFiles()
	files["scripts/motd.sh"] = "#!/bin/bash\nsudo yum install -y epel-release wget filesystem /tmp/x.rpm $EXTRA --enablerepo=x >/dev/null 2>&1 || true\n"
	f := newFake(t, newBundle(t, files))
	var out bytes.Buffer
	r := f.request(withScript(consulServer()))
	r.Progress = progress.New(&out, progress.Options{})
	if _, err := provision.Bake(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Progress.Close()
	want := "warning: consul-server: script \"scripts/motd.sh\" installs \"epel-release\", which neither the host nor the bundle has\n"
	if got := out.String(); strings.Count(got, "warning:") != 1 || !strings.Contains(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBakeNeedsAnRPMDatabase(t *testing.T) {
	for _, tt := range []struct{ name, listing, want string }{
		{"empty", "", "the host has no rpm database, or an empty one: without it nothing tells what can be installed there"},
		{"nonsense", "bash-5\n", `reading installed packages: line 1: got "bash-5", want P, p, r, c, o or f and a bar`},
	} {
		f := newFake(t, newBundle(t, clusterFiles()))
		f.listing = tt.listing
		_, err := provision.Bake(t.Context(), f.request(consulServer()))
		if err == nil || !strings.HasSuffix(err.Error(), "comparing its packages with the bundle: "+tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
		f.untouched(t)
	}
	// An image without packages needs none.
	f := newFake(t, newBundle(t, clusterFiles()))
	f.listing = ""
	if _, err := provision.Bake(t.Context(), f.request(withScript(image("plain")))); err != nil {
		t.Error(err)
	}
}

func TestBakeNeedsRPM(t *testing.T) {
	c := newTrees(t, newBundle(t, clusterFiles()))
	c.base = func(root string) { c.write("usr/bin/rpm", "", 0o644) }
	err := c.bakeTree(t, consulServer(), provision.ByStore)
	const want = `baking "consul-server": comparing its packages with the bundle: the host has no rpm: packages can only be ` +
		`installed where there are rpm and yum or dnf`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := c.read("etc/yum.conf"); got != yumConf {
		t.Errorf("the host was changed: %q", got)
	}
}

func TestBakeRefusesABrokenRepository(t *testing.T) {
	files := clusterFiles()
	for path := range files {
		if strings.HasSuffix(path, "-primary.xml.gz") {
			files[path] = "x"
		}
	}
	f := newFake(t, newBundle(t, files))
	_, err := provision.Bake(t.Context(), f.request(consulServer()))
	var mismatch *rpm.MismatchError
	if !errors.As(err, &mismatch) || !strings.HasPrefix(err.Error(), "reading the packages of the bundle: ") {
		t.Errorf("got %v, want a *rpm.MismatchError", err)
	}
	if len(f.calls) > 0 {
		t.Errorf("got calls %v before that", f.calls)
	}
}
