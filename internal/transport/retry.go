package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// maxRetryAfter bounds what a server may make us wait; longer, and the answer is returned as it is.
	maxRetryAfter = 2 * time.Minute
)

// Delay is how long to wait after the given failed try (the first is 1): first doubled with every try, at most 30 s, the
// upper half of it random, so that eight downloads that failed together do not come back together. first 0 means 500 ms.
func Delay(first time.Duration, try int) time.Duration {
	d := cmp.Or(first, firstDelay) << min(try-1, 10)
	d = min(d, maxDelay)
	return d/2 + rand.N(d/2+1)
}

// Sleep waits for d or until ctx ends, and returns ctx's cause then.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RetryAfter returns how long resp asks to wait (RFC 9110 10.2.3), 0 if it does not say.
func RetryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// Temporary says whether a request that failed with err may succeed later: connection errors, stalls and the statuses
// 408, 425, 429 and 5xx (but 501); and not what the guard or a certificate refused, nor a name that does not exist.
func Temporary(err error) bool {
	if err == nil || errors.Is(err, ErrBlocked) || errors.Is(err, errRedirect) || errors.Is(err, context.Canceled) {
		return false
	}
	if _, refused := errors.AsType[*tls.CertificateVerificationError](err); refused {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return false
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return temporaryStatus(status.Code)
	}
	return true
}

func temporaryStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return code >= 500 && code != http.StatusNotImplemented
}

type onceKey struct{}

// Once returns a context whose requests are not repeated: for a caller that has its own way to try again.
func Once(ctx context.Context) context.Context {
	return context.WithValue(ctx, onceKey{}, true)
}

// retryLayer repeats requests until they are answered. Once a body has been handed out it is the caller's.
type retryLayer struct {
	next    http.RoundTripper
	tries   int
	backoff time.Duration
}

func (l *retryLayer) CloseIdleConnections() { closeIdle(l.next) }

func (l *retryLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	if !repeatable(req) {
		return l.next.RoundTrip(req)
	}
	for try := 1; ; try++ {
		resp, err := l.next.RoundTrip(req)
		wait, again := l.again(resp, err, try)
		if !again || req.Context().Err() != nil {
			return resp, err
		}
		if resp != nil {
			drain(resp.Body)
		}
		if err := Sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		if req, err = rewind(req); err != nil {
			return nil, err
		}
	}
}

// again says whether to send a request again after its try-th answer or error, and after how long.
func (l *retryLayer) again(resp *http.Response, err error, try int) (time.Duration, bool) {
	if try >= l.tries {
		return 0, false
	}
	if err != nil {
		return Delay(l.backoff, try), Temporary(err)
	}
	if !temporaryStatus(resp.StatusCode) {
		return 0, false
	}
	wait := RetryAfter(resp)
	return max(wait, Delay(l.backoff, try)), wait <= maxRetryAfter
}

// repeatable says whether sending req twice does the same as sending it once, and can be done (RFC 9110 9.2.2).
func repeatable(req *http.Request) bool {
	if once, _ := req.Context().Value(onceKey{}).(bool); once {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	}
	return false
}

// rewind returns req with a body to be read again.
func rewind(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// drain reads a little so that the connection can be used again; an endless error page is not read.
func drain(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 16<<10)
	body.Close()
}
