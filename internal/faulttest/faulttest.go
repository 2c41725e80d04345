// Package faulttest is a network that breaks on purpose: an HTTP handler that puts faults on the answers of another one,
// a correct file server to put behind it, a record of what was asked, and sweeps that break every request in turn.
//
// It is for tests and examples/ only; no command imports it.
package faulttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Files is a correct file server: content by path ("/dir/file"), with ranges, a strong ETag and If-Range.
type Files map[string][]byte

// ServeHTTP implements http.Handler.
func (f Files) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	data, ok := f[req.URL.Path]
	if !ok {
		http.NotFound(w, req)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
}

// Request is what one client asked and got.
type Request struct {
	Method  string
	Path    string
	Query   string // without "?"
	Range   string // the header, "" for none
	IfRange string
	Status  int   // 0 if no head was sent
	Sent    int64 // bytes of body written towards the client
	Fault   Kind  // the fault that was put on it, None if none
}

// Handler puts faults on the answers of another handler and records the requests.
type Handler struct {
	next http.Handler
	done chan struct{} // closed to end stalls

	mu       sync.Mutex
	faults   []*armed
	requests []*Request
}

type armed struct {
	Fault
	left int // how often it still happens; negative for ever
}

// NewHandler returns a Handler without faults.
func NewHandler(next http.Handler) *Handler {
	return &Handler{next: next, done: make(chan struct{})}
}

// Fail arms faults. Of those that fit a request, the first one armed happens.
func (h *Handler) Fail(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range faults {
		left := f.Times
		if left == 0 {
			left = -1
		}
		h.faults = append(h.faults, &armed{Fault: f, left: left})
	}
}

// Heal takes all faults away; requests that suffer one already go on to do so.
func (h *Handler) Heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = nil
}

// Requests returns what was asked so far, in the order of arrival.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Request, len(h.requests))
	for i, r := range h.requests {
		list[i] = *r
	}
	return list
}

// Paths returns "METHOD PATH" of what was asked so far, sorted.
func (h *Handler) Paths() []string {
	var list []string
	for _, r := range h.Requests() {
		list = append(list, r.Method+" "+r.Path)
	}
	slices.Sort(list)
	return list
}

// Forget empties the record, and Fault.Request counts from 1 again.
func (h *Handler) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	record, fault := h.arrive(req)
	out := &writer{ResponseWriter: w, handler: h, record: record, fault: fault, ctx: req.Context()}
	if fault.answers(out, req) {
		return
	}
	h.next.ServeHTTP(out, fault.changed(req))
	out.end()
}

// arrive records a request and picks its fault.
func (h *Handler) arrive(req *http.Request) (*Request, Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Request{
		Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery,
		Range: req.Header.Get("Range"), IfRange: req.Header.Get("If-Range"),
	}
	h.requests = append(h.requests, r)
	for _, a := range h.faults {
		if a.left != 0 && a.fits(r, len(h.requests)) {
			a.left--
			r.Fault = a.Kind
			return r, a.Fault
		}
	}
	return r, Fault{}
}

// Server is a Handler on a loopback port.
type Server struct {
	*Handler
	URL string // http://127.0.0.1:PORT

	http *httptest.Server
}

// NewServer serves next with faults until tb ends. next may be Files.
func NewServer(tb testing.TB, next http.Handler) *Server {
	tb.Helper()
	h := NewHandler(next)
	s := &Server{Handler: h, http: httptest.NewServer(h)}
	s.URL = s.http.URL
	tb.Cleanup(s.Close)
	return s
}

// Close ends the server and all stalls. Closing twice is fine.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.http.CloseClientConnections()
	s.http.Close()
}
