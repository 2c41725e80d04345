package source_test

import (
	"os"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/source"
)

func TestParseSums(t *testing.T) {
	real, err := os.ReadFile("testdata/terraform-provider-null_3.1.0_SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := source.ParseSums(real)
	if err != nil || len(sums) != 11 {
		t.Fatalf("got %d names, %v, want 11", len(sums), err)
	}
	const want = "53e30545ff8926a8e30ad30648991ca8b93b6fa496272cd23b26763c8ee84515"
	if got := sums["terraform-provider-null_3.1.0_linux_amd64.zip"]; got != want {
		t.Errorf("linux_amd64: got %s, want %s", got, want)
	}
	a, b := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	for _, row := range []struct {
		name, text string
		want       int // names; -1 for an error
	}{
		{"nothing", "", 0},
		{"binary mode", a + " *x\n", 1},
		{"upper case", strings.ToUpper(a) + "  x\n", 1},
		{"the same line twice", a + "  x\n" + a + "  x\n", 1},
		{"no line end", a + "  x", 1},
		{"two digests for a name", a + "  x\n" + b + "  x\n", -1},
		{"a digest of SHA-1's length", a[:40] + "  x\n", -1},
		{"a digest that is no hex", "zz" + a[2:] + "  x\n", -1},
		{"no name", a + "  \n", -1},
		{"no digest", "x\n", -1},
		{"a path", a + "  ../x\n", -1},
		{"two names", a + "  x y\n", -1},
		{"a page", "<html>\n", -1},
	} {
		sums, err := source.ParseSums([]byte(row.text))
		got := len(sums)
		if err != nil {
			got = -1
		}
		if got != row.want {
			t.Errorf("%s: got %d (%v), want %d", row.name, got, err, row.want)
		}
		if d, ok := sums["x"]; ok && d != a {
			t.Errorf("%s: got digest %s, want %s", row.name, d, a)
		}
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("0a", 32) + "  x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := source.ParseSums(data)
		if err != nil && sums != nil {
			t.Error("digests beside an error")
		}
		for name, digest := range sums {
			if len(digest) != 64 || strings.ContainsAny(name, "/ ") {
				t.Errorf("got %q for %q", digest, name)
			}
		}
	})
}
