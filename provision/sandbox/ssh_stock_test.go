package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/provision/sandbox"
)

// stock are Debian's OpenSSH clients with a key that the host lets in.
type stock struct {
	folder  string
	host    string
	options []string
}

func newStock(t *testing.T, o sandbox.Options) (stock, host) {
	t.Helper()
	_, private, line := keyPair(t, "offbake")
	_, hostKey, hostLine := keyPair(t, "")
	h := start(t, o, values{"UserData": encoded(cloudConfig(t, map[string]any{
		"ssh_authorized_keys": []string{line},
		"ssh_keys":            map[string]string{"ed25519_private": hostKey, "ed25519_public": hostLine},
	}))})
	s := stock{folder: t.TempDir(), host: h.public}
	write(t, filepath.Join(s.folder, "key"), private)
	write(t, filepath.Join(s.folder, "known"), h.public+" "+hostLine+"\n")
	s.options = []string{"-q", "-F", "none", "-i", filepath.Join(s.folder, "key"), "-o", "UserKnownHostsFile=" + filepath.Join(s.folder, "known"),
		"-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"}
	return s, h
}

// run runs a client; what it prints, and whether it succeeded.
func (s stock) run(t *testing.T, stdin, program string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command(program, append(append([]string{}, s.options...), args...)...)
	cmd.Dir, cmd.Stdin = s.folder, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err), false
	}
	return string(out), true
}

func (s stock) must(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	out, ok := s.run(t, stdin, program, args...)
	if !ok {
		t.Fatalf("%s %q: %s", program, args, out)
	}
	return out
}

func TestStockSSH(t *testing.T) {
	s, _ := newStock(t, sandbox.Options{Boot: newProcess(t).boot})
	at := "root@" + s.host
	if got := s.must(t, "in", "ssh", at, "cat; printf \" $SSH_CLIENT\""); !strings.HasPrefix(got, "in 127.0.0.1 ") {
		t.Errorf("a command: got %q", got)
	}
	if got := s.must(t, "printf hello\n", "ssh", "-T", at); got != "hello" {
		t.Errorf("a shell: got %q", got)
	}
	if got := s.must(t, "", "ssh", "-tt", at, "echo hello"); got != "hello\r\n" {
		t.Errorf("with a terminal: got %q", got)
	}
	if out, ok := s.run(t, "", "ssh", at, "exit 9"); ok || !strings.Contains(out, "exit status 9") {
		t.Errorf("exit 9: got %q", out)
	}
	if out, ok := s.run(t, "", "ssh", "root@"+s.host, "-o", "PubkeyAuthentication=no", "true"); ok {
		t.Errorf("without the key: got %q, want a failure", out)
	}
	zeros := s.must(t, "", "ssh", at, "head -c 3000000 /dev/zero")
	if len(zeros) != 3000000 {
		t.Errorf("much: got %d bytes", len(zeros))
	}
	ask := filepath.Join(s.folder, "ask")
	write(t, ask, "#!/bin/sh\necho "+password+"\n")
	must(t, os.Chmod(ask, 0o700))
	cmd := exec.Command("ssh", "-q", "-F", "none", "-o", "UserKnownHostsFile="+filepath.Join(s.folder, "known"), "-o", "StrictHostKeyChecking=yes",
		"-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password", at, "printf in")
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force", "SSH_AUTH_SOCK=")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "in" {
		t.Errorf("by password: got %q, %v", out, err)
	}
}

