package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// stallLayer gives up on a server that says nothing for window: while its head is awaited and in each read of a body.
// A caller that is slow to read is not the server's fault and does not count; neither does sending a request's body.
type stallLayer struct {
	next   http.RoundTripper
	window time.Duration
}

func (l *stallLayer) CloseIdleConnections() { closeIdle(l.next) }

func (l *stallLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{window: l.window, ctx: ctx}
	w.timer = time.AfterFunc(l.window, func() { cancel(&StalledError{Window: l.window}) })
	out := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sentBody{ReadCloser: req.Body, watch: w}
	}
	resp, err := l.next.RoundTrip(out)
	w.answered()
	if err != nil {
		err = w.reason(err)
		cancel(nil)
		return nil, err
	}
	resp.Request = req
	resp.Body = &receivedBody{body: resp.Body, watch: w, cancel: cancel}
	return resp, nil
}

// watch is the timer of one request. It runs only while the server has the word.
type watch struct {
	window time.Duration
	timer  *time.Timer
	ctx    context.Context // ended by the timer, with a *StalledError

	mu   sync.Mutex
	head bool // the head of the answer is there
}

// answered stops the timer. A server may answer while the request's body is still being sent.
func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = true
	w.timer.Stop()
}

func (w *watch) sent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.head {
		w.timer.Reset(w.window)
	}
}

// reason returns the *StalledError when that is why err happened.
func (w *watch) reason(err error) error {
	if stalled, ok := errors.AsType[*StalledError](context.Cause(w.ctx)); ok {
		return stalled
	}
	return err
}

// sentBody gives the server a whole window again after each piece of a request's body.
type sentBody struct {
	io.ReadCloser
	watch *watch
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.sent()
	return n, err
}

// receivedBody is a response's body under watch.
type receivedBody struct {
	body   io.ReadCloser
	watch  *watch
	cancel context.CancelCauseFunc
}

func (b *receivedBody) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.window)
	n, err := b.body.Read(p)
	b.watch.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.watch.reason(err)
	}
	return n, err
}

func (b *receivedBody) Close() error {
	err := b.body.Close()
	b.watch.timer.Stop()
	b.cancel(nil)
	return err
}
