package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// TestConnectAwaitsTheHost has a host boot: whatever it does until it is there, Connect comes through.
func TestConnectAwaitsTheHost(t *testing.T) {
	for name, s := range map[string]*server{
		"ready": {},
		"refused": {onDial: func(n int) error {
			if n < 8 {
				return refusedDial()
			}
			return nil
		}},
		"no route": {onDial: func(n int) error {
			if n < 3 {
				return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", os.ErrDeadlineExceeded)}
			}
			return nil
		}},
		"closed before its greeting": {onConn: func(n int, _ net.Conn) bool { return n > 3 }},
		"silent": {onConn: func(n int, c net.Conn) bool {
			if n < 3 {
				io.Copy(io.Discard, c)
			}
			return n >= 3
		}},
		"closed after its greeting": {onConn: func(n int, c net.Conn) bool {
			if n < 3 {
				io.WriteString(c, "SSH-2.0-x\r\n")
			}
			return n >= 3
		}},
		"silent after its greeting": {onConn: func(n int, c net.Conn) bool {
			if n < 2 {
				io.WriteString(c, "SSH-2.0-x\r\n")
				io.Copy(io.Discard, c)
			}
			return n >= 2
		}},
		"another server's greeting": {onConn: func(n int, c net.Conn) bool {
			if n < 3 {
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}
			return n >= 3
		}},
		"endless greeting": {onConn: func(n int, c net.Conn) bool {
			if n < 3 {
				for range 100 {
					io.WriteString(c, strings.Repeat("x", 1000))
				}
			}
			return n >= 3
		}},
		"refuses the login until cloud-init has run": {refuse: func(n int) bool { return n < 20 }},
		"hangs up on the login until cloud-init has run": {
			refuse: func(n int) bool { return n < 5 },
			config: func(c *ssh.ServerConfig) { c.MaxAuthTries = 1 },
		},
		"takes no passwords until cloud-init has run": {config: laterPasswords()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := s.clientConfig()
				if strings.HasPrefix(name, "takes no passwords") {
					c.Key = nil
				}
				start := time.Now()
				h := connected(t, s, c)
				if err := h.Run(t.Context(), provision.Command{Argv: []string{"true"}}); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); name == "ready" && took != 0 {
					t.Errorf("a host that is ready cost %v of waiting", took)
				}
			})
		})
	}
}

// TestKeyboardInteractive logs in to a host that asks for the password in words of its own.
func TestKeyboardInteractive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{config: func(c *ssh.ServerConfig) {
			c.PasswordCallback, c.PublicKeyCallback = nil, nil
			c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				answers, err := ask("", "", []string{"Shown: ", "Password: "}, []bool{true, false})
				if err != nil || !slices.Equal(answers, []string{"", password}) {
					return nil, fmt.Errorf("got %q and %v", answers, err)
				}
				_, err = ask("", "Welcome", nil, nil)
				return nil, err
			}
		}}
		h := connected(t, s, s.clientConfig())
		if err := h.Run(t.Context(), argv("true")); err != nil {
			t.Error(err)
		}
	})
}

// laterPasswords takes keys only on the first four connections.
func laterPasswords() func(*ssh.ServerConfig) {
	var mu sync.Mutex
	n := 0
	return func(c *ssh.ServerConfig) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n < 5 {
			c.PasswordCallback = nil
		}
	}
}

// TestConnectBacksOff counts the tries of a minute: the first come quickly, the later ones every two seconds.
func TestConnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		s := &server{onDial: func(int) error {
			at = append(at, time.Since(start))
			return refusedDial()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := remote.Connect(ctx, s.clientConfig())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v, want the deadline and what was the matter", err)
		}
		ms := time.Millisecond
		want := []time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 3150 * ms, 5150 * ms}
		if !slices.Equal(at[:len(want)], want) {
			t.Errorf("got tries at %v, want %v", at[:len(want)], want)
		}
		if len(at) > 40 {
			t.Errorf("got %d tries in a minute, want fewer", len(at))
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %v, want the minute of its context", took)
		}
	})
}

