package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestSCPHostile: the other end says what no scp says, or what one that means harm does.
func TestSCPHostile(t *testing.T) {
	p := newProcess(t)
	must(t, unix.Mknod(filepath.Join(p.root, "tmp/full"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))))
	must(t, os.Symlink("/etc", filepath.Join(p.root, "tmp/link")))
	c := start(t, sandbox.Options{Boot: p.boot}, nil).dial(t)
	for _, tc := range []struct {
		what, command, in string
		out               string // the beginning of the answer
		status            int
	}{
		{"a file", "scp -t /tmp/ok", "C0644 3 x\nabc\x00", "\x00\x00\x00", 0},
		{"a file, as packer sends it", "scp -vt /tmp", "C0644 3 ok2\nabc\x00", "\x00\x00\x00", 0},
		{"a path for a name", "scp -t /tmp", "C0644 3 ../evil\nabc\x00", "\x00\x01scp: error: unexpected filename", 1},
		{"up", "scp -rt /tmp", "D0755 0 ..\nC0644 3 evil\nabc\x00E\n", "\x00\x01scp: error: unexpected filename", 1},
		{"no name", "scp -t /tmp", "C0644 3 \nabc\x00", "\x00\x01scp: error: unexpected filename", 1},
		{"a bad mode", "scp -t /tmp", "C9999 3 evil\nabc\x00", "\x00\x01scp: protocol error: bad mode", 1},
		{"a size below nothing", "scp -t /tmp", "C0644 -3 evil\nabc\x00", "\x00\x01scp: protocol error: size not delimited", 1},
		{"half a file", "scp -t /tmp/half", "C0644 30 half\nabc", "\x00\x00", 1},
		{"a folder without -r", "scp -t /tmp", "D0755 0 evil\nE\n", "\x00\x01scp: received directory without -r", 1},
		{"a source that gives up", "scp -t /tmp", "\x02lost\n", "\x00", 1},
		{"a line without end", "scp -t /tmp", "C0644 3 " + strings.Repeat("x", 10000), "\x00", 1},
		{"another protocol", "scp -t /tmp", "GET / HTTP/1.1\n", "\x00", 1},
		{"an end too many", "scp -rt /tmp", "E\n", "\x00", 1},
		{"bad times", "scp -pt /tmp", "Tx y z\n", "\x00", 1},
		{"a full disk", "scp -t /tmp/full", "C0644 3 full\nabc\x00", "\x00\x00\x01scp: /tmp/full: no space left on device\n", 1},
		{"two targets", "scp -t /tmp/a /tmp/b", "", "\x01scp: ambiguous target\n", 1},
		{"a target that is no folder", "scp -d -t /tmp/ok", "", "\x01scp: /tmp/ok: not a directory\n", 1},
		{"a source", "scp -f /tmp/ok", "\x00\x00\x00", "C0644 3 ok\nabc\x00", 0},
		{"a source that nobody wants", "scp -f /tmp/ok", "\x00\x01no\n", "C0644 3 ok\n", 1},
		{"a source of a device", "scp -f /tmp/full", "\x00", "\x01scp: /tmp/full: not a regular file\n", 1},
		{"a source of nothing", "scp -f /tmp/none", "\x00", "\x01scp: /tmp/none: no such file or directory\n", 1},
		{"a source with times", "scp -pf -- /tmp/link/dated", "\x00\x00\x00\x00", "T5 0 5 0\nC0600 1 dated\nx\x00", 0},
		{"neither", "scp -r /tmp/ok", "", "", 127},
	} {
		write(t, filepath.Join(p.root, "etc/dated"), "x")
		must(t, unix.Utimes(filepath.Join(p.root, "etc/dated"), []unix.Timeval{{Sec: 5}, {Sec: 5}}))
		s := session(t, c)
		s.Stdin = strings.NewReader(tc.in)
		out, err := s.Output(tc.command)
		if got := exitStatus(t, err); got != tc.status || !strings.HasPrefix(string(out), tc.out) {
			t.Errorf("%s: got %d, %q, want %d, %q", tc.what, got, out, tc.status, tc.out)
		}
	}
	for _, name := range []string{"tmp/evil", "evil"} {
		if _, err := os.Lstat(filepath.Join(p.root, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if info, err := os.Stat(filepath.Join(p.root, "tmp/ok")); err != nil || info.Mode() != 0o644 || info.Size() != 3 {
		t.Errorf("the file: got %v, %v", info, err)
	}
}
