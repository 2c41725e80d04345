package seal

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Attempt is one try to reach an address other than Address.
type Attempt struct {
	Address string `json:"address"`        // IP address, or a hardware address where the packet was no IP
	Port    int    `json:"port,omitempty"` // 0 where the protocol has none
	Proto   string `json:"proto"`          // tcp, udp, sctp, icmp, ipv6-icmp, ip-NUMBER, ethertype-NUMBER
	Name    string `json:"name,omitempty"` // DNS name that was asked for, as it was sent, without the final dot; "" elsewhere
}

// kind is what a packet that leaves is to a witness.
type kind int

const (
	noise   kind = iota // what a kernel sends by itself to keep a link going
	answer              // to somebody who asked
	attempt             // all else
)

const (
	dnsPort     = 53
	maxAttempts = 1000
)

// attempts is a list without repetition, of at most maxAttempts.
type attempts struct {
	seen map[Attempt]bool
	list []Attempt
}

func (l *attempts) add(all ...Attempt) {
	if l.seen == nil {
		l.seen = map[Attempt]bool{}
	}
	for _, a := range all {
		if !l.seen[a] && len(l.list) < maxAttempts {
			l.seen[a] = true
			l.list = append(l.list, a)
		}
	}
}

// readPacket says what a packet tries to reach, and what kind of packet it is. What it cannot read it takes for an attempt.
func readPacket(ethertype uint16, hardware []byte, packet []byte) (Attempt, kind) {
	var first gopacket.LayerType
	switch ethertype {
	case unix.ETH_P_IP:
		first = layers.LayerTypeIPv4
	case unix.ETH_P_IPV6:
		first = layers.LayerTypeIPv6
	case unix.ETH_P_ARP:
		return Attempt{}, noise
	default:
		return Attempt{Address: net.HardwareAddr(hardware).String(), Proto: fmt.Sprintf("ethertype-%#04x", ethertype)}, attempt
	}
	a := Attempt{Address: destination(packet), Proto: "ip"}
	for _, l := range gopacket.NewPacket(packet, first, gopacket.NoCopy).Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			a.carries(l.Protocol, l.FragOffset, l.Payload)
		case *layers.IPv6:
			a.carries(l.NextHeader, 0, l.Payload)
		case *layers.IPv6HopByHop:
			a.carries(l.NextHeader, 0, l.Payload)
		case *layers.IPv6Routing:
			a.carries(l.NextHeader, 0, l.Payload)
		case *layers.IPv6Destination:
			a.carries(l.NextHeader, 0, l.Payload)
		case *layers.IPv6Fragment:
			a.carries(l.NextHeader, l.FragmentOffset, l.Payload)
		case *layers.UDP:
			if slices.Contains([]int{dnsPort, 5353, 5355}, a.Port) {
				a.Name = question(l.Payload)
			}
			return a, attempt
		case *layers.TCP:
			if l.SYN && !l.ACK || len(l.Contents) == 0 { // cut off
				return a, attempt
			}
			return a, answer // whoever begins a connection sends a SYN first
		case *layers.ICMPv4:
			return a, kindOfICMP(l.TypeCode.Type()) // what it quotes is not where it goes
		case *layers.ICMPv6:
			return a, kindOfICMP6(l.TypeCode.Type())
		}
	}
	return a, attempt
}

// carries sets what a header says of the next one. Of a datagram in fragments the first has the port.
func (a *Attempt) carries(p layers.IPProtocol, offset uint16, payload []byte) {
	a.Proto, a.Port = protocol(p), 0
	switch p {
	case layers.IPProtocolTCP, layers.IPProtocolUDP, layers.IPProtocolSCTP, layers.IPProtocolUDPLite:
		if offset == 0 && len(payload) >= 4 { // all four begin with source and destination port
			a.Port = int(binary.BigEndian.Uint16(payload[2:]))
		}
	}
}

// destination reads the address out of a header that may be cut short.
func destination(packet []byte) string {
	var raw []byte
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		raw = packet[16:20]
	case len(packet) >= 40 && packet[0]>>4 == 6:
		raw = packet[24:40]
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return ""
	}
	return addr.String()
}

func protocol(p layers.IPProtocol) string {
	switch p {
	case layers.IPProtocolTCP:
		return "tcp"
	case layers.IPProtocolUDP:
		return "udp"
	case layers.IPProtocolSCTP:
		return "sctp"
	case layers.IPProtocolICMPv4:
		return "icmp"
	case layers.IPProtocolICMPv6:
		return "ipv6-icmp"
	}
	return fmt.Sprintf("ip-%d", p)
}

// kindOfICMP tells replies and errors (RFC 792) from what asks.
func kindOfICMP(icmp uint8) kind {
	switch icmp {
	case layers.ICMPv4TypeEchoReply, layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench,
		layers.ICMPv4TypeRedirect, layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem,
		layers.ICMPv4TypeTimestampReply, layers.ICMPv4TypeInfoReply, layers.ICMPv4TypeAddressMaskReply:
		return answer
	}
	return attempt
}

// kindOfICMP6 does so for IPv6, where a kernel by itself sends multicast listener reports, router and neighbour
// discovery when an interface comes up (RFC 4861, RFC 3810). Errors have the numbers below 128 (RFC 4443, 2.1).
func kindOfICMP6(icmp uint8) kind {
	switch {
	case icmp >= 130 && icmp <= 137, icmp == 143:
		return noise
	case icmp < 128, icmp == layers.ICMPv6TypeEchoReply:
		return answer
	}
	return attempt
}

// question is the name that a DNS message asks for, or "".
func question(message []byte) string {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil {
		return ""
	}
	q, err := p.Question()
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(q.Name.String(), ".")
}
