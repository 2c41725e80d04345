package seal

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The rules that seal a host's own network stand before all but the one for local addresses, which is number 0.
const (
	replyPriority   = 10 // replies to the client: as without the seal
	witnessPriority = 11 // all else: into the witness's link, which alone has routes in witnessTable
	boundPriority   = 12 // from a socket bound to another device: back to this machine
	shutPriority    = 13 // what is left: an error
	witnessTable    = 213
	boundTable      = 214
	ownName         = "offbake0" // of the link's interface on the host
)

// ownNetwork is the network of a host's own processes, sealed by policy routing (ip-rule(8)).
type ownNetwork struct {
	client netip.Addr
	port   uint16

	mu       sync.Mutex
	rules    []netlink.Rule  // what is added
	bound    map[string]bool // devices that have a rule of boundPriority
	firewall *firewall       // nil where rules suffice
	mendErr  error           // of the last mend
}

// replies are what may leave by the host's own interfaces.
func (n *ownNetwork) replies() netip.AddrPort { return netip.AddrPortFrom(n.client, n.port) }

// attach makes a link of the host's own network: an interface that nobody uses before a rule says so.
func (g *Gateway) attach() (*Link, error) {
	ns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	disabled, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	v6 := err == nil && strings.TrimSpace(string(disabled)) == "0"
	return g.connect(&Link{ns: ns, number: ownNumber, name: ownName, table: witnessTable, v6: v6})
}

// shut seals the network once the link is there. What it did before an error, open undoes.
func (n *ownNetwork) shut(ctx context.Context) error {
	if err := nothingBefore(); err != nil {
		return err
	}
	if err := loosen(); err != nil {
		return err
	}
	for _, version := range versions(true) {
		for _, r := range n.wanted(version) {
			if err := n.add(r); err != nil {
				return err
			}
		}
	}
	lost, err := n.lostPort()
	if err != nil {
		return err
	}
	if lost {
		n.firewall = newFirewall(n.client, n.port)
		if err := n.firewall.add(ctx); err != nil {
			return fmt.Errorf("this kernel's rules know no ports, so a firewall must keep to them: %w", err)
		}
	}
	return n.mend()
}

// wanted are the rules for an IP version but those of devices.
func (n *ownNetwork) wanted(version int) (rules []netlink.Rule) {
	if n.client.Is4() == (version == 4) {
		r := newRule(version, replyPriority)
		r.Table = unix.RT_TABLE_MAIN
		r.IifName = "lo" // what this machine itself sends, not what it forwards
		r.Dst = hostNet(n.client)
		r.IPProto = unix.IPPROTO_TCP
		r.Sport = netlink.NewRulePortRange(n.port, n.port)
		rules = append(rules, r)
	}
	witness, shut := newRule(version, witnessPriority), newRule(version, shutPriority)
	witness.Table, shut.Type = witnessTable, unix.RTN_PROHIBIT
	return append(rules, witness, shut)
}

// newRule has the kernel's own protocol: network daemons remove what they take for strangers' rules.
func newRule(version, priority int) netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Protocol = family(version), priority, unix.RTPROT_KERNEL
	return *r
}

func (n *ownNetwork) add(r netlink.Rule) error {
	if err := netlink.RuleAdd(&r); err != nil {
		return fmt.Errorf("adding rule %d for %s: %w", r.Priority, familyName(r.Family), err)
	}
	n.rules = append(n.rules, r)
	return nil
}

func familyName(family int) string {
	if family == netlink.FAMILY_V6 {
		return "IPv6"
	}
	return "IPv4"
}

// open takes back what lets nothing out. What is left of shut leads nowhere, or was for what comes in.
func (n *ownNetwork) open() (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.rules {
		if delErr := netlink.RuleDel(&r); delErr != nil {
			err = errors.Join(err, fmt.Errorf("removing rule %d: %w", r.Priority, delErr))
		}
	}
	n.rules = nil
	if n.firewall != nil {
		err = errors.Join(err, n.firewall.remove())
	}
	return err
}