// TestConnectEndsWithItsContext cancels while the host is at each stage of not being there.
func TestConnectEndsWithItsContext(t *testing.T) {
	cause := errors.New("somebody pressed Ctrl-C")
	for name, s := range map[string]*server{
		"refused":          {onDial: func(int) error { return refusedDial() }},
		"dialling":         {},
		"silent":           {onConn: func(_ int, c net.Conn) bool { io.Copy(io.Discard, c); return false }},
		"login refused":    {refuse: func(int) bool { return true }},
		"login hung up on": hangsUp(),
		"login unfinished": {onWrite: func(int) (hook, hook) {
			return nil, func(n int) fate {
				if n > 4 {
					return hang
				}
				return pass
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer s.close()
				ctx, cancel := context.WithCancelCause(t.Context())
				c := s.clientConfig()
				if name == "dialling" {
					c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
						<-ctx.Done()
						return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
					}
				}
				const after = 7 * time.Second
				time.AfterFunc(after, func() { cancel(cause) })
				start := time.Now()
				h, err := remote.Connect(ctx, c)
				if h != nil || !errors.Is(err, cause) {
					t.Errorf("got host %v and error %v, want the context's cause", h, err)
				}
				if took := time.Since(start); took != after {
					t.Errorf("it took %v, want %v", took, after)
				}
				var refused *remote.AuthError
				if isAuth := errors.As(err, &refused); isAuth != (name == "login refused") {
					t.Errorf("got %v, want an AuthError in it: %v", err, !isAuth)
				}
				if !strings.Contains(err.Error(), hostName) || !strings.Contains(err.Error(), address) {
					t.Errorf("got %q, want it to name host and address", err)
				}
			})
		})
	}
}

// hangsUp is a server that breaks every connection when it has got a secret: that is no refusal.
func hangsUp() *server {
	s := &server{}
	s.refuse = func(int) bool { s.close(); return true }
	return s
}

// TestConnectGivesUp has what waiting does not mend.
func TestConnectGivesUp(t *testing.T) {
	blocked := errors.New("blocked by the guard")
	other, _ := remote.NewIdentity()
	for name, c := range map[string]struct {
		server *server
		change func(*remote.Config)
		dials  int
		want   string
	}{
		"the guard": {&server{onDial: func(int) error { return blocked }}, nil, 1, "blocked by the guard"},
		"another key": {&server{hostKey: func(int) ssh.Signer { return newSigner("wrong") }}, nil, 1,
			"got SHA256:"},
		"no key of the kind": {&server{}, func(c *remote.Config) { c.HostKey = other.Host.PublicKey() }, 1,
			"got no ecdsa-sha2-nistp256 key"},
		"no common algorithm": {&server{config: func(c *ssh.ServerConfig) { c.Ciphers = []string{"aes128-cbc"} }}, nil, 1,
			"no common algorithm"},
		"wrong secrets": {&server{refuse: func(int) bool { return true }}, nil, 0, `the host refused the key and the password`},
		"wrong password": {&server{}, func(c *remote.Config) { c.Key, c.Password = nil, "wrong"+password }, 0,
			"the host refused the password"},
		"no method": {&server{config: func(c *ssh.ServerConfig) { c.PublicKeyCallback = nil }},
			func(c *remote.Config) { c.Password = "" }, 0, "the host takes neither key nor password"},
		"wrong secrets, few tries": {&server{refuse: func(int) bool { return true },
			config: func(c *ssh.ServerConfig) { c.MaxAuthTries = 1 }}, nil, 0, "the host refused the key: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer c.server.close()
				config := c.server.clientConfig()
				if c.change != nil {
					c.change(&config)
				}
				patience := 2 * time.Minute
				if name != "wrong password" {
					patience = 10 * time.Second
					config.AuthPatience = patience
				}
				start := time.Now()
				_, err := remote.Connect(t.Context(), config)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), hostName) {
					t.Fatalf("got %v, want it to say %q and to name the host", err, c.want)
				}
				if strings.Contains(err.Error(), password) {
					t.Errorf("%q shows the password", err)
				}
				took := time.Since(start)
				if c.dials != 0 && (c.dials != c.server.dials || took != 0) {
					t.Errorf("got %d tries in %v, want %d at once", c.server.dials, took, c.dials)
				}
				var refused *remote.AuthError
				if isAuth := errors.As(err, &refused); isAuth != (c.dials == 0) {
					t.Errorf("got %T, want an AuthError: %v", err, c.dials == 0)
				}
				if refused != nil && (took < patience || took > patience+2*time.Second) {
					t.Errorf("it was final after %v, want %v", took, patience)
				}
				var key *remote.HostKeyError
				if isKey := errors.As(err, &key); isKey != strings.Contains(name, "key") {
					t.Errorf("got %v, want a HostKeyError: %v", err, !isKey)
				}
				if name == "the guard" && !errors.Is(err, blocked) {
					t.Errorf("got %v, want the guard's own error in it", err)
				}
			})
		})
	}
}

