package provision_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// trees is a cloud whose hosts are folders: commands run in them for real, under chroot, with this machine's programs, of
// which they find just those that recipes may use, and with stand-ins for yum 3.4, rpm and systemctl. It needs root.
type trees struct {
	t      *testing.T
	bundle *bundle.Bundle
	files  *httptest.Server
	root   string // the one host
	holder int    // process whose mount namespace has this machine's programs in root
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
		c.hold()
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
	c.write("var/lib/systemd/random-seed", "secret", 0o600)
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

func (c *trees) Discard(context.Context, string, []string) error { return nil }

func (c *trees) Intend(context.Context, provision.Base, manifest.Image, provision.Capture) (provision.Intent, error) {
	return provision.Intent{}, nil
}

func (c *trees) URL(_ context.Context, path string) (string, error) {
	return c.files.URL + "/" + path + "?Signature=x%2By", nil
}

func (c *trees) Server(context.Context) (provision.FileServer, error) {
	addr, err := netip.ParseAddrPort(strings.TrimPrefix(c.files.URL, "http://"))
	return provision.FileServer{URL: c.files.URL + "/files", Allow: addr}, err
}

func (c *trees) Open(path string) (io.ReadCloser, error) { return c.bundle.Open(path) }

type treeHost struct {
	c    *trees
	name string
}

func (h treeHost) Name() string { return h.name }

// hold starts the process that holds the mounts; with it they end, whatever becomes of the test.
func (c *trees) hold() {
	const mounts = `mount --bind /usr "$1/host/usr" && mount -o remount,bind,ro "$1/host/usr" &&
		mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" && echo ready && exec cat`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", mounts, "hold", c.root)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		stdin.Close() // ends cat
		if err := cmd.Wait(); err != nil {
			c.t.Errorf("the holder of the mounts: %v", err)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		c.t.Fatalf("mounting into the tree: got %q, %v", line, err)
	}
	c.holder = cmd.Process.Pid
}

// Run runs the command in the tree, and when it is sealed in a network namespace without any interface.
func (h treeHost) Run(ctx context.Context, c provision.Command) error {
	args := []string{fmt.Sprintf("--mount=/proc/%d/ns/mnt", h.c.holder)}
	if c.Sealed {
		args = append(args, "unshare", "--net")
	}
	args = append(args, "chroot", h.c.root)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, c.Argv...)...)
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
