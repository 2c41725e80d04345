package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	ownNumber     = 2 // host number of the link of the host's own processes; isolated commands take the numbers after it
	lastNumber    = 254
	loopbackIndex = 1 // of lo, in every network namespace
)

// Gateway is a network namespace in which links end. It has no way out: it holds no other interface, forwards nothing,
// and answers on Address only. It vanishes with this process, its links with it.
type Gateway struct {
	ns     *os.File
	server *http.Server

	mu   sync.Mutex
	used map[int]bool // host numbers in use
}

// NewGateway makes a gateway that serves h at Address; with a nil h nothing answers. It needs root. The caller owes a
// Close.
func NewGateway(h http.Handler) (*Gateway, error) {
	g := &Gateway{used: map[int]bool{}}
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
	shut := &netlink.Route{Dst: everything(4), Type: unix.RTN_BLACKHOLE}
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

// Close cuts what is in flight: whoever asks is about to end.
func (g *Gateway) Close() {
	if g.server != nil {
		g.server.Close()
	}
	g.ns.Close()
}

// Own makes the network of a host's own processes, for one host. It speaks no IPv6.
func (g *Gateway) Own() (*Link, error) { return g.connect(&Link{number: ownNumber, name: "eth0"}) }

// Connect makes the network of one isolated command. It has IPv6 too, so that what the command tries over it shows.
// Disconnect gives its number back.
func (g *Gateway) Connect() (*Link, error) { return g.connect(&Link{name: "eth0", v6: true}) }

// Dial makes a TCP connection from the gateway to a port of the network that Own made.
func (g *Gateway) Dial(ctx context.Context, port int) (net.Conn, error) {
	address := net.JoinHostPort(linkAddr(4, ownNumber).String(), strconv.Itoa(port))
	var conn net.Conn
	err := inNetwork(g.ns, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", address)
		return err
	})
	return conn, err
}

// Listen returns a TCP listener of this process in network ns. The address must hold no name: it would be asked for in
// this process's own network.
func Listen(ns *os.File, address string) (l net.Listener, err error) {
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, err
		}
	}
	err = inNetwork(ns, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// connect makes l's namespace, where it has none yet, and its interface.
func (g *Gateway) connect(l *Link) (*Link, error) {
	var err error
	if l.number, err = g.take(l.number); err != nil {
		return nil, err
	}
	if l.ns == nil {
		l.ns, err = newNetwork(l.begin)
	}
	if err == nil {
		err = g.wire(l)
	}
	if err == nil {
		err = inNetwork(l.ns, l.configure)
	}
	if err != nil {
		g.Disconnect(l)
		return nil, fmt.Errorf("connecting network %d: %w", l.number, err)
	}
	return l, nil
}

// take reserves a host number, for 0 the next free one.
func (g *Gateway) take(number int) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number == 0 {
		for number = ownNumber + 1; g.used[number]; number++ {
		}
	}
	if number > lastNumber {
		return 0, errors.New("connecting network: too many isolated commands at once")
	}
	g.used[number] = true
	return number, nil
}

// wire makes the cable: one end here, the other in l. It never passes through this machine's own network.
func (g *Gateway) wire(l *Link) error {
	return inNetwork(g.ns, func() error {
		veth := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: l.farName(), HardwareAddr: hardwareAddr(1, l.number)},
			PeerName:         l.name,
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

// Disconnect removes the link; its namespace goes when its last process does.
func (g *Gateway) Disconnect(l *Link) {
	inNetwork(g.ns, func() error { // an error means that it is gone with its namespace
		here, err := netlink.LinkByName(l.farName())
		if err != nil {
			return err
		}
		return netlink.LinkDel(here)
	})
	l.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.used, l.number)
}
