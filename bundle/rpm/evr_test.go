package rpm_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// TestCompareAgainstRPM holds Compare to the answers of rpm 4.18.
func TestCompareAgainstRPM(t *testing.T) {
	f, err := os.Open("testdata/vercmp.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pairs := 0
	for s := bufio.NewScanner(f); s.Scan(); pairs++ {
		fields := strings.Fields(s.Text())
		want, err := strconv.Atoi(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		a, b := rpm.EVR{Version: fields[0]}, rpm.EVR{Version: fields[1]}
		if got := a.Compare(b); got != want {
			t.Errorf("%s with %s: got %d, want %d", fields[0], fields[1], got, want)
		}
		if got := b.Compare(a); got != -want {
			t.Errorf("%s with %s: got %d, want %d", fields[1], fields[0], got, -want)
		}
	}
	if pairs != 2623 {
		t.Errorf("got %d pairs, want 2623", pairs)
	}
}

func TestCompareEVR(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"1.0-1", "1.0-1", 0},
		{"0:1.0-1", "1.0-1", 0},
		{"1:1.0-1", "2.0-1", 1},
		{"9:1.0-1", "10:1.0-1", -1},
		{"1.0-1", "1.0-2", -1},
		{"1.0", "1.0-2", 0}, // a dependency without release means every release
		{"1.0~rc1-1", "1.0-1", -1},
		{"0^20250512.g8ec1341-2.el9", "0-9", 1},
		{"0^20250512-1", "0.1-1", -1},
	} {
		a, b := rpm.ParseEVR(tt.a), rpm.ParseEVR(tt.b)
		if got := a.Compare(b); got != tt.want {
			t.Errorf("%s with %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := b.Compare(a); got != -tt.want {
			t.Errorf("%s with %s: got %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func TestParseEVR(t *testing.T) {
	for _, tt := range []struct {
		text   string
		want   rpm.EVR
		String string
	}{
		{"3:19.03.15-3.el7", rpm.EVR{Epoch: "3", Version: "19.03.15", Release: "3.el7"}, "3:19.03.15-3.el7"},
		{"0:1.0-1", rpm.EVR{Epoch: "0", Version: "1.0", Release: "1"}, "1.0-1"},
		{"1.0", rpm.EVR{Version: "1.0"}, "1.0"},
		{"1.0-rc1-2", rpm.EVR{Version: "1.0-rc1", Release: "2"}, "1.0-rc1-2"},
		{"a:1", rpm.EVR{Version: "a:1"}, "a:1"},
		{":1", rpm.EVR{Version: "1"}, "1"},
		{"", rpm.EVR{}, ""},
	} {
		got := rpm.ParseEVR(tt.text)
		if got != tt.want || got.String() != tt.String {
			t.Errorf("%q: got %#v, %q, want %#v, %q", tt.text, got, got, tt.want, tt.String)
		}
	}
}

// FuzzEVR holds Compare to the laws of an order and ParseEVR to what it printed.
func FuzzEVR(f *testing.F) {
	f.Add("1:1.0-1", "1.0~rc1-1", "1.0^git1-2")
	f.Add("10xyz", "10.1xyz", "^~")
	f.Fuzz(func(t *testing.T, x, y, z string) {
		a, b, c := rpm.ParseEVR(x), rpm.ParseEVR(y), rpm.ParseEVR(z)
		if a.Compare(a) != 0 {
			t.Errorf("%q differs from itself", a)
		}
		if a.Compare(b) != -b.Compare(a) {
			t.Errorf("%q with %q: got %d one way and %d the other", a, b, a.Compare(b), b.Compare(a))
		}
		releases := (a.Release == "") == (b.Release == "") && (b.Release == "") == (c.Release == "")
		if releases && a.Compare(b) > 0 && b.Compare(c) > 0 && a.Compare(c) <= 0 {
			t.Errorf("%q is newer than %q, that newer than %q, but the first not newer than the last", a, b, c)
		}
		if again := rpm.ParseEVR(a.String()); again.Compare(a) != 0 && !strings.ContainsAny(a.Version, ":-") {
			t.Errorf("%q: got %q when read again", a, again)
		}
	})
}
