package seal

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// way is one of many out of a host, with a port of its own by which it is known.
type way struct {
	name    string
	proto   string // tcp, udp, icmp
	address string
	device  string // that the socket is bound to; "" for none
	port    int
	linked  bool // cannot be shut: it goes to the link's neighbours without a question of routes
	linked6 bool // can not be shut for a client over IPv6
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
		{name: "multicast over IPv6", proto: "udp", address: "ff02::fb", linked6: true},
		{name: "multicast over IPv6 of a device", proto: "udp", address: "ff02::fb", device: "eth0", refused: true, linked6: true},
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

// leaked is what of all ways gets from host to outside: all that was sent before an answer that is known to get there, to
// the client.
func leaked(t *testing.T, host, outside *machine, heard *hearsay, client string) (got []Attempt) {
	t.Helper()
	heard.take()
	host.tryAll()
	if _, err := outside.dial(client, client+"1", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	answered := false
	for deadline := time.Now().Add(10 * time.Second); !answered; time.Sleep(time.Millisecond) {
		for _, a := range heard.take() {
			if a.Address == client && a.Proto == "tcp" && a.Port >= 32768 { // an ephemeral port: to who asked
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
