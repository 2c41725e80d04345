package provision_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/imagetest"
)

// trees is a cloud whose hosts are folders: commands run in them for real, under chroot, with this machine's programs, of
// which they find just those that recipes may use, and with stand-ins for yum 3.4, rpm and systemctl. It needs root.
type trees struct {
	t      *testing.T
	bundle *bundle.Bundle
	files  *httptest.Server
	root   string // the one host
	base   func(root string)
	made   func(root string, c provision.Capture)
}

// allowed are all programs of the host that recipes, checks and steps may use beside yum, rpm, systemctl and docker. unzip
// and wget are not among them.
func allowed() []string {
	return strings.Fields(`sh awk basename cat chmod chown cp curl cut find getent grep groupadd id ln ls mkdir mktemp mv od
		readlink rm rmdir sed sha256sum sleep tail touch tr useradd usermod`)
}

func newTrees(t *testing.T, b *bundle.Bundle) *trees {
	c := &trees{t: t, bundle: b, root: filepath.Join(t.TempDir(), "root")}
	c.files = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := b.Open(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || r.URL.Query().Get("Signature") != "x+y" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		defer f.Close()
		io.Copy(w, f)
	}))
	t.Cleanup(c.files.Close)
	return c
}

func (c *trees) Base(context.Context, manifest.Image) (provision.Base, error) {
	return provision.Base{ID: "tree"}, nil
}

func (c *trees) Find(context.Context, manifest.Image, string) (provision.Made, bool, error) {
	return provision.Made{}, false, nil
}

func (c *trees) Create(_ context.Context, name string, _ provision.Base, _ manifest.Image) (provision.Host, error) {
	if _, err := os.Stat(c.root); errors.Is(err, os.ErrNotExist) {
		c.makeRoot()
	}
	return treeHost{c, name}, nil
}

// write makes a file of the tree.
func (c *trees) write(path, content string, mode os.FileMode) {
	c.t.Helper()
	path = filepath.Join(c.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trees) read(path string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.root, path))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// Files of the base that must come back as they were.
const (
	baseRepo = "[base]\nname=Outside\nbaseurl=http://192.0.2.80/\ngpgcheck=1\n"
	yumConf  = "# no newline at the end\n[main]\ngpgcheck=0\nlocalpkg_gpgcheck=0\nreposdir=/etc/else\n  /etc/other\n[inline]\nbaseurl=http://192.0.2.81/"
)

func (c *trees) makeRoot() {
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/local/bin", "host/usr", "dev", "proc", "tmp", "opt", "root"} {
		if err := os.MkdirAll(filepath.Join(c.root, dir), 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(c.root, name)); err != nil {
			c.t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
		"usr/lib": "/host/usr/lib", "usr/lib64": "/host/usr/lib64"} {
		link(to, name)
	}
	for _, tool := range allowed() {
		path, err := exec.LookPath(tool)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		link("/host"+path, "usr/bin/"+tool)
	}
	stubs, err := filepath.Glob("testdata/stubs/*")
	if err != nil || len(stubs) == 0 {
		c.t.Fatalf("found %d stand-ins, %v", len(stubs), err)
	}
	for _, stub := range stubs {
		data, err := os.ReadFile(stub)
		if err != nil {
			c.t.Fatal(err)
		}
		c.write("usr/bin/"+filepath.Base(stub), string(data), 0o755)
	}
	c.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n", 0o644)
	c.write("etc/group", "root:x:0:\n", 0o644)
	c.write("etc/shadow", "root:*:19000:0:99999:7:::\n", 0o600)
	c.write("etc/gshadow", "root:*::\n", 0o600)
	c.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
	c.write("etc/ssh/ssh_host_ed25519_key", "secret", 0o600)
	c.write("etc/ssh/ssh_host_ed25519_key.pub", "public", 0o644)
	c.write("etc/ssh/sshd_config", "kept", 0o600)
	c.write("etc/yum.conf", yumConf, 0o640)
	c.write("etc/yum.repos.d/CentOS-Base.repo", baseRepo, 0o600)
	c.write("etc/yum.repos.d/.hidden", "too", 0o644)
	c.write("etc/yum/pluginconf.d/fastestmirror.conf", "[main]\nenabled=1\nverbose=0\n", 0o644)
	c.write("etc/systemd/system/keep.service", "", 0o644)
	c.write("root/.bashrc", "# .bashrc", 0o644) // without a newline at its end
	c.write("root/.bash_history", "secret", 0o600)
	c.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA offbake\n", 0o600)
	c.write("var/log/messages", "a log", 0o640)
	c.write("var/log/journal/0123/system.journal", "a journal", 0o640)
	c.write("var/cache/yum/x86_64/cached", "cached", 0o644)
	c.write("stub/offers", "device-mapper-persistent-data\nlvm2\nwget\nunzip\nvim\ndocker-ce\ndocker-ce-cli\n", 0o644)
	c.write("stub/installed", "sed\nyum-utils\naudit-libs\n", 0o644)
	if c.base != nil {
		c.base(c.root)
	}
}

