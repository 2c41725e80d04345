package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
)

// Run runs a command as root and waits for it, as provision.Host says. It returns when the command has ended and its
// output has, or 5 s after the last of it where something that the command left behind holds it open. After Run has
// returned nothing is written to Stdout and Stderr any more; a Read of Stdin may still be going on if the command ended
// without reading all. A Stdin that fails ends the command.
//
// Where ctx ends first, the command and what it started are killed and Run returns ctx's cause; after 3 s at most, then
// perhaps without having killed it. A connection that is found broken before the host was asked to run the command is made
// again, once; one that breaks afterwards is a *LostError, for the command may or may not have run, and may run on.
// Eight commands run at once; more wait for their turn.
func (h *Host) Run(ctx context.Context, c provision.Command) error {
	if len(c.Argv) == 0 {
		return fmt.Errorf("running a command on %q: no program is named", h.config.Name)
	}
	if c.Sealed {
		return h.runSealed(ctx, c)
	}
	return h.runRoot(ctx, c)
}

// runRoot runs a command as root in the host's own network.
func (h *Host) runRoot(ctx context.Context, c provision.Command) error {
	return h.runUser(ctx, h.asRoot(c))
}

func (h *Host) asRoot(c provision.Command) provision.Command {
	if h.config.User != "root" {
		c.Argv = append([]string{"sudo", "-n"}, c.Argv...)
	}
	return c
}

// runUser runs a command as the user who logs in.
func (h *Host) runUser(ctx context.Context, c provision.Command) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, leave, err := h.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	select {
	case h.sessions <- struct{}{}:
		defer func() { <-h.sessions }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	h.log("running %s", brief(c.Argv))
	s, err := h.open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("running %s on %q: %w", brief(c.Argv), h.config.Name, err)
	}
	defer h.release(s.link)
	s.mark = strings.ToLower(rand.Text()[:16])
	return s.run(ctx, c)
}

// open opens a session on a connection that stands, or on a new one. The caller owes a release of its link.
func (h *Host) open(ctx context.Context) (*session, error) {
	for tries := 1; ; tries++ {
		l, err := h.connected(ctx)
		if err != nil {
			return nil, err
		}
		s, err := h.openOn(ctx, l)
		if err == nil {
			return s, nil
		}
		h.release(l)
		var refused *refusedError
		if ctx.Err() != nil || errors.As(err, &refused) || tries == 2 {
			return nil, err
		}
		h.log("connecting again: %v", err) // the host was not asked for anything yet
	}
}

// refusedError is a host that opens no session.
type refusedError struct{ err *ssh.OpenChannelError }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the host opens no session: %v, %q", e.err.Reason, e.err.Message)
}

// refusals is how often a host may refuse a session while no command runs on the connection, which takes 1.5 s.
const refusals = 6

// openOn opens a session. A host that refuses may have as many as it allows: it is asked again while others run.
func (h *Host) openOn(ctx context.Context, l *link) (*session, error) {
	var delay pause
	for refused := 0; ; {
		s, err := h.openOnce(ctx, l)
		var e *ssh.OpenChannelError
		if err == nil || !errors.As(err, &e) {
			return s, err
		}
		if !h.shared(l) {
			refused++
		}
		if refused == refusals {
			return nil, &refusedError{e}
		}
		if err := delay.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (h *Host) shared(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return l.commands > 1
}

func (h *Host) openOnce(ctx context.Context, l *link) (*session, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	got := make(chan opened, 1)
	// Nobody waits for its end: in the moment in which a connection breaks, OpenChannel may begin to wait for an answer that
	// nothing brings any more (mux.go: a channel that is added after dropAll).
	go func() {
		ch, reqs, err := l.conn.OpenChannel("session", nil)
		got <- opened{ch, reqs, err}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, h.config.Handshake,
		fmt.Errorf("the host opened no session within %s", h.config.Handshake))
	defer cancel()
	select {
	case o := <-got:
		var refused *ssh.OpenChannelError
		switch {
		case o.err == nil:
			return newSession(h, l, o.ch, o.reqs), nil
		case errors.As(o.err, &refused):
			return nil, o.err
		}
		return nil, cmp.Or(l.fault(), o.err)
	case <-l.done:
		return nil, l.err
	case <-ctx.Done():
		h.retire(l) // an answer is still out
		return nil, context.Cause(ctx)
	}
}

// brief is a command for people: no more than fits a line.
func brief(argv []string) string {
	const word, line = 64, 240
	var b strings.Builder
	for i, arg := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case len(arg) > word || printable(arg) != arg:
			b.WriteString("…")
		case arg == "" || strings.ContainsAny(arg, " '\"\\$`&|;<>()*?[]#~"):
			b.WriteString(quote(arg))
		default:
			b.WriteString(arg)
		}
		if b.Len() > line {
			return strings.ToValidUTF8(b.String()[:line], "") + "…"
		}
	}
	return b.String()
}

// quote makes s one word of a POSIX shell (XCU 2.2.2).
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// commandLine is what a shell makes argv of.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = quote(arg)
	}
	return strings.Join(words, " ")
}
