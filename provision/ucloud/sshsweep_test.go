package ucloud_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// sshFaults are the kinds, of which a step meets one in a usual run. Where one has no meaning it cuts the connection.
func sshFaults() []sandbox.SSHFault {
	return []sandbox.SSHFault{sandbox.SSHRefuse, sandbox.SSHDrop, sandbox.SSHLoseStatus, sandbox.SSHHang, sandbox.SSHBanner}
}

// TestSweepSSH has something happen to each step of a bake's SSH: connections, logins, commands. What must hold is what
// TestSweepAPI says.
func TestSweepSSH(t *testing.T) {
	_, steps := cleanRun(t)
	if steps < 15 {
		t.Fatalf("a bake makes %d SSH steps only: the sweep misses its aim", steps)
	}
	runs, slot := 0, slots()
	for n := 1; n <= steps; n++ {
		for i, kind := range sshFaults() {
			if !whole() && (n+i)%5 != 0 {
				continue
			}
			runs++
			t.Run(fmt.Sprintf("%s at step %d", kind, n), func(t *testing.T) {
				t.Parallel()
				slot <- struct{}{}
				defer func() { <-slot }()
				sweepOneSSH(t, n, kind)
			})
		}
	}
	t.Logf("%d SSH steps, %d runs with a fault", steps, runs)
}

func sweepOneSSH(t *testing.T, n int, kind sandbox.SSHFault) {
	b := newBench(t, sandbox.Options{})
	var struck atomic.Bool
	b.sshFault.Store(pointer(func(step int, _ string) sandbox.SSHFault {
		if step != n {
			return ""
		}
		struck.Store(true)
		return kind
	}))
	r := b.request(sweepImage(b))
	if kind == sandbox.SSHHang {
		b.tune = func(c *ucloud.Config) { c.Patience.Stall, c.Patience.Login = time.Second, time.Second }
		r.Cloud, b.tune = b.cloud(), nil
	}
	res, err := provision.Bake(t.Context(), r)
	b.sshFault.Store(nil)
	after(t, b, outcome{imagesOf(b, 1), res, err, struck.Load()})
}
