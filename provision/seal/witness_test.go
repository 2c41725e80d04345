package seal

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// TestWitnessOverflow sends more than the kernel holds for a witness that nobody reads: what was lost must not pass for
// what was never sent.
func TestWitnessOverflow(t *testing.T) {
	g, err := NewGateway(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	l, err := g.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Disconnect(l)
	for _, tt := range []struct {
		name    string
		packets int
		lost    bool
	}{{"fits", 100, false}, {"overflows", 50_000, true}} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := openWitness(l.ns, view{index: l.index, isolated: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			close(c.done) // nobody reads
			if err := flood(l, tt.packets); err != nil {
				t.Fatal(err)
			}
			left, err := c.drain()
			if lost := err != nil && strings.Contains(err.Error(), "dropped"); lost != tt.lost || !lost && err != nil {
				t.Errorf("got %v, want an error on lost packets to be %t", err, tt.lost)
			}
			if !tt.lost && len(left) != tt.packets {
				t.Errorf("got %d packets, want %d", len(left), tt.packets)
			}
		})
	}
}

func flood(l *Link, packets int) error {
	return inNetwork(l.ns, func() error {
		conn, err := net.Dial("udp", "192.0.2.1:9")
		if err != nil {
			return err
		}
		defer conn.Close()
		payload := make([]byte, 1200)
		for range packets {
			if _, err := conn.Write(payload); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
		}
		return nil
	})
}

