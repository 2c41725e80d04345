package rpmdb

import (
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"io"
)

// The parts of rpm's own database (rpm 4.18's lib/backend/ndb/rpmpkg.c): pages of slots, the first two of which are the
// head of the file, and blobs in blocks of 16 bytes. All numbers are little-endian.
const (
	ndbMagic     = 'R' | 'p'<<8 | 'm'<<16 | 'P'<<24
	ndbSlotMagic = 'S' | 'l'<<8 | 'o'<<16 | 't'<<24
	ndbBlobMagic = 'B' | 'l'<<8 | 'b'<<16 | 'S'<<24
	ndbTailMagic = 'B' | 'l'<<8 | 'b'<<16 | 'E'<<24
	ndbPage      = 4096
	ndbSlot      = 16
	ndbBlock     = 16
	ndbBlobHead  = 16
	ndbBlobTail  = 12
)

func readNDB(r io.ReaderAt, size int64, visit func(uint32, []byte) error) error {
	head := make([]byte, 2*ndbSlot)
	if err := readAt(r, head, 0); err != nil {
		return err
	}
	version, slotPages := binary.LittleEndian.Uint32(head[4:]), int64(binary.LittleEndian.Uint32(head[12:]))
	if version != 0 || slotPages == 0 || slotPages*ndbPage > size {
		return fmt.Errorf("got version %d with %d pages of slots: %w", version, slotPages, ErrMalformed)
	}
	slots := make([]byte, slotPages*ndbPage)
	if err := readAt(r, slots, 0); err != nil {
		return err
	}
	taken := int64(0) // bytes of blobs: more than the file has is the same one twice
	for i := 2 * ndbSlot; i < len(slots); i += ndbSlot {
		slot := slots[i : i+ndbSlot]
		number := binary.LittleEndian.Uint32(slot[4:])
		if binary.LittleEndian.Uint32(slot) != ndbSlotMagic {
			return fmt.Errorf("got slot %d with magic %x: %w", i/ndbSlot, slot[:4], ErrMalformed)
		}
		if number == 0 {
			continue
		}
		offset, length := int64(binary.LittleEndian.Uint32(slot[8:]))*ndbBlock, int64(binary.LittleEndian.Uint32(slot[12:]))*ndbBlock
		if taken += length; offset < int64(len(slots)) || offset+length > size || taken > size {
			return fmt.Errorf("got package %d in %d bytes at %d: %w", number, length, offset, ErrMalformed)
		}
		data := make([]byte, length)
		if err := readAt(r, data, offset); err != nil {
			return err
		}
		blob, err := ndbBlob(data, number)
		if err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
		if err := visit(number, blob); err != nil {
			return err
		}
	}
	return nil
}

// ndbBlob takes the header of a package out of its blocks, whose checksum is over all before it.
func ndbBlob(data []byte, number uint32) ([]byte, error) {
	if len(data) < ndbBlobHead+ndbBlobTail {
		return nil, fmt.Errorf("got a blob of %d bytes: %w", len(data), ErrMalformed)
	}
	body, tail := data[:len(data)-ndbBlobTail], data[len(data)-ndbBlobTail:]
	length := int64(binary.LittleEndian.Uint32(body[12:]))
	blocks := (ndbBlobHead + length + ndbBlobTail + ndbBlock - 1) / ndbBlock
	switch {
	case binary.LittleEndian.Uint32(body) != ndbBlobMagic || binary.LittleEndian.Uint32(body[4:]) != number,
		binary.LittleEndian.Uint32(tail[8:]) != ndbTailMagic || int64(binary.LittleEndian.Uint32(tail[4:])) != length,
		blocks*ndbBlock != int64(len(data)):
		return nil, fmt.Errorf("got bad marks of a blob: %w", ErrMalformed)
	case binary.LittleEndian.Uint32(tail) != adler32.Checksum(body):
		return nil, fmt.Errorf("got checksum %08x, want %08x: %w", binary.LittleEndian.Uint32(tail), adler32.Checksum(body), ErrMalformed)
	}
	return body[ndbBlobHead : ndbBlobHead+length], nil
}
