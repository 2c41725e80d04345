package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	dialLimit  = 5 * time.Second  // for one TCP connection: a booting host drops what comes too early
	greetLimit = 10 * time.Second // for the first byte, which an SSH server sends at once (RFC 4253 4.2)
)

// hopeless is an error that waiting does not mend.
type hopeless struct{ error }

func (e hopeless) Unwrap() error { return e.error }

// login makes one connection and logs in, once. The error is hopeless, an *AuthError, or one after which a host that
// boots may still come.
func (h *Host) login(ctx context.Context) (*link, error) {
	conn, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	w := newWire(conn)
	ctx, cancel := context.WithTimeoutCause(ctx, h.config.Handshake,
		fmt.Errorf("login was not finished within %s", h.config.Handshake))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	defer stop()
	greeted := time.AfterFunc(greetLimit, func() {
		if !w.spoke() {
			w.fail(fmt.Errorf("the host said nothing within %s", greetLimit))
		}
	})
	defer greeted.Stop()

	a := &attempt{host: h, wire: w, want: h.HostKey()}
	c, chans, reqs, err := ssh.NewClientConn(w, h.config.Address, a.clientConfig())
	if err == nil && !stop() {
		c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, a.judge(err)
	}
	h.pin(a.seen)
	l := &link{wire: w, conn: c, done: make(chan struct{})}
	l.serve(&h.running, h.config.Stall, chans, reqs)
	h.log("connected to %s as %s, %s, host key %s %s", h.config.Address, h.config.User, c.ServerVersion(),
		a.seen.Type(), ssh.FingerprintSHA256(a.seen))
	return l, nil
}

func (h *Host) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialLimit, fmt.Errorf("no answer within %s", dialLimit))
	defer cancel()
	conn, err := h.config.Dial(ctx, "tcp", h.config.Address)
	if err != nil && !ofNetwork(err) && ctx.Err() == nil {
		err = hopeless{err}
	}
	return conn, err
}

// attempt is one login.
type attempt struct {
	host    *Host
	wire    *wire
	want    ssh.PublicKey // nil for any
	seen    ssh.PublicKey
	wrong   *HostKeyError
	tried   []string // SSH's names of methods
	offered []string // ours
	broken  error    // what the connection broke of while the next method was to be chosen
}

func (a *attempt) clientConfig() *ssh.ClientConfig {
	c := &ssh.ClientConfig{
		User:            a.host.config.User,
		ClientVersion:   "SSH-2.0-offbake",
		HostKeyCallback: a.checkHostKey,
		AuthCallback:    a.next,
	}
	if a.want != nil { // a host has several keys: it must show the one that is known
		c.HostKeyAlgorithms = []string{a.want.Type()}
		if a.want.Type() == ssh.KeyAlgoRSA {
			c.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
		}
	}
	return c
}

func (a *attempt) checkHostKey(_ string, _ net.Addr, key ssh.PublicKey) error {
	if a.want != nil && !bytes.Equal(a.want.Marshal(), key.Marshal()) {
		a.wrong = a.host.wrongKey(a.want, ssh.FingerprintSHA256(key))
		return a.wrong
	}
	if a.seen == nil {
		a.want, a.seen = key, key // a connection keeps its key also over the exchanges that come later (RFC 4253 9)
	}
	return nil
}

func (h *Host) wrongKey(want ssh.PublicKey, got string) *HostKeyError {
	return &HostKeyError{Host: h.config.Name, Got: got, Want: ssh.FingerprintSHA256(want), Kind: want.Type()}
}

// next chooses what is offered next: the key before the password, each once.
func (a *attempt) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if a.broken = a.wire.reason(); a.broken != nil {
		return nil, a.broken // no refusal: nobody is there to refuse
	}
	key, password := a.host.secrets()
	methods := []struct {
		name, ours string
		have       bool
		make       func() ssh.AuthMethod
	}{
		{"publickey", "key", key != nil, func() ssh.AuthMethod { return ssh.PublicKeys(key) }},
		{"password", "password", password != "", func() ssh.AuthMethod { return ssh.Password(password) }},
		{"keyboard-interactive", "password", password != "", func() ssh.AuthMethod { return answerAll(password) }},
	}
	for _, m := range methods {
		if !m.have || slices.Contains(a.tried, m.name) || !slices.Contains(c.AllowedMethods, m.name) {
			continue
		}
		a.tried = append(a.tried, m.name)
		if !slices.Contains(a.offered, m.ours) {
			a.offered = append(a.offered, m.ours)
		}
		return m.make(), nil
	}
	return nil, a.refusal(nil)
}

// answerAll gives the password to each question whose answer is not to be shown (RFC 4256).
func answerAll(password string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range questions {
			if !echos[i] {
				answers[i] = password
			}
		}
		return answers, nil
	})
}

func (a *attempt) refusal(why error) *AuthError {
	return &AuthError{Host: a.host.config.Name, User: a.host.config.User, Offered: slices.Clone(a.offered), Err: why}
}

// judge says what a failed login means.
func (a *attempt) judge(err error) error {
	var refused *AuthError
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case a.wrong != nil:
		return hopeless{a.wrong}
	case errors.As(err, &refused):
		return refused
	case a.broken != nil || ofNetwork(err):
		if reason := a.wire.reason(); reason != nil {
			err = reason
		}
	case errors.As(err, &algorithms) && algorithms.What == "host key" && a.want != nil:
		return hopeless{a.host.wrongKey(a.want, "")}
	case errors.As(err, &algorithms):
		return hopeless{err}
	case len(a.offered) > 0: // the host said that it has enough, and hung up
		return a.refusal(err)
	}
	return fmt.Errorf("logging in: %w", err)
}

// ofNetwork reports whether an error is of a connection and not of what was said over it.
func ofNetwork(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, context.DeadlineExceeded)
}
