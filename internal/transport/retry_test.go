package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offbake/offbake/internal/transport"
)

// network is a server without a network: it gives the k-th request the k-th answer, and the last one from then on.
type network struct {
	answers []answer
	at      []time.Duration // when each request came, after the first
	bodies  []string        // what each brought
	closed  int             // bodies of answers that were closed
	first   time.Time
}

type answer struct {
	code   int
	header string // of Retry-After
	err    error
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	if n.first.IsZero() {
		n.first = time.Now()
	}
	n.at = append(n.at, time.Since(n.first))
	body := ""
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	n.bodies = append(n.bodies, body)
	a := n.answers[min(len(n.at), len(n.answers))-1]
	if a.err != nil {
		return nil, a.err
	}
	resp := &http.Response{StatusCode: a.code, Header: http.Header{}, Request: req}
	resp.Body = &countedBody{Reader: strings.NewReader("body"), n: n}
	if a.header != "" {
		resp.Header.Set("Retry-After", a.header)
	}
	return resp, nil
}

type countedBody struct {
	io.Reader
	n *network
}

func (b *countedBody) Close() error { b.n.closed++; return nil }

func TestRetry(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	blocked := fmt.Errorf("wrapped: %w", &transport.BlockedError{Host: "h", Port: "1"})
	for name, c := range map[string]struct {
		method  string
		body    string
		answers []answer
		code    int // 0 for an error
		waits   []time.Duration
		exact   bool // waits are exact, else their lower bound; the upper one is twice that
	}{
		"good at once":             {answers: []answer{{code: 200}}, code: 200},
		"404 is an answer":         {answers: []answer{{code: 404}}, code: 404},
		"501 stays":                {answers: []answer{{code: 501}}, code: 501},
		"503 twice":                {answers: []answer{{code: 503}, {code: 503}, {code: 200}}, code: 200, waits: ms(250, 500)},
		"503 for ever":             {answers: []answer{{code: 503}}, code: 503, waits: ms(250, 500, 1000, 2000)},
		"refused for ever":         {answers: []answer{{err: refused}}, waits: ms(250, 500, 1000, 2000)},
		"refused once":             {answers: []answer{{err: refused}, {code: 200}}, code: 200, waits: ms(250)},
		"408":                      {answers: []answer{{code: 408}, {code: 200}}, code: 200, waits: ms(250)},
		"Retry-After in seconds":   {answers: []answer{{code: 429, header: "7"}, {code: 200}}, code: 200, waits: ms(7000), exact: true},
		"Retry-After as a date":    {answers: []answer{{code: 503, header: "Sat, 01 Jan 2000 00:00:09 GMT"}, {code: 200}}, code: 200, waits: ms(9000), exact: true},
		"Retry-After in the past":  {answers: []answer{{code: 503, header: "Fri, 31 Dec 1999 00:00:00 GMT"}, {code: 200}}, code: 200, waits: ms(250)},
		"Retry-After is nonsense":  {answers: []answer{{code: 503, header: "soon"}, {code: 200}}, code: 200, waits: ms(250)},
		"Retry-After is negative":  {answers: []answer{{code: 503, header: "-5"}, {code: 200}}, code: 200, waits: ms(250)},
		"Retry-After is tomorrow":  {answers: []answer{{code: 429, header: "86400"}}, code: 429},
		"blocked by the guard":     {answers: []answer{{err: blocked}}},
		"certificate refused":      {answers: []answer{{err: &tls.CertificateVerificationError{Err: errors.New("x")}}}},
		"no such name":             {answers: []answer{{err: &net.DNSError{IsNotFound: true}}}},
		"name server is down":      {answers: []answer{{err: &net.DNSError{IsTemporary: true}}, {code: 200}}, code: 200, waits: ms(250)},
		"POST is sent once":        {method: "POST", body: "x", answers: []answer{{code: 503}, {code: 200}}, code: 503},
		"PUT brings its body back": {method: "PUT", body: "x", answers: []answer{{code: 503}, {err: refused}, {code: 200}}, code: 200, waits: ms(250, 500)},
		"DELETE":                   {method: "DELETE", answers: []answer{{code: 500}, {code: 204}}, code: 204, waits: ms(250)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{answers: c.answers}
				req := request(t, c.method, c.body)
				resp, err := transport.NewRetry(n, 5).RoundTrip(req)
				switch {
				case c.code == 0 && err == nil:
					t.Errorf("got status %d, want an error", resp.StatusCode)
				case c.code != 0 && (err != nil || resp.StatusCode != c.code):
					t.Errorf("got %v, %v, want status %d", resp, err, c.code)
				}
				if len(n.at) != len(c.waits)+1 {
					t.Fatalf("got requests at %v, want %d", n.at, len(c.waits)+1)
				}
				for i, want := range c.waits {
					got := n.at[i+1] - n.at[i]
					if got < want || c.exact && got != want || got > 2*want {
						t.Errorf("wait %d: got %v, want %v or up to twice that", i+1, got, want)
					}
				}
				for i, body := range n.bodies {
					if body != c.body {
						t.Errorf("request %d: got body %q, want %q", i+1, body, c.body)
					}
				}
				if c.code != 0 {
					resp.Body.Close()
				}
				if answered := len(n.at) - failures(c.answers, len(n.at)); n.closed != answered {
					t.Errorf("got %d bodies closed, want %d", n.closed, answered)
				}
			})
		})
	}
}

