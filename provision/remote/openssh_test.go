package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// TestOpenSSH has what only the real server can show.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, "", "RekeyLimit 16M") // keys are exchanged anew while commands run
	h := s.connect(t, s.config())
	t.Run("exit", func(t *testing.T) {
		for program, want := range map[string]string{
			"exit 0": "", "exit 7": "(exit status 7)", "kill -9 $$": "Killed\n(exit status 137)", "kill -TERM $$": "Terminated\n(exit status 143)",
			"exit 213": "(exit status 213)", "echo $0 $1; id -u": "sh one two\n0\n", "echo err >&2": "err\n",
		} {
			if got := sh(t, h, program, "one two"); got != want {
				t.Errorf("%s: got %q, want %q", program, got, want)
			}
		}
	})
	t.Run("words", func(t *testing.T) {
		words := []string{"", " ", "a b", "it's", `"q"`, `\`, "$HOME", "`id`", "*", "a\nb", "!x", "-n", "ä", "a=b", "\x01\xff",
			"~", "#"}
		got := sh(t, h, `for w; do printf '%s\0' "$w"; done`, words...)
		if want := strings.Join(words, "\x00") + "\x00"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		var out bytes.Buffer
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"FOO=1"}, Stderr: &out}); err == nil {
			t.Error("an assignment is no program, and ran")
		}
	})
	t.Run("100 MB", func(t *testing.T) {
		const size = 100 << 20
		in, out := newSum(), newSum()
		src := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{}), size), in)
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"cat"}, Stdin: src, Stdout: out}); err != nil {
			t.Fatal(err)
		}
		if out.n != size || in.hex() != out.hex() {
			t.Errorf("got %d bytes of digest %s, want %d of %s", out.n, out.hex(), size, in.hex())
		}
	})
	t.Run("many", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				if got := sh(t, h, `read x; sleep 0.05; echo $1`, fmt.Sprint(i)); got != fmt.Sprintln(i) {
					t.Errorf("got %q, want %d", got, i)
				}
			})
		}
		wg.Wait()
	})
	t.Run("daemon", func(t *testing.T) {
		if got := sh(t, h, "sleep 4711 & echo x"); got != "x\n" {
			t.Errorf("got %q, want what was printed before the daemon held the output", got)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		started := &trigger{then: func() { cancel(cause) }}
		c := provision.Command{Argv: []string{"/bin/sh", "-c", "echo; sleep 4712; true"}, Stdout: started}
		if err := h.Run(ctx, c); err != cause {
			t.Errorf("got %v, want %v", err, cause)
		}
		eventually(t, "the command ends", func() bool { return sh(t, h, "pgrep -f 'sleep 471[2]'") == "(exit status 1)" })
	})
}

// trigger calls a function at the first Write.
type trigger struct {
	once sync.Once
	then func()
}

func (t *trigger) Write(p []byte) (int, error) {
	t.once.Do(t.then)
	return len(p), nil
}

// TestOpenSSHLogins has the ways to log in.
func TestOpenSSHLogins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines  string
		change func(*sshd, *remote.Config)
		want   string // of an error
	}{
		"key":      {"", func(*sshd, *remote.Config) {}, ""},
		"password": {"", func(_ *sshd, c *remote.Config) { c.Key, c.Password = nil, password }, ""},
		"key, then password": {"",
			func(_ *sshd, c *remote.Config) { c.Key, c.Password = newSigner("unknown"), password },
			""},
		"both":           {"AuthenticationMethods publickey,password", func(_ *sshd, c *remote.Config) { c.Password = password }, ""},
		"first key":      {"", func(_ *sshd, c *remote.Config) { c.HostKey = nil }, ""},
		"other host key": {"", func(s *sshd, c *remote.Config) { c.HostKey = s.other }, ""},
		"wrong both": {"",
			func(_ *sshd, c *remote.Config) { c.Key, c.Password = newSigner("unknown"), "x"+password },
			"refused the key and the password"},
		"too many tries": {"MaxAuthTries 1",
			func(_ *sshd, c *remote.Config) { c.Key, c.Password = newSigner("unknown"), password },
			"Too many authentication failures"},
		"no passwords": {"PasswordAuthentication no\nKbdInteractiveAuthentication no",
			func(_ *sshd, c *remote.Config) { c.Key, c.Password = nil, password },
			"takes neither"},
		"wrong host key": {"",
			func(_ *sshd, c *remote.Config) { c.HostKey = newSigner("x").PublicKey() },
			"got no ssh-ed25519 key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSSHD(t, "", c.lines)
			config := s.config()
			config.AuthPatience = 300 * time.Millisecond
			c.change(s, &config)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			h, err := remote.Connect(ctx, config)
			switch {
			case (err == nil) != (c.want == ""), err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), password):
				t.Errorf("%q shows the password", err)
			}
			if h == nil {
				return
			}
			defer h.Close()
			if got := sh(t, h, "echo x"); got != "x\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestOpenSSHFaults has the connection's process stopped, and killed, while a command runs.
func TestOpenSSHFaults(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, "")
	// A kernel resets the connection of a process that was killed with bytes unread, and closes it otherwise.
	for signal, want := range map[string]string{"STOP": "nothing came for", "KILL": "closed by the host|reset by peer"} {
		t.Run(signal, func(t *testing.T) {
			c := s.config()
			c.Stall = time.Second
			h := s.connect(t, c)
			var lost *remote.LostError
			// The parent's parent is the server's process for this connection.
			program := "read -r _ _ _ server _ </proc/$PPID/stat; kill -" + signal + " $server; sleep 4713"
			err := h.Run(t.Context(), argv("/bin/sh", "-c", program))
			if !errors.As(err, &lost) || !regexp.MustCompile(want).MatchString(err.Error()) || lost.Host != hostName {
				t.Errorf("got %v, want a LostError that says %q", err, want)
			}
			if got := sh(t, h, "echo x"); got != "x\n" {
				t.Errorf("the next command: got %q", got)
			}
		})
	}
}

// TestCloseLeavesNothing counts the goroutines of this package and of the library after a Close amid work.
func TestCloseLeavesNothing(t *testing.T) {
	s := startSSHD(t, "")
	before := goroutines()
	h := s.connect(t, s.config())
	started := make(chan struct{})
	ended := make(chan error)
	go func() {
		c := provision.Command{Argv: []string{"/bin/sh", "-c", "echo; sleep 4714"}, Stdout: &trigger{then: func() { close(started) }}}
		ended <- h.Run(t.Context(), c)
	}()
	<-started
	if now := goroutines(); now <= before {
		t.Errorf("got %d goroutines, want more than %d: they are not counted", now, before)
	}
	h.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "closed here") {
		t.Errorf("got %v, want that it was closed", err)
	}
	eventually(t, "goroutines end", func() bool { return goroutines() <= before })
}

// goroutines counts those that are in this package's code or the SSH library's.
func goroutines() int {
	buf := make([]byte, 4<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	n := 0
	for _, g := range all {
		if strings.Contains(g, "offbake/provision/remote.") || strings.Contains(g, "golang.org/x/crypto/ssh.") {
			n++
		}
	}
	return n
}
