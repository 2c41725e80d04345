package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Address is where a guest and its isolated commands find Config.Handler: the same in every guest.
func Address() netip.AddrPort { return netip.AddrPortFrom(gatewayAddr(4), 80) }

// gatewayAddr is the far end of every link: 10.213.0.1, and fe80::1, where nothing listens.
func gatewayAddr(version int) netip.Addr {
	if version == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
	}
	return netip.AddrFrom4([4]byte{10, 213, 0, 1})
}

const (
	guestNetwork  = 2 // host number of the guest's own link; isolated commands take the numbers after it
	lastNetwork   = 254
	loopbackIndex = 1 // of lo, in every network namespace
)

// gateway is a network namespace in which links from the guest end. It has no way out: it holds no other interface,
// forwards nothing, and answers on Address only. It vanishes with this process, its links with it.
type gateway struct {
	ns     *os.File
	server *http.Server

	mu   sync.Mutex
	used map[int]bool // host numbers in use
}

// link is one network namespace with eth0 to a gateway.
type link struct {
	ns     *os.File
	index  int // of eth0
	number int
}

func newGateway(h http.Handler) (*gateway, error) {
	g := &gateway{used: map[int]bool{}}
	var listener net.Listener
	ns, err := newNetwork(func() (err error) {
		if err := setSysctls(gatewaySysctls()); err != nil {
			return err
		}
		if err := configureGateway(); err != nil {
			return err
		}
		if h != nil {
			listener, err = net.Listen("tcp4", Address().String())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making gateway network: %w", err)
	}
	g.ns = ns
	if listener != nil {
		g.server = &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		go g.server.Serve(listener) // ends with close; its error says only that
	}
	return g, nil
}

// configureGateway shuts the way out before it gives the namespace its one address.
func configureGateway() error {
	shut := &netlink.Route{Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Type: unix.RTN_BLACKHOLE}
	if err := netlink.RouteAdd(shut); err != nil {
		return fmt.Errorf("adding blackhole route: %w", err)
	}
	lo, err := netlink.LinkByIndex(loopbackIndex)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: hostNet(gatewayAddr(4))}); err != nil {
		return fmt.Errorf("adding address %s: %w", gatewayAddr(4), err)
	}
	return netlink.LinkSetUp(lo)
}

func (g *gateway) close() {
	if g.server != nil {
		g.server.Close() // cuts what is in flight: the guest is about to end
	}
	closeFiles(g.ns)
}

// connect makes a namespace with eth0 to the gateway. Number is guestNetwork or 0 for the next free one; only the
// latter speak IPv6, so that what an isolated command tries over it shows.
func (g *gateway) connect(number int) (*link, error) {
	isolated := number == 0
	number, err := g.take(number)
	if err != nil {
		return nil, err
	}
	l := &link{number: number}
	l.ns, err = newNetwork(func() error { return setSysctls(linkSysctls(isolated)) })
	if err == nil {
		err = g.wire(l)
	}
	if err == nil {
		err = inNetwork(l.ns, func() (err error) {
			l.index, err = configureLink(number, isolated)
			return err
		})
	}
	if err != nil {
		g.disconnect(l)
		return nil, fmt.Errorf("connecting network %d: %w", number, err)
	}
	return l, nil
}

func (g *gateway) take(number int) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number == 0 {
		for number = guestNetwork + 1; g.used[number]; number++ {
		}
	}
	if number > lastNetwork {
		return 0, errors.New("connecting network: too many isolated commands at once")
	}
	g.used[number] = true
	return number, nil
}

// wire makes the cable: one end here, the other eth0 in l. It never passes through this machine's own network.
func (g *gateway) wire(l *link) error {
	return inNetwork(g.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: linkName(l.number), HardwareAddr: hardwareAddr(1, l.number)},
			PeerName:         "eth0",
			PeerHardwareAddr: hardwareAddr(2, l.number),
			PeerNamespace:    netlink.NsFd(l.ns.Fd()),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("adding veth: %w", err)
		}
		here, err := netlink.LinkByName(veth.Name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(here); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{
			LinkIndex: here.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: hostNet(linkAddr(4, l.number)),
		})
	})
}

