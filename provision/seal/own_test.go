package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSealHost seals a host and tries all ways out of it.
func TestSealHost(t *testing.T) {
	host, outside := pair(t)
	host.greet("10.9.0.11:22")
	host.greet("[2001:db8:9::11]:22")
	heard := outside.listen()
	var all, linked []Attempt
	for _, w := range ways() {
		all = append(all, w.attempt())
		if w.linked {
			linked = append(linked, w.attempt())
		}
	}
	if diff := cmp.Diff(all, leaked(t, host, outside, heard, "10.9.0.1")); diff != "" {
		t.Fatalf("heard outside before the seal (-want +got):\n%s", diff)
	}
	if out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22"); status != 0 || out != "" {
		t.Fatalf("seal: got status %d, %q", status, out)
	}
	if diff := cmp.Diff(linked, leaked(t, host, outside, heard, "10.9.0.1")); diff != "" {
		t.Errorf("heard outside, sealed (-want +got):\n%s", diff)
	}
	testBackground(t, host)
	testReplies(t, host, outside, heard)
	if out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22"); status != 1 || !strings.Contains(out, "sealed already") {
		t.Errorf("second seal: got status %d, %q", status, out)
	}
	testReplies(t, host, outside, heard)
	testMend(t, host)
	if diff := cmp.Diff(linked, leaked(t, host, outside, heard, "10.9.0.1")); diff != "" {
		t.Errorf("heard outside after changes (-want +got):\n%s", diff)
	}
	if out, status := host.agent("background"); status != 0 {
		t.Errorf("background after changes: got status %d, %s", status, out)
	}
	testWaysMade(t, host)
	testBroken(t, host)
	testDaemonDies(t, host)
	if diff := cmp.Diff(linked, leaked(t, host, outside, heard, "10.9.0.1")); diff != "" {
		t.Errorf("heard outside with the daemon dead (-want +got):\n%s", diff)
	}
}

// testBackground shows that what left by any interface is listed, and what the kernel refused is not.
func testBackground(t *testing.T, host *machine) {
	out, status := host.agent("background")
	var got []Attempt
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
		t.Fatalf("background: got status %d, %q, %v", status, out, err)
	}
	var want []Attempt
	for _, w := range ways() {
		if !w.refused {
			want = append(want, w.attempt())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("background (-want +got):\n%s", diff)
	}
}

// testReplies shows who still gets in.
func testReplies(t *testing.T, host, outside *machine, heard *hearsay) {
	t.Helper()
	outside.must("ip neigh flush all") // the host must answer who it is
	heard.take()
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"10.9.0.1", "10.9.0.11", true}, {"10.9.0.2", "10.9.0.11", false}, {"2001:db8:9::1", "2001:db8:9::11", false},
	} {
		within := 300 * time.Millisecond
		if tt.want {
			within = 10 * time.Second
		}
		out, err := outside.dial(tt.from, tt.to, within)
		if got := out == "hello\n"; got != tt.want {
			t.Errorf("ssh from %s: got %q, %v, want an answer to be %t", tt.from, out, err, tt.want)
		}
		for _, a := range heard.take() {
			if a.Address != "10.9.0.1" || a.Proto != "tcp" {
				t.Errorf("ssh from %s: %v got out", tt.from, a)
			}
		}
	}
	out, _ := host.agent("background")
	if strings.Contains(out, `"port":22`) {
		t.Errorf("answers are listed: %s", out)
	}
}

// testMend changes the host's network as a DHCP client or a new interface does, and waits until it is sealed again.
func testMend(t *testing.T, host *machine) {
	host.must(`ip link set eth0 down; ip link set eth0 up; ip route add default via 10.9.0.1 dev eth0 onlink
		ip addr add 2001:db8:9::11/64 dev eth0 nodad; ip -6 route add default via 2001:db8:9::1 dev eth0 onlink
		ip addr add 10.10.0.1/16 brd + dev eth0; ip link add eth1 type veth peer name eth2; ip link set eth1 up; ip link set eth2 up`)
	host.awaitCable()
	const look = `ip route show table local type broadcast | grep -v 'dev lo '; ip -6 route show table local type multicast | grep -v offbake0
		ip route show table 214 | grep -o 'dev [a-z0-9]*' | sort | xargs; ip rule | grep ^12: | wc -l`
	want, got := "dev eth0 dev eth1 dev eth2\n3\n", ""
	for deadline := time.Now().Add(10 * time.Second); got != want; time.Sleep(10 * time.Millisecond) {
		if got, _ = host.sh(look); got != want && time.Now().After(deadline) {
			t.Fatalf("after changes: got routes %s, want %s", got, want)
		}
	}
}

