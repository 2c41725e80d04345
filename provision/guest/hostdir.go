package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hostDir is the folder of one guest: everything of it that is on disk, and the name by which all else is found again.
type hostDir struct{ work, name string }

func (d hostDir) path() string  { return filepath.Join(d.work, "hosts", d.name) }
func (d hostDir) root() string  { return filepath.Join(d.path(), "root") }
func (d hostDir) upper() string { return filepath.Join(d.path(), "upper") }

// make creates the folder; one that is there already belongs to another guest.
func (d hostDir) make() error {
	if err := os.MkdirAll(filepath.Dir(d.path()), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(d.path(), 0o700); err != nil {
		return err
	}
	for _, sub := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(d.path(), sub), 0o755); err != nil {
			return errors.Join(err, os.RemoveAll(d.path()))
		}
	}
	return nil
}

// mount puts an overlay over layers, topmost first, at root.
func (d hostDir) mount(layers []string) error {
	plain := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s",
		strings.Join(layers, ":"), d.upper(), filepath.Join(d.path(), "work"))
	// Nobody mounts the upper layer again after a crash, so nothing need ever reach the disk; and a folder of the base
	// can be renamed as on any file system. Kernels before 5.10 do not know the first.
	err := unix.Mount("overlay", d.root(), "overlay", 0, plain+",redirect_dir=on,volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", d.root(), "overlay", 0, plain)
	}
	if err != nil {
		return fmt.Errorf("mounting overlay in %q: %w", d.work, err)
	}
	return nil
}

// Reap ends the guest called name under work, whoever started it, and removes everything of it: what Close does, for
// when the process that started the guest is gone. A guest that is not there is no error.
func Reap(work, name string) error {
	if !validName(name) {
		return fmt.Errorf("reaping guest %q: want 1 to 60 of [a-z0-9-]", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	d := hostDir{work, name}
	err := d.kill(ctx)
	if err == nil {
		err = d.unmount(ctx)
	}
	if err == nil { // never into a mounted tree
		err = os.RemoveAll(d.path())
	}
	if err := errors.Join(err, removeControlGroups(name), removeNspawnFolder(name)); err != nil {
		return fmt.Errorf("removing guest %q: %w", name, err)
	}
	return nil
}

// kill ends every process of the guest: systemd-nspawn first, so that it cannot start another.
func (d hostDir) kill(ctx context.Context) error {
	want := "--directory=" + d.root()
	if err := killAll(ctx, func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.Contains(string(line)+"\x00", "\x00"+want+"\x00")
	}); err != nil {
		return err
	}
	own := namespaceOf(os.Getpid(), "mnt")
	return killAll(ctx, func(pid int) bool {
		ns := namespaceOf(pid, "mnt")
		return ns != 0 && ns != own && d.isRootOf(pid)
	})
}

// isRootOf reports whether a process lives in the guest's tree: only there is the overlay mounted at /.
func (d hostDir) isRootOf(pid int) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return false
	}
	upper := "upperdir=" + d.upper() + ","
	for line := range strings.Lines(string(info)) {
		f := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is where it is mounted
		if len(f) > 5 && f[4] == "/" && strings.Contains(f[len(f)-1]+",", upper) {
			return true
		}
	}
	return false
}

// unmount waits for the kernel to let go of the tree; its last user may have died this moment.
func (d hostDir) unmount(ctx context.Context) error {
	for {
		err := unix.Unmount(d.root(), unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil:
			continue // a mount of that place may lie under it
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // nothing is mounted there
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("unmounting %q: %w", d.root(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unmounting %q: %w", d.root(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// controlGroup is the name of the guest's control group, or of its scope where systemd runs this machine.
func controlGroup(name string) string { return "offbake-" + name }

// removeControlGroups removes what bootMachine made and the guest's systemd filled.
func removeControlGroups(name string) error {
	var all error
	for _, root := range controlGroupRoots() {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(root, controlGroup(name)), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		all = errors.Join(all, err)
		for i := len(dirs) - 1; i >= 0; i-- { // children stand after their parents
			if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				all = errors.Join(all, err)
			}
		}
	}
	return all
}

// controlGroupRoots are the hierarchies in which systemd keeps processes apart: cgroup2 and, of version 1, its own.
func controlGroupRoots() []string {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var roots []string
	for line := range strings.Lines(string(info)) {
		before, after, ok := strings.Cut(line, " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(at) < 5 || len(kind) < 3 {
			continue
		}
		if kind[0] == "cgroup2" || kind[0] == "cgroup" && strings.Contains(kind[2], "name=systemd") {
			roots = append(roots, unescape(at[4]))
		}
	}
	return roots
}

// unescape undoes the octal escapes of proc_pid_mountinfo(5).
func unescape(s string) string {
	for i := 0; i+3 < len(s); i++ {
		if s[i] == '\\' {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				s = s[:i] + string(rune(c)) + s[i+4:]
			}
		}
	}
	return s
}

// removeNspawnFolder removes the empty folder that systemd-nspawn leaves where /run is no tmpfs, or where it was killed.
func removeNspawnFolder(name string) error {
	err := os.Remove(filepath.Join("/run/systemd/nspawn/propagate", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
