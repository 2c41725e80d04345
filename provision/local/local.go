// Package local is the builder that needs no cloud: a provision.Cloud whose hosts are guests of this machine, whose base
// image is a root file system and whose images are NAME.rootfs.tar.zst, each of which can be the base of the next bake.
//
// A host reaches one thing only, the http.Handler that serves the bundle, from its first moment on; Seal has nothing
// left to shut and only begins the record. An image appears whole, after a copy of it has booted and passed its trial,
// or not at all.
package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/guest"
)

// Config says what to bake from and where to.
type Config struct {
	// Base is the root file system: a folder, or a tar file, plain, gzip or zstd.
	Base string
	// Digest is what identifies Base, 64 lower-case hex digits; "" for guest.Digest of it.
	Digest string
	// Out is the folder for images; Capture makes it when it is missing.
	Out string
	// Work is a folder for unpacked base systems, which stay for the next run, and overlays, which do not. It needs room
	// for the base and all that is installed, on a file system that can carry an overlay.
	Work string
	// Handler is what hosts reach: the bundle's files, each at the URL path that Files gives it.
	Handler http.Handler
	// Progress hears of what takes long; nil for silence.
	Progress *progress.Reporter
}

// Cloud is the local builder.
type Cloud struct {
	c Config // paths absolute

	mu     sync.Mutex
	digest string // of Base, once it was asked for
	hosts  map[string]*host
}

var _ provision.Cloud = (*Cloud)(nil)

// New returns a builder. It needs root, systemd-nspawn, GNU tar and zstd; Create says what is missing.
func New(c Config) (*Cloud, error) {
	for _, path := range []*string{&c.Base, &c.Out, &c.Work} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return nil, err
		}
		*path = abs
	}
	if _, err := os.Stat(c.Base); err != nil {
		return nil, fmt.Errorf("opening base: %w", err)
	}
	return &Cloud{c: c, digest: c.Digest, hosts: map[string]*host{}}, nil
}

// Base is the builder's one root file system, whatever img asks for. Its ID is the digest of it.
func (b *Cloud) Base(ctx context.Context, _ manifest.Image) (provision.Base, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.digest == "" {
		digest, err := guest.Digest(ctx, b.c.Base)
		if err != nil {
			return provision.Base{}, err
		}
		b.digest = digest
	}
	return provision.Base{ID: "sha256:" + b.digest, Name: filepath.Base(b.c.Base)}, nil
}

// Create boots a guest called name on base, which must be what Base returned.
func (b *Cloud) Create(ctx context.Context, name string, base provision.Base, img manifest.Image) (provision.Host, error) {
	for _, program := range []string{"systemd-nspawn", "tar", "zstd"} { // the last are Capture's: too late to learn it there
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("creating host %q: %w", name, err)
		}
	}
	own, err := b.Base(ctx, img)
	if err != nil {
		return nil, err
	}
	if base.ID != own.ID {
		return nil, fmt.Errorf("creating host %q: got base %s, want %s", name, base.ID, own.ID)
	}
	g, err := guest.Start(ctx, guest.Config{
		Name: name, Rootfs: b.c.Base, Digest: b.digest, Work: b.c.Work, Handler: b.c.Handler,
	})
	if err != nil {
		return nil, err
	}
	h := &host{guest: g}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hosts[name] = h
	return h, nil
}

// Terminate ends the guest called name and the copy that Capture may have made of it, also those of a process that
// died. It does not wait for ctx: ending a guest takes a bounded time.
func (b *Cloud) Terminate(_ context.Context, name string) error {
	b.mu.Lock()
	h := b.hosts[name]
	delete(b.hosts, name)
	b.mu.Unlock()
	err := guest.Reap(b.c.Work, trialName(name))
	if h != nil {
		return errors.Join(err, h.guest.Close())
	}
	return errors.Join(err, guest.Reap(b.c.Work, name))
}

// Discard is Terminate: an image that Capture did not finish was never there.
func (b *Cloud) Discard(ctx context.Context, name string, _ []string) error {
	return b.Terminate(ctx, name)
}

// Intend tells what happens on this machine.
func (b *Cloud) Intend(_ context.Context, base provision.Base, _ manifest.Image, c provision.Capture) (provision.Intent, error) {
	return provision.Intent{Calls: []provision.Call{
		{Action: "boot a guest", Parameters: map[string]string{"base": base.ID}},
		{Action: "boot a copy of it", Parameters: map[string]string{"network": "none"}},
		{Action: "write", Parameters: map[string]string{"path": b.tarPath(c.Name)}},
	}}, nil
}

// trialName is the name of the copy in which the image of host name is tried.
func trialName(name string) string { return name + "-trial" }
