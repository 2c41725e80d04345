package rpmdb_test

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
)

// headerBlob is the header of an installed package as rpm stores it, with what it takes to be one.
func headerBlob(name string) []byte {
	var index, data []byte
	for i, value := range []string{name, "1.0", "1", "noarch"} {
		for _, n := range []int{[]int{1000, 1001, 1002, 1022}[i], 6, len(data), 1} {
			index = binary.BigEndian.AppendUint32(index, uint32(n))
		}
		data = append(append(data, value...), 0)
	}
	blob := binary.BigEndian.AppendUint32(nil, uint32(len(index)/16))
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(data)))
	return append(append(blob, index...), data...)
}

const craftPage = 512

// bdbOf is a Berkeley DB hash of pages of 512 bytes: the head, one page of items, and an overflow chain for each blob but
// the first, which stands on the page.
func bdbOf(blobs ...[]byte) []byte {
	le := binary.LittleEndian
	meta, items := make([]byte, craftPage), make([]byte, craftPage)
	var chains []byte
	items[25] = 13
	end, count := craftPage, 0
	add := func(item []byte) {
		end -= len(item)
		copy(items[end:], item)
		le.PutUint16(items[26+2*count:], uint16(end))
		count++
	}
	for i, blob := range blobs {
		add(le.AppendUint32([]byte{1}, uint32(i+1)))
		if i == 0 {
			add(append([]byte{1}, blob...))
			continue
		}
		next := uint32(2 + len(chains)/craftPage)
		add(le.AppendUint32(le.AppendUint32([]byte{3, 0, 0, 0}, next), uint32(len(blob))))
		for len(blob) > 0 {
			page := make([]byte, craftPage)
			n := copy(page[26:], blob[:min(len(blob), 60)])
			page[25] = 7
			le.PutUint16(page[22:], uint16(n))
			if blob = blob[n:]; len(blob) > 0 {
				next++
				le.PutUint32(page[16:], next)
			}
			chains = append(chains, page...)
		}
	}
	le.PutUint16(items[20:], uint16(count))
	le.PutUint32(meta[12:], 0x061561)
	le.PutUint32(meta[20:], craftPage)
	meta[25] = 8
	le.PutUint32(meta[32:], uint32(1+len(chains)/craftPage))
	return bytes.Join([][]byte{meta, items, chains}, nil)
}

// ndbOf is a database of rpm's own kind with one page of slots.
func ndbOf(blobs ...[]byte) []byte {
	le := binary.LittleEndian
	file := make([]byte, 4096)
	copy(file, "RpmP")
	le.PutUint32(file[12:], 1)
	for i := 32; i < len(file); i += 16 {
		copy(file[i:], "Slot")
	}
	for i, blob := range blobs {
		body := append([]byte("BlbS"), make([]byte, 12)...)
		le.PutUint32(body[4:], uint32(i+1))
		le.PutUint32(body[12:], uint32(len(blob)))
		body = append(body, blob...)
		body = append(body, make([]byte, -(len(body)+12)&15)...)
		slot := file[32+16*i:]
		le.PutUint32(slot[4:], uint32(i+1))
		le.PutUint32(slot[8:], uint32(len(file)/16))
		le.PutUint32(slot[12:], uint32((len(body)+12)/16))
		file = append(file, body...)
		file = le.AppendUint32(file, adler32.Checksum(body))
		file = le.AppendUint32(file, uint32(len(blob)))
		file = append(file, "BlbE"...)
	}
	return file
}

// sqliteOf is a SQLite file of pages of 512 bytes: the schema, an inner page, and a leaf for each blob, with an overflow
// chain where the blob takes more than a page.
func sqliteOf(blobs ...[]byte) []byte {
	be := binary.BigEndian
	pages := [][]byte{make([]byte, craftPage), make([]byte, craftPage)}
	leaf := func(page []byte, head int, cell []byte) {
		page[head] = 13
		be.PutUint16(page[head+3:], 1)
		start := craftPage - len(cell)
		be.PutUint16(page[head+8:], uint16(start))
		copy(page[start:], cell)
	}
	copy(pages[0], "SQLite format 3\x00")
	be.PutUint16(pages[0][16:], craftPage)
	be.PutUint32(pages[0][56:], 1)
	schema := []byte{6, 13 + 2*5, 13 + 2*8, 13 + 2*8, 1, 13 + 2*3}
	schema = append(schema, "tablePackagesPackages\x02sql"...)
	leaf(pages[0], 100, append([]byte{byte(len(schema)), 1}, schema...))

	inner := pages[1]
	inner[0] = 5
	be.PutUint16(inner[3:], uint16(len(blobs)-1))
	for i, blob := range blobs {
		kind := 12 + 2*len(blob)
		payload := append([]byte{4, 0, byte(kind>>7) | 0x80, byte(kind & 0x7f)}, blob...)
		size := len(payload)
		local := size
		if most := craftPage - 35; size > most {
			least := (craftPage-12)*32/255 - 23
			if local = least + (size-least)%(craftPage-4); local > most {
				local = least
			}
		}
		page := make([]byte, craftPage)
		pages = append(pages, page)
		number := uint32(len(pages))
		cell := append([]byte{byte(size>>7) | 0x80, byte(size & 0x7f), byte(i + 1)}, payload[:local]...)
		if local < size {
			cell = be.AppendUint32(cell, number+1)
		}
		leaf(page, 0, cell)
		for rest := payload[local:]; len(rest) > 0; {
			more := make([]byte, craftPage)
			n := copy(more[4:], rest)
			pages = append(pages, more)
			if rest = rest[n:]; len(rest) > 0 {
				be.PutUint32(more, uint32(len(pages)+1))
			}
		}
		if i == len(blobs)-1 {
			be.PutUint32(inner[8:], number)
			break
		}
		at := craftPage - 5*(i+1)
		be.PutUint16(inner[12+2*i:], uint16(at))
		be.PutUint32(inner[at:], number)
		inner[at+4] = byte(i + 1)
	}
	return bytes.Join(pages, nil)
}
