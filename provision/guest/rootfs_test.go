package guest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision/guest"
)

// oddTree is a folder with one of each kind of file that a root file system may hold.
func oddTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(
		os.Chmod(root, 0o755),
		os.Mkdir(at("d"), 0o1777), os.Chmod(at("d"), 0o1777),
		os.WriteFile(at("suid"), []byte("x"), 0o644), os.Chown(at("suid"), 4242, 4343),
		unix.Chmod(at("suid"), 0o4755),
		os.WriteFile(at("ping"), []byte("x"), 0o755),
		// A version 2 file capability: cap_net_raw, effective (linux/capability.h).
		unix.Setxattr(at("ping"), "security.capability", append([]byte{1, 0, 0, 2, 0, 0x20}, make([]byte, 14)...), 0),
		os.WriteFile(at("attr"), nil, 0o600), unix.Setxattr(at("attr"), "user.note", []byte("hello"), 0),
		os.Link(at("ping"), at("d/hard")),
		os.Symlink("../nowhere", at("d/soft")),
		unix.Mkfifo(at("fifo"), 0o600),
		unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		os.WriteFile(at("d/name with spaces, ümläuts and \x01"), []byte("x"), 0o640),
		os.WriteFile(at(strings.Repeat("n", 255)), []byte("x"), 0o640),
		os.Chtimes(at("attr"), time.Unix(1, 0), time.Unix(1_000_000_000, 123456789)),
	)
	return root
}

// describe lists all that a copy of a tree must keep.
func describe(t *testing.T, root string) (out []string) {
	t.Helper()
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG && first[st.Ino] == "" {
			first[st.Ino] = name
		}
		target, _ := os.Readlink(path)
		attr := make([]byte, 64)
		n, _ := unix.Lgetxattr(path, "security.capability", attr)
		m, _ := unix.Lgetxattr(path, "user.note", attr[32:])
		out = append(out, fmt.Sprintf("%q %o %d:%d dev %d time %d.%09d link %q hard %q attr %x %x", name, st.Mode, st.Uid, st.Gid,
			st.Rdev, st.Mtim.Sec, st.Mtim.Nsec, target, first[st.Ino], attr[:max(n, 0)], attr[32:32+max(m, 0)]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPack shows that stock tar gets back what Pack wrote, and that the same tree gives the same bytes.
func TestPack(t *testing.T) {
	root := oddTree(t)
	want := describe(t, root)
	listener, err := net.Listen("unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	now := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(root, now, now); err != nil {
		t.Fatal(err)
	}
	want[0] = describe(t, root)[0]

	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := guest.Pack(context.Background(), root, b); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour) // only the access time, which must not show
		if err := os.Chtimes(filepath.Join(root, "suid"), later, fileTime(t, filepath.Join(root, "suid"))); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two packs of one tree differ")
	}
	back := t.TempDir()
	tar := exec.Command("tar", "--extract", "--directory="+back, "--same-owner", "--same-permissions", "--numeric-owner",
		"--xattrs", "--xattrs-include=*")
	tar.Stdin = &first
	if out, err := tar.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	if diff := cmp.Diff(want, describe(t, back)); diff != "" {
		t.Errorf("tree after a round trip (-want +got):\n%s", diff)
	}
}

func fileTime(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestPackFails(t *testing.T) {
	root := oddTree(t)
	broken := errors.New("disk full")
	if err := guest.Pack(context.Background(), root, writerFunc(func([]byte) (int, error) { return 0, broken })); err == nil {
		t.Error("into a writer that fails: got nil, want an error")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(broken)
	if err := guest.Pack(ctx, root, io.Discard); !errors.Is(err, broken) {
		t.Errorf("cancelled: got %v, want %v", err, broken)
	}
	if err := guest.Pack(context.Background(), filepath.Join(root, "missing"), io.Discard); err == nil {
		t.Error("of a missing folder: got nil, want an error")
	}
}

// TestUnpack starts from every form of one tree; Prepare looks at what the guest would get, and stops there.
func TestUnpack(t *testing.T) {
	root := oddTree(t)
	want := describe(t, root)
	var plain, gz, zst bytes.Buffer
	if err := guest.Pack(context.Background(), root, &plain); err != nil {
		t.Fatal(err)
	}
	g := gzip.NewWriter(&gz)
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{g, z} {
		if _, err := w.Write(plain.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	enough := errors.New("seen enough")
	work := t.TempDir()
	for _, tt := range []struct {
		name string
		data []byte // nil for the folder itself
		ok   bool
	}{
		{"folder", nil, true},
		{"tar", plain.Bytes(), true},
		{"tar.gz", gz.Bytes(), true},
		{"tar.zst", zst.Bytes(), true},
		{"cut tar", plain.Bytes()[:plain.Len()/2], false},
		{"cut tar.gz", gz.Bytes()[:gz.Len()/2], false},
		{"cut tar.zst", zst.Bytes()[:zst.Len()/2], false},
		{"altered tar.zst", append(bytes.Clone(zst.Bytes()[:zst.Len()-3]), "xxx"...), false},
		{"empty", []byte{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := guest.Config{Name: name("unpack"), Rootfs: root, Work: work}
			if tt.data != nil {
				c.Rootfs = filepath.Join(t.TempDir(), "rootfs")
				if err := os.WriteFile(c.Rootfs, tt.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			c.Prepare = func(root string) error {
				got = describe(t, root)
				return enough
			}
			_, err := guest.Start(context.Background(), c)
			if errors.Is(err, enough) != tt.ok {
				t.Fatalf("got %v, want to get as far as the tree: %t", err, tt.ok)
			}
			if diff := cmp.Diff(want, got); tt.ok && diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
	left, _ := filepath.Glob(filepath.Join(work, "rootfs", "*"))
	if len(left) != 3*2+5 { // folder and lock of each good tar, lock of each bad one
		t.Errorf("left in the work folder: %q", left)
	}
	testPrune(t, work)
}

func testPrune(t *testing.T, work string) {
	count := func() int {
		dirs, _ := filepath.Glob(filepath.Join(work, "rootfs", "*[0-9a-f]"))
		return len(dirs)
	}
	for _, tt := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 3}, {0, 0}} {
		if err := guest.Prune(context.Background(), work, tt.age); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != tt.want {
			t.Errorf("after pruning what is older than %s: got %d unpacked, want %d", tt.age, got, tt.want)
		}
	}
}

// TestDigest pins what an identity is made of.
func TestDigest(t *testing.T) {
	root := oddTree(t)
	digest := func(path string) string {
		t.Helper()
		d, err := guest.Digest(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := digest(root)
	if again := digest(root); again != before {
		t.Errorf("one folder twice: got %s and %s", before, again)
	}
	if err := os.Chmod(filepath.Join(root, "ping"), 0o700); err != nil {
		t.Fatal(err)
	}
	if after := digest(root); after == before {
		t.Error("a mode changed, the digest did not")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-4, the first example of SHA-256.
	if got, want := digest(file), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("file: got %s, want %s", got, want)
	}
	if _, err := guest.Digest(context.Background(), filepath.Join(root, "missing")); err == nil {
		t.Error("missing file: got nil, want an error")
	}
}
