package provision_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/imagetest"
)

// bakeTree bakes one image and compares the tree with its golden.
func (c *trees) bakeTree(t *testing.T, img manifest.Image, transfer provision.Transfer) error {
	t.Helper()
	captured := false
	c.made = func(root string, _ provision.Capture) {
		captured = true
		want := imagetest.Want{Variables: img.Variables, Bundle: func(path string) ([]byte, error) { return c.bundle.ReadFile(path, 1<<20) }}
		imagetest.Check(t, root, img.Name, want)
	}
	_, err := provision.Bake(t.Context(), provision.Request{Bundle: c.bundle, Images: []manifest.Image{img}, Cloud: c, Files: c,
		Offline: true, Transfer: transfer, Journal: t.TempDir(), Upgrade: []string{"audit-libs", "absent-libs"}})
	if err == nil && !captured {
		t.Error("nothing was captured")
	}
	return err
}

func TestImagesAreWhatUsersRelyOn(t *testing.T) {
	b := newBundle(t, clusterFiles())
	for _, tt := range []struct {
		image    manifest.Image
		transfer provision.Transfer
	}{
		{consulServer(), provision.ByStore}, {nomadServer(), provision.BySSH}, {nomadClient(), provision.ByStore},
	} {
		t.Run(tt.image.Name, func(t *testing.T) {
			t.Parallel()
			c := newTrees(t, b)
			img := withScript(tt.image)
			if err := c.bakeTree(t, img, tt.transfer); err != nil {
				t.Fatal(err)
			}
			c.checkBase(t)
			before := snapshot(t, c.root)
			// The same over the finished image: recipes are idempotent.
			if err := c.bakeTree(t, img, tt.transfer); err != nil {
				t.Fatalf("once more: %v", err)
			}
			if diff := cmp.Diff(before, snapshot(t, c.root)); diff != "" {
				t.Errorf("baked over itself (-first +second):\n%s", diff)
			}
			if got, want := c.read("etc/motd"), img.Variables["greeting"]+c.files.URL+"/files"; got != want {
				t.Errorf("the user's script saw %q, want %q", got, want)
			}
			if got, want := c.read("stub/upgraded"), "upgrade audit-libs\nupgrade audit-libs\n"; got != want {
				t.Errorf("got upgrades %q, want %q", got, want)
			}
		})
	}
}

