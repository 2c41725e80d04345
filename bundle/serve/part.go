package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// part is the record of a part.
type part struct {
	Num      int
	ETag     string
	Size     int64
	Modified int64 // Unix seconds
}

// Records have one size and stand at their part's number times it, so that none is ever searched. One record never
// crosses a sector of a disk. Zeros mean that the part is not there.
const (
	recordSize   = 64
	recordFormat = "%-28s %10d %23d\n"
)

func (u *upload) record(p part, attempt int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone || u.attempts[p.Num] != attempt {
		return errSuperseded
	}
	f, err := os.OpenFile(filepath.Join(u.dir, partsName), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(&atOffset{f, int64(p.Num) * recordSize}, recordFormat, p.ETag, p.Size, p.Modified)
	return errors.Join(err, f.Sync(), f.Close())
}

type atOffset struct {
	f      *os.File
	offset int64
}

func (w *atOffset) Write(p []byte) (int, error) { return w.f.WriteAt(p, w.offset) }

// part reads the record of one part; fs.ErrNotExist says that it is not there. The caller holds the lock.
func (u *upload) part(n int) (part, error) {
	var found part
	err := u.eachPart(n, func(p part) bool {
		found = p
		return false
	})
	if err == nil && (found.ETag == "" || found.Num != n) {
		err = fs.ErrNotExist
	}
	return found, err
}

// eachPart calls yield for each part that is there, from number first on, in order, until it returns false. The caller
// holds the lock.
func (u *upload) eachPart(first int, yield func(part) bool) error {
	f, err := os.Open(filepath.Join(u.dir, partsName))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64*recordSize)
	for n := first; ; {
		got, err := f.ReadAt(buf, int64(n)*recordSize)
		for record := buf[:got]; len(record) >= recordSize; record = record[recordSize:] {
			p, err := parseRecord(record[:recordSize])
			if err != nil {
				return fmt.Errorf("upload %s, part %d: %w", u.about.ID, n, err)
			}
			p.Num = n
			n++
			if p.ETag != "" && !yield(p) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func parseRecord(b []byte) (part, error) {
	if strings.Trim(string(b), "\x00") == "" {
		return part{}, nil
	}
	fields := strings.Fields(string(b))
	if len(fields) != 3 || b[recordSize-1] != '\n' {
		return part{}, errors.New("its record is damaged")
	}
	size, err1 := strconv.ParseInt(fields[1], 10, 64)
	modified, err2 := strconv.ParseInt(fields[2], 10, 64)
	if _, err3 := ufile.ParsePartETag(fields[0]); err1 != nil || err2 != nil || err3 != nil {
		return part{}, errors.New("its record is damaged")
	}
	return part{ETag: fields[0], Size: size, Modified: modified}, nil
}
