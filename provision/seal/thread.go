package seal

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThread runs fn on an operating-system thread of its own, which ends with it: whatever namespace, root folder or
// capability fn changes is gone afterwards and no other goroutine ever runs with it.
func OnThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			done <- fn() // never unlocked, so the runtime ends the thread
			return
		}
		// The first thread of a process cannot end; while this goroutine holds it another gets another thread.
		err := OnThread(fn)
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// inNetwork runs fn in the network namespace ns.
func inNetwork(ns *os.File, fn func() error) error {
	return OnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return fn()
	})
}

// newNetwork makes a network namespace that lives as long as the file or a process in it, after fn ran there.
func newNetwork(fn func() error) (ns *os.File, err error) {
	err = OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		if ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return fn()
	})
	if err != nil {
		ns.Close() // of a nil file too
		return nil, err
	}
	return ns, nil
}
