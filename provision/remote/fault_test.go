package remote_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// runFault is what a host does wrong with one command.
type runFault struct {
	s     *server
	want  string // of the error, "" for success
	lost  bool   // whether it is a LostError
	limit time.Duration
}

func runFaults() map[string]runFault {
	first := func(f func(*call) int) func(*call) int {
		n := 0
		return func(c *call) int {
			if n++; n == 1 {
				return f(c)
			}
			return builtin(c)
		}
	}
	return map[string]runFault{
		"session refused once": {&server{onOpen: func(n int, c ssh.NewChannel) bool {
			if n == 1 {
				c.Reject(ssh.ResourceShortage, "too many\nsessions")
			}
			return n > 1
		}}, "", false, time.Second},
		"sessions refused": {&server{onOpen: func(n int, c ssh.NewChannel) bool {
			if n < 7 {
				c.Reject(ssh.Prohibited, "too many\nsessions")
			}
			return n >= 7
		}}, `the host opens no session: administratively prohibited, "too many\nsessions"`, false, 2 * time.Second},
		"session never opened": {&server{onOpen: func(n int, c ssh.NewChannel) bool { return n > 1 }}, "", false, time.Minute},
		"sessions never opened": {&server{onOpen: func(n int, c ssh.NewChannel) bool { return n > 2 }},
			"the host opened no session within 1m0s", false, 2 * time.Minute},
		"exec refused": {&server{onExec: func(n int, r *ssh.Request) bool {
			if n == 1 {
				r.Reply(false, nil)
			}
			return n > 1
		}}, "the host refused to run it", false, 0},
		"no answer to exec": {&server{onExec: func(n int, r *ssh.Request) bool { return n > 1 }},
			"did not say within 1m0s whether it runs it", true, time.Minute},
		"no exit status": {&server{run: first(func(*call) int { return -1 })}, "without an exit status", true, time.Second},
		"cut before the exit status": {&server{run: first(func(c *call) int { c.conn.Close(); return 0 })},
			"was lost while cat x ran: ", true, 0},
		"cut after output": {&server{run: first(func(c *call) int { io.WriteString(c.stdout, "half"); c.conn.Close(); return 0 })},
			"was lost while cat x ran: ", true, 0},
		"cut within input": {&server{run: first(func(c *call) int {
			io.CopyN(io.Discard, c.stdin, 10)
			c.conn.Close()
			return 0
		})}, "was lost while cat x ran: ", true, 0},
		"hangs": {&server{run: first(func(c *call) int { c.conn.(*pipe).out.hung.set(); return 0 })},
			"nothing came for", true, 40 * time.Second},
		"hangs after the exit status": {&server{afterExit: func(c *call, _ ssh.Channel) bool {
			if strings.Contains(c.line, "cat") {
				c.conn.(*pipe).out.hung.set()
			}
			return strings.Contains(c.line, "cat")
		}}, "", false, 10 * time.Second},
		"works for hours": {&server{run: first(func(c *call) int { c.sleep(5 * time.Hour); return 0 })}, "", false, 5 * time.Hour},
	}
}

// TestRunFaults has each thing that a host may do wrong with one command. The command after it runs in any case.
func TestRunFaults(t *testing.T) {
	for name, c := range runFaults() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := connected(t, c.s, c.s.clientConfig())
				start := time.Now()
				err := h.Run(t.Context(), provision.Command{Argv: []string{"cat", "x"}, Stdin: strings.NewReader("some input for it")})
				if took := time.Since(start); took > c.limit {
					t.Errorf("it took %v, want at most %v", took, c.limit)
				}
				var lost *remote.LostError
				switch isLost := errors.As(err, &lost); {
				case (err == nil) != (c.want == ""):
					t.Fatalf("got %v, want %q", err, c.want)
				case isLost != c.lost:
					t.Errorf("got %#v, want a LostError: %v", err, c.lost)
				case err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), hostName) &&
					strings.Contains(err.Error(), "cat x")):
					t.Errorf("got %q, want it to say %q, the host and what ran", err, c.want)
				}
				if err := h.Run(t.Context(), argv("true")); err != nil {
					t.Errorf("the next command: %v", err)
				}
			})
		})
	}
}

// TestBrokenConnectionIsMadeAgain has the host away between two commands: for less than Handshake, and for good.
func TestBrokenConnectionIsMadeAgain(t *testing.T) {
	for name, away := range map[string]time.Duration{"a moment": 0, "50 s": 50 * time.Second, "for good": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var back time.Time
				s := &server{}
				s.onDial = func(n int) error {
					if n > 1 && time.Now().Before(back) {
						return refusedDial()
					}
					return nil
				}
				h := connected(t, s, s.clientConfig())
				back = time.Now().Add(away)
				s.close()
				start := time.Now()
				err := h.Run(t.Context(), argv("true"))
				if (err == nil) != (away < time.Hour) {
					t.Errorf("got %v", err)
				}
				if err != nil && !(strings.Contains(err.Error(), "refused") && strings.Contains(err.Error(), "did not come back")) {
					t.Errorf("got %q, want what was the matter", err)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it took %v, want at most 1 min", took)
				}
			})
		})
	}
}

