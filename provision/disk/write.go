package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// writeTree makes the root file system of a disk hold what a guest's tree holds. It runs with mounts of its own, so the
// file system is unmounted when it returns, or when this process dies. A file whose content stays also stays where it is on
// the disk: boot loaders know some by their blocks. What is free once all is on the disk is given back, so that the disk
// takes no more room than its content, up to what is smaller than a block of this machine. Before, it looks whether all
// fits: rsync then says no more than that a pipe broke. (In an overlay files seem to be on other file systems than their
// folder, so neither du nor rsync may stay on one.)
const writeTree = `
set -eu
device=$1 to=$2 tree=$3 relabel=$4
mount -n -t ext4 -o errors=remount-ro "$device" "$to"
need=$(du -sk "$tree" | cut -f1)
have=$(($(stat -f -c '%b * %S / 1024' "$to")))
if [ "$need" -gt "$have" ]; then
  echo "its files take $need KiB, but the disk's file system has $have KiB" >&2
  exit 1
fi
rsync -aHAXS --numeric-ids --checksum --delete-before --exclude=/lost+found "$tree/" "$to/"
[ -z "$relabel" ] || : >"$to/.autorelabel"
sync -f "$to"
fstrim "$to" || :
umount "$to"
`

// write makes a copy of the base in f that holds tree. The file is in f's own place and format.
func (d *disk) write(ctx context.Context, f *folder, tree string) (path string, err error) {
	path = f.file("disk.raw")
	// By descriptor: what was checked is what is copied, whatever the name names by now.
	cp := program{name: "cp", args: []string{"--reflink=auto", "--sparse=always", "/dev/stdin", path}, stdin: d.raw}
	if _, err := cp.output(ctx); err != nil {
		return "", err
	}
	raw, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	if err := raw.Truncate(d.size); err != nil { // a VHD's footer is no part of the disk
		return "", err
	}
	loop, err := attach(raw, d.part, true)
	if err != nil {
		return "", err
	}
	defer loop.Close() // what counts of it was synced
	relabel := ""
	if is, err := labels(tree); err != nil {
		return "", err
	} else if is {
		relabel = "1"
	}
	sh := program{name: "/bin/sh", args: []string{"-c", writeTree, "sh", loop.Name(), f.root(), tree, relabel}, apart: true}
	if _, err := sh.output(ctx); err != nil {
		return "", fmt.Errorf("writing the disk: %w", err)
	}
	if err := fsck(ctx, loop.Name()); err != nil {
		return "", fmt.Errorf("checking the disk: %w", err)
	}
	super := make([]byte, superSize)
	if _, err := raw.ReadAt(super, d.part.offset+superOffset); err != nil {
		return "", err
	}
	if err := checkExt(super, d.part.len); err != nil { // e2fsck does not mind a journal that is to be replayed
		return "", fmt.Errorf("checking the disk: it holds %w", err)
	}
	return path, raw.Sync()
}

// convertTo makes a disk of sectors one of the wanted format and removes it.
func (f *folder) convertTo(ctx context.Context, format Format, raw string) (path string, err error) {
	if format == RAW {
		return raw, nil
	}
	path = f.file("disk.qcow2")
	args := []string{"convert", "-f", "raw", "-O", "qcow2", raw, path}
	if _, err := (program{name: "qemu-img", args: args}).output(ctx); err != nil {
		return "", err
	}
	return path, os.Remove(raw)
}
