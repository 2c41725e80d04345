package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/seal"
)

func argv(words ...string) provision.Command { return provision.Command{Argv: words} }

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := connected(t, s, s.clientConfig())
		if h.Name() != hostName {
			t.Errorf("got name %q, want %q", h.Name(), hostName)
		}
		var stdout, stderr bytes.Buffer
		c := provision.Command{Argv: []string{"echo", "a b", "c"}, Stdout: &stdout, Stderr: &stderr}
		if err := h.Run(t.Context(), c); err != nil || stdout.String() != "a b c\n" || stderr.Len() > 0 {
			t.Errorf("got %v, %q, %q", err, stdout.String(), stderr.String())
		}
		c = provision.Command{Argv: []string{"warn", "x"}, Stdout: &stdout, Stderr: &stderr}
		if err := h.Run(t.Context(), c); err != nil || stdout.String() != "a b c\n" || stderr.String() != "x\n" {
			t.Errorf("got %v, %q, %q", err, stdout.String(), stderr.String())
		}
		for _, code := range []int{1, 2, 213, 214, 255} {
			var exit *provision.ExitError
			if err := h.Run(t.Context(), argv("exit", fmt.Sprint(code))); !errors.As(err, &exit) || exit.Code != code {
				t.Errorf("got %v, want exit status %d", err, code)
			}
		}
		if err := h.Run(t.Context(), provision.Command{}); err == nil {
			t.Error("got nil, want an error for no program")
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Run(cancelled, argv("true")); err != context.Canceled {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if n := len(s.commands); n != 7 {
			t.Errorf("the host was asked for %d commands, want 7", n)
		}
		if s.dials != 1 {
			t.Errorf("got %d connections, want 1", s.dials)
		}
	})
}

// TestRunAsUser has every command but the look at the connection go through sudo, which would hide that.
func TestRunAsUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{run: func(c *call) int {
			if strings.Contains(c.line, "SSH_CONNECTION") {
				io.WriteString(c.stdout, "192.0.2.1 50000 192.0.2.2 22")
			}
			return 0
		}}
		c := s.clientConfig()
		c.User, c.Agent = "centos", standIn(t)
		h := connected(t, s, c)
		if err := h.Run(t.Context(), argv("a", "b'c")); err != nil {
			t.Fatal(err)
		}
		if want := `'sudo' '-n' 'a' 'b'\''c'`; !slices.Equal(s.commands, []string{want}) {
			t.Errorf("got %q, want %q", s.commands, want)
		}
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"a"}, Sealed: true}); err != nil {
			t.Error(err)
		}
		if err := h.Seal(t.Context(), seal.Address()); err != nil {
			t.Error(err)
		}
		for _, line := range s.commands {
			if strings.HasPrefix(line, "'sudo' '-n' '") == strings.Contains(line, "SSH_CONNECTION") {
				t.Errorf("got %q, want sudo where root is needed", line)
			}
		}
		if len(s.commands) != 6 {
			t.Errorf("got %d commands, want 6: %q", len(s.commands), s.commands)
		}
	})
}

// TestRunStreams sends 8 MB through a host that gives it back.
func TestRunStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := connected(t, s, s.clientConfig())
		const size = 8 << 20
		in, out := newSum(), newSum()
		src := io.TeeReader(io.LimitReader(rand.Reader, size), in)
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"cat"}, Stdin: src, Stdout: out}); err != nil {
			t.Fatal(err)
		}
		if out.n != size || in.hex() != out.hex() {
			t.Errorf("got %d bytes of digest %s, want %d of %s", out.n, out.hex(), size, in.hex())
		}
	})
}

// TestManyRuns has a hundred commands at once on one connection, of a host that allows two sessions.
func TestManyRuns(t *testing.T) {
	for name, sessions := range map[string]int{"as many as OpenSSH allows": 10, "few": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				open, most := 0, 0
				s := &server{
					onOpen: func(_ int, c ssh.NewChannel) bool {
						mu.Lock()
						defer mu.Unlock()
						if open == sessions {
							c.Reject(ssh.ResourceShortage, "open failed")
							return false
						}
						open++
						most = max(most, open)
						return true
					},
					run: func(c *call) int {
						time.Sleep(time.Second)
						mu.Lock()
						open--
						mu.Unlock()
						return builtin(c)
					},
				}
				h := connected(t, s, s.clientConfig())
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						var out bytes.Buffer
						c := provision.Command{Argv: []string{"echo", fmt.Sprint(i)}, Stdout: &out, Stdin: strings.NewReader("unread")}
						if err := h.Run(t.Context(), c); err != nil || out.String() != fmt.Sprintln(i) {
							t.Errorf("got %v and %q", err, out.String())
						}
					})
				}
				wg.Wait()
				if s.dials != 1 {
					t.Errorf("got %d connections, want 1", s.dials)
				}
				if most < 2 || most > 8 {
					t.Errorf("got %d commands at once, want 2 to 8", most)
				}
			})
		})
	}
}

