package remote

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
)

// maxSessions is how many commands run at once, the others wait: OpenSSH allows ten on one connection.
const maxSessions = 8

// Host is one machine reached by SSH. Its methods may be called from several goroutines. A connection that broke is
// made again by the next call.
type Host struct {
	config  Config                      // without its secrets
	secrets func() (ssh.Signer, string) // key and password: a function, for fmt prints all else
	life    context.Context             // ends with Close
	end     context.CancelCauseFunc
	running sync.WaitGroup // every goroutine and call

	sessions chan struct{} // holds one for each command
	dialling chan struct{} // holds one while a connection is made

	mu      sync.Mutex
	hostKey ssh.PublicKey
	link    *link // nil, or the last connection that was made
	closed  bool
}

var _ provision.Host = (*Host)(nil)

// Connect logs in to a host that may still be booting: it tries again, from every 50 ms to every 2 s, while nothing
// answers, connections are refused, break or stay silent, until ctx ends; the error then is ctx's cause and what was the
// matter last. What waiting cannot mend is final at once: another host key (*HostKeyError), no algorithm in common,
// whatever Config.Dial refuses by an error that is none of the network's. A refused login (*AuthError) is final after
// Config.AuthPatience. The caller owes a Close.
func Connect(ctx context.Context, c Config) (*Host, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", c.Name, err)
	}
	key, password := c.Key, c.Password
	h := &Host{
		config:   c,
		secrets:  func() (ssh.Signer, string) { return key, password },
		sessions: make(chan struct{}, maxSessions),
		dialling: make(chan struct{}, 1),
		hostKey:  c.HostKey,
	}
	h.config.Key, h.config.Password = nil, ""
	h.life, h.end = context.WithCancelCause(context.Background())
	l, err := h.connect(ctx)
	if err != nil {
		h.Close()
		return nil, err
	}
	h.link = l
	return h, nil
}

// Name is Config.Name.
func (h *Host) Name() string { return h.config.Name }

// HostKey is the key that the host has proven to have: Config.HostKey, or that of the first login.
func (h *Host) HostKey() ssh.PublicKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hostKey
}

func (h *Host) pin(key ssh.PublicKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hostKey = key
}

// Format prints name, address and user.
func (h *Host) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "remote.Host{Name: %q, Address: %q, User: %q}", h.config.Name, h.config.Address, h.config.User)
}

// Close ends the connection and waits until nothing of the Host runs here any more; commands that are being run end with
// an error. The host itself goes on. The error is always nil.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	l := h.link
	h.mu.Unlock()
	h.end(errClosed)
	if l != nil {
		l.wire.fail(errClosed)
	}
	h.running.Wait()
	return nil
}

// enter counts a call, which Close then waits for, and ends its context when Close is called. The caller owes a leave.
func (h *Host) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, fmt.Errorf("connection to %q: %w", h.config.Name, errClosed)
	}
	h.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.life, func() {
		cancel(fmt.Errorf("connection to %q: %w", h.config.Name, errClosed))
	})
	return ctx, func() {
		stop()
		cancel(nil)
		h.running.Done()
	}, nil
}

// log writes a line. Nothing in it is secret; what came from the host may hold anything.
func (h *Host) log(format string, args ...any) {
	h.config.Log(h.config.Name + ": " + printable(fmt.Sprintf(format, args...)))
}

// printable spares a terminal the control characters of a text.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strings.Trim(strconv.Quote(s), `"`)
}
