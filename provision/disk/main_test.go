package disk_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/disk"
)

// TestMain makes one work folder for all tests, with the disks that several of them start from, and looks at the end
// whether anything was left behind. As a child of TestKilled it is the process that gets killed.
func TestMain(m *testing.M) {
	if work := os.Getenv("OFFBAKE_TEST_DISK"); work != "" {
		beKilled(work, os.Getenv("OFFBAKE_TEST_BASE"))
	}
	if err := os.MkdirAll(workDir(), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if left := leftBehind(workDir()); left != "" {
		fmt.Fprintf(os.Stderr, "left behind:\n%s", left)
		code = 1
	}
	os.RemoveAll(workDir())
	os.Exit(code)
}

// workDir is the same for all tests of this process.
func workDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("offbake-disk-test-%d", os.Getpid()))
}

// name is unique to this process, for guests' names are the machine's.
func name(s string) string { return fmt.Sprintf("test-disk-%d-%s", os.Getpid(), s) }

// leftBehind says what below dir is mounted, attached to a loop device, in use by a process, or a file of a bake. The
// kernel may take a moment to let a loop device go.
func leftBehind(dir string) string {
	left := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = leftNow(dir); left == "" {
			break
		}
	}
	return left
}

func leftNow(dir string) string {
	var left strings.Builder
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			fmt.Fprintf(&left, "mount: %s", line)
		}
	}
	for _, pattern := range []string{"/sys/block/loop*/loop/backing_file", "/proc/[0-9]*/cmdline"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			if text, _ := os.ReadFile(path); strings.Contains(string(text), dir) {
				fmt.Fprintf(&left, "%s: %q\n", path, text)
			}
		}
	}
	for _, pattern := range []string{"disks/*", "*/disks/*", "hosts/*", "*/hosts/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range files {
			fmt.Fprintf(&left, "file: %s\n", f)
		}
	}
	return left.String()
}

func sh(t testing.TB, script string, args ...string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", append([]string{"-euc", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// theBase is a disk with the root file system of .ci/rootfs in its second partition. The first test that wants it makes it.
func theBase(t testing.TB) string {
	t.Helper()
	path := filepath.Join(workDir(), "base.img")
	if _, err := os.Stat(path); err != nil {
		makeBase(t, path+".new")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const baseSize = 200 << 20

func makeBase(t testing.TB, path string) {
	t.Helper()
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	rootfs, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	tree := filepath.Join(workDir(), "tree")
	// Without what neither systemd nor these tests use: half of the bytes.
	sh(t, `mkdir "$1"
		tar --extract --zstd --same-permissions --numeric-owner --xattrs --xattrs-include='*' --file "$2" --directory "$1" --wildcards \
			--exclude='*/python3*' --exclude='*/perl-base' --exclude='*/apt' --exclude='*/libicu*' --exclude='*/libpython*' \
			--exclude='*/libdnf*' --exclude='*/libapt*' --exclude='*/libgio*' --exclude='*/libsqlite*' --exclude='*/librpm*'
		echo kept >"$1/boot/loader"; yes forgotten-by-all | head -100000 >"$1/etc/forgotten"; truncate -s 1M "$1/sparse"; echo end >>"$1/sparse"
		printf '%s\n' 'UUID=0a1b / ext4 defaults,errors=remount-ro,discard 1 1' 'LABEL=boot /boot ext4 defaults 1 2' '/dev/vda1 none swap sw 0 0' >"$1/etc/fstab"
		mkdir -p "$1/etc/selinux"; echo SELINUX=disabled >"$1/etc/selinux/config"`, tree, strings.TrimSpace(string(rootfs)))
	writeDisk(t, path, baseSize, part{kind: 0x82, offset: 1 << 20, size: 1 << 20}, part{offset: 2 << 20, size: baseSize - 2<<20, tree: tree})
	sh(t, `rm -r "$1"`, tree)
}

// part is a partition to be made.
type part struct {
	kind         byte // 0 for Linux
	status       byte
	offset, size int64
	tree         string   // a folder that an ext file system is filled with; "" for none
	mkfs         []string // how that is made; mkfs.ext4 when nil
}

// writeDisk makes a disk with an MBR that has a boot loader's code of a kind.
func writeDisk(t testing.TB, path string, size int64, parts ...part) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(table(parts...), 0); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if p.tree != "" {
			makeExt(t, path, p)
		}
	}
}

// table is the first sector of a disk.
func table(parts ...part) []byte {
	mbr := make([]byte, 512)
	copy(mbr, "\xeb\x63boot loader")
	mbr[510], mbr[511] = 0x55, 0xaa
	for i, p := range parts {
		if p.kind == 0 {
			p.kind = 0x83
		}
		e := mbr[446+16*i:]
		e[0], e[4] = p.status, p.kind
		for j := range 4 {
			e[8+j] = byte(p.offset / 512 >> (8 * j))
			e[12+j] = byte(p.size / 512 >> (8 * j))
		}
	}
	return mbr
}

func makeExt(t testing.TB, path string, p part) {
	t.Helper()
	how := p.mkfs
	if how == nil {
		how = []string{"mkfs.ext4"}
	}
	args := append(how[1:], "-q", "-F", "-E", fmt.Sprintf("offset=%d,root_owner=0:0", p.offset), "-d", p.tree, path, fmt.Sprintf("%dk", p.size>>10))
	if out, err := exec.Command(how[0], args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// open opens a base in the shared work folder, so that nothing but the test's own bakes is in it.
func open(t testing.TB, c disk.Config) (*disk.Cloud, error) {
	t.Helper()
	if c.Work == "" {
		c.Work = filepath.Join(workDir(), "work")
	}
	if c.Handler == nil {
		c.Handler = http.NotFoundHandler()
	}
	return disk.New(t.Context(), c)
}

func mustOpen(t testing.TB, c disk.Config) *disk.Cloud {
	t.Helper()
	b, err := open(t, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
