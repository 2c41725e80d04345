package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/offbake/offbake/bundle/sign"
)

// scan walks a tar by its headers: each is derived from what the index says must come next and compared with the
// bytes that are there.
type scan struct {
	r    io.ReaderAt
	size int64 // of the whole tar
	off  int64 // behind the content of the last entry, before its padding
}

// scanTar reads the index, signatures and headers of a tar, checks its form against the index, and leaves out only
// the bytes of the files.
func scanTar(r io.ReaderAt, size int64) (*Bundle, error) {
	s := &scan{r: r, size: size}
	b := &Bundle{sigs: map[string][]byte{}}
	h := s.peek()
	if h == nil || h.Name != IndexFile {
		return nil, formatErrorf("", "not a bundle: got %s, want a tar that begins with %q", describe(h), IndexFile)
	}
	var err error
	if b.raw, err = s.read(IndexFile, h.Size, MaxIndex); err != nil {
		return nil, err
	}
	if b.index, err = ParseIndex(b.raw); err != nil {
		return nil, err
	}
	last := ""
	for h = s.peek(); h != nil && isSignature(h.Name) && len(b.sigs) <= MaxSignatures; h = s.peek() {
		if h.Name <= last {
			return nil, formatErrorf(h.Name, "in the tar after %q, want signatures sorted and each once", last)
		}
		last = h.Name
		if b.sigs[h.Name], err = s.read(h.Name, h.Size, sign.MaxSignature); err != nil {
			return nil, err
		}
	}
	b.sums = b.index.Sums()
	sums, err := s.read(SumsFile, int64(len(b.sums)), int64(len(b.sums)))
	if err != nil {
		return nil, err
	}
	if err := b.checkMeta(sums); err != nil {
		return nil, err
	}
	offsets := make(map[string]int64, len(b.index.Files))
	for _, f := range b.index.Files {
		if offsets[f.Path], err = s.entry(f.Path, f.Size, f.Mode); err != nil {
			return nil, err
		}
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	b.src = tarSource{r, offsets}
	return b, nil
}

// entry checks that the next entry has exactly this header, and returns where its content begins.
func (s *scan) entry(path string, size int64, mode string) (int64, error) {
	header, err := tarHeader(path, size, mode)
	if err != nil {
		return 0, err
	}
	at := s.off + padding(s.off)
	if err := s.expect(header, path); err != nil {
		return 0, err
	}
	s.off = at + int64(len(header))
	if size > s.size-s.off {
		return 0, formatErrorf(path, "truncated: the tar ends at byte %d, want %d bytes of content from byte %d", s.size, size, s.off)
	}
	start := s.off
	s.off += size
	return start, nil
}

// expect checks that zeros up to the next block and then want come next.
func (s *scan) expect(want []byte, path string) error {
	pad := padding(s.off)
	got := make([]byte, pad+int64(len(want)))
	n, err := s.r.ReadAt(got, s.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the tar at byte %d: %w", s.off, err)
	}
	if n < len(got) {
		return formatErrorf(path, "truncated: the tar ends at byte %d, want %d more", s.off+int64(n), len(got)-n)
	}
	if len(bytes.Trim(got[:pad], "\x00")) > 0 {
		return formatErrorf("", "got bytes other than zero in the padding of the tar before byte %d", s.off+pad)
	}
	if !bytes.Equal(got[pad:], want) {
		return formatErrorf(path, "missing at byte %d of the tar: got %s, want its header in the one form", s.off+pad, describe(s.peek()))
	}
	return nil
}

// read returns the content of the next entry, which must be this one.
func (s *scan) read(path string, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, formatErrorf(path, "got %d bytes, want at most %d", size, limit)
	}
	at, err := s.entry(path, size, "0644")
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(s.r, at, size), data); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	return data, nil
}

// peek parses the next header, for its name and size or to say what is there; nil if it is none. entry has the last
// word on it.
func (s *scan) peek() *tar.Header {
	at := s.off + padding(s.off)
	h, err := tar.NewReader(io.NewSectionReader(s.r, at, s.size-at)).Next()
	if err != nil {
		return nil
	}
	return h
}

func (s *scan) end() error {
	at := s.off + padding(s.off)
	if h := s.peek(); h != nil {
		return formatErrorf("", "got %s at byte %d of the tar, want its end", describe(h), at)
	}
	if err := s.expect(make([]byte, tarEnd), ""); err != nil {
		return err
	}
	if extra := s.size - at - tarEnd; extra > 0 {
		return formatErrorf("", "got %d bytes after the end of the tar", extra)
	}
	return nil
}

// describe says what an entry is, for an error.
func describe(h *tar.Header) string {
	if h == nil {
		return "no entry"
	}
	kind := map[byte]string{
		tar.TypeReg: "file", tar.TypeLink: "hard link", tar.TypeSymlink: "symbolic link", tar.TypeDir: "folder",
		tar.TypeChar: "device", tar.TypeBlock: "device", tar.TypeFifo: "fifo",
	}[h.Typeflag]
	if kind == "" {
		kind = fmt.Sprintf("entry of type %q", h.Typeflag)
	}
	return fmt.Sprintf("%s %.200q of %d bytes, mode %#o", kind, h.Name, h.Size, h.Mode)
}
