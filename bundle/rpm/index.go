package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of one header structure, as rpm 4.18 has them (lib/header.c, hdrblobRead).
const (
	maxEntries    = 0xffff
	maxData       = 0x0fffffff
	maxSigEntries = 32
	maxSigData    = 64 << 20
)

// The sizes of a header structure's parts.
const (
	introSize = 16 // magic, reserved, counts
	entrySize = 16
)

// Types of index entries.
const (
	typeChar        = 1
	typeInt8        = 2
	typeInt16       = 3
	typeInt32       = 4
	typeInt64       = 5
	typeString      = 6
	typeBin         = 7
	typeStringArray = 8
	typeI18NString  = 9
)

// index is a header structure: rpm's container for the signature and for the main header.
type index struct {
	blob    []byte // all of it as stored, intro included: what digests and signatures cover
	entries map[tag]entry
}

type entry struct {
	kind  uint32
	count int
	at    int    // where the data begins within all data
	data  []byte // exactly the entry's bytes
}

// entryInfo is an index entry as stored, big-endian.
type entryInfo struct {
	tag    tag
	kind   uint32
	offset int32
	count  uint32
}

func parseEntryInfo(b []byte) entryInfo {
	return entryInfo{
		tag:    tag(binary.BigEndian.Uint32(b)),
		kind:   binary.BigEndian.Uint32(b[4:]),
		offset: int32(binary.BigEndian.Uint32(b[8:])),
		count:  binary.BigEndian.Uint32(b[12:]),
	}
}

// headerMagic begins every header structure: magic, the version of the format, four reserved bytes.
const headerMagic = "\x8e\xad\xe8\x01\x00\x00\x00\x00"

// ErrMalformed says that bytes are not an RPM file as rpm itself would take it.
var ErrMalformed = errors.New("malformed header")

var errNoSuchData = fmt.Errorf("data outside of the header: %w", ErrMalformed)

// readIndex reads one header structure. region is the tag that must come first and cover it whole, so that nothing in it is
// outside of what was there when it was made; rpm writes it since version 4.
func readIndex(r io.Reader, region tag) (*index, error) {
	intro := make([]byte, introSize)
	if _, err := io.ReadFull(r, intro); err != nil {
		return nil, unexpectedEOF(err)
	}
	if string(intro[:8]) != headerMagic {
		return nil, fmt.Errorf("got magic %x, want %x: %w", intro[:8], headerMagic, ErrMalformed)
	}
	entries, data := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	entriesMax, dataMax := uint32(maxEntries), uint32(maxData)
	if region == tagHeaderSignatures {
		entriesMax, dataMax = maxSigEntries, maxSigData
	}
	if entries == 0 || entries > entriesMax || data > dataMax {
		return nil, fmt.Errorf("got %d entries and %d bytes, want 1 to %d and at most %d: %w", entries, data, entriesMax, dataMax, ErrMalformed)
	}
	size := int64(entries)*entrySize + int64(data)
	var blob bytes.Buffer // grows with what really comes, not with what is announced
	blob.Write(intro)
	if n, err := io.CopyN(&blob, r, size); err != nil {
		return nil, fmt.Errorf("got %d bytes of header, want %d: %w", n, size, unexpectedEOF(err))
	}
	x := &index{blob: blob.Bytes(), entries: make(map[tag]entry, entries)}
	return x, x.parse(int(entries), region)
}

func (x *index) parse(count int, region tag) error {
	infos := x.blob[introSize : introSize+count*entrySize]
	data := x.blob[introSize+count*entrySize:]
	if err := checkRegion(infos, data, region); err != nil {
		return err
	}
	end := 0
	for i := entrySize; i < len(infos); i += entrySize {
		info := parseEntryInfo(infos[i:])
		if info.tag < firstRealTag {
			return fmt.Errorf("got entry with tag %d: %w", info.tag, ErrMalformed)
		}
		e, err := info.locate(data)
		if err != nil {
			return fmt.Errorf("reading tag %d: %w", info.tag, err)
		}
		if int(info.offset) < end { // as rpm: in order and without overlap, so no byte means two things
			return fmt.Errorf("reading tag %d: data overlaps: %w", info.tag, ErrMalformed)
		}
		end = int(info.offset) + len(e.data)
		if _, twice := x.entries[info.tag]; twice {
			return fmt.Errorf("got tag %d twice: %w", info.tag, ErrMalformed)
		}
		x.entries[info.tag] = e
	}
	return nil
}

// checkRegion checks the first entry, which says how much of the header was there when it was made. It has to be all: rpm
// appends nothing in a package file.
func checkRegion(infos, data []byte, region tag) error {
	info := parseEntryInfo(infos)
	if info.tag != region || info.kind != typeBin || info.count != entrySize || info.offset < 0 || int(info.offset) > len(data)-entrySize {
		return fmt.Errorf("got first entry with tag %d, want region %d: %w", info.tag, region, ErrMalformed)
	}
	trailer := parseEntryInfo(data[info.offset:])
	covered := -int64(trailer.offset)
	known := trailer.tag == region || region == tagHeaderSignatures && trailer.tag == tagHeaderImage // rpm before 4.0.4
	if !known || trailer.kind != typeBin || trailer.count != entrySize || covered <= 0 || covered%entrySize != 0 || covered > int64(len(infos)) {
		return fmt.Errorf("got bad trailer of region %d: %w", region, ErrMalformed)
	}
	if covered != int64(len(infos)) || region == tagHeaderImmutable && int(info.offset)+entrySize != len(data) {
		return fmt.Errorf("got region %d that covers only a part of the header: %w", region, ErrMalformed)
	}
	return nil
}

// locate finds the bytes of an entry.
func (info entryInfo) locate(data []byte) (entry, error) {
	if info.offset < 0 || int(info.offset) > len(data) || info.count == 0 || info.count > maxData {
		return entry{}, errNoSuchData
	}
	data = data[info.offset:]
	size := 0
	switch info.kind {
	case typeChar, typeInt8, typeBin:
		size = int(info.count)
	case typeInt16:
		size = 2 * int(info.count)
	case typeInt32:
		size = 4 * int(info.count)
	case typeInt64:
		size = 8 * int(info.count)
	case typeString, typeStringArray, typeI18NString:
		if info.kind == typeString && info.count != 1 {
			return entry{}, ErrMalformed
		}
		for range info.count {
			i := bytes.IndexByte(data[size:], 0)
			if i < 0 {
				return entry{}, errNoSuchData
			}
			size += i + 1
		}
	default:
		return entry{}, fmt.Errorf("got type %d: %w", info.kind, ErrMalformed)
	}
	if size > len(data) {
		return entry{}, errNoSuchData
	}
	return entry{kind: info.kind, count: int(info.count), at: int(info.offset), data: data[:size]}, nil
}

func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
