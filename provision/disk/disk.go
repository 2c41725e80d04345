// Package disk is the builder that needs no host in a cloud: a provision.Cloud that bakes on this machine, in a guest whose
// base is the root file system of a disk image, writes the guest's tree back into a copy of the disk and has a cloud import
// that: partition table, boot loader and boot partition stay what the base has.
//
// The base is raw, qcow2, VMDK or VHD, with an MBR and one ext3 or ext4 root file system that was unmounted cleanly; all
// else is refused, and why is said, before anything is made. The base itself is only read. Whatever fails, no file, mount,
// loop device, uploaded object or image is left; what a killed process left goes with the next New or with Discard.
//
// It needs root, loop devices, e2fsprogs, rsync and util-linux, and qemu-img for other formats than raw.
package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
)

// Config says what to bake from and where images go.
type Config struct {
	// Base is the disk image. "" makes a Cloud that only ends what others left: Find, Terminate and Discard.
	Base string
	// Work is the folder that local.Config calls so. Disks lie there too while they are made.
	Work string
	// Handler is what hosts reach, as local.Config has it.
	Handler http.Handler
	// Format is what images are imported as; RAW when empty. QCOW2 is what is not empty of the disk, so less is uploaded.
	Format Format
	// System is what the importing cloud is told about the system; what it leaves empty is read from the base.
	System System
	// Parallel is how many images are made at once, to tell whether there is room for their disks; 1 when not positive.
	Parallel int
	// KeepUpload leaves the uploaded disks in the store.
	KeepUpload bool
	// Target is the cloud that images are imported into, and the store that it takes them from.
	Target Target
	// Progress hears of what takes long; nil for silence.
	Progress *progress.Reporter
}

// Format is a format of disk images as ImportCustomImage calls it (facts/ucloud.md, section 5).
type Format string

const (
	RAW   Format = "RAW"
	QCOW2 Format = "qcow2"
)

// UnusableError is a base from which no image can be made.
type UnusableError struct {
	Path string // of the disk image
	What string // is wrong with it
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("opening disk image %q: %s", e.Path, e.What)
}

// Cloud is the importing builder.
type Cloud struct {
	*local.Cloud
	c      Config // paths absolute
	folder *folder
	disk   *disk // nil without a base

	mu    sync.Mutex
	hosts map[string]*job
}

// job is what is known of a host.
type job struct {
	image    manifest.Image
	uploaded bool // its disk may be in the store
	imported bool // the cloud was asked for an image of it
}

var _ provision.Cloud = (*Cloud)(nil)

// New opens the base, checks that images can be made of it and removes what killed processes left in Work. The caller owes
// a Close, after the last host has ended.
func New(ctx context.Context, c Config) (_ *Cloud, err error) {
	if c.Format == "" {
		c.Format = RAW
	}
	if c.Format != RAW && c.Format != QCOW2 {
		return nil, fmt.Errorf("got disk format %q, want %s or %s", c.Format, RAW, QCOW2)
	}
	if c.Work, err = filepath.Abs(c.Work); err != nil {
		return nil, err
	}
	if err := sweep(c.Work); err != nil {
		return nil, err
	}
	b := &Cloud{c: c, hosts: map[string]*job{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	rootfs, digest := c.Work, ""
	if c.Base != "" {
		if rootfs, digest, err = b.open(ctx); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(c.Work, 0o700); err != nil {
		return nil, err
	}
	b.Cloud, err = local.New(local.Config{Base: rootfs, Digest: digest, Work: c.Work, Handler: c.Handler, Progress: c.Progress})
	return b, err
}

// open mounts the base's root file system and returns where, and the digest of the base.
func (b *Cloud) open(ctx context.Context) (rootfs, digest string, err error) {
	if b.c.Base, err = filepath.Abs(b.c.Base); err != nil {
		return "", "", err
	}
	if err := b.c.havePrograms(); err != nil {
		return "", "", fmt.Errorf("opening disk image %q: %w", b.c.Base, err)
	}
	if b.folder, err = makeFolder(b.c.Work, "base-"+random()); err != nil {
		return "", "", err
	}
	if b.disk, err = openDisk(ctx, b.c, b.folder); err != nil {
		return "", "", b.c.inTerms(ctx, err)
	}
	if digest, err = b.disk.digest(ctx); err != nil {
		return "", "", b.c.inTerms(ctx, err)
	}
	if b.c.System.Type == "" {
		b.c.System.Type = b.disk.system.Type
	}
	if b.c.System.Name == "" {
		b.c.System.Name = b.disk.system.Name
	}
	if b.c.System.Type == otherSystem {
		b.c.Progress.Line("warning: %q holds a system that the cloud does not know: hosts of its images get neither password nor network from it",
			b.c.Base)
	}
	return b.folder.root(), digest, nil
}

// inTerms gives an error about the base the form that it has outside.
func (c Config) inTerms(ctx context.Context, err error) error {
	var bad unusable
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &bad):
		return &UnusableError{Path: c.Base, What: string(bad)}
	}
	return fmt.Errorf("opening disk image %q: %w", c.Base, err)
}

// unusable is what is wrong with a base.
type unusable string

func (e unusable) Error() string { return string(e) }

func unusablef(format string, args ...any) error { return unusable(fmt.Sprintf(format, args...)) }

// havePrograms fails where something is missing that would show only when hosts have done their work.
func (c Config) havePrograms() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting it needs root")
	}
	programs := []string{"cp", "e2fsck", "fstrim", "mount", "rsync", "sync", "umount"}
	if c.Format == QCOW2 {
		programs = append(programs, "qemu-img")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	return nil
}

// Close unmounts the base and removes what was made of it.
func (b *Cloud) Close() error {
	var err error
	if b.disk != nil {
		err = b.disk.close()
	}
	if b.folder != nil {
		err = errors.Join(err, b.folder.remove())
	}
	return err
}

// Base is the one disk image, whatever img asks for. Its ID is the sha256 of the file.
func (b *Cloud) Base(ctx context.Context, img manifest.Image) (provision.Base, error) {
	base, err := b.Cloud.Base(ctx, img)
	base.Name = filepath.Base(b.c.Base)
	return base, err
}

// Find returns the image in the cloud whose description carries key.
func (b *Cloud) Find(ctx context.Context, img manifest.Image, key string) (provision.Made, bool, error) {
	return b.c.Target.Find(ctx, img, key)
}

// Create boots a guest called name on the base.
func (b *Cloud) Create(ctx context.Context, name string, base provision.Base, img manifest.Image) (provision.Host, error) {
	if b.disk == nil {
		return nil, fmt.Errorf("creating host %q: no base is given", name)
	}
	b.mu.Lock()
	b.hosts[name] = &job{image: img}
	b.mu.Unlock()
	return b.Cloud.Create(ctx, name, base, img)
}

// digest is the sha256 of the base's file, lower-case hex, which must be what was opened.
func (d *disk) digest(ctx context.Context) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, readerAt(ctx, d.file)); err != nil {
		return "", err
	}
	if err := d.unchanged(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
