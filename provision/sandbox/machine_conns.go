package sandbox

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// dialTimeout is long for a connection inside this machine; only a firewall in a guest makes it wait.
const dialTimeout = 5 * time.Second

// conns is work on connections that ends together.
type conns struct {
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	work   sync.WaitGroup
}

// begin announces work; false when it is too late for it. Whoever gets true owes an end.
func (c *conns) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.work.Add(1)
	}
	return !c.closed
}

func (c *conns) end() { c.work.Done() }

// serve runs f, which owns conn for that time, and closes it.
func (c *conns) serve(conn net.Conn, f func(net.Conn)) {
	defer conn.Close()
	if !c.begin() {
		return
	}
	defer c.end()
	if !c.add(conn) {
		return
	}
	defer c.remove(conn)
	f(conn)
}

func (c *conns) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// close cuts all connections and waits for the work on them.
func (c *conns) close() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.open {
		conn.Close()
	}
	c.mu.Unlock()
	c.work.Wait()
}

// relay passes what arrives at l on to where dial leads, until l is closed.
func (c *conns) relay(l net.Listener, dial func(context.Context) (net.Conn, error)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go c.serve(conn, func(conn net.Conn) { c.pass(conn, dial) })
	}
}

// pass joins conn with another connection until both directions have ended. An end that is cut is cut on the other side
// as well.
func (c *conns) pass(conn net.Conn, dial func(context.Context) (net.Conn, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	far, err := dial(ctx)
	cancel()
	if err != nil {
		reset(conn)
		return
	}
	defer far.Close()
	if !c.add(far) {
		return
	}
	defer c.remove(far)
	var both sync.WaitGroup
	forward := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil {
			reset(to)
			reset(from)
			return
		}
		to.(*net.TCPConn).CloseWrite() // fails only where it is closed
	}
	both.Go(func() { forward(far, conn) })
	both.Go(func() { forward(conn, far) })
	both.Wait()
}

// reset closes a TCP connection so that the other side gets an error, not an end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
