package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Place is where commands run. The zero value is where this process itself runs.
type Place struct {
	// Spaces are the namespaces to enter, in this order. The mount namespace must be the last one: nothing of this
	// machine can be opened by name afterwards.
	Spaces []*os.File
	// Capabilities is the bounding set (capabilities(7)) to run with; 0 for this process's own.
	Capabilities uint64
}

// enter puts this thread into the place. The order matters: capabilities at the very end, for all else needs them.
func (r *running) enter() error {
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	// A thread that shares its root folder with others may not change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	for _, ns := range r.place.Spaces {
		if err := unix.Setns(int(ns.Fd()), 0); err != nil {
			return os.NewSyscallError("setns", err)
		}
	}
	if r.Link != nil {
		if err := r.isolate(proc); err != nil {
			return err
		}
	}
	if r.place.Capabilities == 0 {
		return nil
	}
	return limitCapabilities(r.place.Capabilities)
}

// isolate puts this thread into the network of the link, with a view of the files in which no resolver's socket is.
func (r *running) isolate(proc *os.File) (err error) {
	if err := unix.Setns(int(r.Link.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	if r.mounts, err = hideResolvers(proc); err != nil {
		return err
	}
	if r.Link.onEnter != nil {
		return r.Link.onEnter(r.mounts)
	}
	return nil
}

// hideResolvers gives the thread a private view of the place's files without the sockets behind which a daemon in the
// place's own network would ask names for the command. It returns the new mount namespace.
func hideResolvers(proc *os.File) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	// What is mounted there later shows here too, and nothing of ours shows there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	for _, dir := range []string{"/run/systemd/resolve", "/run/nscd", "/run/avahi-daemon"} {
		if err := hideSockets(dir); err != nil {
			return nil, fmt.Errorf("hiding %q: %w", dir, err)
		}
	}
	fd, err := unix.Openat(int(proc.Fd()), "thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	return os.NewFile(uintptr(fd), "mnt"), nil
}

// hideSockets covers a folder with one that holds the texts of the first and nothing else: /etc/resolv.conf may be a link
// to one of them.
func hideSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	texts := map[string][]byte{}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".conf") {
			if texts[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size=256k"); err != nil {
		return os.NewSyscallError("mount", err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return os.NewSyscallError("mount", unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

// limitCapabilities leaves what runs from this thread no more than the place's own root has.
func limitCapabilities(keep uint64) error {
	for c := range 64 {
		if keep&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // past the last one that this kernel knows
		}
		if err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return nil
}
