// Package seal makes networks that end at one address, and witnesses what tries to leave them.
//
// A Gateway is a network namespace with no way out that answers at Address. Links end there: the network of a host's own
// processes, whose tries to leave a Record lists, and one network for each isolated command, which its first try ends.
// Package guest builds guests of this machine from these; Agent seals the machine that it runs on.
//
// What it guarantees: no interface leads from a gateway anywhere but into its links, so nothing that is sent into a link
// leaves, whatever is done to rules and routes inside; what an isolated command sent before its end is in the verdict, or
// there is an error. What it is not: a wall against hostile code that runs as root.
package seal

import "net/netip"

// Address is where gateways answer: the same in every network.
func Address() netip.AddrPort { return netip.AddrPortFrom(gatewayAddr(4), 80) }

// gatewayAddr is the far end of every link: 10.213.0.1, and fe80::1, where nothing listens.
func gatewayAddr(version int) netip.Addr {
	if version == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
	}
	return netip.AddrFrom4([4]byte{10, 213, 0, 1})
}
