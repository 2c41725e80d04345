package fetch

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/offbake/offbake/internal/transport"
)

const (
	// enough is how many bytes make a try count as progress: a slow link with a cut every few megabytes gets a large
	// file in the end, a server that drips one byte and stalls does not hold us for ever.
	enough = 1 << 20
	// longestWait is what a server may ask us to wait by Retry-After; a longer wait is a refusal.
	longestWait = 2 * time.Minute
)

// mirror is one URL of a file.
type mirror struct {
	raw      string
	noRanges bool   // it has lied about ranges: only whole files from here
	dead     bool   // nothing more to expect
	err      error  // its last failure
	note     string // what its last whole answer looked like, for people
}

// mirrors decides where to ask next, after what wait, and when to give up.
type mirrors struct {
	list       []*mirror
	turn       int   // index of the one in use
	tries      int   // failures since enough bytes came
	rounds     int   // times that all of them failed in a row
	mismatches int   // wrong files
	mark       int64 // received at the last failure
	wait       time.Duration
}

func (m *mirrors) add(urls []*url.URL) {
	for _, u := range urls {
		m.list = append(m.list, &mirror{raw: u.String()})
	}
}

func (m *mirrors) now() *mirror { return m.list[m.turn] }

// next moves to the next mirror that is not dead. It says whether there is one, and whether it went past the end.
func (m *mirrors) next() (ok, wrapped bool) {
	for range m.list {
		if m.turn++; m.turn == len(m.list) {
			m.turn, wrapped = 0, true
		}
		if !m.list[m.turn].dead {
			return true, wrapped
		}
	}
	return false, wrapped
}

// err returns the last failures of all mirrors, in their order.
func (m *mirrors) err() error {
	var err error
	for _, one := range m.list {
		err = both(err, one.err)
	}
	return err
}

// fault says which request failed with err.
func (m *mirror) fault(err error) error {
	return &transport.Error{Method: http.MethodGet, URL: transport.Redact(m.raw), Err: err}
}

func (m *mirror) tooLarge(r Request) error { return m.fault(&tooLargeError{r.MaxSize}) }

// failed takes note of a failure and returns nil when the next answer may be asked for, else the final error.
func (d *download) failed(err error) error {
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	if _, local := errors.AsType[*fs.PathError](err); local {
		return err // our disk, not their server
	}
	m := &d.mirrors
	m.now().err = err
	if d.received-m.mark >= enough {
		m.tries, m.rounds = 0, 0
	}
	m.mark = d.received
	m.tries++
	m.judge(err)
	if m.mismatches >= max(2, len(m.list)) || m.tries >= max(cmp.Or(d.fetcher.Tries, defaultTries), len(m.list)) {
		return m.err()
	}
	ok, wrapped := m.next()
	if !ok {
		return m.err()
	}
	if !wrapped || m.mismatches > 0 && m.tries == m.mismatches {
		d.fetcher.Progress.Line("%s: %v; trying again", d.req.Name, err)
		return nil
	}
	m.rounds++
	wait := max(m.wait, transport.Delay(d.fetcher.Backoff, m.rounds))
	m.wait = 0
	d.fetcher.Progress.Line("%s: %v; trying again in %v", d.req.Name, err, wait.Round(100*time.Millisecond))
	return transport.Sleep(d.ctx, wait)
}

// judge decides what err means for the mirror in use.
func (m *mirrors) judge(err error) {
	if _, ok := errors.AsType[*MismatchError](err); ok {
		m.mismatches++
		return
	}
	if status, ok := errors.AsType[*transport.StatusError](err); ok && transport.Temporary(err) {
		m.wait = max(m.wait, status.RetryAfter)
		m.now().dead = status.RetryAfter > longestWait
		return
	}
	_, tooLarge := errors.AsType[*tooLargeError](err)
	m.now().dead = tooLarge || !transport.Temporary(err)
}
