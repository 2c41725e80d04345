package disk

import "encoding/binary"

// Where a superblock lies and what it has where, in bytes (Linux, Documentation/filesystems/ext4/super.rst).
const (
	superOffset = 1024
	superSize   = 1024

	extMagic       = 0xef53
	stateClean     = 1
	stateErrors    = 2
	hasJournal     = 0x0004 // of the compatible features
	needsRecovery  = 0x0004 // of the incompatible
	journalDevice  = 0x0008
	usesExtents    = 0x0040
	wide           = 0x0080 // 64bit
	maxBlockShift  = 6      // blocks of 64 KiB
	minBlockLength = 1024
)

// isExt reports whether super, the superSize bytes at superOffset, claims to be the superblock of an ext2, 3 or 4 file
// system.
func isExt(super []byte) bool {
	return len(super) >= superSize && binary.LittleEndian.Uint16(super[56:]) == extMagic
}

// checkExt fails unless a superblock is that of an ext3 or ext4 file system that fits into size bytes and was unmounted
// cleanly.
func checkExt(super []byte, size int64) error {
	if !isExt(super) {
		return unusable("no ext3 or ext4 file system")
	}
	u32 := func(offset int) uint32 { return binary.LittleEndian.Uint32(super[offset:]) }
	shift, compatible, incompatible := u32(24), u32(92), u32(96)
	blocks := uint64(u32(4))
	if incompatible&wide != 0 {
		blocks |= uint64(u32(336)) << 32
	}
	state := binary.LittleEndian.Uint16(super[58:])
	switch {
	case shift > maxBlockShift || blocks == 0:
		return unusablef("a broken ext file system: got %d blocks of %d<<%d bytes", blocks, minBlockLength, shift)
	case blocks > uint64(size)>>(10+shift):
		return unusablef("a file system that is cut off: got %d blocks of %d bytes, which do not fit into %d bytes",
			blocks, minBlockLength<<shift, size)
	case incompatible&journalDevice != 0:
		return unusable("the journal of another file system")
	case compatible&hasJournal == 0 && incompatible&usesExtents == 0:
		return unusable("ext2, want ext3 or ext4")
	case incompatible&needsRecovery != 0 || state&stateClean == 0:
		return unusable("a file system that was not unmounted cleanly; boot the machine and shut it down first")
	case state&stateErrors != 0:
		return unusable("a file system with errors; run e2fsck on it first")
	}
	return nil
}
