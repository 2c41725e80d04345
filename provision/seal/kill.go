package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cleanupTimeout bounds how long the kernel may take to end processes.
const cleanupTimeout = 20 * time.Second

// KillAll kills every process that match accepts, and what those started meanwhile, and returns when none is left.
func KillAll(ctx context.Context, match func(pid int) bool) error {
	for {
		found, err := processes(match)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, pid := range found {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("killing process %d: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d processes to end: %w", len(found), ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

func processes(match func(pid int) bool) (found []int, err error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && match(pid) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// NamespaceOf identifies a namespace (proc_pid_ns(5)) of a process; 0 for a process that is gone, or dead and not yet
// waited for.
func NamespaceOf(pid int, kind string) uint64 {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), &st); err != nil {
		return 0
	}
	return st.Ino
}

// killIn kills all processes in a network or a mount namespace, which the handles keep from being another's meanwhile.
func killIn(ctx context.Context, network, mounts *os.File) error {
	net, err := inode(network)
	if err != nil {
		return err
	}
	mnt, err := inode(mounts)
	if err != nil {
		return err
	}
	return KillAll(ctx, func(pid int) bool { return NamespaceOf(pid, "net") == net || NamespaceOf(pid, "mnt") == mnt })
}

func inode(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Ino, nil
}
