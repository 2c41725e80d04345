package disk

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// sectorSize is what partition tables count in: the only size that machines with an MBR are known to boot from.
const sectorSize = 512

// partition is a part of a disk, in bytes.
type partition struct {
	number      int // from 1, as in sda1; 0 for a whole disk
	offset, len int64
}

func (p partition) String() string {
	if p.number == 0 {
		return "the disk"
	}
	return fmt.Sprintf("partition %d", p.number)
}

// Where an MBR has what, in bytes, and what it may say (UEFI 2.10, 5.2; the same as every fdisk writes).
const (
	mbrCode      = 440
	mbrEntries   = 446
	mbrEntrySize = 16
	mbrSignature = 510

	kindEmpty      = 0x00
	kindProtective = 0xee // of a GPT
)

// hasTable reports whether the first sector claims to be an MBR.
func hasTable(sector []byte) bool {
	return len(sector) >= sectorSize && sector[mbrSignature] == 0x55 && sector[mbrSignature+1] == 0xaa
}

// bootable reports whether an MBR holds a boot loader's code.
func bootable(sector []byte) bool {
	return slices.ContainsFunc(sector[:mbrCode], func(b byte) bool { return b != 0 })
}

// parseTable reads the MBR of a disk of size bytes, which begins with head: two sectors at least. It returns the primary
// partitions that hold anything themselves, in the order of the table. Anything that two programs might read in two ways is
// an error.
func parseTable(head []byte, size int64) ([]partition, error) {
	if len(head) < 2*sectorSize || !hasTable(head) {
		return nil, unusable("it holds neither an MBR nor an ext3 or ext4 file system")
	}
	if string(head[sectorSize:sectorSize+8]) == "EFI PART" {
		return nil, unusable("it has a GPT, want an MBR: the cloud imports no other")
	}
	var all []partition
	for i := range 4 {
		e := head[mbrEntries+i*mbrEntrySize:][:mbrEntrySize]
		p := partition{
			number: i + 1,
			offset: int64(binary.LittleEndian.Uint32(e[8:])) * sectorSize,
			len:    int64(binary.LittleEndian.Uint32(e[12:])) * sectorSize,
		}
		switch kind := e[4]; {
		case kind == kindEmpty && p.len == 0:
			continue
		case kind == kindProtective:
			return nil, unusable("it has a GPT, want an MBR: the cloud imports no other")
		case e[0]&^0x80 != 0 || kind == kindEmpty || p.offset == 0 || p.len == 0:
			return nil, unusablef("%v is not one: got status %#x, type %#x, offset %d, length %d", p, e[0], kind, p.offset, p.len)
		case p.offset+p.len > size:
			return nil, unusablef("%v ends at %d, but the disk at %d: it is cut off", p, p.offset+p.len, size)
		}
		for _, q := range all {
			if p.offset < q.offset+q.len && q.offset < p.offset+p.len {
				return nil, unusablef("%v and %v overlap", q, p)
			}
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, unusable("its MBR has no partition")
	}
	return all, nil
}

// contentOf names what the first bytes of a partition say that it holds: for errors, and so for what people have.
func contentOf(head []byte) string {
	at := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case at(0, "XFSB"):
		return "xfs"
	case at(0x10040, "_BHRfS_M"):
		return "btrfs"
	case at(sectorSize, "LABELONE"):
		return "an LVM volume"
	case at(0, "LUKS\xba\xbe"):
		return "an encrypted volume"
	case at(4086, "SWAPSPACE2"):
		return "swap"
	case at(82, "FAT32"), at(54, "FAT1"):
		return "FAT"
	case at(3, "NTFS"):
		return "NTFS"
	case hasTable(head):
		return "another partition table or a boot sector"
	}
	return "nothing known"
}