// TestFirstHostKeyStays connects without knowing the key: that of the first login holds from then on.
func TestFirstHostKeyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{
			refuse: func(n int) bool { return n == 1 }, // its key was one for the time of booting
			hostKey: func(n int) ssh.Signer {
				return newSigner([]string{"", "boot", "host", "host", "changed"}[n])
			},
		}
		c := s.clientConfig()
		c.HostKey = nil
		h := connected(t, s, c)
		if got, want := ssh.FingerprintSHA256(h.HostKey()), ssh.FingerprintSHA256(newSigner("host").PublicKey()); got != want {
			t.Errorf("got key %s, want %s", got, want)
		}
		run := func() error { return h.Run(t.Context(), provision.Command{Argv: []string{"true"}}) }
		s.close()
		if err := run(); err != nil {
			t.Errorf("connecting again with the same key: %v", err)
		}
		s.close()
		err := run()
		var wrong *remote.HostKeyError
		if !errors.As(err, &wrong) || wrong.Got != ssh.FingerprintSHA256(newSigner("changed").PublicKey()) {
			t.Fatalf("got %v, want a HostKeyError that names the changed key", err)
		}
		if wrong.Want != ssh.FingerprintSHA256(newSigner("host").PublicKey()) || wrong.Host != hostName {
			t.Errorf("got %+v, want the first key and the host's name in it", wrong)
		}
		if n := s.count(&s.dials); n != 4 {
			t.Errorf("got %d connections, want 4: a wrong key is final", n)
		}
	})
}

func TestConnectChecksWhatItIsGiven(t *testing.T) {
	script := t.TempDir() + "/agent"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*remote.Config){
		"want an IP address and a port": func(c *remote.Config) { c.Address = "host:22" },
		"no user":                       func(c *remote.Config) { c.User = "" },
		"neither a password nor a key":  func(c *remote.Config) { c.Key, c.Password = nil, "" },
		"reading it as an ELF program":  func(c *remote.Config) { c.Agent = script },
		"no such file":                  func(c *remote.Config) { c.Agent = script + "2" },
		"want EM_AARCH64":               func(c *remote.Config) { c.Agent, c.Platform = self, "linux/arm64" },
		`none for platform "plan9/arm"`: func(c *remote.Config) { c.Agent, c.Platform = self, "plan9/arm" },
	} {
		s := &server{}
		c := s.clientConfig()
		change(&c)
		if _, err := remote.Connect(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
		if s.dials != 0 {
			t.Errorf("%s: it was dialled all the same", want)
		}
	}
	if err := remote.CheckAgent(self, ""); err != nil {
		t.Errorf("checking this program: %v", err)
	}
}