func (c *trees) Capture(_ context.Context, _ provision.Host, capture provision.Capture) (provision.Made, error) {
	c.made(c.root, capture)
	return provision.Made{Path: c.root}, nil
}

// Terminate leaves the tree for the test to look at.
func (c *trees) Terminate(context.Context, string) error { return nil }

func (c *trees) URL(_ context.Context, path string) (string, error) {
	return c.files.URL + "/" + path + "?Signature=x%2By", nil
}

func (c *trees) Server(context.Context) (string, netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(strings.TrimPrefix(c.files.URL, "http://"))
	return c.files.URL + "/files", addr, err
}

func (c *trees) Open(path string) (io.ReadCloser, error) { return c.bundle.Open(path) }

type treeHost struct {
	c    *trees
	name string
}

func (h treeHost) Name() string { return h.name }

// Run gives the command a mount namespace of its own, so that nothing stays mounted, and when sealed one without any
// network.
func (h treeHost) Run(ctx context.Context, c provision.Command) error {
	const enter = `mount --rbind /usr "$1/host/usr" && mount -o remount,bind,ro "$1/host/usr" &&
		mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" && exec chroot "$@"`
	args := []string{"--mount", "--propagation", "private"}
	if c.Sealed {
		args = append(args, "--net")
	}
	args = append(args, "/bin/sh", "-c", enter, "enter", h.c.root)
	cmd := exec.CommandContext(ctx, "unshare", append(args, c.Argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &provision.ExitError{Code: exit.ExitCode()}
	}
	return err
}

func (h treeHost) Seal(context.Context, netip.AddrPort) error { return nil }

func (h treeHost) Background(context.Context) ([]provision.Attempt, error) { return nil, nil }

func (h treeHost) Close() error { return nil }

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
		fault, file, content, step, want string
	}{
		{"another version", "files/consul_1.6.1_linux_amd64", "#!/bin/sh\necho Consul v1.6.0\n", `checking "consul"`, "want v1.6.1"},
		{"configuration refused", "files/consul_1.6.1_linux_amd64", `#!/bin/sh
case $1 in
version) echo Consul v1.6.1 ;;
validate) [ "${2##*/}" = least.hcl ] || { echo "bad $(grep -c dc1 "$2")" >&2; exit 1; } ;;
esac
`, `checking "consul"`, "bad 1"},
		{"no program", "files/nomad_0.9.4_linux_amd64", "\x7fELF", `checking "nomad"`, ""},
		{"plugin for another machine", "files/terraform-provider-null_v2.1.2_x4", "\x7fELF" + strings.Repeat("\x02", 60),
			`checking "terraform-plugins"`, "for another machine"},
		{"plugin that is no program", "files/terraform-provider-null_v2.1.2_x4", "<html>", `checking "terraform-plugins"`, "not a program"},
		{"package that yum passes over", "rpms/repodata/abc-primary.xml.gz", zipped(primaryXML("wget", "lvm2", "unzip", "vim", "docker-ce",
			"docker-ce-cli", "device-mapper-persistent-data")), `running recipe "yum"`, "package wget: not installed"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			files := clusterFiles()
			files[tt.file] = tt.content
			c := newTrees(t, newBundle(t, files))
			if strings.HasPrefix(tt.file, "rpms/") {
				c.base = func(string) { c.write("stub/offers", "lvm2\ndevice-mapper-persistent-data\n", 0o644) }
			}
			err := c.bakeTree(t, nomadClient(), provision.ByStore)
			var step *provision.StepError
			if !errors.As(err, &step) || step.Step != tt.step || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s to fail with %q", err, tt.step, tt.want)
			}
		})
	}
}
