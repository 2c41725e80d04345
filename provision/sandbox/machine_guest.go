package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision/guest"
)

// guestMachine is a Machine of a real guest. Each start stands on the disk of the one before, which therefore stays until
// the end.
type guestMachine struct {
	config  BootConfig
	inbound conns // what the guest sends to config.Forward

	mu     sync.Mutex
	guests []*guest.Guest // the last one is the running one
	// tree is the running guest's root folder. Its number stays the same for all starts, for Machine.Root names it.
	tree *os.File
}

// bootGuest is Options.Boot of a sandbox with real hosts.
func bootGuest(ctx context.Context, c BootConfig) (*Machine, error) {
	m := &guestMachine{config: c}
	g, err := guest.Start(ctx, guest.Config{Name: c.Name, Rootfs: c.Image, Work: c.Work, NetAdmin: true})
	if err != nil {
		return nil, err
	}
	if err := m.take(g); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return &Machine{
		Exec:     m.exec,
		Root:     fmt.Sprintf("/proc/self/fd/%d", m.tree.Fd()),
		Listen:   m.listen,
		Dial:     func(ctx context.Context, port int) (net.Conn, error) { return m.running().Dial(ctx, port) },
		Start:    m.start,
		Down:     func() <-chan struct{} { return m.running().Down() },
		Rebooted: func() bool { return m.running().Rebooted() },
		Stop:     func(ctx context.Context) error { return m.running().Stop(ctx) },
		Pack:     func(ctx context.Context, w io.Writer) error { return guest.PackLive(ctx, m.running().Root(), w) },
		Close:    m.close,
	}, nil
}

func (m *guestMachine) running() *guest.Guest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guests[len(m.guests)-1]
}

func (m *guestMachine) start(ctx context.Context) error {
	m.mu.Lock()
	name := fmt.Sprintf("%s-%d", m.config.Name, len(m.guests)+1)
	m.mu.Unlock()
	g, err := m.running().Copy(ctx, guest.Config{Name: name, NetAdmin: true})
	if err != nil {
		return err
	}
	return m.take(g)
}

// take makes g, which has just booted, the running guest. On error it is stopped or closed with the others.
func (m *guestMachine) take(g *guest.Guest) error {
	m.mu.Lock()
	m.guests = append(m.guests, g)
	m.mu.Unlock()
	tree, err := g.Tree()
	if err != nil {
		return err
	}
	if m.tree == nil {
		m.tree = tree
	} else {
		err := unix.Dup3(int(tree.Fd()), int(m.tree.Fd()), unix.O_CLOEXEC)
		if err := errors.Join(os.NewSyscallError("dup3", err), tree.Close()); err != nil {
			return err
		}
	}
	for _, to := range m.config.Forward {
		l, err := g.Listen(to.String())
		if err != nil {
			return err
		}
		go m.inbound.relay(l, dialOutside(to))
	}
	return nil
}

func dialOutside(to netip.AddrPort) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	}
}

// listen takes the port from whatever of the base's own has it: an image with an SSH server in it keeps that, but here it
// is ours that answers.
func (m *guestMachine) listen(port int) (net.Listener, error) {
	g := m.running()
	l, err := g.Listen(":" + strconv.Itoa(port))
	if !errors.Is(err, unix.EADDRINUSE) {
		return l, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := g.Run(ctx, guest.Process{Argv: []string{"systemctl", "stop", "ssh.socket", "sshd.socket", "ssh.service", "sshd.service"}}); err != nil {
		var exit *guest.ExitError
		if !errors.As(err, &exit) { // it fails for units that are not there
			return nil, err
		}
	}
	return g.Listen(":" + strconv.Itoa(port))
}

func (m *guestMachine) close() error {
	m.mu.Lock()
	guests := m.guests
	m.mu.Unlock()
	var all error
	for i := range guests {
		all = errors.Join(all, guests[len(guests)-1-i].Close()) // the topmost first: it stands on the others
	}
	m.inbound.close()
	if m.tree != nil {
		all = errors.Join(all, m.tree.Close())
	}
	return all
}
