package seal

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is one network namespace with an interface to a gateway. Whatever is sent to anywhere leaves by it.
type Link struct {
	ns     *os.File
	name   string // of the interface in ns
	index  int    // of the interface in ns
	number int
	table  int  // of routes; 0 for the main one
	v6     bool // routes IPv6 too, where the kernel knows it

	// onEnter, when set, is told the mount namespace of an isolated command before the command starts.
	onEnter func(mounts *os.File) error
}

// Network is the handle of the namespace. It is good until Close.
func (l *Link) Network() *os.File { return l.ns }

// Close lets go of the namespace, which stays as long as a process is in it.
func (l *Link) Close() { l.ns.Close() } // also of a nil file

// farName is the name of the interface's other end, at the gateway.
func (l *Link) farName() string { return fmt.Sprintf("link%d", l.number) }

// begin sets up a namespace that was just made.
func (l *Link) begin() error {
	if err := setSysctls(linkSysctls(l.v6)); err != nil {
		return err
	}
	lo, err := netlink.LinkByIndex(loopbackIndex)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// configure sets up the interface in the current namespace so that a packet for anywhere leaves at once: routes for
// everything, and a gateway that needs no asking for its hardware address.
func (l *Link) configure() error {
	here, err := netlink.LinkByName(l.name)
	if err != nil {
		return err
	}
	l.index = here.Attrs().Index
	if l.table != 0 && l.v6 { // a namespace of somebody else's, so not of begin's making
		if err := setSysctls(quietIPv6(l.name)); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(here); err != nil {
		return err
	}
	for _, version := range versions(l.v6) {
		if err := l.configureFamily(here, version); err != nil {
			return fmt.Errorf("configuring IPv%d: %w", version, err)
		}
	}
	return nil
}

func (l *Link) configureFamily(here netlink.Link, version int) error {
	addr := &netlink.Addr{IPNet: hostNet(linkAddr(version, l.number))}
	if version == 6 {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(here, addr); err != nil {
		return fmt.Errorf("adding address: %w", err)
	}
	gateway := gatewayAddr(version).AsSlice()
	if err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.index, Family: family(version), State: netlink.NUD_PERMANENT,
		IP: gateway, HardwareAddr: hardwareAddr(1, l.number),
	}); err != nil {
		return fmt.Errorf("adding neighbour: %w", err)
	}
	if err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: l.index, Family: family(version), Dst: everything(version), Gw: gateway, Flags: int(netlink.FLAG_ONLINK),
		Table: l.table, Protocol: unix.RTPROT_KERNEL, // network daemons remove what they take for strangers' routes
	}); err != nil {
		return fmt.Errorf("adding route: %w", err)
	}
	return nil
}

// versions are the IP versions to configure.
func versions(v6 bool) []int {
	if _, err := os.Stat("/proc/sys/net/ipv6"); v6 && err == nil {
		return []int{4, 6}
	}
	return []int{4}
}

func family(version int) int {
	if version == 6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func everything(version int) *net.IPNet {
	if version == 6 {
		return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
}

// linkAddr is the address of the interface of network number.
func linkAddr(version, number int) netip.Addr {
	if version == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x02, 3: 0x13, 15: byte(number)})
	}
	return netip.AddrFrom4([4]byte{10, 213, 0, byte(number)})
}

// hardwareAddr is a locally administered address; end is 1 at the gateway and 2 at the other end.
func hardwareAddr(end, number int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x0b, 0xd5, 0x00, byte(end), byte(number)}
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
