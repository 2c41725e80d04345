package sandbox

import (
	"context"
	"net"
	"sync"
)

// online is a host's network from a start to a stop.
type online struct {
	addresses []*address
	server    *sshServer
	listener  net.Listener // inside the machine; nil where that has no network of its own
	inbound   conns        // to that
	closed    chan struct{}
	close     func()
}

// goOnline starts the SSH server of a machine that has booted, and forwarding to it.
func (s *Sandbox) goOnline(h *uhost, m *Machine, first bool) (*online, error) {
	if first {
		if err := h.running.identity.make(h.userData); err != nil {
			s.o.Log.Warn("cloud-init", "host", h.id, "cause", err) // the host comes up without
		}
	}
	login, err := h.running.identity.login(h.password, m, first)
	if err != nil {
		return nil, err
	}
	o := &online{
		addresses: []*address{h.private}, closed: make(chan struct{}),
		server: newSSHServer(m, login, s.sshFault, s.o.Log),
	}
	if h.eip != nil {
		o.addresses = append(o.addresses, h.eip)
	}
	o.close = sync.OnceFunc(o.end)
	handle := o.server.serveConn
	if m.Listen != nil {
		if o.listener, err = m.Listen(sshPort); err != nil {
			return nil, err
		}
		go o.server.serve(o.listener)
		dial := func(ctx context.Context) (net.Conn, error) { return m.Dial(ctx, sshPort) }
		handle = func(conn net.Conn) {
			o.inbound.serve(conn, func(conn net.Conn) { o.inbound.pass(conn, dial) })
		}
	}
	for _, a := range o.addresses {
		a.connect(handle)
	}
	if m.Down != nil {
		down := m.Down()
		go func() {
			select {
			case <-down:
				o.close()
				if m.Rebooted != nil && m.Rebooted() {
					s.restart(h)
				}
			case <-o.closed:
			}
		}()
	}
	return o, nil
}

// goOffline ends a host's network, if it has one, and returns the machine, if there is one.
func (r *running) goOffline() *Machine {
	r.mu.Lock()
	o, m := r.online, r.machine
	r.online = nil
	r.mu.Unlock()
	if o != nil {
		o.close()
	}
	return m
}

func (o *online) end() {
	close(o.closed)
	for _, a := range o.addresses {
		a.connect(nil)
	}
	o.inbound.close()
	if o.listener != nil {
		o.listener.Close() // the machine's end may have been first
	}
	o.server.close()
}
