// Package guest runs a Linux guest on this machine: a root file system under an overlay, booted by systemd-nspawn, in a
// network that ends at one http.Handler of the caller's.
//
// What it guarantees: no packet of a guest reaches this machine's own network, for no interface of the two networks is
// ever shared; an isolated command that tries to reach anything but the handler is ended and the try reported; after
// Close, or after Reap where the process died, neither process, mount, cgroup nor file of the guest is left.
//
// What it is not: a wall against hostile code. A guest shares this machine's kernel and runs as its root, with what
// capabilities systemd-nspawn leaves. It needs root, overlayfs, systemd-nspawn and GNU tar.
package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/offbake/offbake/provision/seal"
)

// cleanupTimeout bounds how long Close and Reap wait for the kernel to end processes and let mounts go.
const cleanupTimeout = 20 * time.Second

// Address is where a guest and its isolated commands find Config.Handler: the same in every guest.
func Address() netip.AddrPort { return seal.Address() }

// Config says what to boot.
type Config struct {
	// Name names the guest: a-z, 0-9 and -, at most 200, unique on this machine.
	Name string
	// Rootfs is a folder, which is used where it is and must not change meanwhile, or a tar file, plain, gzip or zstd,
	// which is unpacked once into Work and shared by all guests that name the same bytes.
	Rootfs string
	// Digest is what Digest(Rootfs) returned, to spare another read; bytes of a tar that differ from it are refused when
	// they are unpacked. "" to compute it.
	Digest string
	// Work is the folder for unpacked file systems and overlays, on a file system that can hold an overlay's upper
	// layer (not another overlay). It may be shared by several processes.
	Work string
	// Handler is the one thing that the guest can reach, at Address; nil for nothing at all.
	Handler http.Handler
	// NetAdmin lets the guest's root configure its own network as on a machine of its own: interfaces, routes, rules and
	// /proc/sys/net. There is still no way out of it. Without it a base's network daemons cannot take eth0 apart.
	NetAdmin bool
	// Prepare, when set, is given the guest's tree before it boots.
	Prepare func(root string) error
}

// Guest is one booted guest. Its methods may be called from several goroutines; Close ends the others.
type Guest struct {
	name   string
	work   string
	layers []string // lower layers, topmost first
	lease  *os.File // keeps the unpacked file system from being pruned
	net    *seal.Gateway
	eth0   *seal.Record // what the guest's own processes try
	boot   *machine

	mu        sync.Mutex
	listeners []net.Listener
	closed    bool
	close     func() error
}

// Start boots a guest and returns when its systemd says that start-up is finished. On error nothing of it is left.
// The caller owes a Close.
func Start(ctx context.Context, c Config) (*Guest, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	lower, lease, err := openRootfs(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening root file system %q: %w", c.Rootfs, err)
	}
	g := &Guest{name: c.Name, work: c.Work, layers: []string{lower}, lease: lease}
	return g.start(ctx, c)
}

// Copy boots a throw-away copy of g, which must have been stopped and not yet closed, and stay so until the copy is
// closed. c.Rootfs and c.Work are g's.
func (g *Guest) Copy(ctx context.Context, c Config) (*Guest, error) {
	c.Work, c.Rootfs = g.work, "/"
	if err := c.check(); err != nil {
		return nil, err
	}
	upper := hostDir{c.Work, g.name}.upper()
	copied := &Guest{name: c.Name, work: g.work, layers: append([]string{upper}, g.layers...)}
	return copied.start(ctx, c)
}

func (c Config) check() error {
	switch {
	case !validName(c.Name):
		return fmt.Errorf("starting guest %q: want a name of a-z, 0-9 and -, 200 at most", c.Name)
	case c.Digest != "" && !validDigest(c.Digest):
		return fmt.Errorf("starting guest %q: got digest %q, want 64 hex digits", c.Name, c.Digest)
	case !filepath.IsAbs(c.Work) || !filepath.IsAbs(c.Rootfs):
		return fmt.Errorf("starting guest %q: work folder and root file system must be absolute paths", c.Name)
	case strings.ContainsAny(c.Work+c.Rootfs, ",:\\\"\n"):
		return fmt.Errorf("starting guest %q: overlayfs cannot take a path with any of , : \\ \" in it", c.Name)
	case os.Geteuid() != 0:
		return fmt.Errorf("starting guest %q: a guest needs root", c.Name)
	}
	return nil
}

func validName(name string) bool {
	ok, _ := regexp.MatchString(`^[a-z0-9][a-z0-9-]{0,199}$`, name)
	return ok
}

func validDigest(digest string) bool {
	ok, _ := regexp.MatchString(`^[0-9a-f]{64}$`, digest)
	return ok
}

// start does what Start and Copy have in common; the receiver holds the layers.
func (g *Guest) start(ctx context.Context, c Config) (_ *Guest, err error) {
	g.close = sync.OnceValue(g.end)
	dir := hostDir{c.Work, c.Name}
	if err := dir.make(); err != nil {
		g.close = nil
		closeFiles(g.lease)
		return nil, fmt.Errorf("starting guest %q: %w", c.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting guest %q: %w", c.Name, err), g.Close())
		}
	}()
	if err := dir.mount(g.layers); err != nil {
		return nil, err
	}
	if c.Prepare != nil {
		if err := c.Prepare(dir.root()); err != nil {
			return nil, err
		}
	}
	if g.net, err = seal.NewGateway(c.Handler); err != nil {
		return nil, err
	}
	own, err := g.net.Own()
	if err != nil {
		return nil, err
	}
	defer own.Close() // the guest's processes keep it from here on
	if g.eth0, err = seal.NewRecord(own); err != nil {
		return nil, err
	}
	if g.boot, err = bootMachine(ctx, boot{dir: dir, net: own.Network(), netAdmin: c.NetAdmin}); err != nil {
		return nil, err
	}
	return g, nil
}

// Name is Config.Name.
func (g *Guest) Name() string { return g.name }

// Root is the guest's whole tree as a folder of this machine. It exists until Close; while the guest runs its content
// moves.
func (g *Guest) Root() string { return hostDir{g.work, g.name}.root() }

// Seal begins the record that Background reads. The guest's network is closed from the start; nothing opens it.
func (g *Guest) Seal() { g.eth0.Reset() }

// Background lists, without repetition and in order of first sight, what processes in the guest's own network tried to
// reach since Seal, or since the start where Seal was not called, as seal.Record has it.
func (g *Guest) Background() []Attempt { return g.eth0.Attempts() }

// Stop shuts the guest down as a power button would and returns when its last process is gone. Where ctx ends first
// the guest is killed and Stop returns an error, for its files may be half written. A guest that is down already was
// stopped.
func (g *Guest) Stop(ctx context.Context) error {
	if err := g.boot.powerOff(ctx); err != nil {
		killCtx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("stopping guest %q: %w", g.name, err), hostDir{g.work, g.name}.kill(killCtx))
	}
	return nil
}

// Close ends the guest if it runs and removes everything of it. It may be called more than once, and while other
// methods run; the first result is repeated.
func (g *Guest) Close() error {
	if g.close == nil {
		return nil
	}
	return g.close()
}

func (g *Guest) end() error {
	g.closeListeners()
	if g.net != nil {
		g.net.Close()
	}
	err := Reap(g.work, g.name)
	if g.boot != nil {
		g.boot.close()
	}
	if g.eth0 != nil {
		g.eth0.Close()
	}
	closeFiles(g.lease)
	return err
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close() // only read or locked, never written: nothing can be lost
		}
	}
}