// TestRunEndsWithItsContext cancels commands of hosts that obey and of hosts that do nothing any more.
func TestRunEndsWithItsContext(t *testing.T) {
	cause := errors.New("somebody pressed Ctrl-C")
	for name, c := range map[string]struct {
		s     *server
		argv  string
		limit time.Duration
	}{
		"killed":              {&server{}, "hang", 0},
		"killed by a signal":  {&server{signals: true}, "hang", 0},
		"deaf to signals":     {&server{run: func(c *call) int { <-c.gone; return 0 }}, "x", 3 * time.Second},
		"hangs after its end": {&server{afterExit: func(*call, ssh.Channel) bool { return true }}, "true", 0},
		"opens no session":    {&server{onOpen: func(int, ssh.NewChannel) bool { return false }}, "true", 0},
		"refuses sessions": {&server{onOpen: func(_ int, c ssh.NewChannel) bool {
			c.Reject(ssh.ResourceShortage, "")
			return false
		}}, "true", 0},
		"does not say whether it runs it": {&server{onExec: func(int, *ssh.Request) bool { return false }}, "true", 3 * time.Second},
		"hangs": {&server{run: func(c *call) int {
			c.conn.(*pipe).out.hung.set()
			<-c.gone
			return 0
		}}, "x", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := connected(t, c.s, c.s.clientConfig())
				ctx, cancel := context.WithCancelCause(t.Context())
				after := 300 * time.Millisecond
				time.AfterFunc(after, func() { cancel(cause) })
				start := time.Now()
				var out locked
				err := h.Run(ctx, provision.Command{Argv: []string{c.argv}, Stdout: &out, Stderr: &out})
				if err != cause {
					t.Errorf("got %v, want %v", err, cause)
				}
				if took := time.Since(start); took > after+c.limit {
					t.Errorf("it took %v, want at most %v", took, after+c.limit)
				}
			})
		})
	}
}

// printOn prints as long as the connection stands, whoever is told to end.
func printOn(c *call) int {
	for c.sleep(100 * time.Millisecond) {
		if _, err := io.WriteString(c.stdout, "still there\n"); err != nil {
			break
		}
	}
	return 0
}

// TestRunWritesNothingAfterItsEnd has a host print on while the command is being given up.
func TestRunWritesNothingAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{run: func(c *call) int {
			if strings.Contains(c.line, "wait") {
				return builtin(c)
			}
			return printOn(c)
		}}
		h := connected(t, s, s.clientConfig())
		other := make(chan error)
		go func() { other <- h.Run(t.Context(), argv("wait", "20")) }() // keeps the connection open
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var out bytes.Buffer // the race detector sees who else writes
		if err := h.Run(ctx, provision.Command{Argv: []string{"x"}, Stdout: &out, Stderr: &out}); err != context.DeadlineExceeded {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		n := out.Len()
		time.Sleep(5 * time.Second)
		if n == 0 || out.Len() != n {
			t.Errorf("got %d bytes and then %d, want some and no more", n, out.Len())
		}
		if err := <-other; err != nil {
			t.Errorf("the command beside it: %v", err)
		}
	})
}

