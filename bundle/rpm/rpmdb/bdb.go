package rpmdb

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The parts of a Berkeley DB hash file that hold data (libdb's src/dbinc/db_page.h and hash_page.c). A page begins with a
// head of 26 bytes; on a hash page, 16-bit offsets of items follow, keys and values in turn. A value that is too large for
// its page stands in a chain of overflow pages.
const (
	bdbHashMagic = 0x061561
	bdbMeta      = 8  // page types
	bdbHash      = 13 // items sorted by key
	bdbHashOld   = 2  // not sorted: Berkeley DB before 4.6, CentOS 5
	bdbOverflow  = 7
	bdbHead      = 26
	bdbInline    = 1 // kinds of items
	bdbOffPage   = 3
)

func bdbMagic(order binary.AppendByteOrder) []byte { return order.AppendUint32(nil, bdbHashMagic) }

// bdb reads a file in the byte order of the machine that wrote it.
type bdb struct {
	pages
	order binary.ByteOrder
	visit func(number uint32, blob []byte) error
}

func readBDB(r io.ReaderAt, size int64, visit func(uint32, []byte) error) error {
	meta := make([]byte, 72)
	if err := readAt(r, meta, 0); err != nil {
		return err
	}
	d := &bdb{order: binary.LittleEndian, visit: visit}
	if d.order.Uint32(meta[12:]) != bdbHashMagic {
		d.order = binary.BigEndian
	}
	pageSize := int64(d.order.Uint32(meta[20:]))
	if pageSize < 512 || pageSize > 64<<10 || pageSize&(pageSize-1) != 0 || meta[24] != 0 || meta[25] != bdbMeta {
		return fmt.Errorf("got pages of %d bytes, encryption %d and page type %d: %w", pageSize, meta[24], meta[25], ErrMalformed)
	}
	last := int64(d.order.Uint32(meta[32:]))
	if (last+1)*pageSize > size {
		return fmt.Errorf("got %d bytes, want %d pages of %d: %w", size, last+1, pageSize, ErrMalformed)
	}
	d.pages = pages{r: r, size: pageSize, count: last + 1, seen: map[uint32]bool{0: true}}
	head := make([]byte, bdbHead)
	for number := int64(1); number <= last; number++ {
		if err := readAt(r, head, number*pageSize); err != nil {
			return err
		}
		if kind := head[25]; kind != bdbHash && kind != bdbHashOld {
			continue
		}
		page, err := d.read(uint32(number))
		if err != nil {
			return err
		}
		if err := d.items(page); err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
	}
	return nil
}

// items reads the pairs of a hash page: the number of a package, in four bytes, and its header. Number 0 stands for a
// counter of rpm's.
func (d *bdb) items(page []byte) error {
	count := int(d.order.Uint16(page[20:]))
	if count%2 != 0 || bdbHead+2*count > len(page) {
		return fmt.Errorf("got %d items: %w", count, ErrMalformed)
	}
	end := len(page) // items fill the page from its end
	item := func(i int) ([]byte, error) {
		start := int(d.order.Uint16(page[bdbHead+2*i:]))
		if start < bdbHead+2*count || start >= end {
			return nil, fmt.Errorf("got item %d at byte %d of %d: %w", i, start, end, ErrMalformed)
		}
		data := page[start:end]
		end = start
		return data, nil
	}
	for i := 0; i < count; i += 2 {
		key, err := item(i)
		if err != nil {
			return err
		}
		value, err := item(i + 1)
		if err != nil {
			return err
		}
		if len(key) != 5 || key[0] != bdbInline {
			return fmt.Errorf("got a key of %d bytes: %w", len(key), ErrMalformed)
		}
		number := d.order.Uint32(key[1:])
		if number == 0 {
			continue
		}
		blob, err := d.value(value)
		if err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
		if err := d.visit(number, blob); err != nil {
			return err
		}
	}
	return nil
}

func (d *bdb) value(item []byte) ([]byte, error) {
	switch {
	case item[0] == bdbInline:
		return item[1:], nil
	case item[0] == bdbOffPage && len(item) == 12:
		return d.chain(d.order.Uint32(item[4:]), int64(d.order.Uint32(item[8:])))
	}
	return nil, fmt.Errorf("got a value of kind %d in %d bytes: %w", item[0], len(item), ErrMalformed)
}

// chain reads a value of length bytes from overflow pages.
func (d *bdb) chain(number uint32, length int64) ([]byte, error) {
	if length > d.size*d.count {
		return nil, fmt.Errorf("got a value of %d bytes: %w", length, ErrMalformed)
	}
	var value []byte
	for number != 0 {
		page, err := d.read(number)
		if err != nil {
			return nil, err
		}
		used := int(d.order.Uint16(page[22:]))
		if page[25] != bdbOverflow || bdbHead+used > len(page) || int64(len(value)+used) > length {
			return nil, fmt.Errorf("got page %d of type %d with %d bytes in a value of %d: %w", number, page[25], used, length, ErrMalformed)
		}
		value = append(value, page[bdbHead:bdbHead+used]...)
		number = d.order.Uint32(page[16:])
	}
	if int64(len(value)) != length {
		return nil, fmt.Errorf("got %d bytes of a value, want %d: %w", len(value), length, ErrMalformed)
	}
	return value, nil
}
