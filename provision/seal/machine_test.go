package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

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
		if err := KillAll(ctx, func(pid int) bool { return NamespaceOf(pid, "net") == network }); err != nil {
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
		for f in rp_filter arp_filter; do echo 1 >/proc/sys/net/ipv4/conf/all/$f; echo 1 >/proc/sys/net/ipv4/conf/eth0/$f; done`)
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
