package rpm_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

func readHeader(file []byte) (*rpm.Header, error) {
	return rpm.ReadHeader(bytes.NewReader(file), int64(len(file)))
}

func TestReadHeader(t *testing.T) {
	header := minimal(int32s(1003, 3), int32s(1006, 1700000000), text(1004, "sum"),
		item{1030, int16Type, 2, []byte{0o100 >> 1, 0, 0x41, 0xed}}, int32s(1037, 64, 0), int32s(1116, 1, 0),
		texts(1117, "f", "d"), texts(1118, "/etc/", "/usr/bin/"), int32s(1028, 0xffffffff, 1), int32s(1140, 2, 0),
		item{1033, int16Type, 2, []byte{1, 2, 0, 0}}, texts(1035, "0A", ""), texts(1036, "", "x"), texts(1039, "u", "v"), texts(1040, "g", ""),
		int32s(5011, 8),
		int32s(1048, 1<<9|8|4), texts(1049, "need"), texts(1050, "2:1-3"))
	file := assemble([]item{int32s(1007, 42)}, header, nil)
	got, err := readHeader(file)
	if err != nil {
		t.Fatal(err)
	}
	want := &rpm.Header{
		Name: "aa", EVR: rpm.EVR{Epoch: "3", Version: "1.0", Release: "1"}, Arch: "noarch", Summary: "sum",
		SourceRPM: "aa-1.0-1.src.rpm", BuildTime: 1700000000, ArchiveSize: 42,
		Start: int64(len(file) - len(header)), End: int64(len(file)),
		Requires: []rpm.Dep{{Name: "need", EVR: &rpm.EVR{Epoch: "2", Version: "1", Release: "3"}, Flags: rpm.Greater | rpm.Equal | rpm.Pre}},
		Files: []rpm.File{{Path: "/usr/bin/f", Mode: 0x2000, Ghost: true, Size: 1<<32 - 1, Color: 2, Device: 0x102, Digest: "0a", User: "u", Group: "g"},
			{Path: "/etc/d", Mode: 0o040755, Size: 1, Link: "x", User: "v"}},
		FileDigests: "sha256",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.Files[1].Dir() || got.Files[0].Dir() || got.NEVRA() != "aa-3:1.0-1.noarch" {
		t.Errorf("got %t, %t, %s, want a file, a directory, aa-3:1.0-1.noarch", got.Files[0].Dir(), got.Files[1].Dir(), got.NEVRA())
	}
}

// fileItems are of two files, and what more is given of them.
func fileItems(more ...item) []item {
	return append([]item{{1030, int16Type, 2, make([]byte, 4)}, int32s(1037, 0, 0), int32s(1116, 0, 0), texts(1117, "x", "y"), texts(1118, "/")}, more...)
}

// patch changes 32 bits of a copy of a header structure, at a byte: at 8 and 12 are its counts, from 16 on its entries of
// four numbers each.
func patch(header []byte, at int, value int32) []byte {
	b := bytes.Clone(header)
	binary.BigEndian.PutUint32(b[at:], uint32(value))
	return b
}

func TestReadHeaderRefuses(t *testing.T) {
	good := minimal()
	trailer := len(good) - 16 // the region's own entry, at the end
	entries := int32(binary.BigEndian.Uint32(good[8:]))
	for _, tt := range []struct {
		fault  string
		header []byte
		want   string
	}{
		{"nothing", nil, "unexpected EOF"},
		{"magic", patch(good, 0, 1), "magic"},
		{"no entries", patch(good, 8, 0), "entries"},
		{"more entries than rpm takes", patch(good, 8, 0x10000), "entries"},
		{"more bytes than rpm takes", patch(good, 12, 0x10000000), "bytes"},
		{"negative counts", patch(patch(good, 8, -1), 12, -1), "entries"},
		{"more bytes than there are", patch(good, 12, 0x0fffffff), "unexpected EOF"},
		{"another region", patch(good, 16, 62), "region"},
		{"region of another type", patch(good, 20, 6), "region"},
		{"region outside", patch(good, 24, 0x7fffffff), "region"},
		{"region before the data", patch(good, 24, -16), "region"},
		{"trailer of another tag", patch(good, trailer, 61), "trailer"},
		{"trailer pointing forward", patch(good, trailer+8, 16), "trailer"},
		{"trailer beyond the entries", patch(good, trailer+8, -16*(entries+1)), "trailer"},
		{"entries outside of the region", patch(good, trailer+8, -16*(entries-1)), "only a part"},
		{"bytes after the region", patch(append(bytes.Clone(good), 0), 12, int32(binary.BigEndian.Uint32(good[12:]))+1), "only a part"},
		{"region twice", patch(good, 32, 63), "tag 63"},
		{"a tag twice", patch(good, 48, 1000), "twice"},
		{"unknown type", patch(good, 36, 10), "type 10"},
		{"null type", patch(good, 36, 0), "type 0"},
		{"data outside", patch(good, 40, 0x7fffffff), "outside"},
		{"negative offset", patch(good, 40, -1), "outside"},
		{"overlapping data", patch(good, 56, 0), "overlaps"},
		{"two strings where one may be", patch(good, 44, 2), "malformed"},
		{"no values", patch(good, 44, 0), "outside"},
		{"more values than bytes", patch(patch(good, 36, 5), 44, 0x0fffffff), "outside"},
		{"strings without end", patch(patch(good, 36, 8), 44, 1000), "outside"},
		{"a name that is a number", craft(63, int32s(1000, 1)), "want strings"},
		{"no name", craft(63, text(1001, "1"), text(1002, "1"), text(1022, "noarch")), "bad name"},
		{"a space in the name", craft(63, text(1000, "a b"), text(1001, "1"), text(1002, "1"), text(1022, "noarch")), "bad name"},
		{"a name in no UTF-8", craft(63, text(1000, "a\xff"), text(1001, "1"), text(1002, "1"), text(1022, "noarch")), "bad name"},
		{"a time that is text", minimal(text(1006, "now")), "want numbers"},
		{"two times", minimal(int32s(1006, 1, 2)), "want one number"},
		{"negative size", minimal(item{5009, 5, 1, bytes.Repeat([]byte{255}, 8)}), "negative"},
		{"requirements without versions", minimal(int32s(1048, 0), texts(1049, "x")), "as many"},
		{"a requirement without name", minimal(int32s(1048, 0), texts(1049, ""), texts(1050, "")), "printable"},
		{"a requirement of which metadata can say nothing", minimal(int32s(1048, 0), texts(1049, "\xa0"), texts(1050, "")), "printable"},
		{"a name that metadata cannot say", craft(63, text(1000, "a\ufffe"), text(1001, "1"), text(1002, "1"), text(1022, "noarch")), "bad name"},
		{"files without directories", minimal(int32s(1116, 0), texts(1117, "x")), "indexes of directories"},
		{"files without indexes", minimal(texts(1117, "x"), texts(1118, "/")), "one for each name"},
		{"files without modes", minimal(int32s(1116, 0), texts(1117, "x"), texts(1118, "/")), "modes"},
		{"files without sizes", minimal(fileItems(int32s(1028, 1))...), "one for each file"},
		{"files with too many owners", minimal(fileItems(texts(1039, "a", "b", "c"))...), "one for each file"},
		{"a hash of files that is text", minimal(text(5011, "8")), "want numbers"},
		{"changes without texts", minimal(int32s(1080, 1), texts(1081, "x")), "as many"},
	} {
		h, err := readHeader(assemble(nil, tt.header, nil))
		if err == nil || h != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", tt.fault, h, err, tt.want)
		}
	}
	if _, err := readHeader(assemble(nil, good, nil)); err != nil {
		t.Errorf("the header that they are made of: %v", err)
	}
	for _, at := range []int{0, 3, 4, 78, 79} {
		file := assemble(nil, good, nil)
		file[at] ^= 0x40
		if _, err := readHeader(file); err == nil {
			t.Errorf("byte %d of the lead altered: no error", at)
		}
	}
}

func TestReadHeaderCut(t *testing.T) {
	data, err := os.ReadFile("testdata/headers/docker-scan-plugin-0.12.0-3.el7.x86_64.rpm.hdr")
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if h, err := readHeader(data[:i]); err == nil || h != nil {
			t.Fatalf("cut to %d of %d bytes: got %v, %v, want an error", i, len(data), h, err)
		}
	}
}

// TestReadHeaderMemory wants no memory for what is announced and does not come.
func TestReadHeaderMemory(t *testing.T) {
	file := assemble(nil, patch(minimal(), 12, 0x0fffffff), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readHeader(file); err == nil {
		t.Error("got no error")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("got %d bytes allocated for a file of %d", got, len(file))
	}
}

// TestReadHeaderReadError wants the cause.
func TestReadHeaderReadError(t *testing.T) {
	if _, err := rpm.ReadHeader(failingAt{}, 1000); err == nil || !strings.Contains(err.Error(), io.ErrClosedPipe.Error()) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
}

type failingAt struct{}

func (failingAt) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