// testWaysMade makes ways out that no rule shows: nobody takes the host for sealed while they are there.
func testWaysMade(t *testing.T, host *machine) {
	for _, route := range []string{"192.0.2.77 dev eth0 table 213", "192.0.2.77 via 10.9.0.1 dev eth0 table local onlink",
		"192.0.2.77 dev eth0 table 214", "2001:db8::77 dev eth0 table 213"} {
		host.must("ip route add " + route)
		if out, status := host.agent("background"); status != 1 || !strings.Contains(out, "not sealed any more") {
			t.Errorf("background with a route to %s: got status %d, %q", route, status, out)
		}
		if _, status := host.agent("run --report /run/report -- true"); status != ExitUnable {
			t.Errorf("run with a route to %s: got status %d", route, status)
		}
		host.must("ip route del " + route)
	}
	if out, status := host.agent("background"); status != 0 {
		t.Errorf("background without them: got status %d, %s", status, out)
	}
}

// testBroken has commands go into the host's network and change it. What is legitimate there breaks nothing.
func testBroken(t *testing.T, host *machine) {
	for _, tt := range []struct{ name, does, undo, want string }{
		{"a rule less", "ip rule del priority 11", "ip rule add priority 11 lookup 213 protocol kernel", "got rules"},
		{"a rule more", "ip -6 rule add priority 9 lookup main", "ip -6 rule del priority 9", `"IPv6 9 lookup 254"`},
		{"a rule that leads elsewhere", "ip rule del priority 11; ip rule add priority 11 lookup main protocol kernel",
			"ip rule del priority 11; ip rule add priority 11 lookup 213 protocol kernel", `"IPv4 11 lookup 254"`},
		{"a rule less, and failed", "ip rule del priority 13; exit 3", "ip rule add priority 13 prohibit protocol kernel", "got rules"},
		{"a way out", "ip route add 192.0.2.77 dev eth0 table 213", "ip route del 192.0.2.77 table 213", "192.0.2.77/32 of table 213 leads out"},
		{"a bridge as docker's", "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 brd + dev docker0; ip link set docker0 up",
			"ip link del docker0", ""},
		{"interfaces that come and go", "for i in 1 2 3 4 5 6 7 8; do ip link add v$i type veth peer name w$i; ip link set v$i up; ip link del v$i; done",
			"true", ""},
	} {
		out, status := host.agent("run --report /run/report -- nsenter --net=/proc/" + fmt.Sprint(host.pid) + "/ns/net bash -c '" + tt.does + "'")
		report, _ := host.sh("cat /run/report 2>/dev/null; rm -f /run/report")
		if tt.want == "" && (status != 0 || report != "") {
			t.Errorf("%s: got status %d, report %q, %s", tt.name, status, report, out)
		}
		if tt.want != "" && (status != ExitBroken || !strings.Contains(report, tt.want) || strings.Count(report, "\n") != 1) {
			t.Errorf("%s: got status %d, report %q, %s, want %d, %q", tt.name, status, report, out, ExitBroken, tt.want)
		}
		host.must(tt.undo)
		if out, status := host.agent("run --report /run/report -- true"); status != 0 {
			report, _ := host.sh("cat /run/report")
			t.Errorf("%s: after it was undone: got status %d, %s, %s", tt.name, status, out, report)
		}
	}
}

