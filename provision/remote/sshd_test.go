package remote_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// sshd is a stock OpenSSH server on loopback, with processes, /run and accounts of its own.
type sshd struct {
	address string
	hostKey ssh.PublicKey
	other   ssh.PublicKey // another host key, of another kind
	user    ssh.Signer
	dir     string // for files of the test; the server sees it too
}

// startSSHD starts a server on loopback with more lines of configuration and shell commands to run before it. It ends
// with the test.
func startSSHD(t *testing.T, prepare string, lines ...string) *sshd {
	t.Helper()
	s := newSSHD(t, freeAddress(t), prepare, lines)
	s.start(t)
	return s
}

// newSSHD writes a server's files.
func newSSHD(t *testing.T, address, prepare string, lines []string) *sshd {
	t.Helper()
	id, err := remote.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshd{address: address, dir: t.TempDir(), user: id.User.Signer(), hostKey: id.Host.PublicKey()}
	ip, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "key", id.Host.PrivateKey(), 0o600)
	text, other := otherHostKey(t)
	s.other = other
	s.write(t, "other_key", text, 0o600)
	s.write(t, "authorized_keys", id.User.AuthorizedKey()+"\n", 0o600)
	// The hash of password, by crypt(3); other accounts are not there.
	const hash = "$6$offbake$tK95DNPwRIfes/A6b1wZqf5M1ee6N2FFE4fw8xuhXD5Raugoq/l3AJapbnKTQ/PyShR/hu2aqLLihrF1TYcu7."
	s.write(t, "shadow", "root:"+hash+":19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n", 0o600)
	// A home without what this machine's root has in its own, which a shell may read.
	s.write(t, "passwd", "root:x:0:0:root:"+s.dir+"/home:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n", 0o644)
	s.write(t, "config", strings.Join(append(lines, // sshd takes the first of two lines that differ
		"ListenAddress "+ip, "Port "+port, "HostKey "+s.dir+"/other_key", "HostKey "+s.dir+"/key",
		"AuthorizedKeysFile "+s.dir+"/authorized_keys", "StrictModes no", "PermitRootLogin yes", "UsePAM no",
		"PidFile none", "MaxStartups 100", "LogLevel ERROR"), "\n")+"\n", 0o644)
	s.write(t, "start", `set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd "$1/home"
mount --bind "$1/shadow" /etc/shadow
mount --bind "$1/passwd" /etc/passwd
`+prepare+`
/usr/sbin/sshd -D -e -f "$1/config" </dev/null &
cat # until the test is gone, however that ends; the server goes with it
`, 0o644)
	return s
}

// start runs the server with more namespaces of its own, and returns the number of a process that is in all but that of
// the processes. All of the server ends with that one.
func (s *sshd) start(t *testing.T, spaces ...string) (pid int) {
	t.Helper()
	args := append(spaces, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", s.dir+"/start", s.dir)
	cmd := exec.Command("unshare", args...)
	var out locked
	cmd.Stdout, cmd.Stderr = &out, &out
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said: %s", out.String())
		}
	})
	return cmd.Process.Pid
}

// freeAddress is one on loopback that nobody else listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// otherHostKey is a key of another kind, and its public half.
func otherHostKey(t *testing.T) (string, ssh.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), public
}

func (s *sshd) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (s *sshd) config() remote.Config {
	return remote.Config{Name: hostName, Address: s.address, User: "root", Key: s.user, HostKey: s.hostKey}
}

// connect logs in, which shows that a host is awaited; the test's end closes the connection.
func (s *sshd) connect(t *testing.T, c remote.Config) *remote.Host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h, err := remote.Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// sh runs a shell program on the host and returns what it prints, its error included.
func sh(t *testing.T, h *remote.Host, program string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	c := provision.Command{Argv: append([]string{"/bin/sh", "-c", program, "sh"}, args...), Stdout: &out, Stderr: &out}
	if err := h.Run(t.Context(), c); err != nil {
		fmt.Fprintf(&out, "(%v)", err)
	}
	return out.String()
}

// eventually polls until ok, or fails the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