// disconnect removes the link; the namespace goes when its last process does.
func (g *gateway) disconnect(l *link) {
	inNetwork(g.ns, func() error { // an error means that it is gone with its namespace
		here, err := netlink.LinkByName(linkName(l.number))
		if err != nil {
			return err
		}
		return netlink.LinkDel(here)
	})
	closeFiles(l.ns)
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.used, l.number)
}

// configureLink sets up lo and eth0 in the current namespace so that a packet for anywhere leaves at once: routes for
// everything, and a gateway that needs no asking for its hardware address.
func configureLink(number int, v6 bool) (index int, err error) {
	for _, name := range []string{"lo", "eth0"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return 0, err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return 0, err
		}
		index = l.Attrs().Index
	}
	versions := []int{4}
	if _, err := os.Stat("/proc/sys/net/ipv6"); v6 && err == nil {
		versions = append(versions, 6)
	}
	for _, version := range versions {
		if err := configureFamily(index, version, number); err != nil {
			return 0, fmt.Errorf("configuring IPv%d: %w", version, err)
		}
	}
	return index, nil
}

func configureFamily(index, version, number int) error {
	eth0, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: hostNet(linkAddr(version, number))}
	family, anywhere := netlink.FAMILY_V4, &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if version == 6 {
		addr.Flags = unix.IFA_F_NODAD
		family, anywhere = netlink.FAMILY_V6, &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	if err := netlink.AddrAdd(eth0, addr); err != nil {
		return fmt.Errorf("adding address: %w", err)
	}
	gateway := gatewayAddr(version).AsSlice()
	if err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: family, State: netlink.NUD_PERMANENT,
		IP: gateway, HardwareAddr: hardwareAddr(1, number),
	}); err != nil {
		return fmt.Errorf("adding neighbour: %w", err)
	}
	if err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: index, Family: family, Dst: anywhere, Gw: gateway, Flags: int(netlink.FLAG_ONLINK),
	}); err != nil {
		return fmt.Errorf("adding route: %w", err)
	}
	return nil
}

func linkName(number int) string { return fmt.Sprintf("link%d", number) }

// linkAddr is the address of eth0 in network number.
func linkAddr(version, number int) netip.Addr {
	if version == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x02, 3: 0x13, 15: byte(number)})
	}
	return netip.AddrFrom4([4]byte{10, 213, 0, byte(number)})
}

// hardwareAddr is a locally administered address; end is 1 at the gateway and 2 at eth0.
func hardwareAddr(end, number int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x0b, 0xd5, 0x00, byte(end), byte(number)}
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

type sysctl struct{ name, value string }

// A new namespace takes IPv4 settings over from the machine's, where a container engine may have turned forwarding on.
func gatewaySysctls() []sysctl {
	return []sysctl{
		{"ipv4/ip_forward", "0"},
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
	}
}

func linkSysctls(v6 bool) []sysctl {
	s := []sysctl{{"ipv4/ip_forward", "0"}}
	if !v6 {
		return append(s, sysctl{"ipv6/conf/default/disable_ipv6", "1"})
	}
	return append(s,
		sysctl{"ipv6/conf/all/disable_ipv6", "0"},
		sysctl{"ipv6/conf/default/disable_ipv6", "0"},
		sysctl{"ipv6/conf/default/accept_dad", "0"},
		sysctl{"ipv6/conf/default/accept_ra", "0"},
		sysctl{"ipv6/conf/default/router_solicitations", "0"},
		sysctl{"ipv6/conf/default/addr_gen_mode", "1"},
	)
}

// setSysctls applies to the network namespace of the calling thread. A kernel without IPv6 has nothing to set.
func setSysctls(all []sysctl) error {
	for _, s := range all {
		err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0)
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && s.name[:4] == "ipv6") {
			return fmt.Errorf("setting net/%s: %w", s.name, err)
		}
	}
	return nil
}
