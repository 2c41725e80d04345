package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/offbake/offbake/provision/guest"
)

// fleet is what the hosts of one sandbox have in common.
type fleet struct {
	mu          sync.Mutex
	nextAddress int // where the search for a free address begins

	steps atomic.Int64 // of SSH, over all hosts
}

// running is the half of a host that runs it: machine, SSH server, forwarding.
type running struct {
	identity identity // bootHost's alone

	mu      sync.Mutex
	machine *Machine // nil before the first boot and after endHost
	online  *online  // nil while the host is off
}

// bootHost starts h: its machine from h.root the first time, from its own disk after stopHost; then its SSH server on
// h.private and h.eip. When it returns nil SSH answers. On error nothing runs. It ends early with ctx.
//
// The caller sees to it that bootHost, stopHost, packHost and endHost of one host never run at the same time.
func (s *Sandbox) bootHost(ctx context.Context, h *uhost) error {
	r := &h.running
	m := r.goOffline() // a host that went down by itself may still be about it
	first := m == nil
	var err error
	switch {
	case first:
		m, err = s.bootMachine(ctx, BootConfig{Name: h.id, Image: h.root, Work: s.work, Forward: []netip.AddrPort{s.ufile}})
	case m.Start != nil:
		err = m.Start(ctx)
	}
	if err != nil {
		return fmt.Errorf("booting host %q: %w", h.id, err)
	}
	o, err := s.goOnline(h, m, first)
	if err != nil {
		if first {
			err = errors.Join(err, m.Close())
		} else {
			powerCut(m)
		}
		return fmt.Errorf("booting host %q: %w", h.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.machine, r.online = m, o
	return nil
}

func (s *Sandbox) bootMachine(ctx context.Context, c BootConfig) (*Machine, error) {
	if s.o.Boot == nil {
		return bootGuest(ctx, c)
	}
	return s.o.Boot(ctx, c)
}

// down reports whether a host that bootHost started has shut down by itself, and whether to start again.
func (h *uhost) down() (down, rebooted bool) {
	h.running.mu.Lock()
	defer h.running.mu.Unlock()
	m := h.running.machine
	if h.running.online == nil || m.Down == nil {
		return false, false
	}
	select {
	case <-m.Down():
		return true, m.Rebooted != nil && m.Rebooted()
	default:
		return false, false
	}
}

// stopHost shuts h down, with hard as if the power went, and ends its SSH server. Its disk and addresses stay.
func (s *Sandbox) stopHost(ctx context.Context, h *uhost, hard bool) error {
	m := h.running.goOffline()
	switch {
	case m == nil: // it never came up
		return nil
	case hard:
		powerCut(m)
		return nil
	}
	if err := m.Stop(ctx); err != nil {
		return fmt.Errorf("stopping host %q: %w", h.id, err)
	}
	return nil
}

// powerCut stops a machine at once. The error says only that this was not clean.
func powerCut(m *Machine) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m.Stop(ctx)
}

// packHost writes the file system of a host as a tar to path, a new file that the caller removes on error.
func (s *Sandbox) packHost(ctx context.Context, h *uhost, path string) error {
	m := h.running.machine
	if m == nil {
		return fmt.Errorf("packing host %q: it was never booted", h.id)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(m.Pack(ctx, f), f.Close()); err != nil {
		return fmt.Errorf("packing host %q: %w", h.id, err)
	}
	return nil
}

// endHost ends whatever there is of h and gives its addresses back. It may be called in any state, also twice.
func (s *Sandbox) endHost(h *uhost) error {
	m := h.running.goOffline()
	h.private.free()
	if h.eip != nil {
		h.eip.free()
	}
	if m == nil {
		return nil
	}
	h.running.mu.Lock()
	h.running.machine = nil
	h.running.mu.Unlock()
	if err := m.Close(); err != nil {
		return fmt.Errorf("ending host %q: %w", h.id, err)
	}
	return nil
}

// reapHosts empties s.work of machines, mounts and files: New's of what a sandbox left that was killed, before anything else
// uses s.work, and Close's of the rest. s.work exists.
func (s *Sandbox) reapHosts(ctx context.Context) error {
	folders, err := filepath.Glob(filepath.Join(s.work, "hosts", "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := guest.Reap(s.work, filepath.Base(folder)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(s.work)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.work, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// sshFault asks what goes wrong at a step of a host's SSH server.
func (s *Sandbox) sshFault(what string) SSHFault {
	n := s.fleet.steps.Add(1)
	if s.o.SSHFault == nil {
		return ""
	}
	return s.o.SSHFault(int(n), what)
}
