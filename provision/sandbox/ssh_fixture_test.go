package sandbox_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/guest"
	"github.com/offbake/offbake/provision/sandbox"
)

// process is a machine whose commands are processes of this one's machine, in the folder root and without an scp.
type process struct {
	root string
	bin  string

	mu   sync.Mutex
	last *power
}

func newProcess(t *testing.T) *process {
	t.Helper()
	p := &process{root: t.TempDir(), bin: t.TempDir()}
	for _, name := range []string{"sh", "cat", "env", "id", "printf", "sleep", "head", "seq", "sha256sum", "chmod", "rm", "mkdir"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(p.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"root", "tmp", "etc/ssh"} {
		if err := os.MkdirAll(filepath.Join(p.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *process) boot(context.Context, sandbox.BootConfig) (*sandbox.Machine, error) {
	m := &power{down: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = m
	return &sandbox.Machine{
		Exec: p.exec, Root: p.root,
		Down:  m.off,
		Start: func(context.Context) error { m.on(); return nil },
		Stop:  func(context.Context) error { m.cut(); return nil },
		Pack:  func(ctx context.Context, w io.Writer) error { return guest.Pack(ctx, p.root, w) },
		Close: func() error { return nil },
	}, nil
}

// powerOff is what `poweroff` is to a guest, for the machine that was booted last.
func (p *process) powerOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last.cut()
}

// power is whether a machine is on.
type power struct {
	mu   sync.Mutex
	down chan struct{}
}

func (m *power) off() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

func (m *power) on() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = make(chan struct{})
}

func (m *power) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.down:
	default:
		close(m.down)
	}
}

func (p *process) exec(ctx context.Context, e sandbox.Exec) (int, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", e.Command)
	cmd.Dir, cmd.Env = p.root, append([]string{"PATH=" + p.bin, "HOME=" + p.root + "/root"}, e.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, e.Stdout, e.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if e.Stdin != nil {
		in, err := cmd.StdinPipe() // which Wait does not wait for
		if err != nil {
			return 0, err
		}
		go func() {
			io.Copy(in, e.Stdin)
			in.Close()
		}()
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case sig := <-e.Signals:
				syscall.Kill(-cmd.Process.Pid, sig)
			case <-over:
				return
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	}
	return 0, err
}

// host is a host of a sandbox that runs, and how to reach it.
type host struct {
	s             *sandbox.Sandbox
	id            string
	public, inner string // its addresses
}

// start opens a sandbox and a host in it.
func start(t *testing.T, o sandbox.Options, v values) host {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "sandbox")
	}
	if o.Base == "" {
		o.Base = t.TempDir()
	}
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return hostIn(t, s, v)
}

func hostIn(t *testing.T, s *sandbox.Sandbox, v values) host {
	t.Helper()
	h := host{s: s, id: running(t, s, create(s).with(v.pairs()...))}
	r := ok(t, s, "DescribeUHostInstance", values{"UHostIds.0": h.id})
	for _, i := range []string{"0", "1"} {
		ip := r.text("UHostSet.0.IPSet." + i + ".IP")
		if r.text("UHostSet.0.IPSet."+i+".Type") == "Private" {
			h.inner = ip
		} else {
			h.public = ip
		}
	}
	if h.inner == "" || h.public == "" {
		t.Fatalf("addresses: got private %q and public %q, want both", h.inner, h.public)
	}
	return h
}

// clientConfig logs in with the password.
func clientConfig() *gossh.ClientConfig {
	return &gossh.ClientConfig{
		User: "root", Auth: []gossh.AuthMethod{gossh.Password(password)},
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: patience,
	}
}

func (h host) address() string { return net.JoinHostPort(h.public, "22") }

func (h host) dial(t *testing.T) *gossh.Client {
	t.Helper()
	c, err := gossh.Dial("tcp", h.address(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func session(t *testing.T, c *gossh.Client) *gossh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run is a command's output, which must succeed.
func run(t *testing.T, c *gossh.Client, command string) string {
	t.Helper()
	out, err := session(t, c).CombinedOutput(command)
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// keyPair is a new key: the signer, its private half as PEM, its public half as a line.
func keyPair(t *testing.T, comment string) (gossh.Signer, string, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(key, comment)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey()))) + " " + comment
	return signer, string(pem.EncodeToMemory(block)), line
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// until polls for what must come.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting: %s", what)
		}
	}
}
