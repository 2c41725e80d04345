package sandbox_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/sandbox"
)

// A host that reboots comes up again by itself, as often as it does so, with its disk, its key and its addresses; one that
// powers off stays down.
func TestRebootInside(t *testing.T) {
	p := newProcess(t)
	var rebooted atomic.Bool
	h := start(t, sandbox.Options{Boot: func(ctx context.Context, c sandbox.BootConfig) (*sandbox.Machine, error) {
		m, err := p.boot(ctx, c)
		m.Rebooted = rebooted.Load
		return m, err
	}}, nil)
	write(t, filepath.Join(p.root, "root/kept"), "x")
	rebooted.Store(true)
	for range 3 {
		c := h.dial(t)
		p.powerOff()
		if err := c.Wait(); err == nil {
			t.Error("connection: got an end, want an error")
		}
		until(t, "the host to be up again", func() bool {
			again, err := gossh.Dial("tcp", h.address(), clientConfig())
			if err == nil {
				again.Close()
			}
			return err == nil
		})
		hostIs(t, h.s, h.id, "Running")
		if got := run(t, h.dial(t), "cat root/kept"); got != "x" {
			t.Errorf("a file from before: got %q", got)
		}
	}
	rebooted.Store(false)
	p.powerOff()
	hostIs(t, h.s, h.id, "Stopped")
	terminate(t, h.s, h.id)
}
