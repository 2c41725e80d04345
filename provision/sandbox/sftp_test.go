package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"github.com/offbake/offbake/provision/sandbox"
)

func sftpTo(t *testing.T, p *process) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(start(t, sandbox.Options{Boot: p.boot}, nil).dial(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSFTP(t *testing.T) {
	p := newProcess(t)
	c := sftpTo(t, p)
	if wd, err := c.Getwd(); err != nil || wd != "/root" {
		t.Errorf("working folder: got %q, %v, want /root", wd, err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
	f, err := c.Create("big") // relative to it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	must(t, f.Close())
	if got := content(t, filepath.Join(p.root, "root/big")); got != string(big) {
		t.Errorf("a big file: got %d other bytes, want %d", len(got), len(big))
	}
	if f, err = c.Open("/root/big"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, big) {
		t.Errorf("the big file back: got %d bytes, %v", len(got), err)
	}
	must(t, f.Close())
	if f, err = c.OpenFile("/root/big", os.O_WRONLY|os.O_APPEND); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("more")); err != nil {
		t.Error(err)
	}
	must(t, f.Close())
	info, err := c.Stat("/root/big")
	if err != nil || info.Size() != int64(len(big)+4) || info.Mode() != 0o644 {
		t.Errorf("stat: got %v, %v", info, err)
	}
	when := time.Unix(1600000000, 0)
	must(t, c.Chmod("/root/big", 0o750))
	must(t, c.Chtimes("/root/big", when, when))
	must(t, c.Truncate("/root/big", 5))
	if info, err = c.Stat("/root/big"); err != nil || info.Size() != 5 || info.Mode() != 0o750 {
		t.Errorf("stat after changes: got %v, %v", info, err)
	}
	must(t, c.MkdirAll("/tmp/a/b"))
	must(t, c.Rename("/root/big", "/tmp/a/b/moved"))
	must(t, c.Link("/tmp/a/b/moved", "/tmp/a/b/linked"))
	if err := c.Rename("/tmp/a/b/moved", "/tmp/a/b/linked"); err == nil {
		t.Error("rename to what is there: got nil, want an error")
	}
	must(t, c.PosixRename("/tmp/a/b/linked", "/tmp/a/b/moved"))
	infos, err := c.ReadDir("/tmp/a/b")
	if err != nil || len(infos) == 0 || infos[0].Name() != "linked" && infos[0].Name() != "moved" {
		t.Errorf("list: got %v, %v", infos, err)
	}
	if err := c.Remove("/tmp/a"); err == nil {
		t.Error("remove a folder that is not empty: got nil, want an error")
	}
	must(t, c.RemoveAll("/tmp/a"))
	for what, err := range map[string]error{"stat": second(c.Stat("/tmp/a")), "open": second(c.Open("/tmp/a")),
		"list": second(c.ReadDir("/tmp/a")), "remove": c.Remove("/tmp/a")} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s what is not there: got %v, want %v", what, err, fs.ErrNotExist)
		}
	}
	if _, err := c.OpenFile("/tmp", os.O_RDONLY); err == nil {
		t.Error("open a folder as a file: got nil, want an error")
	}
}

func TestSFTPManyNames(t *testing.T) {
	p := newProcess(t)
	for i := range 350 {
		write(t, filepath.Join(p.root, "tmp", fmt.Sprint(i)), "")
	}
	infos, err := sftpTo(t, p).ReadDir("/tmp")
	if err != nil || len(infos) != 350 {
		t.Errorf("got %d names, %v, want 350", len(infos), err)
	}
}

// TestSFTPStaysInside: a host's links lead where they lead on the host, never out of it.
func TestSFTPStaysInside(t *testing.T) {
	p := newProcess(t)
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "outside")
	write(t, filepath.Join(p.root, outside, "secret"), "inside")
	write(t, filepath.Join(p.root, "etc/passwd"), "inside")
	up := strings.Repeat("../", 30)
	for name, target := range map[string]string{
		"absolute": outside, "relative": up + outside[1:], "passwd": "/etc/passwd", "loop": "/tmp/loop", "chain": "/tmp/absolute/../" + filepath.Base(outside),
	} {
		must(t, os.Symlink(target, filepath.Join(p.root, "tmp", name)))
	}
	c := sftpTo(t, p)
	for _, name := range []string{
		"/tmp/absolute/secret", "/tmp/relative/secret", "/tmp/passwd", "/tmp/chain/secret", outside + "/secret",
		"/" + up + outside[1:] + "/secret",
	} {
		f, err := c.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != "inside" {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, "inside")
		}
		f.Close()
	}
	for _, name := range []string{"/tmp/absolute/new", "/tmp/relative/new2", "/" + up + outside[1:] + "/new3"} {
		f, err := c.Create(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		must(t, f.Close())
	}
	must(t, c.Remove("/tmp/absolute/secret"))
	must(t, c.Mkdir("/tmp/absolute/folder"))
	must(t, c.Symlink("/etc/passwd", "/tmp/absolute/made"))
	if target, err := c.ReadLink(outside + "/made"); err != nil || target != "/etc/passwd" {
		t.Errorf("what a link says: got %q, %v", target, err)
	}
	if real, err := c.RealPath("/tmp/relative/made"); err != nil || real != "/etc/passwd" {
		t.Errorf("real path: got %q, %v", real, err)
	}
	if _, err := c.Stat("/tmp/loop"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a loop: got %v, want another error than that it is not there", err)
	}
	if info, err := c.Lstat("/tmp/loop"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the loop itself: got %v, %v", info, err)
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 || content(t, filepath.Join(outside, "secret")) != "outside" {
		t.Errorf("outside: got %v, %v, want the one file that was there", left, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
