package faulttest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

var errBroken = errors.New("faulttest: connection broken on purpose")

// writer puts a fault on what a handler writes.
type writer struct {
	http.ResponseWriter
	handler *Handler
	record  *Request
	fault   Fault
	ctx     context.Context
	wrote   bool  // the head is out
	broken  bool  // nothing more goes out
	sent    int64 // bytes of body
}

func (w *writer) WriteHeader(code int) {
	if w.wrote || w.broken {
		return
	}
	w.wrote = true
	code = w.fault.head(w.Header(), w.record.Range, code)
	w.handler.mu.Lock()
	w.record.Status = code
	w.handler.mu.Unlock()
	w.ResponseWriter.WriteHeader(code)
	w.cut()
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	for rest := w.fault.body(p, w.sent); len(rest) > 0; {
		if w.broken {
			return 0, errBroken
		}
		n := int64(len(rest))
		switch w.fault.Kind {
		case Reset, Stall:
			n = min(n, w.fault.N-w.sent)
		case Slow:
			n = min(n, w.fault.N)
			w.sleep(w.fault.Wait)
		case Short, WrongRange:
			if n = min(n, w.room()); n <= 0 {
				return len(p), nil
			}
		}
		if err := w.pass(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
		w.cut()
	}
	return len(p), nil
}

// room returns how much the head leaves of the body.
func (w *writer) room() int64 {
	size, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err != nil {
		size = w.fault.N
	}
	return size - w.sent
}

// pass sends bytes as they are. They are counted before they go out: a client that has them may look at the record.
func (w *writer) pass(p []byte) error {
	w.sent += int64(len(p))
	w.handler.mu.Lock()
	w.record.Sent = w.sent
	w.handler.mu.Unlock()
	_, err := w.ResponseWriter.Write(p)
	if w.fault.Kind == Slow {
		w.Flush()
	}
	return err
}

// cut breaks the connection when its time has come.
func (w *writer) cut() {
	if w.sent < w.fault.N || w.broken {
		return
	}
	switch w.fault.Kind {
	case Reset:
		w.broken = true
		w.Flush()
		reset(w.ResponseWriter)
	case Stall:
		w.broken = true
		w.Flush()
		w.stall()
	}
}

// end is called when the handler is done.
func (w *writer) end() {
	if w.fault.Kind == Long && w.wrote && w.record.Method != http.MethodHead {
		w.pass(make([]byte, w.fault.N))
	}
}

// stall says nothing until the client goes away or the server ends, and then breaks the connection: not even a stalled
// answer without a length may look like a whole one.
func (w *writer) stall() {
	w.sleep(time.Hour)
	reset(w.ResponseWriter)
}

func (w *writer) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ctx.Done():
	case <-w.handler.done:
	}
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	http.NewResponseController(w.ResponseWriter).Flush() // not every writer can
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
