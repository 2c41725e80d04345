package bundle

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// reflink makes dst share the blocks of src. Few file systems can: btrfs, xfs, bcachefs, overlay over one of them.
func reflink(dst, src *os.File) error {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
}

// hardLink makes path a link to the open file itself, whatever its name stands for by now.
func hardLink(src *os.File, path string) error {
	fd := "/proc/self/fd/" + strconv.Itoa(int(src.Fd()))
	return unix.Linkat(unix.AT_FDCWD, fd, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// syncTree brings a folder and all that is in it to the disk. One call for its whole file system costs less than one
// for each file.
func syncTree(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }

// exchange swaps two folders in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
