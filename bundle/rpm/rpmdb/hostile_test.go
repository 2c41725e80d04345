package rpmdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/rpmdb"
)

func parse(data []byte) ([]*rpm.Package, error) {
	return rpmdb.Parse(bytes.NewReader(data), int64(len(data)))
}

// crafted are small databases of two packages, the second of which is on more than one page.
func crafted() map[string][]byte {
	large := headerBlob("bb" + strings.Repeat("b", 1000))
	return map[string][]byte{
		"bdb":    bdbOf(headerBlob("aa"), large),
		"ndb":    ndbOf(headerBlob("aa"), large),
		"sqlite": sqliteOf(headerBlob("aa"), large),
	}
}

func TestParseCrafted(t *testing.T) {
	for kind, data := range crafted() {
		got, err := parse(data)
		if err != nil || len(got) != 2 || got[0].NEVRA() != "aa-1.0-1.noarch" || len(got[1].Name) != 1002 || got[1].EVR.Epoch != "0" {
			t.Errorf("%s: got %d packages, %v, want aa and bb…", kind, len(got), err)
		}
	}
}

// TestParseRefusesCut cuts databases at every length. A cut page is always needed: there are no others.
func TestParseRefusesCut(t *testing.T) {
	for kind, data := range crafted() {
		for n := range data {
			if got, err := parse(data[:n]); err == nil || len(got) > 0 {
				t.Fatalf("%s cut to %d of %d bytes: got %d packages, %v", kind, n, len(data), len(got), err)
			}
		}
	}
}

