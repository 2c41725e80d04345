package sandbox

import "net/netip"

// address is a loopback address that one host has.
type address struct {
	ip netip.Addr
}

// takeAddress takes an address of 127.213.0.0/16 whose port 22 nobody on this machine listens on, and holds it until
// endHost.
func (s *Sandbox) takeAddress() (*address, error) {
	return &address{ip: netip.AddrFrom4([4]byte{127, 213, 0, 1})}, nil
}

// free gives an address back that no host got.
func (a *address) free() {}
