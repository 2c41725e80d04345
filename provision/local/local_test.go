package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/guest"
	"github.com/offbake/offbake/provision/local"
)

func rootfs(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func newCloud(t testing.TB, c local.Config) *local.Cloud {
	t.Helper()
	c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s\n", r.URL.Path) })
	b, err := local.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func name(s string) string { return fmt.Sprintf("test-%d-%s", os.Getpid(), s) }

func create(t testing.TB, b *local.Cloud, name string) provision.Host {
	t.Helper()
	base, err := b.Base(context.Background(), manifest.Image{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := b.Create(context.Background(), name, base, manifest.Image{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.Close(), b.Terminate(context.Background(), name)); err != nil {
			t.Error(err)
		}
	})
	return h
}

func run(h provision.Host, sealed bool, script string) (string, error) {
	var out bytes.Buffer
	err := h.Run(context.Background(), provision.Command{
		Argv: []string{"bash", "-c", script}, Stdout: &out, Stderr: &out, Sealed: sealed,
	})
	return out.String(), err
}

// TestImage makes an image of a host and a host of that image.
func TestImage(t *testing.T) {
	ctx := context.Background()
	out, work := filepath.Join(t.TempDir(), "images"), t.TempDir()
	b := newCloud(t, local.Config{Base: rootfs(t), Out: out, Work: work})
	h := create(t, b, name("first"))
	t.Run("host", func(t *testing.T) { testHost(t, h) })
	if _, err := run(h, true, `mkdir -p /srv/made && chown 12:34 /srv/made && chmod 2750 /srv/made && echo made >/srv/made/file &&
		rm /etc/motd && python3 -c 'import os; os.setxattr("/srv/made/file", "security.capability", bytes([1, 0, 0, 2, 0, 32] + 14 * [0]))'`); err != nil {
		t.Fatal(err)
	}
	img := manifest.Image{ImageName: "thing-1.0"}
	made := provision.Made{Path: filepath.Join(out, "thing-1.0.rootfs.tar.zst")}
	t.Run("failures", func(t *testing.T) { testCaptureFails(t, b, h, out) })
	c := provision.Capture{Name: img.ImageName, Key: "abc123", Description: "offbake abc123", Trial: `set -eu
		grep -qx made /srv/made/file
		test -d /data
		systemctl is-system-running
		ip -o addr show dev eth0 | grep -q 10.213.0.2
		echo only in the trial >/srv/made/trial`}
	got, err := b.Capture(ctx, h, c)
	if err != nil || !cmp.Equal(got, made) {
		t.Fatalf("got %+v, %v, want %+v", got, err, made)
	}
	t.Run("record", func(t *testing.T) { testRecord(t, b, made, img) })
	if err := b.Terminate(ctx, h.Name()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(work, "hosts")); err != nil || len(left) != 0 {
		t.Errorf("hosts after Terminate: got %v, %v, want none", left, err)
	}
	t.Run("bake of a bake", func(t *testing.T) {
		next := create(t, newCloud(t, local.Config{Base: made.Path, Out: out, Work: work}), name("second"))
		got, err := run(next, false, `stat -c '%a %u:%g %n' /srv/made; cat /srv/made/file; ls /etc/motd /srv/made/trial 2>/dev/null
			python3 -c 'import os; print(os.getxattr("/srv/made/file", "security.capability")[5])'; systemctl is-system-running`)
		if want := "2750 12:34 /srv/made\nmade\n32\nrunning\n"; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

func testHost(t *testing.T, h provision.Host) {
	ctx := context.Background()
	if err := h.Seal(ctx, netip.MustParseAddrPort("192.0.2.1:80")); err == nil {
		t.Error("sealed to an address that no guest reaches: got nil, want an error")
	}
	server, err := local.Files{}.Server(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Seal(ctx, server.Allow); err != nil {
		t.Fatal(err)
	}
	if got, err := run(h, true, "curl -sf "+server.URL+"/x"); err != nil || got != "/files/x\n" {
		t.Errorf("file server: got %q, %v", got, err)
	}
	_, err = run(h, true, "exit 9")
	var exit *provision.ExitError
	if !errors.As(err, &exit) || exit.Code != 9 {
		t.Errorf("got %v, want exit status 9", err)
	}
	want := []provision.Attempt{{Address: "192.0.2.53", Port: 53, Proto: "udp", Name: "mirror.example"}}
	_, err = run(h, true, "yum -y makecache")
	var egress *provision.EgressError
	if !errors.As(err, &egress) || !cmp.Equal(egress.Attempts, want) || egress.Script != "" {
		t.Errorf("yum that asks the outside: got %v, want attempts %v", err, want)
	}
	if got, err := h.Background(ctx); err != nil || len(got) != 0 {
		t.Errorf("background: got %v, %v, want none", got, err)
	}
	if _, err := run(h, false, "echo x >/dev/udp/192.0.2.9/514"); err != nil {
		t.Error(err)
	}
	want = []provision.Attempt{{Address: "192.0.2.9", Port: 514, Proto: "udp"}}
	if got, err := h.Background(ctx); err != nil || !cmp.Equal(got, want) {
		t.Errorf("background: got %v, %v, want %v", got, err, want)
	}
}

// testCaptureFails leaves the host stopped.
func testCaptureFails(t *testing.T, b *local.Cloud, h provision.Host, out string) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		c    provision.Capture
		want string // part of the error
	}{
		{"name that is a path", context.Background(), provision.Capture{Name: "../x"}, "naming image"},
		{"trial that fails", context.Background(),
			provision.Capture{Name: "thing-1.0", Key: "k", Trial: "echo unit is broken; echo; exit 3"}, `exit status 3: "unit is broken"`},
		{"trial that needs the outside", context.Background(),
			provision.Capture{Name: "thing-1.0", Key: "k", Trial: "curl -sf -m 1 http://10.213.0.1/"}, "exit status"},
		{"cancelled", cancelled, provision.Capture{Name: "thing-1.0", Key: "k"}, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			made, err := b.Capture(tt.ctx, h, tt.c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !cmp.Equal(made, provision.Made{}) {
				t.Errorf("got %+v, %v, want an error with %q", made, err, tt.want)
			}
			if left, _ := os.ReadDir(out); len(left) != 0 {
				t.Errorf("left in the folder for images: %v", left)
			}
		})
	}
}

func testRecord(t *testing.T, b *local.Cloud, made provision.Made, img manifest.Image) {
	ctx := context.Background()
	find := func(what string, img manifest.Image, key string, want bool) {
		t.Helper()
		got, ok, err := b.Find(ctx, img, key)
		if err != nil || ok != want || ok && !cmp.Equal(got, made) {
			t.Errorf("find %s: got %+v, %t, %v, want %t", what, got, ok, err, want)
		}
	}
	record := filepath.Join(filepath.Dir(made.Path), "thing-1.0.image.json")
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	base, err := b.Base(ctx, img)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := guest.Digest(ctx, made.Path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(made.Path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"schema": "offbake/image/1", "name": "thing-1.0", "key": "abc123", "description": "offbake abc123",
		"base": base.ID, "sha256": digest, "size": float64(info.Size())}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	find("it", img, "abc123", true)
	find("another key", img, "abc124", false)
	find("another name", manifest.Image{ImageName: "other"}, "abc123", false)
	edit := func(path string, at int64, put string) (undo func()) {
		t.Helper()
		old := swap(t, path, at, []byte(put))
		return func() { swap(t, path, at, old) }
	}
	undo := edit(made.Path, info.Size()/2, "XXXX")
	find("altered bytes", img, "abc123", false)
	undo()
	find("it after repair", img, "abc123", true)
	undo = edit(record, 0, "[")
	find("an unreadable record", img, "abc123", false)
	undo()
	last := swap(t, made.Path, info.Size()-1, []byte{0})
	if err := os.Truncate(made.Path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	find("cut bytes", img, "abc123", false)
	if err := os.Truncate(made.Path, info.Size()); err != nil {
		t.Fatal(err)
	}
	swap(t, made.Path, info.Size()-1, last)
	find("it after all", img, "abc123", true)
}

// swap puts data into a file and returns what was there.
func swap(t *testing.T, path string, at int64, data []byte) (old []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old = make([]byte, len(data))
	if _, err := f.ReadAt(old, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
	return old
}

func TestCreateFails(t *testing.T) {
	ctx := context.Background()
	b := newCloud(t, local.Config{Base: rootfs(t), Out: t.TempDir(), Work: t.TempDir()})
	if _, err := b.Create(ctx, name("other"), provision.Base{ID: "sha256:0"}, manifest.Image{}); err == nil {
		t.Error("on a base of another digest: got nil, want an error")
	}
	base, err := b.Base(ctx, manifest.Image{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("without programs", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := b.Create(ctx, name("bare"), base, manifest.Image{}); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("got %v, want %v", err, exec.ErrNotFound)
		}
	})
	if err := b.Terminate(ctx, name("never-was")); err != nil {
		t.Errorf("ending a host that never was: %v", err)
	}
	if _, err := local.New(local.Config{Base: "/no/such/file"}); err == nil {
		t.Error("without a base: got nil, want an error")
	}
}

func TestFiles(t *testing.T) {
	ctx := context.Background()
	f := local.Files{Source: func(path string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("content of " + path)), nil
	}}
	for _, path := range []string{
		"files/consul_1.6.1_linux_amd64.zip", "rpms/Packages/a+b-1:2.rpm", "files/a b", "files/100%", "files/a?b#c", "files/ü",
	} {
		s, err := f.URL(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s)
		if err != nil || u.Path != "/"+path || u.Host != "10.213.0.1" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(s, " ") {
			t.Errorf("URL of %q: got %q, %v", path, s, err)
		}
	}
	server, err := f.Server(ctx)
	if want := netip.MustParseAddrPort("10.213.0.1:80"); err != nil || server != (provision.FileServer{URL: "http://10.213.0.1/files", Allow: want}) {
		t.Errorf("server: got %v, %v", server, err)
	}
	r, err := f.Open("x")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "content of x" {
		t.Errorf("open: got %q, %v", got, err)
	}
}