// checkBase looks at what was there before and must be so again.
func (c *trees) checkBase(t *testing.T) {
	t.Helper()
	for path, want := range map[string]string{
		"etc/yum.repos.d/CentOS-Base.repo":        baseRepo,
		"etc/yum.repos.d/.hidden":                 "too",
		"etc/yum.conf":                            yumConf,
		"etc/yum/pluginconf.d/fastestmirror.conf": "[main]\nenabled=0\nverbose=0\n",
		"etc/ssh/sshd_config":                     "kept",
		"var/log/messages":                        "",
	} {
		if got := c.read(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]os.FileMode{"etc/yum.repos.d/CentOS-Base.repo": 0o600, "etc/yum.conf": 0o640} {
		if info, err := os.Stat(filepath.Join(c.root, path)); err != nil || info.Mode() != want {
			t.Errorf("%s: got mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	for _, path := range []string{"var/log/journal/0123", "stub/keys.tmp"} {
		if _, err := os.Stat(filepath.Join(c.root, path)); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if !strings.Contains(c.read("etc/offbake-release"), `"bundle":"`+c.bundle.Identity()+`"`) {
		t.Errorf("/etc/offbake-release: got %s", c.read("etc/offbake-release"))
	}
}

// snapshot is the tree as text by path, without what only the stand-ins write.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, root)
		if rel == "/stub" || rel == "/host" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[rel] = info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			out[rel] += " " + digest(string(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatScriptsChangeStays(t *testing.T) {
	files := clusterFiles()
	files["scripts/motd.sh"] = `#!/bin/sh
set -eu
echo '[added]' >/etc/yum.repos.d/added.repo
echo '[mine]' >/etc/yum.repos.d/CentOS-Base.repo
echo 'exclude=kernel*' >>/etc/yum.conf
mkdir -p /root/.ssh && echo 'ssh-ed25519 BBBB user' >>/root/.ssh/authorized_keys
touch /etc/motd
`
	c := newTrees(t, newBundle(t, files))
	c.made = func(string, provision.Capture) {}
	_, err := provision.Bake(t.Context(), provision.Request{Bundle: c.bundle, Images: []manifest.Image{withScript(image("plain"))},
		Cloud: c, Files: c, Offline: true, Journal: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"etc/yum.repos.d/added.repo":       "[added]\n",
		"etc/yum.repos.d/CentOS-Base.repo": "[mine]\n",
		"etc/yum.conf":                     yumConf + "\nexclude=kernel*\n",
		"root/.ssh/authorized_keys":        "ssh-ed25519 BBBB user\n",
	} {
		if got := c.read(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// TestNoKeyOfTheBuildersStays: cloud-init gives its user key to the base's own user too, and keeps what it was told.
func TestNoKeyOfTheBuildersStays(t *testing.T) {
	c := newTrees(t, newBundle(t, clusterFiles()))
	c.base = func(string) {
		c.write("home/ubuntu/.ssh/authorized_keys", "ssh-ed25519 AAAA offbake\n", 0o600)
		c.write("home/core/.ssh/authorized_keys", "ssh-ed25519 AAAA offbake\nssh-ed25519 BBBB core\n", 0o600)
		c.write("var/lib/cloud/instances/uhost-1/user-data.txt", "a private key", 0o600)
		c.write("var/lib/cloud/seed/nocloud/meta-data", "kept", 0o600)
	}
	c.made = func(string, provision.Capture) {}
	_, err := provision.Bake(t.Context(), provision.Request{Bundle: c.bundle, Images: []manifest.Image{image("plain")},
		Cloud: c, Files: c, Offline: true, Journal: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"root/.ssh/authorized_keys", "home/ubuntu/.ssh/authorized_keys", "var/lib/cloud/instances"} {
		if _, err := os.Stat(filepath.Join(c.root, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want it gone", path, err)
		}
	}
	for path, want := range map[string]string{"home/core/.ssh/authorized_keys": "ssh-ed25519 BBBB core\n",
		"var/lib/cloud/seed/nocloud/meta-data": "kept"} {
		if got := c.read(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestAHostWithoutAConfigurationHasNoneAfterwards(t *testing.T) {
	c := newTrees(t, newBundle(t, clusterFiles()))
	c.base = func(root string) {
		if err := errors.Join(os.Remove(filepath.Join(root, "etc/yum.conf")), os.RemoveAll(filepath.Join(root, "etc/yum.repos.d"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.bakeTree(t, nomadClient(), provision.ByStore); err != nil { // it installs from a file, checked
		t.Fatal(err)
	}
	for _, path := range []string{"etc/yum.conf", "etc/yum.repos.d"} {
		if _, err := os.Stat(filepath.Join(c.root, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want it gone", path, err)
		}
	}
}

func TestOnlineTheUsersRepositoryServes(t *testing.T) {
	files := clusterFiles()
	files["files/mirror.repo"] = "[mirror]\nbaseurl=http://mirror.example/\n"
	c := newTrees(t, newBundle(t, files))
	c.base = func(string) { c.write("stub/online", "", 0o644) }
	c.made = func(string, provision.Capture) {}
	img := image("plain", "yum")
	img.Variables["yum_base"] = c.files.URL + "/files/mirror.repo?Signature=x%2By"
	_, err := provision.Bake(t.Context(), provision.Request{Bundle: c.bundle, Images: []manifest.Image{img}, Cloud: c, Files: c,
		Journal: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.read("etc/yum.repos.d/CentOS-Base.repo"); got != files["files/mirror.repo"] {
		t.Errorf("got base repository %q, want what yum_base names", got)
	}
	if got, want := c.read("stub/log"), "yum makecache\nyum upgrade -y\nyum install -y device-mapper-persistent-data lvm2 wget\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

func TestHostsRefuseWhatIsNotInTheIndex(t *testing.T) {
	b := newBundle(t, clusterFiles())
	c := newTrees(t, b)
	c.files.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other bytes") })
	c.base = func(root string) { // tries follow each other at once
		if err := os.Remove(filepath.Join(root, "usr/bin/sleep")); err != nil {
			t.Fatal(err)
		}
		c.write("usr/bin/sleep", "#!/bin/sh\n", 0o755)
	}
	err := c.bakeTree(t, consulServer(), provision.ByStore)
	var step *provision.StepError
	if !errors.As(err, &step) || step.Step != "staging files" || len(step.Tail) == 0 {
		t.Fatalf("got %v, want the staging to fail", err)
	}
	if last := step.Tail[len(step.Tail)-1]; !strings.Contains(last, "got sha256 "+digest("other bytes")+", want "+digest(clusterFiles()["files/consul_1.6.1_linux_amd64"])) {
		t.Errorf("got %q, want both digests", last)
	}
}

func TestImagesFailWhereTheirProgramsDo(t *testing.T) {
	for _, tt := range []struct {
		fault, recipes, file, content, step, want string
	}{
		{"another version", "consul", "files/consul_1.6.1_linux_amd64", "#!/bin/sh\necho Consul v1.6.0\n", `checking "consul"`, "want v1.6.1"},
		{"configuration refused", "consul consul-server", "files/consul_1.6.1_linux_amd64", `#!/bin/sh
case $1 in
version) echo Consul v1.6.1 ;;
validate) [ "${2##*/}" = least.hcl ] || { echo "bad $(grep -c dc1 "$2")" >&2; exit 1; } ;;
esac
`, `checking "consul"`, "bad 1"},
		{"no program", "nomad", "files/nomad_0.9.4_linux_amd64", "\x7fELF", `checking "nomad"`, ""},
		{"plugin for another machine", "terraform-plugins", "files/terraform-provider-null_v2.1.2_x4", "\x7fELF" + strings.Repeat("\x02", 60),
			`checking "terraform-plugins"`, "for another machine"},
		{"plugin that is no program", "terraform-plugins", "files/terraform-provider-null_v2.1.2_x4", "<html>", `checking "terraform-plugins"`, "not a program"},
		{"package that yum passes over", "yum", "", "", `running recipe "yum"`, "package wget: not installed"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			files := clusterFiles()
			if tt.file != "" {
				files[tt.file] = tt.content
			}
			c := newTrees(t, newBundle(t, files))
			if tt.file == "" {
				c.base = func(string) { c.write("stub/offers", "lvm2\ndevice-mapper-persistent-data\n", 0o644) }
			}
			err := c.bakeTree(t, image("plain", strings.Fields(tt.recipes)...), provision.ByStore)
			var step *provision.StepError
			if !errors.As(err, &step) || step.Step != tt.step || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s to fail with %q", err, tt.step, tt.want)
			}
		})
	}
}
