package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// sshPort is where hosts answer; the API has no field for another one.
const sshPort = 22

// addressCount is how many addresses 127.213.0.0/16 has without those that end in 0 or 255.
const addressCount = 256 * 254

// address is a loopback address that one host has, of all sandboxes on this machine: a socket of ours listens there from
// takeAddress to free, whether the host is up or not.
type address struct {
	ip       netip.Addr
	listener net.Listener

	mu     sync.Mutex
	handle func(net.Conn) // nil while the host is off
}

// takeAddress takes an address of 127.213.0.0/16 whose port 22 nobody on this machine listens on, and holds it until
// endHost. Addresses that were given back come round last, for clients remember which host key they saw where.
func (s *Sandbox) takeAddress() (*address, error) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	for range addressCount {
		n := s.fleet.nextAddress % addressCount
		s.fleet.nextAddress++
		ip := netip.AddrFrom4([4]byte{127, 213, byte(n / 254), byte(n%254 + 1)})
		l, err := net.Listen("tcp4", netip.AddrPortFrom(ip, sshPort).String())
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("taking an address for a host: %w", err)
		}
		a := &address{ip: ip, listener: l}
		go a.accept()
		return a, nil
	}
	return nil, errors.New("taking an address for a host: port 22 of every address in 127.213.0.0/16 is taken; " +
		"an SSH server that listens on all addresses takes them all")
}

// free gives an address back. It may be called twice.
func (a *address) free() {
	a.connect(nil)
	a.listener.Close() // the second time it is closed already
}

// connect says who gets connections from now on; nil for nobody.
func (a *address) connect(handle func(net.Conn)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handle = handle
}

// accept ends with free. A host that is off refuses as well as one can who has accepted already.
func (a *address) accept() {
	for {
		conn, err := a.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the connection was gone before it was accepted
		}
		a.mu.Lock()
		handle := a.handle
		a.mu.Unlock()
		if handle == nil {
			reset(conn)
			continue
		}
		go handle(conn)
	}
}
