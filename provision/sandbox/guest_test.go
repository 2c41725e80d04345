package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/sandbox"
)

// base is the root file system as a folder, unpacked once for all tests; TestMain removes it. Half of it, and most of its
// files, are languages that nobody speaks here.
func base(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("offbake-sandbox-test-%d", os.Getpid()))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	must(t, os.Mkdir(folder, 0o755))
	out, err = exec.Command("tar", "--extract", "--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-permissions",
		"--exclude=*/python3*", "--exclude=*/perl*", "--exclude=*libicu*",
		"--file="+strings.TrimSpace(string(out)), "--directory="+folder).CombinedOutput()
	if err != nil {
		t.Fatalf("unpacking root file system: %v: %s", err, out)
	}
	// As bases of a cloud have it, it comes with an SSH server.
	units := filepath.Join(folder, "etc/systemd/system")
	must(t, os.Mkdir(filepath.Join(folder, "etc/ssh"), 0o755))
	write(t, filepath.Join(units, "ssh.socket"), "[Socket]\nListenStream=22\nAccept=yes\n[Install]\nWantedBy=sockets.target\n")
	write(t, filepath.Join(units, "ssh@.service"), "[Service]\nExecStart=/bin/echo SSH-2.0-base\nStandardOutput=socket\n")
	must(t, os.MkdirAll(filepath.Join(units, "sockets.target.wants"), 0o755))
	must(t, os.Symlink("/etc/systemd/system/ssh.socket", filepath.Join(units, "sockets.target.wants/ssh.socket")))
	return folder
}

// TestGuest: a real host, from its first start over a restart to an image of it and a host made of that.
func TestGuest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	s, h := newStock(t, sandbox.Options{Dir: dir, Base: base(t)})
	at := "root@" + s.host
	t.Run("commands", func(t *testing.T) { guestCommands(t, s, h) })
	t.Run("copies", func(t *testing.T) {
		write(t, filepath.Join(s.folder, "script"), "#!/bin/sh\nprintf \"$1 $(cat /tmp/data)\"\n")
		write(t, filepath.Join(s.folder, "data"), strings.Repeat("x", 100))
		s.must(t, "", "scp", "-O", "script", at+":/tmp/script_1234.sh") // as Packer does
		s.must(t, "", "scp", "data", at+":/tmp/")
		got := s.must(t, "", "ssh", at, "chmod 0755 /tmp/script_1234.sh; VAR='y' /bin/sh /tmp/script_1234.sh done")
		if got != "done "+strings.Repeat("x", 100) {
			t.Errorf("a script: got %q", got)
		}
		s.must(t, "", "scp", "-O", at+":/etc/machine-id", "machine-id")
	})
	t.Run("signals", func(t *testing.T) { guestSignals(t, h) })
	t.Run("store", func(t *testing.T) { guestStore(t, s, h) })
	was := s.must(t, "", "ssh", at, "systemctl show --value --property=InactiveEnterTimestampMonotonic ssh.socket")
	if was == "0\n" || was == "\n" {
		t.Error("the base's own SSH server was never up, or is still: this test proves less than it says")
	}
	if got := s.must(t, "", "ssh", at, "ls /etc/ssh"); got != "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\n" {
		t.Errorf("host keys: got %q", got)
	}
	id := strings.TrimSpace(content(t, filepath.Join(s.folder, "machine-id")))
	if len(id) != 32 || id == strings.TrimSpace(content(t, "/etc/machine-id")) {
		t.Errorf("machine id: got %q, want one of its own", id)
	}
	s.must(t, "", "ssh", at, "echo one >/root/kept; : >/etc/machine-id; rm -f /root/.ssh/authorized_keys")
	c := h.dial(t)
	session(t, c).Run("systemctl poweroff") // may end with its guest
	if err := c.Wait(); err == nil {
		t.Error("connection to a guest that powers off: got an end, want an error")
	}
	hostIs(t, h.s, h.id, "Stopped")
	ok(t, h.s, "StartUHostInstance", values{"UHostId": h.id})
	hostIs(t, h.s, h.id, "Running")
	if got := run(t, h.dial(t), "cat /root/kept; echo two >>/root/kept; touch /tmp/gone"); got != "one\n" {
		t.Errorf("after a restart: got %q", got)
	}
	ok(t, h.s, "StopUHostInstance", values{"UHostId": h.id})
	hostIs(t, h.s, h.id, "Stopped")
	image := ok(t, h.s, "CreateCustomImage", values{"UHostId": h.id, "ImageName": "one"}).text("ImageId")
	await(t, h.s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Available")
	terminate(t, h.s, h.id)
	next := hostIn(t, h.s, values{"ImageId": image})
	got := run(t, next.dial(t), "cat /root/kept; ls -A /tmp | grep gone; cat /etc/machine-id; ls /root/.ssh; systemctl is-enabled ssh.socket")
	if lines := strings.Split(got, "\n"); len(lines) != 5 || lines[0] != "one" || lines[1] != "two" || len(lines[2]) != 32 || lines[2] == id ||
		lines[3] != "enabled" {
		t.Errorf("a host of the image: got %q, want its files, another machine id than %s, no key, its own SSH server", got, id)
	}
	if err := h.s.Close(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, dir)
}

