package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
)

var errReset = errors.New("connection reset")

// faults are what can happen to one request. Those whose name says "done" let the server do what was asked.
var faults = []struct {
	name string
	do   func(*http.Request, http.RoundTripper) (*http.Response, error)
}{
	{"status 503", func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return answerWith(req, 503, "<html>busy</html>"), nil
	}},
	{"status 403", func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return answerWith(req, 403, `{"RetCode":-148658,"ErrMsg":"invalid signature"}`), nil
	}},
	{"reset before", func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errReset
	}},
	{"reset when done", func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			err = errReset
		}
		return nil, err
	}},
	{"status 500 when done", func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return answerWith(req, 500, ""), nil
	}},
	{"cut answer", func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil && req.Method != "HEAD" {
			resp.Body = &cutBody{resp.Body}
		}
		return resp, err
	}},
	{"stall when done", stall},
}

// stall sends a request to a server that does what it should and then says nothing.
func stall(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	rt := transport.RoundTripper(transport.Options{Tries: 1, Stall: 20 * time.Millisecond})
	resp, err := next.RoundTrip(req.Clone(req.Context()))
	if err != nil {
		return nil, err
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	again := req.Clone(req.Context())
	again.URL.Host, again.Body, again.ContentLength = silent(), nil, 0
	return rt.RoundTrip(again)
}

// silent is a listener that takes connections, in its backlog, and never answers.
var silent = sync.OnceValue(func() string {
	l, err := listen()
	if err != nil {
		return "127.0.0.1:1"
	}
	return l.Addr().String()
})

type cutBody struct{ io.ReadCloser }

func (*cutBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestSweep fails each request of a push in each way: once, and from then on for good. Afterwards nothing that is not
// whole is taken for a bundle; the next push succeeds, leaves nothing behind, and the one after it sends nothing.
// In a usual run each request gets some of the faults in turn; OFFBAKE_SWEEP=whole tries all.
func TestSweep(t *testing.T) {
	files := map[string][]byte{"files/a": []byte("content of a"), "files/empty": nil, "files/big": content(ufile.BlockSize + 1)}
	s := newSample(t, files)
	whole := os.Getenv("OFFBAKE_SWEEP") == "whole"
	requests := 0
	{
		rec := newRecorder(t)
		push(t, newService(t, serve.StoreOptions{}).open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: t.TempDir()}), s.Bundle)
		requests = len(rec.seen)
	}
	if requests < 12 {
		t.Fatalf("a push makes %d requests only: the sweep misses its aim", requests)
	}
	slot := make(chan struct{}, 4) // servers at once
	for k := range requests {
		for i, fault := range faults {
			for j, mode := range []string{"once", "for good"} {
				if !whole && (k+2*i+j)%7 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%d %s %s", k, fault.name, mode), func(t *testing.T) {
					t.Parallel()
					slot <- struct{}{}
					defer func() { <-slot }()
					sweepOne(t, s, func(n int, req *http.Request, next http.RoundTripper) (*http.Response, error) {
						if n == k || n > k && mode == "for good" {
							return fault.do(req, next)
						}
						return next.RoundTrip(req)
					})
				})
			}
		}
	}
}

func sweepOne(t *testing.T, s *sample, fault func(int, *http.Request, http.RoundTripper) (*http.Response, error)) {
	srv := newService(t, serve.StoreOptions{})
	journal := t.TempDir()
	rec := newRecorder(t)
	rec.fault = fault
	st := srv.open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: journal, Tries: 3})
	_, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle})
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
	clean := srv.open(t, store.Options{Journal: journal})
	if _, gone := clean.Head(t.Context(), "test/1.2.3/bundle.json"); gone == nil {
		s.wantPushed(t, clean) // committed: then whole
	} else if err == nil {
		t.Error("the push says it is done, and the index is missing")
	} else {
		wantUncommitted(t, clean)
	}
	push(t, clean, s.Bundle)
	s.wantPushed(t, clean)
	wantClean(t, srv, journal)
	if r := push(t, clean, s.Bundle); r.Uploaded != 0 || r.Bytes != 0 {
		t.Errorf("the third push sent %+v", r)
	}
}
