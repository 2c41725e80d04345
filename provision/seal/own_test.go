package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// machine is a network, a /run and processes in them: what a host needs to be sealed, without the boot.
type machine struct {
	t   *testing.T
	pid int
	net *os.File
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	cmd := exec.Command("unshare", "--net", "--mount", "sh", "-c",
		"mount -t tmpfs none /run && ip link set lo up && echo ready && exec cat >/dev/null")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // its end is the machine's
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		network, err := inode(m.net)
		if err != nil {
			t.Error(err)
		}
		in.Close()
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := KillAll(ctx, inSpaces(network, 0)); err != nil {
			t.Error(err)
		}
		cmd.Wait()
		m.net.Close()
	})
	if line := make([]byte, 6); true {
		if _, err := io.ReadFull(out, line); err != nil {
			t.Fatal(err)
		}
	}
	if m.net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", m.pid)); err != nil {
		t.Fatal(err)
	}
	return m
}

// command runs there what it is given.
func (m *machine) command(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{"--target", fmt.Sprint(m.pid), "--net", "--mount", "--"}, argv...)
	return exec.CommandContext(ctx, "nsenter", args...)
}

// sh returns what a script prints, and its status.
func (m *machine) sh(script string) (string, int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := m.command(ctx, "bash", "-c", script)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		m.t.Fatalf("%s: %v", script, err)
	}
	return out.String() + errOut.String(), cmd.ProcessState.ExitCode()
}

func (m *machine) must(script string) string {
	m.t.Helper()
	out, status := m.sh(script)
	if status != 0 {
		m.t.Fatalf("%s: status %d, %s", script, status, out)
	}
	return out
}

// agent runs the test program as the agent.
func (m *machine) agent(args string) (string, int) {
	m.t.Helper()
	program, err := filepath.Abs(os.Args[0])
	if err != nil {
		m.t.Fatal(err)
	}
	return m.sh(program + " " + Verb + " " + args)
}

// pair is a host and the machine that its only cable leads to.
func pair(t *testing.T) (host, outside *machine) {
	t.Helper()
	host, outside = newMachine(t), newMachine(t)
	err := inNetwork(host.net, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(outside.net.Fd()),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	outside.must(`ip addr add 10.9.0.1/16 brd + dev eth0; ip addr add 10.9.0.2/16 dev eth0
		ip addr add 2001:db8:9::1/64 dev eth0 nodad; ip link set eth0 up; ip route add default via 10.9.0.11`)
	host.must(`ip addr add 10.9.0.11/16 brd + dev eth0; ip addr add 2001:db8:9::11/64 dev eth0 nodad; ip link set eth0 up
		ip route add default via 10.9.0.1; ip -6 route add default via 2001:db8:9::1
		echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 1 >/proc/sys/net/ipv4/conf/eth0/rp_filter`)
	host.awaitCable()
	outside.awaitCable()
	return host, outside
}

// awaitCable waits until the kernel has noticed both ends of the cable, which takes it up to a second.
func (m *machine) awaitCable() {
	m.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var l netlink.Link
		if err := inNetwork(m.net, func() (err error) { l, err = netlink.LinkByName("eth0"); return err }); err != nil {
			m.t.Fatal(err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("eth0: got state %v, want it up", l.Attrs().OperState)
		}
	}
}

// greet answers connections with a word, as long as the test runs.
func (m *machine) greet(address string) {
	m.t.Helper()
	l, err := Listen(m.net, address)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "hello\n")
			conn.Close()
		}
	}()
}

// hearsay is what arrives on a machine's eth0 from outside, but for what keeps the link.
type hearsay struct {
	mu   sync.Mutex
	list attempts
}