// testDaemonDies kills the daemon: nothing opens, and nobody takes the host for sealed.
func testDaemonDies(t *testing.T, host *machine) {
	_, status := host.agent(`run --report /run/report -- pkill -9 -f "host-agent [d]aemon.* --client 10.9.0.1" --ns ` + fmt.Sprint(host.pid) + ` --nslist net`)
	if report, _ := host.sh("cat /run/report"); status != ExitBroken || !strings.Contains(report, "agent's daemon") {
		t.Errorf("a command that kills the daemon: got status %d, report %q", status, report)
	}
	deadline := time.Now().Add(10 * time.Second)
	for { // its networks go a moment later
		if out, _ := host.sh("ip link show offbake0"); strings.Contains(out, "does not exist") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon's link is still there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if out, status := host.agent("background"); status != 1 {
		t.Errorf("background with the daemon dead: got status %d, %q", status, out)
	}
	if out, status := host.agent("run --report /run/report -- touch /run/ran"); status != ExitUnable {
		t.Errorf("run with the daemon dead: got status %d, %q", status, out)
	}
	if out, status := host.sh("cat /run/report && test ! -e /run/ran"); status != 0 || !strings.Contains(out, "daemon") {
		t.Errorf("report: got %q, status %d", out, status)
	}
	if out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22"); status != 1 || !strings.Contains(out, "rule 10") {
		t.Errorf("seal over the remnants of a seal: got status %d, %q", status, out)
	}
}

// TestCheckMends shows that what could not be mended at its time is no broken seal where it can be now.
func TestCheckMends(t *testing.T) {
	host := newMachine(t)
	host.must("ip link add offbake0 type veth peer name eth0; ip link set eth0 up")
	n := &ownNetwork{client: netip.MustParseAddr("10.9.0.1")}
	check := func() error {
		n.mendErr = errors.New("an interface went")
		return inNetwork(host.net, func() error { return n.check(t.Context()) })
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	if out := host.must("ip rule"); !strings.Contains(out, "12:\tfrom all oif eth0") {
		t.Errorf("got rules %s, want one for eth0", out)
	}
	host.must("ip link del offbake0")
	if err := check(); err == nil || !strings.Contains(err.Error(), "Link not found") {
		t.Errorf("without the witness's link: got %v", err)
	}
}

// TestSealFails shows that a seal which cannot be whole changes nothing.
func TestSealFails(t *testing.T) {
	host, outside := pair(t)
	host.greet("10.9.0.11:22")
	heard := outside.listen()
	const look = "ip rule; ip -6 rule; ip -br link; ip route show table all | grep -v fe80; ls -A /run"
	for _, tt := range []struct{ name, before, want, after string }{
		{"a rule before ours", "ip rule add priority 5 lookup main", "rule 5 for IPv4", "ip rule del priority 5"},
		{"a rule of ours for IPv6", "ip -6 rule add priority 13 prohibit", "rule 13 for IPv6", "ip -6 rule del priority 13"},
		{"our interface is there", "ip link add offbake0 type veth peer name other", "connecting network 2", "ip link del offbake0"},
	} {
		host.must(tt.before + "; mkdir -p /run/offbake; touch /run/offbake/lock")
		before := host.must(look)
		out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22")
		if status != 1 || !strings.Contains(out, tt.want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: got status %d, %q, want %q", tt.name, status, out, tt.want)
		}
		if diff := cmp.Diff(before, host.must(look)); diff != "" {
			t.Errorf("%s: network changed (-want +got):\n%s", tt.name, diff)
		}
		host.must(tt.after)
	}
	if got := leaked(t, host, outside, heard, "10.9.0.1"); len(got) != len(ways()) {
		t.Errorf("after seals that failed: only %v got out", got)
	}
}

// TestSealIPv6Client seals a host that is reached over IPv6.
func TestSealIPv6Client(t *testing.T) {
	host, outside := pair(t)
	host.greet("[2001:db8:9::11]:22")
	heard := outside.listen()
	if out, status := host.agent("seal --root /run --client 2001:db8:9::1 --port 22"); status != 0 {
		t.Fatalf("seal: got status %d, %q", status, out)
	}
	outside.must("ip -6 neigh flush all")
	host.must("ip -6 neigh flush all")
	var want []Attempt
	for _, w := range ways() {
		if w.linked || w.linked6 {
			want = append(want, w.attempt())
		}
	}
	if diff := cmp.Diff(want, leaked(t, host, outside, heard, "2001:db8:9::1")); diff != "" {
		t.Errorf("heard outside (-want +got):\n%s", diff)
	}
	out, status := host.agent("background")
	for _, a := range want {
		if line, err := json.Marshal(a); err != nil || status != 0 || !strings.Contains(out, string(line)) {
			t.Errorf("background: got status %d, %s without %s", status, out, line)
		}
	}
}