// TestRunAwaitsOutput has what comes after the exit status: the rest of the output counts, a daemon that holds it open
// does not.
func TestRunAwaitsOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rest := make(chan func(*call, ssh.Channel), 1)
		s := &server{afterExit: func(c *call, ch ssh.Channel) bool { (<-rest)(c, ch); return true }}
		h := connected(t, s, s.clientConfig())
		for name, c := range map[string]struct {
			then func(*call, ssh.Channel)
			want string
			took time.Duration
		}{
			"late": {func(c *call, ch ssh.Channel) {
				c.sleep(4 * time.Second)
				io.WriteString(ch, "late\n")
				ch.Close()
			}, "x\nlate\n", 4 * time.Second},
			"bit by bit": {func(c *call, ch ssh.Channel) {
				for range 4 {
					c.sleep(4 * time.Second)
					io.WriteString(ch, ".")
				}
				ch.Close()
			}, "x\n....", 16 * time.Second},
			"a daemon holds it": {func(*call, ssh.Channel) {}, "x\n", 10 * time.Second},
			"a daemon prints on": {func(c *call, ch ssh.Channel) {
				for c.sleep(time.Second) {
					if _, err := io.WriteString(ch, "."); err != nil {
						return
					}
				}
			}, "x\n" + strings.Repeat(".", 59), time.Minute},
		} {
			rest <- c.then
			start := time.Now()
			var out bytes.Buffer
			err := h.Run(t.Context(), provision.Command{Argv: []string{"echo", "x"}, Stdout: &out})
			if err != nil || !strings.HasPrefix(out.String(), c.want) || len(out.String()) > len(c.want)+1 {
				t.Errorf("%s: got %v and %q, want %q", name, err, out.String(), c.want)
			}
			if took := time.Since(start); took > c.took {
				t.Errorf("%s: it took %v, want at most %v", name, took, c.took)
			}
		}
		if s.dials != 1 {
			t.Errorf("got %d connections, want 1", s.dials)
		}
	})
}

// TestRunAwaitsItsReader has a caller that takes the output slowly: the command's end cuts nothing off.
func TestRunAwaitsItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := connected(t, s, s.clientConfig())
		in, out := strings.Repeat("x", 100_000), &slow{}
		err := h.Run(t.Context(), provision.Command{Argv: []string{"cat"}, Stdin: strings.NewReader(in), Stdout: out})
		if err != nil || out.n != len(in) {
			t.Errorf("got %v and %d bytes, want %d", err, out.n, len(in))
		}
	})
}

// slow is a writer that takes 12 s each time.
type slow struct{ n int }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(12 * time.Second)
	s.n += len(p)
	return len(p), nil
}

// TestRunInput has inputs that the command does not read, or that fail.
func TestRunInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := connected(t, s, s.clientConfig())
		endless := io.LimitReader(rand.Reader, 1<<40)
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"true"}, Stdin: endless}); err != nil {
			t.Errorf("an input that is not read: %v", err)
		}
		blocked, unblock := io.Pipe()
		defer unblock.Close()
		if err := h.Run(t.Context(), provision.Command{Argv: []string{"true"}, Stdin: blocked}); err != nil {
			t.Errorf("an input that never comes: %v", err)
		}
		bad := errors.New("got sha256 1, want 2")
		var out bytes.Buffer
		src := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(bad))
		err := h.Run(t.Context(), provision.Command{Argv: []string{"cat"}, Stdin: src, Stdout: &out})
		if !errors.Is(err, bad) || !strings.Contains(err.Error(), "cat") {
			t.Errorf("got %v, want what the input said and what ran", err)
		}
		full := errors.New("disk full")
		err = h.Run(t.Context(), provision.Command{Argv: []string{"echo", "x"}, Stdout: failing{full}})
		if !errors.Is(err, full) {
			t.Errorf("got %v, want what the output said", err)
		}
		var exit *provision.ExitError
		err = h.Run(t.Context(), provision.Command{Argv: []string{"nothing"}, Stderr: failing{full}})
		if !errors.As(err, &exit) || exit.Code != 127 {
			t.Errorf("got %v, want exit status 127: it says more than the output", err)
		}
	})
}

// TestCloseEndsCommands closes while commands run and wait; afterwards the bubble is empty or the test fails.
func TestCloseEndsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := connected(t, s, s.clientConfig())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				err := h.Run(t.Context(), argv("hang"))
				if err == nil || !strings.Contains(err.Error(), "closed here") {
					t.Errorf("got %v, want that it was closed", err)
				}
			})
		}
		synctest.Wait()
		for range 2 {
			if err := h.Close(); err != nil {
				t.Errorf("got %v, want nil", err)
			}
		}
		wg.Wait()
		if err := h.Run(t.Context(), argv("true")); err == nil || !strings.Contains(err.Error(), "closed here") {
			t.Errorf("got %v, want that it was closed", err)
		}
		if s.dials != 1 {
			t.Errorf("got %d connections, want 1", s.dials)
		}
	})
}