// TestParseSurvives alters databases in many ways: an error or packages, and always an end.
func TestParseSurvives(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for kind, data := range crafted() {
		refused := 0
		for range 4000 {
			altered := bytes.Clone(data)
			for range 1 + random.IntN(4) {
				altered[random.IntN(len(altered))] = byte(random.Uint32())
			}
			if _, err := parse(altered); err != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: nothing refused", kind)
		}
		noise := make([]byte, len(data))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		copy(noise, data[:100])
		if got, err := parse(noise); err == nil && len(got) > 0 {
			t.Errorf("%s: got %d packages of noise", kind, len(got))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	large := headerBlob("bb" + strings.Repeat("b", 1000))
	for _, tt := range []struct {
		fault string
		base  []byte
		alter func(data []byte)
		want  string
	}{
		{"a chain that returns", bdbOf(headerBlob("aa"), large), func(d []byte) { le.PutUint32(d[3*512+16:], 2) }, "page 2 twice"},
		{"a chain of itself", bdbOf(headerBlob("aa"), large), func(d []byte) { le.PutUint32(d[2*512+16:], 2) }, "page 2 twice"},
		{"a chain to elsewhere", bdbOf(headerBlob("aa"), large), func(d []byte) { le.PutUint32(d[2*512+16:], 1<<31) }, "page 2147483648 of"},
		{"a chain through another page", bdbOf(headerBlob("aa"), large), func(d []byte) { d[3*512+25] = 6 }, "of type 6"},
		{"a chain that ends early", bdbOf(headerBlob("aa"), large), func(d []byte) { le.PutUint32(d[3*512+16:], 0) }, "bytes of a value, want"},
		{"an item outside of its page", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint16(d[512+28:], 65000) }, "at byte 65000"},
		{"an item before the last", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint16(d[512+28:], 511) }, "at byte 511"},
		{"too many items", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint16(d[512+20:], 60000) }, "60000 items"},
		{"odd items", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint16(d[512+20:], 3) }, "3 items"},
		{"a value of another kind", bdbOf(headerBlob("aa")), func(d []byte) { d[le.Uint16(d[512+28:])+512] = 4 }, "value of kind 4"},
		{"encryption", bdbOf(headerBlob("aa")), func(d []byte) { d[24] = 1 }, "encryption 1"},
		{"tiny pages", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint32(d[20:], 256) }, "pages of 256"},
		{"huge pages", bdbOf(headerBlob("aa")), func(d []byte) { le.PutUint32(d[20:], 1<<31) }, "pages of 2147483648"},
		{"one package twice", bdbOf(headerBlob("aa"), large), func(d []byte) { le.PutUint32(d[512+le.Uint16(d[512+30:])+1:], 1) }, "package 1 twice"},

		{"another checksum", ndbOf(headerBlob("aa")), func(d []byte) { d[len(d)-12] ^= 1 }, "got checksum"},
		{"a flipped bit", ndbOf(headerBlob("aa")), func(d []byte) { d[len(d)-30] ^= 1 }, "got checksum"},
		{"a bad slot", ndbOf(headerBlob("aa")), func(d []byte) { d[4080] = 0 }, "slot 255"},
		{"a blob outside", ndbOf(headerBlob("aa")), func(d []byte) { le.PutUint32(d[40:], 1<<31) }, "package 1 in"},
		{"a blob in the slots", ndbOf(headerBlob("aa")), func(d []byte) { le.PutUint32(d[40:], 2) }, "package 1 in"},
		{"slots beyond the file", ndbOf(headerBlob("aa")), func(d []byte) { le.PutUint32(d[12:], 1<<30) }, "pages of slots"},
		{"another version", ndbOf(headerBlob("aa")), func(d []byte) { d[4] = 9 }, "version 9"},
		{"another number", ndbOf(headerBlob("aa")), func(d []byte) { d[36] = 9 }, "bad marks"},

		{"a tree of itself", sqliteOf(headerBlob("aa"), large), func(d []byte) { be.PutUint32(d[512+8:], 2) }, "page 2 twice"},
		{"a branch to elsewhere", sqliteOf(headerBlob("aa"), large), func(d []byte) { be.PutUint32(d[512+8:], 999) }, "page 999 of"},
		{"a branch to page 0", sqliteOf(headerBlob("aa"), large), func(d []byte) { be.PutUint32(d[512+8:], 0) }, "page 0 of"},
		{"an overflow chain that returns", sqliteOf(large), func(d []byte) { be.PutUint32(d[3*512:], 4) }, "page 4 twice"},
		{"an overflow chain that ends early", sqliteOf(large), func(d []byte) { be.PutUint32(d[3*512:], 0) }, "page 0 of"},
		{"a cell outside", sqliteOf(headerBlob("aa")), func(d []byte) { be.PutUint16(d[2*512+8:], 511) }, "cell 0"},
		{"too many cells", sqliteOf(headerBlob("aa")), func(d []byte) { be.PutUint16(d[2*512+3:], 60000) }, "60000 cells"},
		{"another page type", sqliteOf(headerBlob("aa")), func(d []byte) { d[2*512] = 10 }, "type 10"},
		{"another encoding", sqliteOf(headerBlob("aa")), func(d []byte) { d[59] = 2 }, "encoding 2"},
		{"another table", sqliteOf(headerBlob("aa")), func(d []byte) { copy(d[bytes.Index(d, []byte("Packages")):], "Pockages") }, `no table "Packages"`},
		{"a view", sqliteOf(headerBlob("aa")), func(d []byte) { copy(d[bytes.Index(d, []byte("table")):], "views") }, `no table "Packages"`},
		{"a text for a header", sqliteOf(headerBlob("aa")), func(d []byte) { d[bytes.Index(d, []byte{4, 0, 0x80 | 1})+3] |= 1 }, "want a header"},
		{"no header", ndbOf([]byte("xx")), func([]byte) {}, "package 1: reading installed RPM header"},
		{"another file", []byte("P|bash|0|5.1|2.el9|x86_64\n"), func([]byte) {}, "want Berkeley DB"},
	} {
		data := bytes.Clone(tt.base)
		tt.alter(data)
		got, err := parse(data)
		if !errors.Is(err, rpmdb.ErrMalformed) && !errors.Is(err, rpm.ErrMalformed) || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", tt.fault, got, err, tt.want)
		}
	}
}

// FuzzParse reads any database: it ends, and what it gives has names.
func FuzzParse(f *testing.F) {
	for _, data := range crafted() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if err != nil && got != nil {
			t.Errorf("got %d packages and %v", len(got), err)
		}
		for _, p := range got {
			if p.Name == "" || p.EVR.Version == "" || p.EVR.Release == "" || p.Arch == "" {
				t.Errorf("got package %+v", p)
			}
		}
	})
}
