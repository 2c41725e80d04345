package guest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/provision/seal"
)

// Tree opens the root folder as the guest's own processes see it, with all that is mounted there: what they find in /tmp
// or /run is not under Root. The handle is good for system calls relative to it only (open(2), O_PATH). The caller closes
// it before it closes the guest.
func (g *Guest) Tree() (tree *os.File, err error) {
	err = seal.OnThread(func() error {
		// A thread that shares its root folder with others may not change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := unix.Setns(int(g.boot.spaces["mnt"].Fd()), unix.CLONE_NEWNS); err != nil {
			return os.NewSyscallError("setns", err)
		}
		tree, err = os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening files of guest %q: %w", g.name, err)
	}
	return tree, nil
}

// Down returns a channel that is closed when the guest has shut down, by itself, by Stop or by Close.
func (g *Guest) Down() <-chan struct{} { return g.boot.exited }

// Rebooted reports whether the guest shut down to start again, as `reboot` does in it. Starting it again is left to the
// caller, by Copy. It is false while the guest runs.
func (g *Guest) Rebooted() bool { return !g.boot.up() && g.boot.again }
