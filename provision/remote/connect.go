package remote

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	firstDelay = 50 * time.Millisecond // a host that is almost there costs no more
	lastDelay  = 2 * time.Second
)

// pause waits, each time twice as long as before.
type pause struct{ next time.Duration }

func (p *pause) wait(ctx context.Context) error {
	p.next = min(max(p.next*2, firstDelay), lastDelay)
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connect logs in, and again while that may help.
func (h *Host) connect(ctx context.Context) (*link, error) {
	var delay pause
	var last error
	var refusedFirst time.Time
	for {
		l, err := h.login(ctx)
		var final hopeless
		var refused *AuthError
		switch {
		case err == nil:
			return l, nil
		case errors.As(err, &final):
			return nil, h.unconnected(final.error)
		case ctx.Err() != nil:
			return nil, h.unconnected(ended(ctx, last, err))
		case errors.As(err, &refused) && refusedFirst.IsZero():
			refusedFirst = time.Now()
		case refused != nil && time.Since(refusedFirst) >= h.config.AuthPatience:
			return nil, h.unconnected(err)
		}
		if last == nil || last.Error() != err.Error() {
			h.log("not ready: %v", err)
		}
		last = err
		if err := delay.wait(ctx); err != nil {
			return nil, h.unconnected(ended(ctx, last, err))
		}
	}
}

func (h *Host) unconnected(err error) error {
	return fmt.Errorf("connecting to %q at %s: %w", h.config.Name, h.config.Address, err)
}

// ended is ctx's cause with what was the matter before: the last login that came to an end, or the one that was cut short.
func ended(ctx context.Context, last, cut error) error {
	cause := context.Cause(ctx)
	switch {
	case last != nil:
		return fmt.Errorf("%w; before that: %w", cause, last)
	case errors.Is(cut, cause):
		return fmt.Errorf("%w; the host had accepted the connection, and the login was not finished", cause)
	}
	return fmt.Errorf("%w; before that: %w", cause, cut)
}

// errGaveUp is the cause of what ends when a broken connection could not be made again in time.
var errGaveUp = errors.New("the host did not come back")

// connected returns a connection with one more command on it: the one there is, or a new one. The caller owes a release.
func (h *Host) connected(ctx context.Context) (*link, error) {
	if l := h.current(); l != nil {
		return l, nil
	}
	select {
	case h.dialling <- struct{}{}:
		defer func() { <-h.dialling }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if l := h.current(); l != nil { // somebody else made it
		return l, nil
	}
	if h.life.Err() != nil {
		return nil, errClosed
	}
	dialCtx, cancel := context.WithTimeoutCause(ctx, max(h.config.Stall, h.config.Handshake), errGaveUp)
	defer cancel()
	l, err := h.connect(dialCtx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		l.wire.fail(errClosed)
		return nil, errClosed
	}
	h.link = l
	l.commands++
	return l, nil
}

// current takes the connection that stands, nil where none does.
func (h *Host) current() *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link == nil || !h.link.up() {
		return nil
	}
	h.link.commands++
	return h.link
}

// release gives a connection back.
func (h *Host) release(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.commands--
	if l.retired && l.commands == 0 {
		l.wire.fail(errClosed)
	}
}

// retire has a connection closed as soon as no command needs it; those that come take a new one.
func (h *Host) retire(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.retired = true
	if h.link == l {
		h.link = nil
	}
}
