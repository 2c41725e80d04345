package guest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/guest"
)

// query is Python that builds a DNS question for example.org (RFC 1035, 4.1).
const query = `q = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1"; `

// datagram is a command that sends a UDP datagram.
func datagram(data, address string, port int) string {
	family := "AF_INET"
	for _, c := range address {
		if c == ':' {
			family = "AF_INET6"
		}
	}
	return fmt.Sprintf(`import socket; %s s = socket.socket(socket.%s, socket.SOCK_DGRAM); `+
		`s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.sendto(%s, (%q, %d))`, query, family, data, address, port)
}

// raw is a command that sends an IP packet of its own making.
func raw(family, proto, data, address string) string {
	return fmt.Sprintf(`import socket; s = socket.socket(socket.%s, socket.SOCK_RAW, %s); s.sendto(%s, (%q, 0))`,
		family, proto, data, address)
}

func python(code string) string {
	// It waits, so that only being killed ends it.
	return "exec python3 - <<'END'\n" + code + "\nimport time; time.sleep(600)\nEND"
}

func tried(address string, port int, proto, name string) guest.Attempt {
	return guest.Attempt{Address: address, Port: port, Proto: proto, Name: name}
}

func testEgress(t *testing.T, g *guest.Guest) {
	for _, tt := range []struct {
		name   string
		script string
		want   []guest.Attempt
	}{
		{"tcp", `exec 3<>/dev/tcp/192.0.2.1/443`, []guest.Attempt{tried("192.0.2.1", 443, "tcp", "")}},
		{"tcp to another port of the gateway", `exec 3<>/dev/tcp/10.213.0.1/81; sleep 600`,
			[]guest.Attempt{tried("10.213.0.1", 81, "tcp", "")}},
		{"tcp to the guest's own network", `exec 3<>/dev/tcp/10.213.0.2/22`, []guest.Attempt{tried("10.213.0.2", 22, "tcp", "")}},
		{"tcp over IPv6", `exec 3<>/dev/tcp/2001:db8::1/443`, []guest.Attempt{tried("2001:db8::1", 443, "tcp", "")}},
		{"udp", python(datagram(`b"x"`, "192.0.2.1", 9999)), []guest.Attempt{tried("192.0.2.1", 9999, "udp", "")}},
		{"udp to the gateway's open port", python(datagram(`b"x"`, "10.213.0.1", 80)),
			[]guest.Attempt{tried("10.213.0.1", 80, "udp", "")}},
		{"udp over IPv6", python(datagram(`b"x"`, "2001:db8::1", 9999)), []guest.Attempt{tried("2001:db8::1", 9999, "udp", "")}},
		{"udp that is no DNS to port 53", python(datagram(`b"x"`, "192.0.2.1", 53)), []guest.Attempt{tried("192.0.2.1", 53, "udp", "")}},
		{"udp in fragments", python(datagram(`b"x" * 2500`, "192.0.2.1", 9999)),
			[]guest.Attempt{tried("192.0.2.1", 9999, "udp", ""), tried("192.0.2.1", 0, "udp", "")}},
		{"broadcast", python(datagram(`b"x"`, "255.255.255.255", 67)), []guest.Attempt{tried("255.255.255.255", 67, "udp", "")}},
		{"dns", python(datagram("q", "192.0.2.53", 53)), []guest.Attempt{tried("192.0.2.53", 53, "udp", "example.org")}},
		{"dns over IPv6", python(datagram("q", "2001:db8::53", 53)), []guest.Attempt{tried("2001:db8::53", 53, "udp", "example.org")}},
		{"dns to the stub resolver", python(datagram("q", "127.0.0.53", 53)),
			[]guest.Attempt{tried("127.0.0.53", 53, "udp", "example.org")}},
		{"dns to loopback over IPv6", python(datagram("q", "::1", 53)), []guest.Attempt{tried("::1", 53, "udp", "example.org")}},
		{"dns to its own address", python(datagram("q", "10.213.0.3", 53)),
			[]guest.Attempt{tried("10.213.0.3", 53, "udp", "example.org")}},
		{"dns over tcp", `exec 3<>/dev/tcp/192.0.2.53/53`, []guest.Attempt{tried("192.0.2.53", 53, "tcp", "")}},
		{"dns over tcp to loopback", `exec 3<>/dev/tcp/127.0.0.1/53; sleep 600`, []guest.Attempt{tried("127.0.0.1", 53, "tcp", "")}},
		{"multicast dns", python(datagram("q", "224.0.0.251", 5353)),
			[]guest.Attempt{tried("224.0.0.251", 5353, "udp", "example.org")}},
		{"icmp", python(raw("AF_INET", "1", `b"\x08\0\xf7\xff\0\0\0\0"`, "192.0.2.1")), []guest.Attempt{tried("192.0.2.1", 0, "icmp", "")}},
		{"icmp over IPv6", python(raw("AF_INET6", "58", `b"\x80\0\0\0\0\0\0\0"`, "2001:db8::1")),
			[]guest.Attempt{tried("2001:db8::1", 0, "ipv6-icmp", "")}},
		{"sctp", python(raw("AF_INET", "132", `b"\x10\0\x8e\x3c\0\0\0\0\0\0\0\0"`, "192.0.2.1")),
			[]guest.Attempt{tried("192.0.2.1", 36412, "sctp", "")}},
		{"a protocol without ports", python(raw("AF_INET", "47", `b"\0\0\x08\0"`, "192.0.2.1")),
			[]guest.Attempt{tried("192.0.2.1", 0, "ip-47", "")}},
		{"curl by name", `curl -s http://mirror.example/x; sleep 600`, []guest.Attempt{tried("192.0.2.53", 53, "udp", "mirror.example")}},
		{"a child in the background", `setsid bash -c 'exec 3<>/dev/tcp/192.0.2.1/443' & sleep 600`,
			[]guest.Attempt{tried("192.0.2.1", 443, "tcp", "")}},
		{"as the last thing it does", `echo x >/dev/udp/192.0.2.1/514`, []guest.Attempt{tried("192.0.2.1", 514, "udp", "")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := output(t, g, true, tt.script)
			var egress *guest.EgressError
			if !errors.As(err, &egress) {
				t.Fatalf("got %v, want an attempt", err)
			}
			if diff := cmp.Diff(tt.want, egress.Attempts); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
	if got, _ := output(t, g, false, "pgrep -fx 'sleep 600'"); got != "" {
		t.Errorf("still there after an attempt: %s", got)
	}
}

func testAllowed(t *testing.T, g *guest.Guest) {
	for _, tt := range []struct{ name, script, want string }{
		{"the gateway", `curl -s http://10.213.0.1/b`, "/b for 10.213.0.3\n"},
		{"much from the gateway", `curl -s http://10.213.0.1/big | wc -c`, "67108864\n"},
		{"the guest's systemd", `systemctl is-system-running`, "running\n"},
		{"localhost by name", `getent hosts localhost >/dev/null && hostname -f`, "localhost\n"},
		{"loopback", python3Loopback, "over loopback\n"},
		{"nothing at all", `true`, ""},
		{"its eth0", `ip -br -4 addr show eth0 | awk '{print $2, $3}'`, "UP 10.213.0.3/32\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := output(t, g, true, tt.script)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

const python3Loopback = `python3 - <<'END'
import socket
for family, host in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
    l = socket.socket(family); l.bind((host, 0)); l.listen()
    c = socket.create_connection(l.getsockname()[:2]); s, _ = l.accept()
    c.send(b"over loopback"); got = s.recv(99).decode()
print(got)
END`