// TestStockCopies: scp by sftp, scp by its own protocol and sftp bring the same tree there and back.
func TestStockCopies(t *testing.T) {
	p := newProcess(t)
	s, _ := newStock(t, sandbox.Options{Boot: p.boot})
	big := bytes.Repeat([]byte("tree"), 300000)
	tree := filepath.Join(s.folder, "tree")
	write(t, filepath.Join(tree, "sub folder/big"), string(big))
	write(t, filepath.Join(tree, "script"), "#!/bin/sh\n")
	write(t, filepath.Join(tree, "empty"), "")
	must(t, os.Chmod(filepath.Join(tree, "script"), 0o755))
	must(t, os.Chmod(tree, 0o750))
	want := listTree(t, tree)
	at := "root@" + s.host + ":"
	sftp := func(lines string) string { return s.must(t, lines, "sftp", "-b", "-", "root@"+s.host) }
	for i, copies := range []struct {
		what      string
		there     func(to string)
		back      func(from, to string)
		single    func(file, to string)
		fromThere func(file, to string)
	}{
		{what: "scp", there: func(to string) { s.must(t, "", "scp", "-rp", tree, at+to) },
			back:      func(from, to string) { s.must(t, "", "scp", "-rp", at+from, to) },
			single:    func(file, to string) { s.must(t, "", "scp", file, at+to) },
			fromThere: func(file, to string) { s.must(t, "", "scp", at+file, to) }},
		{what: "scp -O", there: func(to string) { s.must(t, "", "scp", "-Orp", tree, at+to) },
			back:      func(from, to string) { s.must(t, "", "scp", "-Orp", at+from, to) },
			single:    func(file, to string) { s.must(t, "", "scp", "-O", file, at+to) },
			fromThere: func(file, to string) { s.must(t, "", "scp", "-O", at+file, to) }},
		{what: "sftp", there: func(to string) { sftp("put -Rp " + tree + " " + to) },
			back:      func(from, to string) { sftp("get -Rp " + from + " " + to) },
			single:    func(file, to string) { sftp("put " + file + " " + to) },
			fromThere: func(file, to string) { sftp("get " + file + " " + to) }},
	} {
		name := fmt.Sprint("copy", i)
		copies.there("/tmp/" + name)
		if got := listTree(t, filepath.Join(p.root, "tmp", name)); got != want {
			t.Errorf("%s there: got\n%swant\n%s", copies.what, got, want)
		}
		back := filepath.Join(s.folder, name)
		copies.back("/tmp/"+name, back)
		if got := listTree(t, back); got != want {
			t.Errorf("%s back: got\n%swant\n%s", copies.what, got, want)
		}
		// Relative to root's home, over a file that is there and longer, mode as it was.
		there := filepath.Join(p.root, "root", name)
		write(t, there, strings.Repeat("longer", 100))
		copies.single(filepath.Join(tree, "script"), name)
		info, err := os.Stat(there)
		if err != nil || content(t, there) != "#!/bin/sh\n" || info.Mode() != 0o600 {
			t.Errorf("%s over a file: got %v, %v", copies.what, info, err)
		}
		// Into a folder.
		copies.single(filepath.Join(tree, "script"), "/etc/")
		info, err = os.Stat(filepath.Join(p.root, "etc/script"))
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s into a folder: got %v, %v", copies.what, info, err)
		}
		must(t, os.Remove(filepath.Join(p.root, "etc/script")))
		copies.fromThere(name, filepath.Join(s.folder, name+"-back"))
		if got := content(t, filepath.Join(s.folder, name+"-back")); got != "#!/bin/sh\n" {
			t.Errorf("%s of one file: got %q", copies.what, got)
		}
	}
}

// listTree is names, modes, times and sizes of a tree's files.
func listTree(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("find", root, "-printf", "%P %m %s %Ts\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, line := range lines {
		if f := strings.Split(line, " "); strings.HasPrefix(f[len(f)-3], "7") {
			f[len(f)-2] = "-" // a folder's size is the file system's matter
			lines[i] = strings.Join(f, " ")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// TestStockCopiesFail: what cannot be copied is told, and the rest is copied all the same.
func TestStockCopiesFail(t *testing.T) {
	p := newProcess(t)
	s, _ := newStock(t, sandbox.Options{Boot: p.boot})
	write(t, filepath.Join(s.folder, "a"), "a")
	write(t, filepath.Join(s.folder, "b"), "b")
	must(t, os.Mkdir(filepath.Join(p.root, "tmp/a"), 0o755))
	at := "root@" + s.host + ":"
	for _, old := range []string{"-p", "-Op"} {
		for _, tc := range []struct {
			what, says string
			args       []string
		}{
			{"a folder that is not there", "o such file", []string{"a", at + "/no/such/folder/a"}},
			{"a file that is not there", "o such file", []string{at + "/no/such/file", "."}},
			{"a file into what is no folder", "ot a directory|Failure", []string{"a", "b", at + "/etc/passwd"}},
			{"a folder without -r", "not a regular file", []string{at + "/tmp", "."}},
		} {
			write(t, filepath.Join(p.root, "etc/passwd"), "kept")
			out, ok := s.run(t, "", "scp", append([]string{old}, tc.args...)...)
			if ok || !regexp.MustCompile(tc.says).MatchString(out) || strings.Contains(out, p.root) {
				t.Errorf("scp %s, %s: got %t, %q, want false, %q", old, tc.what, ok, out, tc.says)
			}
			if got := content(t, filepath.Join(p.root, "etc/passwd")); got != "kept" {
				t.Errorf("scp %s, %s: a file that was there is now %q", old, tc.what, got)
			}
		}
		must(t, os.RemoveAll(filepath.Join(p.root, "tmp/b")))
		write(t, filepath.Join(p.root, "tmp/a/a/x"), "in the way")
		if out, ok := s.run(t, "", "scp", old, "a", "b", at+"/tmp/a/"); ok {
			t.Errorf("scp %s over a folder: got %q, want a failure", old, out)
		}
		if got := content(t, filepath.Join(p.root, "tmp/a/b")); got != "b" {
			t.Errorf("scp %s of the next file: got %q", old, got)
		}
	}
	if out, ok := s.run(t, "", "scp", "-O", "a", at+"/tmp/'b c' $(printf x)"); ok {
		t.Errorf("two targets: got %q, want a failure", out)
	}
	s.must(t, "", "scp", "-O", "a", at+"/tmp/'b c'$(printf x)") // the host's shell reads it
	if got := content(t, filepath.Join(p.root, "tmp/b cx")); got != "a" {
		t.Errorf("a name for the shell: got %q", got)
	}
}
