// Package rpmdb reads the database in which rpm keeps the packages of a host: Packages of Berkeley DB (rpm to 4.15, so up
// to RHEL 8), Packages.db of rpm's own "ndb" (SUSE), and rpmdb.sqlite (since rpm 4.16, so RHEL 9, Fedora, openEuler).
//
// It reads the files themselves, with no more than what holds package headers in them, and takes them for hostile: every
// page is read at most once and every size is held against the file before memory is taken, so that no file makes it
// loop, panic or take more memory than some times its size. docs/adr/0015 says why no library does this.
package rpmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
)

// Prefix is how many of a file's first bytes Known looks at.
const Prefix = 16

// maxSize bounds a database file: that of a desktop with 5000 packages has 400 MB.
const maxSize = 2 << 30

// ErrMalformed says that a file is no sound database.
var ErrMalformed = errors.New("malformed rpm database")

// ErrUnfinished says that changes to a SQLite database stand in a log beside it and not yet in the file.
var ErrUnfinished = errors.New("changes not yet written to the rpm database")

// Known says whether a file that begins with these bytes is a database that Parse may be able to read.
func Known(prefix []byte) bool { return format(prefix) != nil }

// Read reads the packages of the database file at path. The log of a SQLite database has to be empty or absent, else it is
// ErrUnfinished: rpm writes it back when its last process ends.
func Read(path string) ([]*rpm.Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return nil, fmt.Errorf("reading rpm database %q: got a log of %d bytes beside it: %w", path, log.Size(), ErrUnfinished)
	}
	return Parse(f, info.Size())
}

// Parse reads the packages of the database of size bytes in r, in the order of their installation as far as rpm's numbers
// tell. Of a Package name, version (Epoch "0" when it has none), architecture, SourceRPM, dependencies and all Files are
// set. Public keys, which rpm keeps as packages named gpg-pubkey, are left out.
func Parse(r io.ReaderAt, size int64) ([]*rpm.Package, error) {
	packages, err := parse(r, size)
	if err != nil {
		return nil, fmt.Errorf("reading rpm database: %w", err)
	}
	return packages, nil
}

func parse(r io.ReaderAt, size int64) ([]*rpm.Package, error) {
	if size > maxSize {
		return nil, fmt.Errorf("got %d bytes, want at most %d", size, int64(maxSize))
	}
	prefix := make([]byte, Prefix)
	if err := readAt(r, prefix, 0); err != nil {
		return nil, err
	}
	read := format(prefix)
	if read == nil {
		return nil, fmt.Errorf("got a file that begins with %x, want Berkeley DB, ndb or SQLite: %w", prefix, ErrMalformed)
	}
	var list []installed
	err := read(r, size, func(number uint32, blob []byte) error {
		p, err := decode(blob)
		if err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
		if p.Name != "gpg-pubkey" {
			list = append(list, installed{number, p})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b installed) int { return int(int64(a.number) - int64(b.number)) })
	packages := make([]*rpm.Package, len(list))
	for i, one := range list {
		if i > 0 && list[i-1].number == one.number {
			return nil, fmt.Errorf("got package %d twice: %w", one.number, ErrMalformed)
		}
		packages[i] = one.pkg
	}
	return packages, nil
}

type installed struct {
	number uint32 // rpm's, from 1
	pkg    *rpm.Package
}

// reader calls visit for every package of a database, with its number and its header. The blob is visit's.
type reader func(r io.ReaderAt, size int64, visit func(number uint32, blob []byte) error) error

// format is the reader for files that begin so, nil for others.
func format(prefix []byte) reader {
	switch {
	case len(prefix) < Prefix:
		return nil
	case string(prefix) == sqliteMagic:
		return readSQLite
	case binary.LittleEndian.Uint32(prefix) == ndbMagic:
		return readNDB
	case bytes.Equal(prefix[12:16], bdbMagic(binary.LittleEndian)), bytes.Equal(prefix[12:16], bdbMagic(binary.BigEndian)):
		return readBDB
	}
	return nil
}

func decode(blob []byte) (*rpm.Package, error) {
	h, err := rpm.ReadHeaderBlob(blob)
	if err != nil {
		return nil, err
	}
	p := &rpm.Package{
		Name: h.Name, EVR: h.EVR, Arch: h.Arch, SourceRPM: h.SourceRPM,
		Provides: h.Provides, Requires: h.Requires, Conflicts: h.Conflicts, Obsoletes: h.Obsoletes,
		Recommends: h.Recommends, Suggests: h.Suggests, Supplements: h.Supplements, Enhances: h.Enhances,
	}
	if p.EVR.Epoch == "" {
		p.EVR.Epoch = "0"
	}
	for _, f := range h.Files {
		p.Files = append(p.Files, f.Path)
	}
	return p, nil
}

// readAt fills b from an offset of r.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	if n, err := r.ReadAt(b, offset); n < len(b) {
		if err == io.EOF {
			return fmt.Errorf("got %d of %d bytes at %d: %w", n, len(b), offset, ErrMalformed)
		}
		return err
	}
	return nil
}

// pages are the pages of a file, each of which may be read once.
type pages struct {
	r     io.ReaderAt
	size  int64 // of one
	count int64
	seen  map[uint32]bool
	first uint32 // the number of the one at the start of the file
}

// read is a page. Twice the same is an error: what points at it points in a circle.
func (p *pages) read(number uint32) ([]byte, error) {
	at := int64(number) - int64(p.first)
	if at < 0 || at >= p.count {
		return nil, fmt.Errorf("got page %d of %d: %w", number, p.count, ErrMalformed)
	}
	if p.seen[number] {
		return nil, fmt.Errorf("got page %d twice: %w", number, ErrMalformed)
	}
	p.seen[number] = true
	page := make([]byte, p.size)
	return page, readAt(p.r, page, at*p.size)
}