// check fails unless all is there that shut and mend have made, and no rule before it.
func (n *ownNetwork) check(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mendErr != nil && n.mendLocked() != nil { // it may have been an interface that went meanwhile
		return fmt.Errorf("the host is not sealed any more: %w", n.mendErr)
	}
	var got, want []string
	for _, version := range versions(true) {
		found, err := netlink.RuleList(family(version))
		if err != nil {
			return fmt.Errorf("listing rules: %w", err)
		}
		for _, r := range found {
			if r.Priority > 0 && r.Priority <= shutPriority {
				got = append(got, describe(r))
			}
		}
	}
	for _, r := range n.rules {
		want = append(want, describe(r))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the host is not sealed any more: got rules %q, want %q", got, want)
	}
	if err := noWayOut(); err != nil {
		return fmt.Errorf("the host is not sealed any more: %w", err)
	}
	if n.firewall == nil {
		return nil
	}
	if err := n.firewall.check(ctx); err != nil {
		return fmt.Errorf("the host is not sealed any more: %w", err)
	}
	return nil
}

// describe is what of a rule decides where packets go, in the words of "ip rule".
func describe(r netlink.Rule) string {
	s := fmt.Sprintf("%s %d", familyName(r.Family), r.Priority)
	if r.Dst != nil {
		s += " to " + r.Dst.String()
	}
	if r.OifName != "" {
		s += " oif " + r.OifName
	}
	if r.Table > 0 {
		s += fmt.Sprintf(" lookup %d", r.Table)
	}
	return s
}

// noWayOut fails where a route of the tables that the rules lead to, or of the local one before them, leads anywhere but into
// the witness's link: somebody has added it.
func noWayOut() error {
	own, err := netlink.LinkByName(ownName)
	if err != nil {
		return fmt.Errorf("finding the witness's link: %w", err)
	}
	for _, version := range versions(true) {
		for _, table := range []int{unix.RT_TABLE_LOCAL, witnessTable, boundTable} {
			routes, err := netlink.RouteListFiltered(family(version), &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
			if err != nil {
				return fmt.Errorf("listing routes of table %d: %w", table, err)
			}
			for _, r := range routes {
				// Kernels before 5.6 call IPv6's multicast groups unicast there.
				if r.Type == unix.RTN_UNICAST && r.LinkIndex != own.Attrs().Index && !leadsOut(r, version) {
					return fmt.Errorf("a route to %v of table %d leads out", r.Dst, table)
				}
			}
		}
	}
	return nil
}

// nothingBefore fails where a rule stands before ours, or is a remnant of ours: it could lead out.
func nothingBefore() error {
	for _, version := range versions(true) {
		found, err := netlink.RuleList(family(version))
		if err != nil {
			return fmt.Errorf("listing rules: %w", err)
		}
		for _, r := range found {
			if r.Priority <= shutPriority && (r.Priority != 0 || r.Table != unix.RT_TABLE_LOCAL) {
				return fmt.Errorf("rule %d for IPv%d (%v) stands before the rules of a seal", r.Priority, version, r)
			}
		}
	}
	return nil
}

// lostPort reports whether the kernel left the port out of the rule for replies: before 4.17 it skips what it does not
// know (fib_rules.h, FRA_SPORT_RANGE).
func (n *ownNetwork) lostPort() (bool, error) {
	version := 6
	if n.client.Is4() {
		version = 4
	}
	found, err := netlink.RuleList(family(version))
	if err != nil {
		return false, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range found {
		if r.Priority == replyPriority {
			return !keepsTo(r, n.port), nil
		}
	}
	return false, fmt.Errorf("rule %d is not there after it was added", replyPriority)
}

// keepsTo reports whether a rule that the kernel returned is for TCP from one port.
func keepsTo(r netlink.Rule, port uint16) bool {
	return r.IPProto == unix.IPPROTO_TCP && r.Sport != nil && r.Sport.Start == port && r.Sport.End == port
}

// loosen turns off what judges incoming packets and neighbours' questions by the way that answers would take: by the
// rules of a seal that is the link. Off, not loose: with the daemon dead, and so the link gone, the client still gets in.
func loosen() error {
	for _, name := range []string{"rp_filter", "arp_filter"} {
		found, err := filepath.Glob("/proc/sys/net/ipv4/conf/*/" + name)
		if err != nil {
			return err
		}
		for _, path := range found {
			err := os.WriteFile(path, []byte("0"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // an interface that went meanwhile
				return err
			}
		}
	}
	return nil
}
