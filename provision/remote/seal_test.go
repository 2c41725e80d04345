package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
	"github.com/offbake/offbake/provision/seal"
)

// TestMain makes the test program an agent where it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == seal.Verb {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		status := seal.Agent(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// newNetworkedHost is a server in a network of its own, one cable away from another network, in which dial dials. Its own
// daemon sends to 198.51.100.9 all the time. The agent is there.
func newNetworkedHost(t *testing.T) (c remote.Config, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newSSHD(t, "192.0.2.2:22", `
ip link set lo up
ip netns add client
ip link add eth0 type veth peer name eth0 netns client
ip address add 192.0.2.2/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.1
ip -n client address add 192.0.2.1/24 dev eth0
ip -n client link set eth0 up
mkdir -m 0700 /run/offbake
cp `+self+` /run/offbake/offbake
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/offbake/files
echo hello >/var/lib/offbake/files/x
bash -c 'while :; do echo x >/dev/udp/198.51.100.9/4000; sleep 0.05; done' &
: >/run/ready
`, nil)
	pid := s.start(t, "--net")
	root := fmt.Sprintf("/proc/%d/root/run/", pid)
	eventually(t, "the host is ready", func() bool { _, err := os.Stat(root + "ready"); return err == nil })
	ns, err := os.Open(root + "netns/client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	c = s.config()
	c.Agent = self
	return c, func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with this function
			if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
			}
		}()
		<-done
		return conn, err
	}
}

// TestSealedHost has the real agent seal a host: what is sealed, and that SSH still comes in, also anew.
func TestSealedHost(t *testing.T) {
	t.Parallel()
	c, dial := newNetworkedHost(t)
	var conns []net.Conn
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			conns = append(conns, conn)
		}
		return conn, err
	}
	config := remote.Config(c)
	h, err := remote.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Seal(t.Context(), seal.Address()); err != nil {
		t.Fatal(err)
	}
	conns[0].Close()
	if got := sh(t, h, "echo x"); got != "x\n" || len(conns) != 2 {
		t.Errorf("connecting again after the seal: got %q over %d connections", got, len(conns))
	}
	second, err := remote.Connect(t.Context(), config)
	if err != nil {
		t.Fatalf("connecting anew after the seal: %v", err)
	}
	second.Close()

	var out bytes.Buffer
	get := provision.Command{Argv: []string{"curl", "-sS", "--max-time", "10", "http://10.213.0.1/files/x"},
		Stdout: &out, Stderr: &out, Sealed: true}
	if err := h.Run(t.Context(), get); err != nil || out.String() != "hello\n" {
		t.Errorf("got %v and %q, want the file from the sealed address", err, out.String())
	}
	var egress *provision.EgressError
	get.Argv[4] = "http://203.0.113.7:8080/"
	err = h.Run(t.Context(), get)
	want := provision.Attempt{Address: "203.0.113.7", Port: 8080, Proto: "tcp"}
	if !errors.As(err, &egress) || egress.Attempts[0] != want {
		t.Errorf("got %v, want an EgressError about %v", err, want)
	}
	var exit *provision.ExitError
	err = h.Run(t.Context(), provision.Command{Argv: []string{"sh", "-c", "exit 213"}, Sealed: true})
	if !errors.As(err, &exit) || exit.Code != 213 {
		t.Errorf("got %v, want the command's own exit status 213", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	long := provision.Command{Argv: []string{"sh", "-c", "echo; sleep 4715; true"}, Stdout: &trigger{then: cancel}, Sealed: true}
	if err := h.Run(ctx, long); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	eventually(t, "a cancelled command ends", func() bool { return sh(t, h, "pgrep -f 'sleep 471[5]'") == "(exit status 1)" })
	daemon := provision.Attempt{Address: "198.51.100.9", Port: 4000, Proto: "udp"}
	eventually(t, "the daemon is seen", func() bool {
		list, err := h.Background(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Equal(list, []provision.Attempt{daemon})
	})
}