func ms(list ...int) (d []time.Duration) {
	for _, n := range list {
		d = append(d, time.Duration(n)*time.Millisecond)
	}
	return d
}

func failures(answers []answer, requests int) (n int) {
	for i := range requests {
		if answers[min(i, len(answers)-1)].err != nil {
			n++
		}
	}
	return n
}

func request(t *testing.T, method, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://host/", r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRetryOnce(t *testing.T) {
	n := &network{answers: []answer{{code: 503}, {code: 200}}}
	req := request(t, "GET", "")
	resp, err := transport.NewRetry(n, 5).RoundTrip(req.WithContext(transport.Once(t.Context())))
	if err != nil || resp.StatusCode != 503 || len(n.at) != 1 {
		t.Errorf("got %v, %v after %d requests, want the first answer", resp, err, len(n.at))
	}
}

func TestRetryNeedsABodyThatComesBack(t *testing.T) {
	n := &network{answers: []answer{{code: 503}, {code: 200}}}
	req := request(t, "PUT", "x")
	req.GetBody = nil
	resp, err := transport.NewRetry(n, 5).RoundTrip(req)
	if err != nil || resp.StatusCode != 503 || len(n.at) != 1 {
		t.Errorf("got %v, %v after %d requests, want the first answer", resp, err, len(n.at))
	}
}

func TestRetryStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		n := &network{answers: []answer{{code: 503, header: "60"}}}
		time.AfterFunc(3*time.Second, func() { cancel(reason) })
		start := time.Now()
		_, err := transport.NewRetry(n, 5).RoundTrip(request(t, "GET", "").WithContext(ctx))
		if !errors.Is(err, reason) || time.Since(start) != 3*time.Second || len(n.at) != 1 {
			t.Errorf("got %v after %v and %d requests, want the cause after 3s and 1", err, time.Since(start), len(n.at))
		}
		if n.closed != 1 {
			t.Errorf("got %d bodies closed, want 1", n.closed)
		}
	})
}

func TestDelayGrowsAndEnds(t *testing.T) {
	for try, most := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 5: 8 * time.Second, 9: 30 * time.Second, 1000: 30 * time.Second} {
		different := map[time.Duration]bool{}
		for range 100 {
			d := transport.Delay(0, try)
			if d < most/2 || d > most {
				t.Fatalf("try %d: got %v, want %v to %v", try, d, most/2, most)
			}
			different[d] = true
		}
		if len(different) < 50 {
			t.Errorf("try %d: got %d different delays of 100, want jitter", try, len(different))
		}
	}
	if d := transport.Delay(time.Millisecond, 3); d < 2*time.Millisecond || d > 4*time.Millisecond {
		t.Errorf("first 1ms, try 3: got %v, want 2ms to 4ms", d)
	}
}
