package remote_test

import (
	"io"
	"net"
	"sync"
	"time"
)

// pipe is one end of a connection in memory. Unlike net.Pipe it buffers, as TCP does.
type pipe struct {
	in, out *flow
	close   func()
}

// flow is one direction of a connection.
type flow struct {
	mu      sync.Mutex
	changed *sync.Cond
	data    []byte
	closed  bool
	onWrite func(n int) fate // of the n-th Write from 1 on; nil passes all
	writes  int
	hung    *hung
}

// fate is what becomes of a Write and of the connection after it.
type fate int

const (
	pass fate = iota
	cut       // the connection breaks, what was in it is lost
	hang      // nothing comes through any more, in neither direction
)

// hung is shared by the directions of a connection.
type hung struct {
	mu sync.Mutex
	on bool
}

func (h *hung) set() { h.mu.Lock(); defer h.mu.Unlock(); h.on = true }
func (h *hung) is() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on
}

// newPipe returns both ends. The hooks see each end's writes and may be nil.
func newPipe(onClientWrite, onServerWrite func(n int) fate) (client, server *pipe) {
	h := &hung{}
	up, down := &flow{onWrite: onClientWrite, hung: h}, &flow{onWrite: onServerWrite, hung: h}
	for _, f := range []*flow{up, down} {
		f.changed = sync.NewCond(&f.mu)
	}
	both := func() { up.end(); down.end() }
	return &pipe{in: down, out: up, close: both}, &pipe{in: up, out: down, close: both}
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.changed.Broadcast()
}

func (p *pipe) Read(b []byte) (int, error) {
	f := p.in
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.data) == 0 {
		if f.closed {
			return 0, io.EOF
		}
		f.changed.Wait()
	}
	n := copy(b, f.data)
	f.data = f.data[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	f := p.out
	f.mu.Lock()
	f.writes++
	n, hook := f.writes, f.onWrite
	f.mu.Unlock()
	if hook != nil {
		switch hook(n) {
		case cut:
			p.close()
		case hang:
			f.hung.set()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, io.ErrClosedPipe
	}
	if !f.hung.is() {
		f.data = append(f.data, b...)
		f.changed.Broadcast()
	}
	return len(b), nil
}

func (p *pipe) Close() error {
	p.close()
	return nil
}

func (p *pipe) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000} }
func (p *pipe) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 22} }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
