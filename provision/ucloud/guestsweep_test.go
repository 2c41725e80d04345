//go:build !race

// Race detection makes the copying of the agent over SSH, on both sides in this process, ten times as slow: .ci/test runs
// this by itself.

package ucloud_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// TestSweepGuest is TestSweepSSH on real guests with the real agent: the seal, the server of files and the clean-up do
// there what they do on a host, and something happens to each SSH step of it.
func TestSweepGuest(t *testing.T) {
	g := newGuests(t)
	steps := g.clean(t, <-g.free)
	if len(steps) < 15 {
		t.Fatalf("a bake makes %d SSH steps only: the sweep misses its aim", len(steps))
	}
	var runs atomic.Int64
	t.Run("with a fault", func(t *testing.T) {
		for n, what := range steps {
			for i, kind := range sshFaults() {
				if !whole() && (n+i)%len(sshFaults()) != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s at step %d %s", kind, n+1, strings.Fields(what)[0]), func(t *testing.T) {
					t.Parallel()
					b := <-g.free
					defer func() { g.free <- b }()
					runs.Add(1)
					g.one(t, b, n+1, kind)
				})
			}
		}
	})
	g.clean(t, <-g.free)
	t.Logf("%d SSH steps of real guests, %d runs with a fault", len(steps), runs.Load())
}

// guests bake on real guests, a few at a time.
type guests struct {
	agent string
	free  chan *bench
}

func newGuests(t *testing.T) *guests {
	t.Helper()
	const width = 3
	g := &guests{agent: filepath.Join(t.TempDir(), "offbake"), free: make(chan *bench, width)}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", g.agent, "../../cmd/offbake")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v: %s", err, out)
	}
	base := baseFolder(t)
	for range width {
		var dir string
		// Registered before the bench's own, so that it looks when the sandbox is closed.
		t.Cleanup(func() {
			if left := guestsLeft(t, dir); len(left) != 0 {
				t.Errorf("left of guests: %q", left)
			}
		})
		b := newBench(t, sandbox.Options{Base: base})
		dir = b.dir
		b.open()
		g.free <- b
	}
	return g
}

// baseFolder is the root file system, unpacked once for all sandboxes; half of it are languages that nobody speaks here.
func baseFolder(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	folder := t.TempDir()
	out, err = exec.Command("tar", "--extract", "--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-permissions",
		"--exclude=*/python3*", "--exclude=*/perl*", "--exclude=*libicu*",
		"--file="+strings.TrimSpace(string(out)), "--directory="+folder).CombinedOutput()
	if err != nil {
		t.Fatalf("unpacking root file system: %v: %s", err, out)
	}
	return folder
}

// bake bakes one image and returns what must be there afterwards.
func (g *guests) bake(t *testing.T, b *bench, stall time.Duration) (provision.Result, error) {
	b.tune = func(c *ucloud.Config) {
		c.Agent, c.Patience.Stall, c.Patience.Login = g.agent, stall, stall
		c.Patience.Boot, c.Patience.Stop, c.Patience.Image, c.Patience.SSH = guestTime, guestTime, guestTime, guestTime
	}
	r := b.request(b.image("db", func(i *manifest.Image) { i.Cloud.SSH.PrivateIP = false }))
	r.Transfer = provision.BySSH
	return provision.Bake(t.Context(), r)
}

// guestTime is how long things may take on a busy machine. No fault of these has a bake wait for it.
const guestTime = 2 * time.Minute

// clean bakes without a fault and returns the SSH steps.
func (g *guests) clean(t *testing.T, b *bench) (steps []string) {
	t.Helper()
	defer func() { g.free <- b }()
	seen := make(chan string, 1000)
	b.sshFault.Store(pointer(func(_ int, what string) sandbox.SSHFault { seen <- what; return "" }))
	res, err := g.bake(t, b, guestTime)
	b.sshFault.Store(nil)
	if err != nil {
		t.Fatalf("without a fault: %v\n%s", err, b.out.String())
	}
	if err := errors.Join(b.left(madeOf(res)...), b.discard(t)); err != nil {
		t.Errorf("without a fault: %v", err)
	}
	close(seen)
	for what := range seen {
		steps = append(steps, what)
	}
	return steps
}

// one has something happen to a step, and expects only an image of a bake that succeeded in spite of it.
func (g *guests) one(t *testing.T, b *bench, n int, kind sandbox.SSHFault) {
	var step atomic.Int64
	b.sshFault.Store(pointer(func(int, string) sandbox.SSHFault {
		if int(step.Add(1)) == n {
			return kind
		}
		return ""
	}))
	stall := guestTime
	if kind == sandbox.SSHHang {
		stall = 2 * time.Second
	}
	res, err := g.bake(t, b, stall)
	b.sshFault.Store(nil)
	if err != nil {
		checkError(t, err)
	}
	if made := len(res.Images); err == nil && made != 1 {
		t.Errorf("got %d images and no error", made)
	}
	if int(step.Load()) < n {
		t.Errorf("got %d steps: nothing happened, and %v", step.Load(), err)
	}
	if err := b.left(madeOf(res)...); err != nil {
		t.Errorf("left: %v\n%s", err, b.out.String())
	}
	if left := guestsLeft(t, b.dir); len(left) != 0 {
		t.Errorf("left of guests: %q", left)
	}
	if err := b.discard(t); err != nil {
		t.Errorf("removing the image: %v", err)
	}
}

// discard removes the images that there are, by the hosts that their descriptions name, so that the next bake makes its own.
func (b *bench) discard(t *testing.T) error {
	var errs []error
	for _, i := range b.sandbox.Images() {
		words := strings.Fields(i.Description)
		errs = append(errs, b.cloud().Discard(t.Context(), words[len(words)-1], nil))
	}
	return errors.Join(append(errs, b.left())...)
}

// guestsLeft are the mounts and processes of guests whose files are in dir.
func guestsLeft(t *testing.T, dir string) (left []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, line)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) { // it may have ended just now
			left = append(left, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return left
}
