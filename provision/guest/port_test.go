package guest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/guest"
)

// greet answers each connection with a word and closes it, until the listener closes.
func greet(t *testing.T, g *guest.Guest, address string) (ended chan error) {
	t.Helper()
	l, err := g.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			io.WriteString(conn, "from "+address)
			conn.Close()
		}
	}()
	return ended
}

// TestPorts goes into a guest and out of it by TCP, and gives its root the network.
func TestPorts(t *testing.T) {
	g := start(t, guest.Config{Name: name("ports"), NetAdmin: true})
	g.Seal()
	ended := []chan error{greet(t, g, "10.213.0.2:22"), greet(t, g, "127.0.0.1:8080")}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := g.Dial(ctx, 22)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "from 10.213.0.2:22" {
		t.Errorf("dialled: got %q, %v", got, err)
	}
	if got := conn.RemoteAddr().String(); got != "10.213.0.2:22" {
		t.Errorf("dialled: got %s", got)
	}
	for _, port := range []int{23, 8080} { // 8080 is on loopback only
		if conn, err := g.Dial(ctx, port); err == nil {
			conn.Close()
			t.Errorf("dialled port %d: got nil, want an error", port)
		}
	}
	if got := g.Background(); len(got) != 0 {
		t.Errorf("background after Dial: got %v, want none", got)
	}
	if got := mustOutput(t, g, false, `cat </dev/tcp/127.0.0.1/8080`); got != "from 127.0.0.1:8080" {
		t.Errorf("the guest's loopback: got %q", got)
	}
	if out, err := output(t, g, true, `cat </dev/tcp/127.0.0.1/8080`); err == nil {
		t.Errorf("an isolated command reached the guest's loopback: %q", out)
	}
	if _, err := g.Listen("localhost:8081"); err == nil {
		t.Error("listening on a name: got nil, want an error")
	}
	if _, err := g.Listen("10.213.0.2:22"); err == nil {
		t.Error("listening twice: got nil, want an error")
	}
	testNetAdmin(t, g)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	for _, e := range ended {
		if err := <-e; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener after Close: got %v, want it closed", err)
		}
	}
	if l, err := g.Listen("127.0.0.1:8082"); err == nil {
		l.Close()
		t.Error("listening after Close: got nil, want an error")
	}
}

// testNetAdmin does what a program needs that seals a network: interfaces, rules, packet sockets, kernel settings.
func testNetAdmin(t *testing.T, g *guest.Guest) {
	for _, script := range []string{
		`ip link add one type veth peer name two && ip link del one`,
		`ip rule add prio 10 to 192.0.2.1 lookup main && ip rule del prio 10`,
		`echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter`,
		`unshare --net sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward && ip link set lo up'`,
		`python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)'`,
	} {
		if _, err := output(t, g, false, script); err != nil {
			t.Errorf("%s: %v", script, err)
		}
	}
	if _, err := output(t, g, false, `echo 0 >/proc/sys/kernel/randomize_va_space`); err == nil {
		t.Error("a guest changed a setting of this machine's")
	}
}