func (m *machine) listen() *hearsay {
	m.t.Helper()
	var fd int
	err := inNetwork(m.net, func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(bigEndian(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	file, h := os.NewFile(uintptr(fd), "hearsay"), &hearsay{}
	m.t.Cleanup(func() { file.Close() })
	raw, err := file.SyscallConn()
	if err != nil {
		m.t.Fatal(err)
	}
	go raw.Read(func(fd uintptr) bool {
		buf := make([]byte, 2048)
		for {
			n, from, err := unix.Recvfrom(int(fd), buf, 0)
			if err != nil {
				return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
			}
			link := from.(*unix.SockaddrLinklayer)
			if link.Pkttype == unix.PACKET_OUTGOING || link.Ifindex == loopbackIndex {
				continue
			}
			if a, kind := readPacket(bigEndian(link.Protocol), link.Addr[:link.Halen], buf[:n]); kind != noise {
				h.mu.Lock()
				h.list.add(a)
				h.mu.Unlock()
			}
		}
	})
	return h
}

// take empties the list. What was sent before a packet that has come is in it.
func (h *hearsay) take() []Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.list.list
	h.list = attempts{}
	return list
}

// way is one of many out of a host, with a port of its own by which it is known.
type way struct {
	name    string
	proto   string // tcp, udp, icmp
	address string
	device  string // that the socket is bound to; "" for none
	port    int
	linked  bool // cannot be shut: it goes to the link's neighbours without a question of routes
	refused bool // by the kernel, before there is a packet
}

func ways() []way {
	all := []way{
		{name: "tcp to the client", proto: "tcp", address: "10.9.0.1"},
		{name: "tcp to a neighbour", proto: "tcp", address: "10.9.0.2"},
		{name: "tcp over the default route", proto: "tcp", address: "192.0.2.1"},
		{name: "tcp over IPv6", proto: "tcp", address: "2001:db8:9::1"},
		{name: "tcp of a device", proto: "tcp", address: "10.9.0.1", device: "eth0", refused: true},
		{name: "tcp of a device over IPv6", proto: "tcp", address: "2001:db8:9::1", device: "eth0", refused: true},
		{name: "udp to the client", proto: "udp", address: "10.9.0.1"},
		{name: "udp over IPv6", proto: "udp", address: "2001:db8:9::1"},
		{name: "udp of a device", proto: "udp", address: "10.9.0.1", device: "eth0", refused: true},
		{name: "udp of a device over the default route", proto: "udp", address: "192.0.2.1", device: "eth0", refused: true},
		{name: "udp of a device over IPv6", proto: "udp", address: "2001:db8:9::1", device: "eth0", refused: true},
		{name: "broadcast to the subnet", proto: "udp", address: "10.9.255.255"},
		{name: "broadcast to the subnet of a device", proto: "udp", address: "10.9.255.255", device: "eth0", refused: true},
		{name: "broadcast to all", proto: "udp", address: "255.255.255.255"},
		{name: "broadcast to all of a device", proto: "udp", address: "255.255.255.255", device: "eth0", linked: true},
		{name: "multicast", proto: "udp", address: "224.0.0.251"},
		{name: "multicast of a device", proto: "udp", address: "224.0.0.251", device: "eth0", linked: true},
		{name: "multicast over IPv6", proto: "udp", address: "ff02::fb"},
		{name: "multicast over IPv6 of a device", proto: "udp", address: "ff02::fb", device: "eth0", refused: true},
		{name: "icmp", proto: "icmp", address: "10.9.0.1"},
	}
	for i := range all {
		if all[i].proto != "icmp" {
			all[i].port = 9000 + i
		}
	}
	return all
}

func (w way) attempt() Attempt { return Attempt{Address: w.address, Port: w.port, Proto: w.proto} }

// tryAll goes all ways.
func (m *machine) tryAll() {
	m.t.Helper()
	err := inNetwork(m.net, func() error {
		for _, w := range ways() {
			if err := w.try(); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// try sends from the current network. That the kernel refuses is no error.
func (w way) try() error {
	addr := netip.MustParseAddr(w.address)
	family, kind, proto := unix.AF_INET, unix.SOCK_STREAM, 0
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: w.port}
	if addr.Is6() {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: w.port, Addr: addr.As16()}
	} else {
		to.(*unix.SockaddrInet4).Addr = addr.As4()
	}
	switch w.proto {
	case "udp":
		kind = unix.SOCK_DGRAM
	case "icmp":
		kind, proto = unix.SOCK_RAW, unix.IPPROTO_ICMP
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return err
	}
	if w.device != "" {
		if err := unix.BindToDevice(fd, w.device); err != nil {
			return err
		}
	}
	if w.proto == "tcp" {
		unix.Connect(fd, to)
		return nil
	}
	unix.Sendto(fd, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}, 0, to) // an echo request to whom it may concern
	return nil
}

// dial connects from an address of the machine's and returns what it is greeted with.
func (m *machine) dial(from, to string, within time.Duration) (greeting string, err error) {
	err = inNetwork(m.net, func() error {
		d := net.Dialer{Timeout: within}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		conn, err := d.Dial("tcp", net.JoinHostPort(to, "22"))
		if err != nil {
			return err
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		greeting = string(text)
		return err
	})
	return greeting, err
}

// leaked is what of all ways gets from host to outside: all that was sent before an answer that is known to get there.
func leaked(t *testing.T, host, outside *machine, heard *hearsay) (got []Attempt) {
	t.Helper()
	heard.take()
	host.tryAll()
	if _, err := outside.dial("", "10.9.0.11", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	answered := false
	for deadline := time.Now().Add(10 * time.Second); !answered; time.Sleep(time.Millisecond) {
		for _, a := range heard.take() {
			if a.Address == "10.9.0.1" && a.Proto == "tcp" && a.Port >= 32768 { // an ephemeral port: to who asked
				answered = true
				continue
			}
			got = append(got, a)
		}
		if time.Now().After(deadline) {
			t.Fatal("no answer was heard")
		}
	}
	return got
}

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
	if diff := cmp.Diff(all, leaked(t, host, outside, heard)); diff != "" {
		t.Fatalf("heard outside before the seal (-want +got):\n%s", diff)
	}
	if out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22"); status != 0 || out != "" {
		t.Fatalf("seal: got status %d, %q", status, out)
	}
	if diff := cmp.Diff(linked, leaked(t, host, outside, heard)); diff != "" {
		t.Errorf("heard outside, sealed (-want +got):\n%s", diff)
	}
	testBackground(t, host)
	testReplies(t, host, outside, heard)
	if out, status := host.agent("seal --root /run --client 10.9.0.1 --port 22"); status != 1 || !strings.Contains(out, "sealed already") {
		t.Errorf("second seal: got status %d, %q", status, out)
	}
	testReplies(t, host, outside, heard)
	testDaemonDies(t, host)
	if diff := cmp.Diff(linked, leaked(t, host, outside, heard)); diff != "" {
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

// testDaemonDies kills the daemon: nothing opens, and nobody takes the host for sealed.
func testDaemonDies(t *testing.T, host *machine) {
	host.must(`pkill -9 -f "host-agent [d]aemon.* --client 10.9.0.1" --ns ` + fmt.Sprint(host.pid) + ` --nslist net`)
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
