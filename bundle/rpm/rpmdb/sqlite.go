package rpmdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The parts of a SQLite file that hold the rows of a table (sqlite.org/fileformat2.html). A table is a tree of pages: inner
// pages point to others, leaves hold cells. A cell is a row: its number, and a record of its columns, which may go on in a
// chain of overflow pages. All numbers are big-endian.
const (
	sqliteMagic    = "SQLite format 3\x00"
	sqliteHead     = 100 // bytes of the file's head, which begins its first page
	sqliteInner    = 5   // page types
	sqliteLeaf     = 13
	sqliteMaxDepth = 20
	sqliteText     = 13 // serial types: 13 and every second number above are texts, 12 and so on blobs
	sqliteBlob     = 12
)

// sqlite reads the tables of a file.
type sqlite struct {
	pages
	usable int64 // bytes of a page
	taken  int64 // bytes of rows: more than the file has is the same one twice
}

func readSQLite(r io.ReaderAt, size int64, visit func(uint32, []byte) error) error {
	head := make([]byte, sqliteHead)
	if err := readAt(r, head, 0); err != nil {
		return err
	}
	pageSize := int64(binary.BigEndian.Uint16(head[16:]))
	if pageSize == 1 {
		pageSize = 64 << 10
	}
	d := &sqlite{usable: pageSize - int64(head[20])}
	if pageSize < 512 || pageSize&(pageSize-1) != 0 || d.usable < 480 || size%pageSize != 0 {
		return fmt.Errorf("got %d bytes in pages of %d with %d to spare: %w", size, pageSize, head[20], ErrMalformed)
	}
	if encoding := binary.BigEndian.Uint32(head[56:]); encoding != 1 {
		return fmt.Errorf("got text encoding %d, want UTF-8: %w", encoding, ErrMalformed)
	}
	d.pages = pages{r: r, size: pageSize, count: size / pageSize, seen: map[uint32]bool{}, first: 1}
	root, err := d.table("Packages")
	if err != nil {
		return err
	}
	return d.walk(root, 0, func(number int64, columns []column) error {
		if len(columns) < 2 || columns[1].kind < sqliteBlob || columns[1].kind%2 != 0 || number <= 0 || number > 1<<32-1 {
			return fmt.Errorf("got row %d with %d columns, want a header in the second: %w", number, len(columns), ErrMalformed)
		}
		return visit(uint32(number), columns[1].data)
	})
}

// column is a value of a row. kind is its serial type.
type column struct {
	kind uint64
	data []byte
}

func (c column) text() string {
	if c.kind < sqliteText || c.kind%2 == 0 {
		return ""
	}
	return string(c.data)
}

var errFound = errors.New("found")

// table is the root page of a table, from the schema on the first page: rows of type, name, table, root page and SQL.
func (d *sqlite) table(name string) (root uint32, err error) {
	err = d.walk(1, 0, func(_ int64, columns []column) error {
		if len(columns) < 5 || columns[0].text() != "table" || !strings.EqualFold(columns[1].text(), name) {
			return nil
		}
		if k := columns[3].kind; k < 1 || k > 4 {
			return fmt.Errorf("got table %q without root page: %w", name, ErrMalformed)
		}
		for _, b := range columns[3].data {
			root = root<<8 | uint32(b)
		}
		return errFound
	})
	if err == nil {
		return 0, fmt.Errorf("got no table %q: %w", name, ErrMalformed)
	}
	if err != errFound {
		return 0, fmt.Errorf("reading schema: %w", err)
	}
	return root, nil
}