// TestConnectionThatBreaksNow closes connections, of TCP, at the moment in which a command is to run on them.
func TestConnectionThatBreaksNow(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(s.next(&s.dials), conn)
		}
	}()
	c := s.clientConfig()
	c.Address = l.Addr().String()
	var last net.Conn // is replaced within Run, and closed before
	c.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		last, err = new(net.Dialer).DialContext(ctx, network, address)
		return last, err
	}
	h := connected(t, s, c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // less than Handshake
	defer cancel()
	for i := range 40 {
		last.Close()
		if err := h.Run(ctx, argv("true")); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	if n := s.count(&s.dials); n < 20 {
		t.Errorf("got %d connections, want one for most commands", n)
	}
}

// TestKilledConnectionSparesOthers has a command that cannot be killed beside one that runs on.
func TestKilledConnectionSparesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{run: func(c *call) int {
			if strings.Contains(c.line, "deaf") {
				<-c.gone
				return 0
			}
			return builtin(c)
		}}
		h := connected(t, s, s.clientConfig())
		long := make(chan error)
		go func() { long <- h.Run(t.Context(), argv("wait", "60")) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Run(ctx, argv("deaf")); err != context.DeadlineExceeded {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if err := h.Run(t.Context(), argv("true")); err != nil {
			t.Errorf("the next command: %v", err)
		}
		if err := <-long; err != nil {
			t.Errorf("the command beside it: %v", err)
		}
		synctest.Wait()
		if n := s.count(&s.dials); n != 2 {
			t.Errorf("got %d connections, want 2: the deaf command's takes no more commands", n)
		}
	})
}

// sweep is one whole use of a host whose n-th connections have faults. It checks what holds whatever happens.
type sweep struct {
	s       *server
	connect error
	runs    [2]error
}

// payload is what the sweep sends through the host.
func payload() []byte {
	b := make([]byte, 40_000)
	rand.Read(b)
	return b
}

func (w *sweep) do(t *testing.T, limit time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	defer w.s.close()
	h, err := remote.Connect(ctx, w.s.clientConfig())
	if w.connect = err; err == nil {
		in := payload()
		for i := range w.runs {
			var out bytes.Buffer
			c := provision.Command{Argv: []string{"cat", fmt.Sprint(i)}, Stdin: bytes.NewReader(in), Stdout: &out}
			w.runs[i] = h.Run(ctx, c)
			if w.runs[i] == nil && !bytes.Equal(out.Bytes(), in) {
				t.Errorf("command %d succeeded and gave %d bytes, want the %d that it was given", i, out.Len(), len(in))
			}
			if !bytes.HasPrefix(in, out.Bytes()) {
				t.Errorf("command %d gave other bytes than it was given", i)
			}
		}
		h.Close()
	}
	if took := time.Since(start); took > limit+3*time.Second { // for killing what runs
		t.Errorf("it took %v, want at most %v", took, limit+3*time.Second)
	}
	for _, err := range append(w.runs[:], w.connect) {
		if err != nil && !strings.Contains(err.Error(), hostName) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %q, want it to name the host", err)
		}
	}
	seen := map[string]int{}
	for _, line := range w.s.commands {
		if seen[line]++; seen[line] > 1 {
			t.Errorf("%s was begun twice", line)
		}
	}
}

// TestFaultSweep cuts or hangs the connection at each packet that either side sends, from the first byte of the greeting
// to the last of the second command: once for the first connection only, and once for all.
func TestFaultSweep(t *testing.T) {
	total, fired := 0, 0
	one := func(kind fate, down bool, at int, all bool) (reached bool) {
		name := fmt.Sprintf("fate=%d/down=%v/at=%d/all=%v", kind, down, at, all)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &sweep{s: &server{}}
				w.s.onWrite = func(conn int) (hook, hook) {
					if conn > 1 && !all {
						return nil, nil
					}
					fault := func(n int) fate {
						if n != at {
							return pass
						}
						reached = true
						return kind
					}
					if down {
						return nil, fault
					}
					return fault, nil
				}
				limit := 5 * time.Minute
				if all {
					limit = 4 * time.Second
				}
				w.do(t, limit)
				if all {
					return // that it ends is all there is to want
				}
				var lost *remote.LostError
				switch {
				case w.connect != nil:
					t.Errorf("connecting: %v", w.connect)
				case w.runs[0] != nil && !errors.As(w.runs[0], &lost):
					t.Errorf("got %v, want success or a LostError", w.runs[0])
				case w.runs[1] != nil && (w.runs[0] != nil || !errors.As(w.runs[1], &lost)):
					t.Errorf("got %v after %v, want one fault to spoil one command", w.runs[1], w.runs[0])
				}
			})
		})
		return reached
	}
	for _, all := range []bool{false, true} {
		for _, kind := range []fate{cut, hang} {
			for _, down := range []bool{true, false} {
				for at := 1; ; at++ {
					total++
					if !one(kind, down, at, all) {
						break
					}
					fired++
				}
			}
		}
	}
	t.Logf("%d faults in %d runs", fired, total)
	if fired < 100 {
		t.Errorf("got %d faults, want one for each packet", fired)
	}
}
