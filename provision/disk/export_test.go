package disk

import "os"

// ParseTable and CheckExt are for fuzzing; FormatOf for formats that no tool here writes.
var (
	ParseTable = parseTable
	CheckExt   = checkExt
	FormatOf   = formatOf
)

// Partition has the fields of a partition.
type Partition = partition

// Bounds returns where a partition lies, in bytes.
func (p partition) Bounds() (offset, length int64) { return p.offset, p.len }

// Attach is attach.
func Attach(f *os.File, offset, length int64, write bool) (*os.File, error) {
	return attach(f, partition{offset: offset, len: length}, write)
}

// AttachOld is attach on a kernel before 5.8.
func AttachOld(f *os.File, offset, length int64, write bool) (*os.File, error) {
	return attachBy(f, partition{offset: offset, len: length}, write, configureOld)
}
