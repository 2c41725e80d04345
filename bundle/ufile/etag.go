package ufile

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
)

// ETag computes the ETag of an object written to it in order. Its zero value is ready and is the ETag of an empty
// object. An ETag is
//
//	base64url( LE32(blocks) || sha1(content) )                       up to one block
//	base64url( LE32(blocks) || sha1(sha1(block 0) || sha1(block 1) …) )  above
//
// where a block is BlockSize bytes (ufile-gosdk v1.0.7 utils.go:118).
type ETag struct {
	blocks Blocks
	block  hash.Hash // of the block that is not whole yet
	filled int       // bytes of it
}

// Write adds content. It never fails.
func (e *ETag) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if e.block == nil {
			e.block = sha1.New()
		}
		if e.filled == BlockSize { // only once more content comes: the last block stays open for String
			e.closeBlock()
		}
		take := min(len(p), BlockSize-e.filled)
		e.block.Write(p[:take])
		e.filled += take
		p = p[take:]
	}
	return n, nil
}

func (e *ETag) closeBlock() {
	e.blocks.Add([sha1.Size]byte(e.block.Sum(nil)))
	e.block.Reset()
	e.filled = 0
}

// String is the ETag, unquoted, of what has been written so far.
func (e *ETag) String() string {
	if e.filled == 0 {
		return e.blocks.ETag()
	}
	b := e.blocks.clone()
	b.Add([sha1.Size]byte(e.block.Sum(nil)))
	return b.ETag()
}

// ETagOf reads r to its end and returns the ETag and the number of bytes.
func ETagOf(r io.Reader) (string, int64, error) {
	var e ETag
	n, err := io.Copy(&e, r)
	return e.String(), n, err
}

// Blocks computes an object's ETag from the sha1 of its blocks, added in order. Its zero value is ready.
type Blocks struct {
	n     uint32
	first [sha1.Size]byte
	all   hash.Hash // over the digests of all blocks
}

// Add adds the digest of the next block.
func (b *Blocks) Add(digest [sha1.Size]byte) {
	if b.all == nil {
		b.all = sha1.New()
	}
	if b.n == 0 {
		b.first = digest
	}
	b.n++
	b.all.Write(digest[:])
}

// ETag is the ETag, unquoted, of the blocks added so far.
func (b *Blocks) ETag() string {
	sum := sha1.Sum(nil)
	switch b.n {
	case 0:
	case 1:
		sum = b.first
	default:
		sum = [sha1.Size]byte(b.all.Sum(nil))
	}
	return base64.URLEncoding.EncodeToString(append(binary.LittleEndian.AppendUint32(nil, b.n), sum[:]...))
}

func (b *Blocks) clone() *Blocks {
	c := *b
	if b.all != nil {
		all, err := b.all.(hash.Cloner).Clone()
		if err != nil {
			panic(fmt.Sprintf("copying the standard library's SHA-1: %v", err))
		}
		c.all = all
	}
	return &c
}

// PartETag is the ETag, unquoted, of one part of a multipart upload.
func PartETag(part []byte) string {
	sum := sha1.Sum(part)
	return base64.URLEncoding.EncodeToString(sum[:])
}

// ParsePartETag returns the digest that a part's ETag names.
func ParsePartETag(etag string) ([sha1.Size]byte, error) {
	b, err := base64.URLEncoding.Strict().DecodeString(etag)
	if err != nil || len(b) != sha1.Size {
		return [sha1.Size]byte{}, fmt.Errorf("part ETag: got %.40q, want the base64url of %d bytes", etag, sha1.Size)
	}
	return [sha1.Size]byte(b), nil
}
