package disk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/provision/disk"
)

const mib = 1 << 20

// head is the first two sectors of a disk.
func head(parts ...part) []byte { return append(table(parts...), make([]byte, 512)...) }

// change returns data with some bytes replaced.
func change(data []byte, at int, put ...byte) []byte {
	data = bytes.Clone(data)
	copy(data[at:], put)
	return data
}

func TestParseTable(t *testing.T) {
	one := part{offset: mib, size: 2 * mib, status: 0x80}
	two := part{offset: 3 * mib, size: 5 * mib, kind: 0x82}
	for _, tt := range []struct {
		name string
		head []byte
		want string // offsets and lengths, or part of the error
	}{
		{"one", head(one), "partition 1 1048576+2097152"},
		{"two", head(one, two), "partition 1 1048576+2097152, partition 2 3145728+5242880"},
		{"out of order", head(two, one), "partition 1 3145728+5242880, partition 2 1048576+2097152"},
		{"to the last sector", head(part{offset: mib, size: 7 * mib}), "partition 1 1048576+7340032"},
		{"a sector more", head(part{offset: mib, size: 7*mib + 512}), "cut off"},
		{"as large as can be", head(part{offset: 0xffffffff * 512, size: 0xffffffff * 512}), "cut off"},
		{"no signature", change(head(one), 510, 0), "neither an MBR nor"},
		{"no partition", head(), "no partition"},
		{"GPT", head(part{kind: 0xee, offset: 512, size: 8*mib - 512}), "GPT"},
		{"GPT beside others", head(one, part{kind: 0xee, offset: 512, size: mib - 512}), "GPT"},
		{"what a GPT left", change(head(one), 512, []byte("EFI PART")...), "GPT"},
		{"status", head(part{offset: mib, size: mib, status: 0x7f}), "status 0x7f"},
		{"type and no length", head(part{offset: mib}), "length 0"},
		{"length and no type", change(head(one), 446+4, 0), "type 0x0"},
		{"over the MBR", head(part{size: mib}), "offset 0"},
		{"the same twice", head(one, one), "partition 1 and partition 2 overlap"},
		{"by a sector", head(one, part{offset: 3*mib - 512, size: mib}), "overlap"},
		{"inside", head(part{offset: mib, size: 6 * mib}, two), "overlap"},
		{"around", head(two, part{offset: mib, size: 7 * mib}), "overlap"},
		{"one sector of a disk", table(one), "neither"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := disk.ParseTable(tt.head, 8*mib)
			text := []string{}
			for _, p := range got {
				offset, length := p.Bounds()
				text = append(text, fmt.Sprintf("%v %d+%d", p, offset, length))
			}
			if s := strings.Join(text, ", "); err == nil && s != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v, want %q", s, err, tt.want)
			}
		})
	}
}

func TestParseTableSkipsEmptyEntries(t *testing.T) {
	h := head(part{offset: mib, size: mib}, part{}, part{}, part{offset: 4 * mib, size: mib})
	for _, i := range []int{1, 2} {
		h = change(h, 446+16*i, make([]byte, 16)...)
	}
	got, err := disk.ParseTable(h, 8*mib)
	if err != nil || len(got) != 2 || got[1].String() != "partition 4" {
		t.Errorf("got %v, %v, want partitions 1 and 4", got, err)
	}
}

// super makes a superblock as mkfs.ext4 does.
func super(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fs")
	writeDisk(t, path, 8*mib, part{offset: 0, size: 8 * mib, tree: t.TempDir()})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data[1024:2048]
}

func TestCheckExt(t *testing.T) {
	good := super(t)
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(good[at:]) }
	set := func(at int, value uint32) []byte {
		return change(good, at, binary.LittleEndian.AppendUint32(nil, value)...)
	}
	for _, tt := range []struct {
		name string
		data []byte
		size int64
		want string // part of the error, "" for none
	}{
		{"as made", good, 8 * mib, ""},
		{"in a larger partition", good, 9 * mib, ""},
		{"in a smaller one", good, 8*mib - 1, "cut off"},
		{"in none", good, 0, "cut off"},
		{"half of it", good[:512], 8 * mib, "no ext3"},
		{"another magic", change(good, 56, 0), 8 * mib, "no ext3"},
		{"blocks of 128 KiB", set(24, 7), 8 * mib, "broken"},
		{"blocks without end", set(24, 0xffffffff), 8 * mib, "broken"},
		{"no blocks", set(4, 0), 8 * mib, "broken"},
		{"more blocks than there are bytes", change(set(96, u32(96)|0x80), 336, 0xff, 0xff, 0xff, 0xff), 8 * mib, "cut off"},
		{"upper half without 64bit", change(set(96, u32(96)&^0x80), 336, 0xff), 8 * mib, ""},
		{"ext3", set(96, u32(96)&^0x40), 8 * mib, ""},
		{"ext4 without a journal", set(92, u32(92)&^4), 8 * mib, ""},
		{"ext2", change(set(96, u32(96)&^0x40), 92, 0, 0, 0, 0), 8 * mib, "ext2, want"},
		{"a journal", set(96, u32(96)|8), 8 * mib, "journal of another"},
		{"a journal to replay", set(96, u32(96)|4), 8 * mib, "not unmounted cleanly"},
		{"mounted", change(good, 58, 0), 8 * mib, "not unmounted cleanly"},
		{"with errors", change(good, 58, 3), 8 * mib, "errors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := disk.CheckExt(tt.data, tt.size)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzParseTable: what is accepted lies within the disk and apart from each other.
func FuzzParseTable(f *testing.F) {
	f.Add(head(part{offset: mib, size: mib}, part{offset: 2 * mib, size: mib}), int64(8*mib))
	f.Add(head(part{kind: 0xee, offset: 512, size: mib}), int64(mib))
	f.Add(head(part{offset: 0xffffffff * 512, size: 512}), int64(1)<<62)
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		parts, err := disk.ParseTable(data, size)
		if err == nil && len(parts) == 0 {
			t.Fatal("got neither partition nor error")
		}
		for i, p := range parts {
			offset, length := p.Bounds()
			if offset < 512 || length < 512 || offset+length > size || err != nil {
				t.Fatalf("got %d+%d of %d, %v", offset, length, size, err)
			}
			for _, q := range parts[:i] {
				o, l := q.Bounds()
				if o < offset+length && offset < o+l {
					t.Fatalf("got %d+%d and %d+%d", o, l, offset, length)
				}
			}
		}
	})
}

// FuzzCheckExt: what is accepted fits.
func FuzzCheckExt(f *testing.F) {
	good := super(f)
	f.Add(good, int64(8*mib))
	f.Add(change(good, 336, 1), int64(8*mib))
	f.Add(change(good, 24, 6), int64(1)<<62)
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		if size < 0 || disk.CheckExt(data, size) != nil {
			return
		}
		blocks, length := int64(binary.LittleEndian.Uint32(data[4:])), int64(1024)<<data[24]
		if blocks == 0 && data[96]&0x80 == 0 || blocks*length > size {
			t.Fatalf("took %d blocks of %d bytes in %d", blocks, length, size)
		}
	})
}
