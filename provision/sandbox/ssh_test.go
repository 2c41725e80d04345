package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/sandbox"
)

func TestSSHCommands(t *testing.T) {
	h := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	c := h.dial(t)
	for _, tc := range []struct {
		command, stdin, out, err string
		status                   int
	}{
		{command: "printf out; printf err >&2", out: "out", err: "err"},
		{command: "exit 7", status: 7},
		{command: "cat; exit 3", stdin: "half-closed", out: "half-closed", status: 3},
		{command: "VAR='x y' /bin/sh -c 'printf \"$VAR\"'", out: "x y"},
		{command: "kill -9 $$", status: 128 + 9},
		{command: "no-such-program 2>/dev/null", status: 127},
		{command: "", stdin: "printf shell; exit 4\n", out: "shell", status: 4},
		{command: "printf '%s' \"$SSH_CLIENT\" | { read ip port own; printf \"$ip $own\"; }", out: "127.0.0.1 22"},
	} {
		s := session(t, c)
		var stdout, stderr bytes.Buffer
		s.Stdin, s.Stdout, s.Stderr = strings.NewReader(tc.stdin), &stdout, &stderr
		var err error
		if tc.command == "" {
			if err = s.Shell(); err == nil {
				err = s.Wait()
			}
		} else {
			err = s.Run(tc.command)
		}
		if got := exitStatus(t, err); got != tc.status || stdout.String() != tc.out || stderr.String() != tc.err {
			t.Errorf("%q: got %d, %q, %q, want %d, %q, %q", tc.command, got, &stdout, &stderr, tc.status, tc.out, tc.err)
		}
	}
	conn := c.Conn.LocalAddr().(*net.TCPAddr)
	want := fmt.Sprintf("127.0.0.1 %d %s 22", conn.Port, h.public)
	if got := run(t, c, `printf "$SSH_CONNECTION"`); got != want {
		t.Errorf("SSH_CONNECTION: got %q, want %q", got, want)
	}
	inner, err := gossh.Dial("tcp", h.inner+":22", clientConfig())
	if err != nil {
		t.Fatalf("private address: %v", err)
	}
	inner.Close()
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *gossh.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitStatus()
}

func TestSSHEnv(t *testing.T) {
	c := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil).dial(t)
	s := session(t, c)
	if err := s.Setenv("LC_ALL", "C.UTF-8"); err != nil {
		t.Errorf("setting LC_ALL: %v", err)
	}
	if err := s.Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("setting LD_PRELOAD: got nil, want an error, as from sshd")
	}
	out, err := s.Output(`printf "$LC_ALL,$LD_PRELOAD"`)
	if err != nil || string(out) != "C.UTF-8," {
		t.Errorf("got %q, %v", out, err)
	}
	s = session(t, c)
	if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.WindowChange(30, 90); err != nil {
		t.Error(err)
	}
	if err := s.WindowChange(31, 91); err != nil {
		t.Error(err)
	}
	if out, err := s.Output(`printf "$TERM\n"`); err != nil || string(out) != "xterm\r\n" {
		t.Errorf("with a pty: got %q, %v", out, err)
	}
}

func TestSSHMuch(t *testing.T) {
	c := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil).dial(t)
	var all sync.WaitGroup
	for i := range 20 {
		s := session(t, c)
		all.Go(func() {
			out, err := s.Output(fmt.Sprintf("head -c 1000000 /dev/zero; printf %d; printf '' >&2", i))
			if want := 1000000 + len(fmt.Sprint(i)); err != nil || len(out) != want || !strings.HasSuffix(string(out), fmt.Sprint(i)) {
				t.Errorf("channel %d: got %d bytes, %v, want %d", i, len(out), err, want)
			}
		})
	}
	all.Wait()
}

func TestSSHSignals(t *testing.T) {
	c := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil).dial(t)
	for _, tc := range []struct {
		command string
		signal  gossh.Signal
		want    string
		status  int
	}{
		{"printf up; exec sleep 60", gossh.SIGTERM, "TERM", 128 + 15},
		{"printf up; exec sleep 60", gossh.SIGKILL, "KILL", 128 + 9},
		{"trap 'printf caught; exit 5' INT; printf up; while :; do sleep 0.01; done", gossh.SIGINT, "", 5},
	} {
		s := session(t, c)
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(tc.command); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(tc.signal); err != nil {
			t.Fatal(err)
		}
		err = s.Wait()
		var exit *gossh.ExitError
		if !errors.As(err, &exit) || exit.Signal() != tc.want || exit.ExitStatus() != tc.status {
			t.Errorf("%s to %q: got %v, want signal %q, status %d", tc.signal, tc.command, err, tc.want, tc.status)
		}
	}
}

func TestSSHForwardsNothing(t *testing.T) {
	h := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	c := h.dial(t)
	_, err := c.Dial("tcp", strings.Trim(h.s.Ready().API, "htp:/"))
	var refused *gossh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != gossh.Prohibited {
		t.Errorf("direct-tcpip: got %v, want that it is prohibited", err)
	}
	if l, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Errorf("tcpip-forward: got %v, want an error", l.Addr())
	}
	if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("keepalive: %v", err)
	}
}

// TestSSHClientGoes: with its channel or its connection, a client's command ends.
func TestSSHClientGoes(t *testing.T) {
	p := newProcess(t)
	h := start(t, sandbox.Options{Boot: p.boot}, nil)
	for name, leave := range map[string]func(*gossh.Client, *gossh.Session) error{
		"channel":    func(_ *gossh.Client, s *gossh.Session) error { return s.Close() },
		"connection": func(c *gossh.Client, _ *gossh.Session) error { return c.Close() },
	} {
		c := h.dial(t)
		s := session(t, c)
		if _, err := s.StdinPipe(); err != nil { // stays open
			t.Fatal(err)
		}
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("echo $$; sleep 60 & sleep 60"); err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Fscan(out, &pid); err != nil {
			t.Fatal(err)
		}
		if err := leave(c, s); err != nil {
			t.Fatal(err)
		}
		if name == "channel" {
			run(t, c, ":") // on the connection that stays
		}
		until(t, "the command's group to end with its "+name, func() bool {
			return errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH)
		})
	}
}

// TestSSHGoesDown: a host that powers itself off is Stopped, cuts its clients and lets nobody in until it is started.
func TestSSHGoesDown(t *testing.T) {
	p := newProcess(t)
	h := start(t, sandbox.Options{Boot: p.boot}, nil)
	c := h.dial(t)
	write(t, filepath.Join(p.root, "root/kept"), "x")
	p.powerOff()
	if err := c.Wait(); err == nil {
		t.Error("connection: got an end, want an error")
	}
	hostIs(t, h.s, h.id, "Stopped")
	if _, err := gossh.Dial("tcp", h.address(), clientConfig()); err == nil {
		t.Error("log in to a host that is off: got nil, want an error")
	}
	ok(t, h.s, "StartUHostInstance", values{"UHostId": h.id})
	hostIs(t, h.s, h.id, "Running")
	if got := run(t, h.dial(t), "cat root/kept"); got != "x" {
		t.Errorf("a file from before: got %q", got)
	}
	ok(t, h.s, "StopUHostInstance", values{"UHostId": h.id})
	hostIs(t, h.s, h.id, "Stopped")
	if _, err := os.Stat(filepath.Join(p.root, "root/kept")); err != nil {
		t.Error(err)
	}
	terminate(t, h.s, h.id)
	if _, err := net.Dial("tcp", h.address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to a host that was ended: got %v, want %v", err, syscall.ECONNREFUSED)
	}
}
