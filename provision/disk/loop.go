package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// loopTries is how often another process may take the free device that the kernel named.
const loopTries = 64

// attach returns a loop device for a part of a disk, read-only if that is how f was opened. The kernel detaches it when
// the last of its users is gone: the returned file and mounts of it.
func attach(f *os.File, p partition, write bool) (*os.File, error) {
	return attachBy(f, p, write, configure)
}

func attachBy(f *os.File, p partition, write bool, configure func(loop, f *os.File, info unix.LoopInfo64) error) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	mode, flags := os.O_RDONLY, uint32(unix.LO_FLAGS_AUTOCLEAR|unix.LO_FLAGS_READ_ONLY)
	if write {
		mode, flags = os.O_RDWR, unix.LO_FLAGS_AUTOCLEAR
	}
	for range loopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), mode, 0)
		if err != nil {
			return nil, err
		}
		info := unix.LoopInfo64{Offset: uint64(p.offset), Sizelimit: uint64(p.len), Flags: flags}
		copy(info.File_name[:len(info.File_name)-1], f.Name())
		if err = configure(loop, f, info); err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("attaching %q to %q: %w", f.Name(), loop.Name(), err)
		}
	}
	return nil, fmt.Errorf("attaching %q: no loop device is free: %w", f.Name(), unix.EBUSY)
}

func configure(loop, f *os.File, info unix.LoopInfo64) error {
	err := unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{Fd: uint32(f.Fd()), Info: info})
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTTY) {
		return err
	}
	return configureOld(loop, f, info)
}

// configureOld is for kernels before 5.8, which take two steps (loop(4)).
func configureOld(loop, f *os.File, info unix.LoopInfo64) error {
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(f.Fd())); err != nil {
		return err
	}
	if err := unix.IoctlLoopSetStatus64(int(loop.Fd()), &info); err != nil {
		return errors.Join(err, unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0))
	}
	return nil
}
