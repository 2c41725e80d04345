package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision/seal"
)

// hostDir is the folder of one guest: everything of it that is on disk, and the name by which all else is found again.
type hostDir struct{ work, name string }

func (d hostDir) path() string  { return filepath.Join(d.work, "hosts", d.name) }
func (d hostDir) root() string  { return filepath.Join(d.path(), "root") }
func (d hostDir) upper() string { return filepath.Join(d.path(), "upper") }

// make creates the folder; one that is there already belongs to another guest.
func (d hostDir) make() error {
	if err := os.MkdirAll(filepath.Dir(d.path()), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(d.path(), 0o700)
	if errors.Is(err, os.ErrExist) {
		return errors.New("a guest of that name is there already")
	}
	if err != nil {
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
	if err := copyAttributes(d.upper(), layers[0]); err != nil {
		return err
	}
	plain := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s",
		strings.Join(layers, ":"), d.upper(), filepath.Join(d.path(), "work"))
	// Nobody mounts the upper layer again after a crash, so nothing need ever reach the disk; and a folder of the base
	// can be renamed as on any file system; without an index a stopped guest's upper layer may carry its copy. Kernels
	// before 5.10 do not know all three.
	err := unix.Mount("overlay", d.root(), "overlay", 0, plain+",volatile,redirect_dir=on,index=off")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", d.root(), "overlay", 0, plain)
	}
	if err != nil {
		return fmt.Errorf("mounting overlay in %q: %w", d.work, err)
	}
	return nil
}

// copyAttributes gives the upper layer's folder, which stands for / of the overlay, what / of the base has.
func copyAttributes(to, from string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return &os.PathError{Op: "stat", Path: from, Err: err}
	}
	if err := errors.Join(
		unix.Chown(to, int(st.Uid), int(st.Gid)),
		unix.Chmod(to, st.Mode&0o7777),
		unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, 0),
	); err != nil {
		return fmt.Errorf("copying attributes of %q: %w", from, err)
	}
	return nil
}

// Reap ends the guest called name under work, whoever started it, and removes everything of it: what Close does, for
// when the process that started the guest is gone. A guest that is not there is no error.
func Reap(work, name string) error {
	if !validName(name) {
		return fmt.Errorf("reaping guest %q: not a guest's name", name)
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
	if err := errors.Join(err, removeControlGroups(ctx, name), removeNspawnFolder(name)); err != nil {
		return fmt.Errorf("removing guest %q: %w", name, err)
	}
	return nil
}

// kill ends every process of the guest: systemd-nspawn first, so that it cannot start another.
func (d hostDir) kill(ctx context.Context) error {
	want := "--directory=" + d.root()
	if err := seal.KillAll(ctx, func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.Contains(string(line)+"\x00", "\x00"+want+"\x00")
	}); err != nil {
		return err
	}
	own := seal.NamespaceOf(os.Getpid(), "mnt")
	return seal.KillAll(ctx, func(pid int) bool {
		ns := seal.NamespaceOf(pid, "mnt")
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
		err := whileBusy(ctx, func() error { return unix.Unmount(d.root(), unix.UMOUNT_NOFOLLOW) })
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // nothing is mounted there
		case err != nil:
			return fmt.Errorf("unmounting %q: %w", d.root(), err)
		}
	}
}

// whileBusy repeats f until it returns something other than EBUSY, or ctx ends.
func whileBusy(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, unix.EBUSY) || ctx.Err() != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
