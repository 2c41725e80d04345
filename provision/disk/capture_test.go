package disk_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
	"github.com/offbake/offbake/provision/guest"
)

func create(t testing.TB, b *disk.Cloud, name string, img manifest.Image) provision.Host {
	t.Helper()
	base, err := b.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	h, err := b.Create(t.Context(), name, base, img)
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

func run(t testing.TB, h provision.Host, script string) string {
	t.Helper()
	var out bytes.Buffer
	c := provision.Command{Argv: []string{"bash", "-euc", script}, Stdout: &out, Stderr: &out, Sealed: true}
	if err := h.Run(t.Context(), c); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return out.String()
}

// change is what a bake may do to a tree.
const changes = `
mkdir -p /srv/made && chown 12:34 /srv/made && chmod 2750 /srv/made && echo made >/srv/made/file
ln /srv/made/file /srv/made/hard; ln -s nowhere /srv/made/link; mkfifo -m 600 /srv/made/fifo; mknod /srv/made/null c 1 3
truncate -s 50M /srv/made/sparse
rm /etc/motd /etc/forgotten; mv /etc/dpkg /etc/moved; rm -r /usr/share/bash-completion 2>/dev/null || :
printf 'same size and time' >/root/a; cp -p /etc/debian_version /root/v; printf '%s' "$(sed 's/1/2/' /root/v)" >/etc/debian_version; touch -r /root/v /etc/debian_version
echo "new line" >>/etc/profile; chmod 600 /etc/hosts`

// TestImage makes an image of a host of a disk, and a host of that image.
func TestImage(t *testing.T) {
	ctx, base := t.Context(), theBase(t)
	f, work := newTarget(t.TempDir()), newWork(t)
	defer f.server.Close()
	b := mustOpen(t, disk.Config{Base: base, Work: work, Target: f.target()})
	host := name("first")
	h := create(t, b, host, manifest.Image{Name: "thing"})
	run(t, h, changes)
	root := filepath.Join(work, "hosts", host, "root")
	setXattr(t, filepath.Join(root, "srv/made/file"), "security.capability", "\x01\x00\x00\x02\x00\x20"+strings.Repeat("\x00", 14))
	setXattr(t, filepath.Join(root, "srv"), "trusted.a", "b")
	setXattr(t, filepath.Join(root, "root"), "system.posix_acl_access", "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x05\x00\x63\x00\x00\x00"+
		"\x04\x00\x00\x00\xff\xff\xff\xff\x10\x00\x05\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")
	c := provision.Capture{Name: "thing-1.0", Key: "abc", Description: "offbake abc " + host,
		Trial: "set -eu; grep -qx made /srv/made/file; test -d /data; systemctl is-active multi-user.target; echo x >/srv/trial"}
	t.Run("faults", func(t *testing.T) { testFaults(t, b, f, h, c, work) })
	f.failAt(func(_ context.Context, step string) error {
		if step == "delete" {
			return errors.New("store is down")
		}
		return nil
	})
	f.whole = true
	made, err := b.Capture(ctx, h, c)
	want := provision.Made{ID: "uimage-thing-1.0", Region: "cn-bj2"}
	if err != nil || !cmp.Equal(made, want) {
		t.Fatalf("got %v, %v, want %v", made, err, want)
	}
	object, made10 := "store/_import/"+host+".disk", "images/thing-1.0 images/thing-1.0.request"
	if got, want := f.holds(t), object+" "+made10; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := must(os.ReadFile(filepath.Join(f.dir, "images/thing-1.0.request"))), "offbake abc "+host+"|RAW|Debian|Debian 12."; !strings.HasPrefix(string(got), want) || !strings.HasSuffix(string(got), "|thing") {
		t.Errorf("got request %q, want %q and |thing", got, want)
	}
	if got, ok, err := b.Find(ctx, manifest.Image{}, "abc"); !ok || err != nil || !cmp.Equal(got, want) {
		t.Errorf("find: got %v, %t, %v", got, ok, err)
	}
	image := filepath.Join(f.dir, "images/thing-1.0")
	t.Run("disk", func(t *testing.T) { testDisk(t, base, image, root) })
	if err := b.Terminate(ctx, host); err == nil || !strings.Contains(err.Error(), "store is down") {
		t.Errorf("terminate while the store is down: got %v", err)
	}
	if got, want := strings.Join(f.calls, " "), "upload url import delete delete"; got != want {
		t.Errorf("got calls %q, want %q", got, want)
	}
	f.failAt(nil)
	if err := b.Terminate(ctx, host); err != nil {
		t.Error(err)
	}
	if got := f.holds(t); got != made10 {
		t.Errorf("got %q, want %q", got, made10)
	}
	if left, _ := filepath.Glob(filepath.Join(work, "hosts", "*")); len(left) != 0 {
		t.Errorf("hosts after Terminate: got %v, want none", left)
	}
	t.Run("bake of a bake", func(t *testing.T) { testAgain(t, image) })
}

func setXattr(t testing.TB, path, name, value string) {
	t.Helper()
	if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// testDisk compares a disk with its base and with the tree that it was made of.
func testDisk(t *testing.T, base, image, tree string) {
	if a, b := must(os.Stat(base)).Size(), must(os.Stat(image)).Size(); a != b {
		t.Errorf("got %d bytes, want %d", b, a)
	}
	sh(t, `cmp --bytes="$((2 * 1024 * 1024))" "$1" "$2"`, base, image) // MBR, gap and first partition
	// A deleted file's blocks are given back, but for what begins and ends within a block of this machine.
	sh(t, `[ "$(grep -ca forgotten-by-all "$1")" -gt 90000 ]; [ "$(grep -ca forgotten-by-all "$2")" -lt 2000 ]`, base, image)
	where := `debugfs -R "blocks /boot/loader" "$1?offset=$((2 * 1024 * 1024))" 2>/dev/null`
	if got, want := sh(t, where, image), sh(t, where, base); got != want || strings.TrimSpace(want) == "" {
		t.Errorf("boot loader's blocks: got %q, want %q", got, want)
	}
	at := t.TempDir()
	sh(t, `mount -o loop,ro,noload,offset="$((2 * 1024 * 1024))" "$1" "$2"`, image, at)
	defer sh(t, `umount "$1"`, at)
	want, err := guest.Digest(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := guest.Digest(t.Context(), at); err != nil || got != want {
		t.Errorf("got tree %s, %v, want %s:\n%s", got, err, want,
			sh(t, `LC_ALL=C rsync -aHAXnic --numeric-ids --delete --exclude=/lost+found "$1/" "$2/" | head -50`, tree, at))
	}
	for _, p := range []string{"etc/motd", "srv/trial", ".autorelabel", "etc/dpkg"} {
		if _, err := os.Lstat(filepath.Join(at, p)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", p, err, os.ErrNotExist)
		}
	}
	if got := string(must(os.ReadFile(filepath.Join(at, "etc/debian_version")))); !strings.HasPrefix(got, "22") {
		t.Errorf("a file that was changed without a trace: got %q", got)
	}
}

// testAgain bakes from an image, to qcow2.
func testAgain(t *testing.T, image string) {
	f, work := newTarget(t.TempDir()), newWork(t)
	defer f.server.Close()
	f.whole = true
	b := mustOpen(t, disk.Config{Base: image, Work: work, Target: f.target(), Format: disk.QCOW2, KeepUpload: true})
	host := name("second")
	h := create(t, b, host, manifest.Image{})
	got := run(t, h, `stat -c '%a %u:%g %h %n' /srv/made /srv/made/file; cat /srv/made/hard; systemctl is-active multi-user.target
		echo SELINUX=enforcing >/etc/selinux/config`)
	if want := "2750 12:34 2 /srv/made\n644 0:34 2 /srv/made/file\nmade\nactive\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := b.Capture(t.Context(), h, provision.Capture{Name: "thing-1.1", Description: "offbake def " + host}); err != nil {
		t.Fatal(err)
	}
	if err := b.Terminate(t.Context(), host); err != nil {
		t.Error(err)
	}
	object := "store/_import/" + host + ".disk"
	if got, want := f.holds(t), object+" images/thing-1.1 images/thing-1.1.request"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	raw := filepath.Join(t.TempDir(), "raw")
	sh(t, `qemu-img convert -f qcow2 -O raw "$1" "$2"`, filepath.Join(f.dir, "images/thing-1.1"), raw)
	if got := sh(t, `debugfs -R "stat /.autorelabel" "$1?offset=$((2 * 1024 * 1024))" 2>&1 | grep -c 'Type: regular'`, raw); got != "1\n" {
		t.Errorf("got %q, want a file /.autorelabel", got)
	}
	if err := b.Discard(t.Context(), host, nil); err != nil {
		t.Error(err)
	}
	if got := f.holds(t); got != "" {
		t.Errorf("after Discard: got %q, want nothing", got)
	}
}

// testFaults has each step of a capture fail, and leaves the host stopped.
func testFaults(t *testing.T, b *disk.Cloud, f *target, h provision.Host, c provision.Capture, work string) {
	broken := errors.New("broken")
	root := filepath.Join(work, "hosts", h.Name(), "root")
	for _, tt := range []struct {
		name  string
		steps string // that were done
		fault func(ctx context.Context, cancel func(), step string) error
		edit  func(c *provision.Capture, cancel func()) // of the capture, or beside it
		want  string
	}{
		{name: "trial", edit: func(c *provision.Capture, _ func()) { c.Trial = "echo unit is broken; exit 3" }, want: `exit status 3: "unit is broken"`},
		{name: "cancelled", edit: func(_ *provision.Capture, cancel func()) { cancel() }, want: "canceled"},
		{name: "cancelled while it writes", want: "canceled",
			edit: func(_ *provision.Capture, cancel func()) { go cancelAt(t, cancel, "--delete-before", work) }},
		{name: "no room on the disk", want: "KiB, but the disk's file system has",
			edit: func(*provision.Capture, func()) { sh(t, `head -c 120M /dev/urandom >"$1/big"`, root) }},
		{name: "upload", steps: "upload delete", want: "uploading the disk: broken", fault: failing("upload", broken)},
		{name: "cancelled upload", steps: "upload delete", want: "canceled", fault: cancelling("upload")},
		{name: "URL", steps: "upload url delete", want: "broken", fault: failing("url", broken)},
		{name: "import", steps: "upload url import delete", want: "broken", fault: failing("import", broken)},
		{name: "cancelled import", steps: "upload url import delete", want: "canceled", fault: cancelling("import")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.failAt(nil)
			if tt.fault != nil {
				f.failAt(func(ctx context.Context, step string) error { return tt.fault(ctx, cancel, step) })
			}
			c := c
			c.Trial = ""
			if tt.edit != nil {
				tt.edit(&c, cancel)
			}
			made, err := b.Capture(ctx, h, c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || !cmp.Equal(made, provision.Made{}) {
				t.Errorf("got %v, %v, want an error with %q", made, err, tt.want)
			}
			if got := strings.Join(f.calls, " "); got != tt.steps {
				t.Errorf("got calls %q, want %q", got, tt.steps)
			}
			if got := f.holds(t); got != "" {
				t.Errorf("got %q, want nothing", got)
			}
			nothingHere(t, work, h.Name())
			sh(t, `rm -f "$1/big"`, root)
		})
	}
	f.failAt(nil)
}

func failing(at string, err error) func(context.Context, func(), string) error {
	return func(_ context.Context, _ func(), step string) error {
		if step == at {
			return err
		}
		return nil
	}
}

func cancelling(at string) func(context.Context, func(), string) error {
	return func(ctx context.Context, cancel func(), step string) error {
		if step == at {
			cancel()
			<-ctx.Done()
		}
		return ctx.Err()
	}
}

// cancelAt cancels once a program with both texts in its arguments runs.
func cancelAt(t *testing.T, cancel func(), texts ...string) {
	if running(texts...) == 0 {
		t.Errorf("no process with %q", texts)
	}
	cancel()
}

// running waits until a program with all texts in its arguments runs and returns its process id, 0 for none in time.
func running(texts ...string) int {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range files {
			line, _ := os.ReadFile(path)
			found := len(line) > 0
			for _, text := range texts {
				found = found && bytes.Contains(line, []byte(text))
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); found && err == nil {
				return pid
			}
		}
	}
	return 0
}

// nothingHere fails when something of a capture is left on this machine.
func nothingHere(t *testing.T, work, host string) {
	t.Helper()
	left := "?"
	for end := time.Now().Add(10 * time.Second); left != "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = ""
		for line := range strings.Lines(leftNow(filepath.Join(work, "disks", host))) {
			left += line
		}
		files, _ := filepath.Glob(filepath.Join(work, "disks", host+"*"))
		left += strings.Join(files, " ")
	}
	if left != "" {
		t.Errorf("left behind: %s", left)
	}
}
