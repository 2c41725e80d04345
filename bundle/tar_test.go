package bundle_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
)

// TestTarHeaders holds the bytes of headers that docs/format.md describes, independently of archive/tar's writer.
func TestTarHeaders(t *testing.T) {
	deep := strings.Repeat("d/", 70) + "name" // 144 bytes: split at a slash
	flat := "f/" + strings.Repeat("n", 101)   // cannot be split
	o := mustOutput(t, map[string]string{"bin/x": "12345678", "é": "", deep: "", flat: ""})
	data := readFile(t, writeTar(t, o))
	for _, c := range []struct {
		path                     string
		records                  string // of a PAX header before
		name, prefix, size, mode string
	}{
		{bundle.IndexFile, "", bundle.IndexFile, "", fmt.Sprintf("%011o", indexSize(t, o)), "0000644"},
		{"bin/x", "", "bin/x", "", "00000000010", "0000755"},
		{deep, "", "name", strings.TrimSuffix(deep, "/name"), "00000000000", "0000644"},
		{flat, "113 path=" + flat + "\n", flat[:100], "", "00000000000", "0000644"},
		{"é", "11 path=é\n", "", "", "00000000000", "0000644"},
	} {
		block := ustar(c.name, c.prefix, c.size, c.mode, '0')
		if c.records != "" {
			dir, base := filepath.Split(c.path)
			name := filepath.Join(dir, "PaxHeaders.0", strings.ReplaceAll(base, "é", ""))
			pax := ustar(name[:min(len(name), 100)], "", fmt.Sprintf("%011o", len(c.records)), "0000000", 'x')
			block = append(append(pax, pad([]byte(c.records))...), block...)
		}
		if !bytes.Contains(data, block) {
			t.Errorf("%.40s: its header is not in the tar in the form of docs/format.md", c.path)
		}
	}
	big, err := bundle.TarHeader("f", 1<<33, "0644")
	pax := ustar("PaxHeaders.0/f", "", "00000000023", "0000000", 'x')
	want := append(append(pax, pad([]byte("19 size=8589934592\n"))...), ustar("f", "", "00000000000", "0000644", '0')...)
	if err != nil || !bytes.Equal(big, want) {
		t.Errorf("8 GiB: got %q, %v, want %q", big, err, want)
	}
	if got := data[len(data)-1024:]; !bytes.Equal(got, make([]byte, 1024)) || len(data)%512 != 0 {
		t.Errorf("end: got %d bytes that end in %q, want two zero blocks", len(data), got)
	}
}

func indexSize(t *testing.T, o bundle.Output) int {
	t.Helper()
	data, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

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
