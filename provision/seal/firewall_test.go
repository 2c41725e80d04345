package seal

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// TestLostPort has a rule as a kernel before 4.17 would make it of ours.
func TestLostPort(t *testing.T) {
	n := ownNetwork{client: netip.MustParseAddr("192.0.2.1"), port: 22}
	ns, err := newNetwork(func() error {
		for _, tt := range []struct {
			name string
			edit func(*netlink.Rule)
			want bool
		}{
			{"as wanted", func(*netlink.Rule) {}, false},
			{"without port", func(r *netlink.Rule) { r.Sport = nil }, true},
			{"without protocol", func(r *netlink.Rule) { r.IPProto = 0 }, true},
			{"another port", func(r *netlink.Rule) { r.Sport = netlink.NewRulePortRange(22, 23) }, true},
		} {
			r := n.wanted(4)[0]
			tt.edit(&r)
			if err := netlink.RuleAdd(&r); err != nil {
				return err
			}
			if got, err := n.lostPort(); err != nil || got != tt.want {
				t.Errorf("%s: got %t, %v, want %t", tt.name, got, err, tt.want)
			}
			if err := netlink.RuleDel(&r); err != nil {
				return err
			}
		}
		if _, err := n.lostPort(); err == nil {
			t.Error("without the rule: got nil, want an error")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
}

// TestFirewall shows the rules for such a kernel: without the right port, or another protocol, nothing for the client
// gets out.
func TestFirewall(t *testing.T) {
	for _, tt := range []struct{ client, tool, want string }{
		{"192.0.2.1", "iptables", "-d 192.0.2.1 ! -o lo -p tcp ! --sport 2222 -j DROP\n-d 192.0.2.1 ! -o lo ! -p tcp -j DROP\n"},
		{"2001:db8::1", "ip6tables", "-d 2001:db8::1 ! -o lo -p tcp ! --sport 2222 -j DROP\n-d 2001:db8::1 ! -o lo ! -p tcp -j DROP\n"},
	} {
		f := newFirewall(netip.MustParseAddr(tt.client), 2222)
		var got strings.Builder
		for _, rule := range f.rules {
			fmt.Fprintln(&got, strings.Join(rule, " "))
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" || f.tool != tt.tool {
			t.Errorf("%s for %s (-want +got):\n%s", f.tool, tt.client, diff)
		}
	}
	f := firewall{tool: "no-such-tables", rules: [][]string{{"x"}}}
	if err := f.add(context.Background()); err == nil || len(f.added) != 0 {
		t.Errorf("without the tool: got %v, want an error", err)
	}
}