// TestGatewayNumbers shows that links get numbers of their own, and again when they are free.
func TestGatewayNumbers(t *testing.T) {
	g, err := NewGateway(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, want := range []int{3, 4} {
		l, err := g.Connect()
		if err != nil || l.number != want {
			t.Fatalf("got %v, %v, want number %d", l, err, want)
		}
		defer g.Disconnect(l)
	}
	l, err := g.Connect()
	if err != nil || l.number != 5 {
		t.Fatalf("got %v, %v, want number 5", l, err)
	}
	g.Disconnect(l)
	if l, err = g.Connect(); err != nil || l.number != 5 {
		t.Fatalf("after disconnect: got %v, %v, want number 5", l, err)
	}
	g.Disconnect(l)
	for n := range lastNumber + 1 {
		g.used[n] = true
	}
	if _, err := g.Connect(); err == nil {
		t.Error("with all numbers taken: got nil, want an error")
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, s := range []struct {
		ethertype uint16
		packet    string // hex
	}{
		{unix.ETH_P_IP, "4500001d00000000401100000ad50003c0000201123400350009000078"},
		{unix.ETH_P_IP, "4500002800002000400600000ad50003c000020112340050"},
		{unix.ETH_P_IPV6, "6000000000083afffd000213000000000000000000000003ff0200000000000000000000000000168f00000000000000"},
		{unix.ETH_P_IPV6, "60000000000000ff"},
		{unix.ETH_P_ARP, ""},
		{0x88cc, "78"},
	} {
		packet, err := hex.DecodeString(s.packet)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.ethertype, packet)
	}
	f.Fuzz(func(t *testing.T, ethertype uint16, packet []byte) {
		a, kind := readPacket(ethertype, make([]byte, 6), packet)
		if kind == noise {
			if ethertype != unix.ETH_P_ARP && (ethertype != unix.ETH_P_IPV6 || a.Proto != "ipv6-icmp") {
				t.Errorf("a packet of type %#04x is noise: %+v", ethertype, a)
			}
			return
		}
		if kind == answer && a.Proto != "tcp" && a.Proto != "icmp" && a.Proto != "ipv6-icmp" {
			t.Errorf("a packet of type %#04x is an answer: %+v", ethertype, a)
		}
		if ip := ethertype == unix.ETH_P_IP || ethertype == unix.ETH_P_IPV6; ip && a.Address != "" {
			if _, err := netip.ParseAddr(a.Address); err != nil {
				t.Error(err)
			}
		}
		if a.Proto == "" || a.Port < 0 || a.Port > 65535 || strings.HasSuffix(a.Name, ".") {
			t.Errorf("got %+v", a)
		}
	})
}

// TestAttempts shows that a list holds each try once and does not grow without end.
func TestAttempts(t *testing.T) {
	var l attempts
	for i := range 3 * maxAttempts {
		l.add(Attempt{Address: "192.0.2.1", Port: i / 2, Proto: "udp"})
	}
	if len(l.list) != maxAttempts || l.list[0].Port != 0 || l.list[1].Port != 1 || len(l.seen) != maxAttempts {
		t.Errorf("got %d attempts, the first %v, want %d, each once", len(l.list), l.list[:2], maxAttempts)
	}
}

// TestKinds tells who asks from who answers.
func TestKinds(t *testing.T) {
	tcp := func(edit func(*layers.TCP)) []gopacket.SerializableLayer {
		l := &layers.TCP{SrcPort: 22, DstPort: 40000}
		edit(l)
		return []gopacket.SerializableLayer{&layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 9, 0, 11}, DstIP: net.IP{192, 0, 2, 1}}, l}
	}
	icmp := func(code uint8) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{
			&layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{10, 9, 0, 11}, DstIP: net.IP{192, 0, 2, 1}},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(code, 0)},
		}
	}
	icmp6 := func(code uint8) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{
			&layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, DstIP: net.ParseIP("2001:db8::1"), SrcIP: net.IPv6loopback},
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(code, 0)}, gopacket.Payload("\x00\x00\x00\x00"),
		}
	}
	for _, tt := range []struct {
		name  string
		parts []gopacket.SerializableLayer
		want  kind
	}{
		{"syn", tcp(func(l *layers.TCP) { l.SYN = true }), attempt},
		{"syn with data and urgent", tcp(func(l *layers.TCP) { l.SYN, l.URG, l.ECE = true, true, true }), attempt},
		{"syn and ack", tcp(func(l *layers.TCP) { l.SYN, l.ACK = true, true }), answer},
		{"ack", tcp(func(l *layers.TCP) { l.ACK = true }), answer},
		{"rst", tcp(func(l *layers.TCP) { l.RST = true }), answer},
		{"echo", icmp(8), attempt},
		{"echo reply", icmp(0), answer},
		{"unreachable", icmp(3), answer},
		{"timestamp", icmp(13), attempt},
		{"echo over IPv6", icmp6(128), attempt},
		{"echo reply over IPv6", icmp6(129), answer},
		{"unreachable over IPv6", icmp6(1), answer},
		{"neighbour solicitation", icmp6(135), noise},
	} {
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, tt.parts...); err != nil {
			t.Fatal(err)
		}
		ethertype := uint16(unix.ETH_P_IP)
		if buf.Bytes()[0]>>4 == 6 {
			ethertype = unix.ETH_P_IPV6
		}
		if a, got := readPacket(ethertype, nil, buf.Bytes()); got != tt.want {
			t.Errorf("%s: got kind %d, %+v, want %d", tt.name, got, a, tt.want)
		}
		if _, got := readPacket(ethertype, nil, buf.Bytes()[:len(buf.Bytes())-4]); tt.want == attempt && got != attempt {
			t.Errorf("%s, cut off: got kind %d, want an attempt", tt.name, got)
		}
	}
}

// TestReplies shows that a witness passes over what goes to the client, and over nothing else.
func TestReplies(t *testing.T) {
	host, outside := pair(t)
	for _, tt := range []struct{ client, server, other string }{
		{"10.9.0.1", "10.9.0.11", "10.9.0.2"}, {"2001:db8:9::1", "2001:db8:9::11", "2001:db8:9::2"},
	} {
		outside.must("ip addr replace 2001:db8:9::2/64 dev eth0 nodad")
		host.greet(net.JoinHostPort(tt.server, "22"))
		replies := netip.AddrPortFrom(netip.MustParseAddr(tt.client), 22)
		w, err := openWitness(host.net, view{index: -1, isolated: true, replies: replies})
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		if _, err := outside.dial(tt.client, tt.server, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if got, err := w.drain(); err != nil || len(got) != 0 {
			t.Errorf("replies to %s: got %v, %v, want none", tt.client, got, err)
		}
		if _, err := outside.dial(tt.other, tt.server, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if got, err := w.drain(); err != nil || len(got) == 0 || got[0].Address != tt.other {
			t.Errorf("replies to %s: got %v, %v, want them", tt.other, got, err)
		}
	}
}
