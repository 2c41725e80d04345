package bundle_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
)

// TestTarHeaders holds the headers against the table of docs/format.md, independently of archive/tar.
func TestTarHeaders(t *testing.T) {
	const big = 1 << 33
	deep := strings.Repeat("d/", 70) + "name"                         // 144 bytes: split at a slash
	flat := "f/" + strings.Repeat("n", 101)                           // cannot be split
	slash := strings.Repeat("s", 99) + "/" + strings.Repeat("t", 101) // nor this; a slash is the 100th byte
	edge := strings.Repeat("e", 155) + "/" + strings.Repeat("f", 100) // the longest that can
	for _, c := range []struct {
		path                               string
		size                               int64
		mode                               string
		records, paxName                   string // of the PAX header before
		name, prefix, sizeField, modeField string
	}{
		{"bin/x", 8, "0755", "", "", "bin/x", "", "00000000010", "0000755"},
		{"a", big - 1, "0644", "", "", "a", "", "77777777777", "0000644"},
		{"a", big, "0644", "19 size=8589934592\n", "PaxHeaders.0/a", "a", "", "00000000000", "0000644"},
		{strings.Repeat("n", 100), 0, "0644", "", "", strings.Repeat("n", 100), "", "00000000000", "0000644"},
		{deep, 1, "0644", "", "", "name", strings.TrimSuffix(deep, "/name"), "00000000001", "0000644"},
		{edge, 0, "0644", "", "", edge[156:], edge[:155], "00000000000", "0000644"},
		{deep, big, "0644", "154 path=" + deep + "\n19 size=8589934592\n", deep[:100], deep[:99], "", "00000000000", "0000644"},
		{flat, 0, "0644", "113 path=" + flat + "\n", "f/PaxHeaders.0/" + flat[2:87], flat[:100], "", "00000000000", "0000644"},
		{slash, 0, "0644", "211 path=" + slash + "\n", slash[:99], slash[:99], "", "00000000000", "0000644"},
		{"bin/naïve", 3, "0755", "19 path=bin/naïve\n", "bin/PaxHeaders.0/nave", "bin/nave", "", "00000000003", "0000755"},
	} {
		want := ustar(c.name, c.prefix, c.sizeField, c.modeField, '0')
		if c.records != "" {
			pax := ustar(strings.TrimSuffix(c.paxName, "/"), "", fmt.Sprintf("%011o", len(c.records)), "0000000", 'x')
			want = append(append(pax, pad([]byte(c.records))...), want...)
		}
		got, err := bundle.TarHeader(c.path, c.size, c.mode)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%.30s of %d bytes: %v, got\n%q\nwant\n%q", c.path, c.size, err, squeeze(got), squeeze(want))
		}
	}
}

// TestTarLayout follows the entries of a tar by the arithmetic of docs/format.md.
func TestTarLayout(t *testing.T) {
	o := mustOutput(t, map[string]string{"bin/x": "12345678", "z": strings.Repeat("z", 512)})
	index, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, e := range []struct{ name, mode, data string }{
		{bundle.IndexFile, "0000644", string(index)},
		{bundle.SignatureFile, "0000644", string(o.Signatures[bundle.SignatureFile])},
		{bundle.SumsFile, "0000644", sum([]byte("12345678")) + "  bin/x\n" + sum([]byte(strings.Repeat("z", 512))) + "  z\n"},
		{"bin/x", "0000755", "12345678"},
		{"z", "0000644", strings.Repeat("z", 512)},
	} {
		want = append(want, ustar(e.name, "", fmt.Sprintf("%011o", len(e.data)), e.mode, '0')...)
		want = append(want, pad([]byte(e.data))...)
	}
	want = append(want, make([]byte, 1024)...)
	if got := readFile(t, writeTar(t, o)); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d:\n%q\nwant\n%q", len(got), len(want), squeeze(got), squeeze(want))
	}
}

// squeeze shortens runs of zeros, for messages.
func squeeze(b []byte) []byte { return regexp.MustCompile(`\x00{4,}`).ReplaceAll(b, []byte("~")) }

// ustar writes a header block by the offsets of POSIX.1-1988.
func ustar(name, prefix, size, mode string, kind byte) []byte {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], mode)
	copy(b[108:], "0000000\x000000000\x00")
	copy(b[124:], size)
	copy(b[136:], "00000000000\x00")
	copy(b[148:], "        ")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	if kind != 'x' {
		copy(b[329:], "0000000\x000000000\x00")
	}
	copy(b[345:], prefix)
	total := 0
	for _, c := range b {
		total += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", total))
	return b
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&511)...) }