// walk calls row for every row below a page, in the order of their numbers.
func (d *sqlite) walk(number uint32, depth int, row func(number int64, columns []column) error) error {
	page, err := d.read(number)
	if err != nil {
		return err
	}
	head := page
	if number == 1 {
		head = page[sqliteHead:]
	}
	kind, count := head[0], int64(binary.BigEndian.Uint16(head[3:]))
	headSize := int64(len(page)-len(head)) + 8
	if kind == sqliteInner {
		headSize += 4
	}
	if kind != sqliteInner && kind != sqliteLeaf || headSize+2*count > d.usable || depth > sqliteMaxDepth {
		return fmt.Errorf("got page %d of type %d with %d cells: %w", number, kind, count, ErrMalformed)
	}
	for i := range count {
		start := int64(binary.BigEndian.Uint16(page[headSize+2*i:]))
		if start < headSize+2*count || start+4 > d.usable {
			return fmt.Errorf("got cell %d of page %d at byte %d: %w", i, number, start, ErrMalformed)
		}
		cell := page[start:d.usable]
		if kind == sqliteInner {
			err = d.walk(binary.BigEndian.Uint32(cell), depth+1, row)
		} else {
			err = d.leaf(cell, row)
		}
		if err != nil {
			return err
		}
	}
	if kind == sqliteInner {
		return d.walk(binary.BigEndian.Uint32(head[8:]), depth+1, row)
	}
	return nil
}

// leaf reads one row.
func (d *sqlite) leaf(cell []byte, row func(number int64, columns []column) error) error {
	size, cell, ok1 := varint(cell)
	number, cell, ok2 := varint(cell)
	left := d.size*d.count - d.taken
	if !ok1 || !ok2 || size > uint64(left) {
		return fmt.Errorf("got a cell of %d bytes: %w", size, ErrMalformed)
	}
	d.taken += int64(size)
	payload, err := d.payload(cell, int64(size))
	if err != nil {
		return err
	}
	columns, err := record(payload)
	if err != nil {
		return err
	}
	return row(int64(number), columns)
}

// payload is what a cell holds, with what of it stands on overflow pages. How much does not, is section 1.6 of the format.
func (d *sqlite) payload(cell []byte, size int64) ([]byte, error) {
	local := size
	if most := d.usable - 35; size > most {
		least := (d.usable-12)*32/255 - 23
		if local = least + (size-least)%(d.usable-4); local > most {
			local = least
		}
	}
	whole := local == size
	if local > int64(len(cell)) || !whole && local+4 > int64(len(cell)) {
		return nil, fmt.Errorf("got a cell that ends after %d bytes: %w", len(cell), ErrMalformed)
	}
	if whole {
		return cell[:size], nil
	}
	payload := append([]byte(nil), cell[:local]...)
	next := binary.BigEndian.Uint32(cell[local:])
	for int64(len(payload)) < size {
		page, err := d.read(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(page)
		payload = append(payload, page[4:4+min(d.usable-4, size-int64(len(payload)))]...)
	}
	return payload, nil
}

// record splits a payload into columns: a head with its own size and a serial type for each column, then their bytes.
func record(payload []byte) ([]column, error) {
	bad := fmt.Errorf("got a bad record of %d bytes: %w", len(payload), ErrMalformed)
	headSize, rest, ok := varint(payload)
	if !ok || headSize > uint64(len(payload)) || int(headSize) < len(payload)-len(rest) {
		return nil, bad
	}
	types, data := payload[len(payload)-len(rest):headSize], payload[headSize:]
	var columns []column
	for len(types) > 0 {
		var kind uint64
		if kind, types, ok = varint(types); !ok {
			return nil, bad
		}
		size := columnSize(kind)
		if size > uint64(len(data)) {
			return nil, bad
		}
		columns = append(columns, column{kind, data[:size]})
		data = data[size:]
	}
	return columns, nil
}

// columnSize is the bytes of a value of a serial type.
func columnSize(kind uint64) uint64 {
	if kind >= sqliteBlob {
		return (kind - sqliteBlob) / 2
	}
	return uint64([...]uint8{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0}[kind])
}

// varint reads a number of one to nine bytes: seven bits of each, the high ones first, all eight of a ninth.
func varint(b []byte) (n uint64, rest []byte, ok bool) {
	for i, c := range b {
		if i == 8 {
			return n<<8 | uint64(c), b[9:], true
		}
		n = n<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}
