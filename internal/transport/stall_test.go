package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offbake/offbake/internal/transport"
)

func TestStallWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 10 * time.Second
		slow := &slowBody{gap: 9 * time.Second, pieces: 20}
		rt := transport.NewStall(roundTripFunc(func(req *http.Request) (*http.Response, error) {
			slow.ctx = req.Context()
			time.Sleep(9 * time.Second)
			return &http.Response{StatusCode: 200, Body: slow}, nil
		}), window)
		resp, err := rt.RoundTrip(request(t, "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a caller that takes its time is not the server's fault
		if n, err := io.Copy(io.Discard, resp.Body); n != 20 || err != nil {
			t.Errorf("slow but steady: got %d, %v, want 20 bytes in 3 minutes", n, err)
		}
		slow.gap, slow.pieces = 11*time.Second, 1
		start := time.Now()
		_, err = resp.Body.Read(make([]byte, 1))
		if s, ok := errors.AsType[*transport.StalledError](err); !ok || s.Window != window || time.Since(start) != window {
			t.Errorf("stalled: got %v after %v, want a StalledError after %v", err, time.Since(start), window)
		}
		resp.Body.Close()
	})
}

func TestStallWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			gap   time.Duration // between the pieces that the server takes
			think time.Duration // and then before it answers
			ok    bool
		}{
			"slow but steady": {9 * time.Second, 9 * time.Second, true},
			"takes nothing":   {11 * time.Second, 0, false},
			"never answers":   {time.Second, 11 * time.Second, false},
		} {
			rt := transport.NewStall(roundTripFunc(func(req *http.Request) (*http.Response, error) {
				for range 5 {
					if err := transport.Sleep(req.Context(), c.gap); err != nil {
						return nil, err
					}
					req.Body.Read(make([]byte, 1))
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody}, transport.Sleep(req.Context(), c.think)
			}), 10*time.Second)
			_, err := rt.RoundTrip(request(t, "PUT", "12345"))
			if _, stalled := errors.AsType[*transport.StalledError](err); (err == nil) != c.ok || stalled == c.ok {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// slowBody gives one byte after each gap.
type slowBody struct {
	ctx    context.Context
	gap    time.Duration
	pieces int
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.pieces == 0 {
		return 0, io.EOF
	}
	if err := transport.Sleep(b.ctx, b.gap); err != nil {
		return 0, err
	}
	b.pieces--
	return 1, nil
}

func (b *slowBody) Close() error { return nil }
