package guest

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/offbake/offbake/provision/seal"
)

// Listen returns a TCP listener of this process inside the guest's own network namespace: on address, which must be an
// IP address of that network with a port ("10.213.0.2:22", "127.0.0.1:8080", ":22"), and seen by the guest's processes
// as any other listener there. Isolated commands have networks of their own and see it on no loopback address. Close
// closes it; connections that it accepted are the caller's to close.
func (g *Guest) Listen(address string) (net.Listener, error) {
	l, err := seal.Listen(g.boot.spaces["net"], address)
	if err != nil {
		return nil, fmt.Errorf("listening on %q in guest %q: %w", address, g.name, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errors.Join(fmt.Errorf("listening in guest %q: %w", g.name, net.ErrClosed), l.Close())
	}
	g.listeners = append(g.listeners, l)
	return l, nil
}

// Dial makes a TCP connection from the gateway, 10.213.0.1, to the guest's eth0 at port. The guest answers it over its
// eth0, whatever else its network is sealed to, and Background does not take the answers for attempts. The caller closes
// the connection; an end of the guest does not.
func (g *Guest) Dial(ctx context.Context, port int) (net.Conn, error) {
	conn, err := g.net.Dial(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("dialling guest %q: %w", g.name, err)
	}
	return conn, nil
}

// closeListeners is for the end of the guest.
func (g *Guest) closeListeners() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, l := range g.listeners {
		l.Close() // its owner may have closed it
	}
}
