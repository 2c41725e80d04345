package remote

import (
	"io"
	"sync"
	"sync/atomic"
)

// gate stands before the writers of one command: one Write at a time goes through, and none after shut.
type gate struct {
	mu     sync.Mutex
	closed bool
	err    error // the first

	bytes   atomic.Int64 // that have gone through
	writing atomic.Bool
}

// through is a writer behind the gate. It takes everything, also what a writer refused, so that the command can end.
func (g *gate) through(w io.Writer) io.Writer { return gateWriter{g, w} }

type gateWriter struct {
	gate *gate
	w    io.Writer // nil for none
}

func (w gateWriter) Write(p []byte) (int, error) {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.w != nil && !g.closed && g.err == nil {
		g.writing.Store(true)
		_, g.err = w.w.Write(p)
		g.writing.Store(false)
	}
	g.bytes.Add(int64(len(p)))
	return len(p), nil
}

// shut waits for the Write that is going on, and lets no other through.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// failure is the first error of a writer.
func (g *gate) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *gate) written() int64 { return g.bytes.Load() }
func (g *gate) busy() bool     { return g.writing.Load() }
