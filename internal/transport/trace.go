package transport

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// traceLayer writes a line for each request sent: method, redacted URL, range, and status or error with the time until
// then. No other header is shown: credentials and signatures travel there.
type traceLayer struct {
	next http.RoundTripper
	mu   sync.Mutex
	w    io.Writer
}

func (l *traceLayer) CloseIdleConnections() { closeIdle(l.next) }

func (l *traceLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := l.next.RoundTrip(req)
	what := req.Method + " " + redactURL(req.URL)
	if r := req.Header.Get("Range"); r != "" {
		what += " " + r
	}
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		l.line("%s: %v (%v)", what, err, took)
	} else {
		l.line("%s: status %d, length %d (%v)", what, resp.StatusCode, resp.ContentLength, took)
	}
	return resp, err
}

func (l *traceLayer) line(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "offbake: "+format+"\n", args...) // a trace that cannot be written stops nothing
}
