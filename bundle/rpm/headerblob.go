package rpm

import (
	"encoding/binary"
	"fmt"
)

// ReadHeaderBlob reads the header of an installed package as rpm keeps it in its database: a main header without magic,
// to which rpm has added entries about the installation, after the region that was signed or, where it changed something,
// in the place of one inside (rpm's hdrblobInit and hdrblobImport). Nothing about it is verified, as rpm verifies nothing
// of its own database. Start and End of the Header mean nothing.
func ReadHeaderBlob(blob []byte) (*Header, error) {
	x, err := readInstalledIndex(blob)
	if err != nil {
		return nil, fmt.Errorf("reading installed RPM header: %w", err)
	}
	if _, has := x.entries[tagArch]; !has { // public keys; rpm prints "(none)"
		x.entries[tagArch] = entry{kind: typeString, count: 1, data: []byte("(none)\x00")}
	}
	h, err := (&rawHeader{sig: &index{}, main: x}).decode()
	if err != nil {
		return nil, fmt.Errorf("reading installed RPM header: %w", err)
	}
	d := &decoder{index: x}
	if d.number(tagSourcePackage) == 0 {
		h.Arch = d.text(tagArch) // some packages do not tell their source; those of sources are never installed
	}
	if !isWord(h.Arch) {
		return nil, fmt.Errorf("reading installed RPM header: got %q with bad architecture: %w", h.NEVRA(), ErrMalformed)
	}
	return h, nil
}

func readInstalledIndex(blob []byte) (*index, error) {
	const introSize = 8 // counts
	if len(blob) < introSize {
		return nil, fmt.Errorf("got %d bytes: %w", len(blob), ErrMalformed)
	}
	count, dataSize := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if count == 0 || count > maxEntries || dataSize > maxData || int64(len(blob)) != introSize+int64(count)*entrySize+int64(dataSize) {
		return nil, fmt.Errorf("got %d entries and %d bytes in a blob of %d: %w", count, dataSize, len(blob), ErrMalformed)
	}
	infos, data := blob[introSize:introSize+count*entrySize], blob[introSize+count*entrySize:]
	x := &index{blob: blob, entries: make(map[tag]entry, count)}
	end := 0
	for i := 0; i < len(infos); i += entrySize {
		info := parseEntryInfo(infos[i:])
		if i == 0 && (info.tag == tagHeaderImmutable || info.tag == tagHeaderImage) {
			continue // the region; packages of rpm 3 have none
		}
		if info.tag < firstRealTag {
			return nil, fmt.Errorf("got entry with tag %d: %w", info.tag, ErrMalformed)
		}
		e, err := info.locate(data)
		if err != nil {
			return nil, fmt.Errorf("reading tag %d: %w", info.tag, err)
		}
		if int(info.offset) < end {
			return nil, fmt.Errorf("reading tag %d: data overlaps: %w", info.tag, ErrMalformed)
		}
		end = int(info.offset) + len(e.data)
		x.entries[info.tag] = e
	}
	return x, nil
}
