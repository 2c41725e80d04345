package seal

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mend shuts what the kernel opens by itself with an interface or an address.
func (n *ownNetwork) mend() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mendLocked()
}

func (n *ownNetwork) mendLocked() error {
	if n.bound == nil {
		n.bound = map[string]bool{}
	}
	n.mendErr = errors.Join(n.keepBound(), n.removeBroadcasts())
	return n.mendErr
}

// keepMending mends whenever routes change, until ctx ends.
func (n *ownNetwork) keepMending(ctx context.Context) error {
	for ctx.Err() == nil {
		changes := make(chan netlink.RouteUpdate)
		if err := netlink.RouteSubscribe(changes, ctx.Done()); err != nil {
			return fmt.Errorf("watching routes: %w", err)
		}
		n.mend()            // check tells
		for range changes { // closed when too many came at once
			n.mend()
		}
	}
	return nil
}

// removeBroadcasts removes the routes to the broadcast addresses and IPv6 multicast groups of the host's interfaces. They
// stand in the table of local addresses, before our rules. A client over IPv6 needs the groups, to learn who the host is:
// then what processes send to them reaches the neighbours, and is listed.
func (n *ownNetwork) removeBroadcasts() error {
	own, err := netlink.LinkByName(ownName)
	if err != nil {
		return err
	}
	for _, version := range versions(n.client.Is4()) {
		routes, err := netlink.RouteListFiltered(family(version), &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("listing local routes: %w", err)
		}
		for _, r := range routes {
			if r.LinkIndex == loopbackIndex || r.LinkIndex == own.Attrs().Index || !leadsOut(r, version) {
				continue
			}
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("removing route to %v: %w", r.Dst, err)
			}
		}
	}
	return nil
}

func leadsOut(r netlink.Route, version int) bool {
	if version == 4 {
		return r.Type == unix.RTN_BROADCAST
	}
	return r.Dst != nil && r.Dst.IP.Equal(net.ParseIP("ff00::"))
}

// keepBound makes a table in which whatever leaves by one of the host's devices is for this machine itself. It is for what
// sockets send that are bound to a device: where Linux finds no way over that device to an IPv4 destination it assumes a
// neighbour there, and a rule or route that says no is no way (ip_route_output_key_hash_rcu). Only for 255.255.255.255
// and 224.0.0.0/24 it never asks: those reach the neighbours, and are listed.
func (n *ownNetwork) keepBound() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		if a.Index == loopbackIndex || a.Name == ownName || a.Flags&net.FlagUp == 0 {
			continue
		}
		err := netlink.RouteAdd(&netlink.Route{
			LinkIndex: a.Index, Dst: everything(4), Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
			Table: boundTable, Protocol: unix.RTPROT_KERNEL, Priority: a.Index, // one each, or the second exists already
		})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding local route for %s: %w", a.Name, err)
		}
		if n.bound[a.Name] {
			continue
		}
		r := newRule(4, boundPriority)
		r.Table, r.OifName = boundTable, a.Name
		if err := n.add(r); err != nil {
			return err
		}
		n.bound[a.Name] = true
	}
	return nil
}
