package rpm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// blobs are the main headers of real packages as a database would keep them: without the magic.
func blobs(tb testing.TB) (headers []*rpm.Header, blobs [][]byte) {
	tb.Helper()
	paths, err := filepath.Glob("testdata/headers/*.hdr")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("got %v, %v", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		h, err := rpm.ReadHeader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			tb.Fatal(err)
		}
		headers, blobs = append(headers, h), append(blobs, data[h.Start+8:h.End])
	}
	return headers, blobs
}

// added is a header blob with one more entry after the region, as rpm adds them when it installs.
func added(blob []byte, it item) []byte {
	count := binary.BigEndian.Uint32(blob)
	entries, data := blob[8:8+16*count], bytes.Clone(blob[8+16*count:])
	data = append(data, make([]byte, -len(data)&7)...)
	var entry []byte
	for _, n := range []int{it.tag, it.kind, len(data), it.count} {
		entry = binary.BigEndian.AppendUint32(entry, uint32(n))
	}
	data = append(data, it.data...)
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, count+1), uint32(len(data)))
	return bytes.Join([][]byte{head, entries, entry, data}, nil)
}

func TestReadHeaderBlob(t *testing.T) {
	headers, blobs := blobs(t)
	for i, blob := range blobs {
		want := *headers[i]
		want.Start, want.End = 0, 0
		got, err := rpm.ReadHeaderBlob(blob)
		if err != nil {
			t.Errorf("%s: %v", want.NEVRA(), err)
			continue
		}
		want.ArchiveSize = got.ArchiveSize // of the signature header
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-file +blob):\n%s", want.NEVRA(), diff)
		}
		got, err = rpm.ReadHeaderBlob(added(blob, int32s(1008, 1234567))) // INSTALLTIME
		if diff := cmp.Diff(&want, got); diff != "" || err != nil {
			t.Errorf("%s installed: %v (-file +blob):\n%s", want.NEVRA(), err, diff)
		}
		if got, err = rpm.ReadHeaderBlob(added(blob, text(1001, "9"))); err != nil || got.EVR.Version != "9" {
			t.Errorf("%s changed at its installation: got %v, %v, want version 9", want.NEVRA(), got, err)
		}
	}
}

func TestReadHeaderBlobRefuses(t *testing.T) {
	_, blobs := blobs(t)
	good := blobs[0]
	change := func(at int, with byte) []byte {
		b := bytes.Clone(good)
		b[at] = with
		return b
	}
	for fault, blob := range map[string][]byte{
		"nothing": nil, "a count of bytes": good[:7], "no entries": make([]byte, 8), "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"more entries": change(3, good[3]+1), "fewer entries": change(3, good[3]-1), "far more data": change(4, 0x7f),
		"another type": change(8+16+7, 10), "overlap": change(8+32+11, 0), "data outside": change(8+16+8, 0x7f), "a low tag": change(8+16+3, 16),
		"an added entry over others": append(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(good)+1), good[4:]...),
	} {
		if got, err := rpm.ReadHeaderBlob(blob); !errors.Is(err, rpm.ErrMalformed) || got != nil {
			t.Errorf("%s: got %t, %v, want a malformed header", fault, got != nil, err)
		}
	}
	noSource := craft(63, text(1000, "aa"), text(1001, "1.0"), text(1002, "1"), text(1022, ""))
	if h, err := rpm.ReadHeaderBlob(noSource[8:]); !errors.Is(err, rpm.ErrMalformed) || h != nil {
		t.Errorf("got %t, %v of an empty architecture", h != nil, err)
	}
	noArch := craft(63, text(1000, "gpg-pubkey"), text(1001, "1.0"), text(1002, "1"))
	if h, err := rpm.ReadHeaderBlob(noArch[8:]); err != nil || h.Arch != "(none)" {
		t.Errorf("got %v, %v without architecture", h, err)
	}
	// A few kilobytes of header that would make gigabytes of paths.
	long := bytes.Repeat([]byte("d"), 5000)
	blob := minimal(texts(1117, "a", "b"), int32s(1116, 0, 0), texts(1118, string(long)),
		item{1030, int16Type, 2, make([]byte, 4)}, int32s(1037, 0, 0))
	if _, err := rpm.ReadHeaderBlob(blob[8:]); !errors.Is(err, rpm.ErrMalformed) {
		t.Errorf("got %v of endless paths", err)
	}
}

// FuzzHeaderBlob reads any header of a database: what it takes has a name.
func FuzzHeaderBlob(f *testing.F) {
	_, blobs := blobs(f)
	for _, blob := range blobs[:3] {
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		h, err := rpm.ReadHeaderBlob(blob)
		if (err == nil) != (h != nil) {
			t.Fatalf("got %v, %v", h, err)
		}
		if err == nil && (h.Name == "" || h.EVR.Version == "" || h.EVR.Release == "" || h.Arch == "") {
			t.Errorf("got %+v", h)
		}
	})
}