func guestCommands(t *testing.T, s stock, h host) {
	at := "root@" + s.host
	if got := s.must(t, "half-closed", "ssh", at, "cat; pwd; id -u; exec 2>&1; echo err >&2"); got != "half-closed/root\n0\nerr\n" {
		t.Errorf("a command: got %q", got)
	}
	if out, ok := s.run(t, "", "ssh", at, "exit 9"); ok || !strings.Contains(out, "exit status 9") {
		t.Errorf("exit 9: got %q", out)
	}
	if got := s.must(t, "", "ssh", at, `printf "$SSH_CONNECTION"`); !strings.HasPrefix(got, "10.213.0.1 ") || !strings.HasSuffix(got, " 10.213.0.2 22") {
		t.Errorf("SSH_CONNECTION: got %q, want the two ends as the guest sees them", got)
	}
	if got := s.must(t, "", "ssh", at, "head -c 5000000 /dev/zero"); len(got) != 5000000 {
		t.Errorf("much: got %d bytes", len(got))
	}
	// A daemon outlives the session that started it; what is left of the command itself does not hold the session.
	s.must(t, "", "ssh", at, "setsid sleep 61 >/dev/null 2>&1 & exit 0")
	if got := s.must(t, "", "ssh", at, "pgrep -fx 'sleep 61' | wc -l"); got != "1\n" {
		t.Errorf("daemons: got %q, want one", got)
	}
	inner, err := gossh.Dial("tcp", h.inner+":22", clientConfig())
	if err != nil {
		t.Fatalf("private address: %v", err)
	}
	must(t, inner.Close())
}

func guestSignals(t *testing.T, h host) {
	c := h.dial(t)
	s := session(t, c)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Start("trap 'printf caught; exit 5' TERM; echo up; while :; do sleep 0.05; done"))
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	must(t, s.Signal(gossh.SIGTERM))
	rest, err := io.ReadAll(out)
	if status := exitStatus(t, s.Wait()); status != 5 || string(rest) != "caught" || err != nil {
		t.Errorf("a trap: got %d, %q, %v, want 5 and what it prints", status, rest, err)
	}
	s = session(t, c)
	if out, err = s.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	must(t, s.Start("echo up; sleep 62"))
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	until(t, "a command to end with its channel", func() bool { return run(t, c, "pgrep -fx 'sleep 62' | wc -l") == "0\n" })
}

// guestStore: a presigned URL of the store is good on the host, as it is.
func guestStore(t *testing.T, s stock, h host) {
	endpoint := h.s.Ready().Endpoint
	resp, err := http.Get(endpoint + "/no-such-object")
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	got := s.must(t, "", "ssh", "root@"+s.host, "curl -s -o - -w '%{http_code}' "+endpoint+"/no-such-object")
	if status := fmt.Sprint(resp.StatusCode); !strings.HasSuffix(got, status) || len(want) == 0 {
		t.Errorf("the store from inside: got %q, want %q and %s", got, want, status)
	}
}

// TestGuestReap: what a sandbox that was killed leaves is gone when the next one opens its folder.
func TestGuestReap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	cmd := exec.Command(os.Args[0], "-test.run=TestMain")
	cmd.Env = append(os.Environ(), "OFFBAKE_TEST_SANDBOX="+dir, "OFFBAKE_TEST_BASE="+base(t))
	var out bytes.Buffer
	cmd.Stderr = &out
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	must(t, cmd.Start())
	_, err = io.ReadFull(stdout, make([]byte, 3))
	cmd.Process.Kill() // it may have ended by itself
	cmd.Wait()
	if err != nil {
		t.Fatalf("a sandbox in another process: %v: %s", err, &out)
	}
	if left := leftOf(t, dir); len(left) == 0 {
		t.Fatal("a killed sandbox left nothing, so there is nothing to test")
	}
	s, err := sandbox.New(sandbox.Options{Dir: dir, Base: base(t)})
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dir)
	must(t, s.Close())
}

// TestMain is, as a child of TestGuestReap, the sandbox that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OFFBAKE_TEST_SANDBOX"); dir != "" {
		fmt.Fprintln(os.Stderr, beKilled(dir))
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(filepath.Join(os.TempDir(), fmt.Sprintf("offbake-sandbox-test-%d", os.Getpid())))
	os.Exit(code)
}

func beKilled(dir string) error {
	s, err := sandbox.New(sandbox.Options{Dir: dir, Base: os.Getenv("OFFBAKE_TEST_BASE")})
	if err != nil {
		return err
	}
	r, err := try(s, "CreateUHostInstance", create(s))
	if err != nil || r.code() != 0 {
		return fmt.Errorf("got %v, %w", r, err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, err := try(s, "DescribeUHostInstance", nil)
		if err != nil {
			return err
		}
		if r.text("UHostSet.0.State") == "Running" {
			fmt.Println("up")
			time.Sleep(patience)
			break
		}
	}
	return errors.Join(errors.New("nobody killed me"), s.Close())
}

// leftOf is what there is of guests of the sandbox in dir: folders, mounts, processes, control groups.
func leftOf(t *testing.T, dir string) (left []string) {
	t.Helper()
	hosts, err := filepath.Glob(filepath.Join(dir, "*/hosts/*"))
	must(t, err)
	left = append(left, hosts...)
	files, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	must(t, err)
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(dir)) {
			left = append(left, file)
		}
		if text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline")); err == nil && bytes.Contains(text, []byte("="+dir)) {
			left = append(left, string(text))
		}
	}
	return left
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := leftOf(t, dir); len(left) != 0 {
		t.Errorf("left of guests: %q", left)
	}
}
