package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// tableSize is what is read of a disk or partition to learn what it holds: btrfs has its mark last.
const tableSize = 68 << 10

// readHead reads the first bytes of a disk from offset on; fewer where it ends before.
func (d *disk) readHead(p partition) ([]byte, error) {
	head := make([]byte, min(tableSize, p.len))
	_, err := d.raw.ReadAt(head, p.offset)
	return head, err
}

// partitions lists what may hold the root file system: the partitions, or the whole disk.
func (d *disk) partitions(c Config) ([]partition, error) {
	whole := partition{len: d.size}
	if d.size < 2*superSize {
		return nil, unusablef("got %d bytes: too small for a disk", d.size)
	}
	if d.size > suggestedSize {
		c.Progress.Line("warning: the disk %q has %s; the cloud suggests %s at most",
			c.Base, humanize.IBytes(uint64(d.size)), humanize.IBytes(suggestedSize))
	}
	head, err := d.readHead(whole)
	if err != nil {
		return nil, err
	}
	parts, err := parseTable(head, d.size)
	if ext := isExt(head[superOffset:]); ext && err == nil {
		return nil, unusable("it has a partition table and, before the first partition, a file system: which of the two counts is not certain")
	} else if ext {
		parts, err = []partition{whole}, nil
		c.Progress.Line("warning: the disk %q has no partition table: a cloud may not boot it, or not even import it", c.Base)
	} else if err == nil && !bootable(head) {
		c.Progress.Line("warning: the disk %q has no boot loader", c.Base)
	}
	return parts, err
}

// mountRoot finds the partition that holds the system and mounts it at root, read-only.
func (d *disk) mountRoot(ctx context.Context, c Config, root string) error {
	parts, err := d.partitions(c)
	if err != nil {
		return err
	}
	var systems, released []partition
	var held []string // what each of them holds
	for _, p := range parts {
		what, err := d.look(ctx, p, root)
		if err != nil {
			return err
		}
		held = append(held, fmt.Sprintf("%v holds %s", p, what.name))
		if what.system {
			systems = append(systems, p)
		}
		if what.system && what.release {
			released = append(released, p)
		}
	}
	if len(systems) > 1 {
		systems = released
	}
	if len(systems) != 1 {
		return unusable("want one partition whose ext3 or ext4 file system holds a system: " + strings.Join(held, ", ") +
			" (logical partitions and volumes are not looked into)")
	}
	d.part = systems[0]
	return d.mount(ctx, root)
}

// content is what a partition holds.
type content struct {
	system  bool   // a root file system
	release bool   // which tells what it is
	name    string // what errors call it
}

// look finds out what a partition holds, without a write to it.
func (d *disk) look(ctx context.Context, p partition, at string) (content, error) {
	head, err := d.readHead(p)
	if err != nil {
		return content{}, err
	}
	if len(head) < superOffset+superSize || !isExt(head[superOffset:]) {
		return content{name: contentOf(head)}, nil
	}
	if err := checkExt(head[superOffset:], p.len); err != nil {
		return content{}, unusablef("%v holds %v", p, err)
	}
	if err := d.mountPart(ctx, p, at); err != nil {
		return content{}, err
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return content{}, errors.Join(err, unmount(at))
	}
	found := content{name: "other files", system: isSystem(root), release: exists(root, "etc/os-release")}
	if found.system {
		found.name = "a system"
	}
	return found, errors.Join(root.Close(), unmount(at))
}

// mount mounts the root partition at root for as long as bakes go on, and reads what its system says of itself.
func (d *disk) mount(ctx context.Context, at string) error {
	if err := d.mountPart(ctx, d.part, at); err != nil {
		return err
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkMounts(root); err != nil {
		return err
	}
	d.system, err = systemOf(root)
	return err
}

// mountPart mounts a partition read-only, after e2fsck has found it whole: a broken file system may break the kernel.
func (d *disk) mountPart(ctx context.Context, p partition, at string) error {
	loop, err := attach(d.raw, p, false)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount keeps the device
	if err := fsck(ctx, loop.Name()); err != nil {
		return unusablef("%v holds a broken file system: %v", p, err)
	}
	flags := uintptr(unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID)
	if err := unix.Mount(loop.Name(), at, "ext4", flags, "noload,errors=continue"); err != nil {
		return fmt.Errorf("mounting %v: %w", p, err)
	}
	return nil
}

// fsck fails unless a file system is without fault.
func fsck(ctx context.Context, device string) error {
	_, err := program{name: "e2fsck", args: []string{"-f", "-n", device}}.output(ctx)
	return err
}
