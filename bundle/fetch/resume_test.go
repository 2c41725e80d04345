package fetch_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
)

// cut runs a fetch that fails after n bytes, with nothing left to try, and requires that its prefix stays.
func cut(t *testing.T, dir string, r fetch.Request, srv *faulttest.Server, n int64) {
	t.Helper()
	srv.Fail(
		faulttest.Fault{Kind: faulttest.Reset, N: n, Times: 1},
		faulttest.Fault{Kind: faulttest.Status, Code: 404, Times: 1})
	f := fetcher(t, dir)
	if _, err := f.Fetch(t.Context(), r); err == nil {
		t.Fatal("the broken fetch succeeded")
	}
	srv.Heal()
	srv.Forget()
}

// prefix returns the content of the one partial in a cache.
func prefix(t *testing.T, dir string) []byte {
	t.Helper()
	var got []byte
	for path, data := range files(t, dir) {
		if strings.HasPrefix(path, "partial") && filepath.Ext(path) == "" {
			got = data
		}
	}
	return got
}

func TestResume(t *testing.T) {
	const size, at = 600_000, 200_000
	data, other := content(size), content(size + 1)[:size]
	for name, c := range map[string]struct {
		learn   bool              // the digest is not known
		before  func(dir string)  // between the runs
		after   []byte            // what the server has in the second run; nil for the same
		fault   []faulttest.Fault // in the second run
		ranges  []string          // what the second run asks for; "+" for bytes=PREFIX-
		ifRange bool              // its first request is conditional
	}{
		"the rest":                   {ranges: []string{"+"}, ifRange: true},
		"the rest, digest learnt":    {learn: true, ranges: []string{"+"}, ifRange: true},
		"changed, digest learnt":     {learn: true, after: other, ranges: []string{"+"}, ifRange: true},
		"server without ranges":      {fault: []faulttest.Fault{{Kind: faulttest.IgnoreRange}}, ranges: []string{"+"}, ifRange: true},
		"no ranges, digest learnt":   {learn: true, fault: []faulttest.Fault{{Kind: faulttest.IgnoreRange}}, ranges: []string{"+"}, ifRange: true},
		"range that lies":            {fault: []faulttest.Fault{{Kind: faulttest.LyingRange, N: 7}}, ranges: []string{"+", ""}, ifRange: true},
		"lying range, digest learnt": {learn: true, fault: []faulttest.Fault{{Kind: faulttest.LyingRange, N: 7}}, ranges: []string{"+", ""}, ifRange: true},
		"range of other bytes":       {fault: []faulttest.Fault{{Kind: faulttest.WrongRange}}, ranges: []string{"+", ""}, ifRange: true},
		"416":                        {fault: []faulttest.Fault{{Kind: faulttest.NoRange}}, ranges: []string{"+", ""}, ifRange: true},
		"416, digest learnt":         {learn: true, fault: []faulttest.Fault{{Kind: faulttest.NoRange}}, ranges: []string{"+", ""}, ifRange: true},
		"cut again":                  {fault: []faulttest.Fault{{Kind: faulttest.Reset, N: 50_000, Times: 1}}, ranges: []string{"+", "++"}, ifRange: true},
		"damaged prefix":             {before: flip, ranges: []string{"+", ""}, ifRange: true},
		"prefix too long":            {before: grow(size), ranges: []string{""}},
		"no origin, digest known":    {before: removeOrigin, ranges: []string{"+"}},
		"no origin, digest learnt":   {learn: true, before: removeOrigin, ranges: []string{""}},
		"torn origin, digest known":  {before: tearOrigin, ranges: []string{"+"}},
		"torn origin, digest learnt": {learn: true, before: tearOrigin, ranges: []string{""}},
		"503 first":                  {learn: true, fault: []faulttest.Fault{{Kind: faulttest.Status, Code: 503, Times: 1}}, ranges: []string{"+", "+"}, ifRange: true},
	} {
		t.Run(name, func(t *testing.T) {
			served := faulttest.Files{"/f": data}
			srv := faulttest.NewServer(t, served)
			dir := t.TempDir()
			r := fetch.Request{Name: "f", URLs: []string{srv.URL + "/f?token=s3cret"}, SHA256: digest(data), Size: size}
			if c.learn {
				r.SHA256, r.Size = "", -1
			}
			cut(t, dir, r, srv, at)
			have := prefix(t, dir)
			if len(have) == 0 || !bytes.HasPrefix(data, have) {
				t.Fatalf("after the cut: got %d bytes, want a prefix", len(have))
			}
			for path, text := range files(t, dir) {
				if strings.Contains(path+string(text), "s3cret") {
					t.Errorf("%s tells the query", path)
				}
			}
			if c.before != nil {
				c.before(dir)
				have = prefix(t, dir)
			}
			want := data
			if c.after != nil {
				want = c.after
				served["/f"] = c.after
			}
			srv.Fail(c.fault...)
			b, err := fetcher(t, dir).Fetch(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			wantBlob(t, b, want)
			wantCache(t, dir, want)
			wantRanges(t, srv.Requests(), c.ranges, int64(len(have)))
			if got := srv.Requests()[0].IfRange != ""; got != c.ifRange {
				t.Errorf("If-Range in the first request: got %v, want %v", got, c.ifRange)
			}
		})
	}
}

// wantRanges checks the Range headers: "" for none, "+" for the rest after the prefix, "++" for the rest after what
// came in between.
func wantRanges(t *testing.T, got []faulttest.Request, want []string, prefix int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("requests: got %+v, want ranges %q", got, want)
	}
	for i, w := range want {
		ok := got[i].Range == w
		switch w {
		case "+":
			ok = got[i].Range == rangeFrom(prefix)
		case "++":
			ok = rangeStart(got[i].Range) > prefix
		}
		if !ok {
			t.Errorf("request %d: got range %q, want %q with a prefix of %d", i+1, got[i].Range, w, prefix)
		}
	}
}

func partialFile(dir, ext string) string {
	all, _ := filepath.Glob(filepath.Join(dir, "partial", "*"))
	for _, path := range all {
		if filepath.Ext(path) == ext {
			return path
		}
	}
	return filepath.Join(dir, "none")
}

func flip(dir string) {
	data, _ := os.ReadFile(partialFile(dir, ""))
	data[1000] ^= 1
	os.WriteFile(partialFile(dir, ""), data, 0o644)
}

func grow(n int64) func(dir string) {
	return func(dir string) { os.Truncate(partialFile(dir, ""), n) }
}

func removeOrigin(dir string) { os.Remove(partialFile(dir, ".json")) }

func tearOrigin(dir string) { os.WriteFile(partialFile(dir, ".json"), []byte(`{"url":"`), 0o644) }

func TestWholePartialNeedsNoByte(t *testing.T) {
	data := content(300_000)
	for name, c := range map[string]struct {
		r        fetch.Request
		requests int
	}{
		"digest known":  {fetch.Request{SHA256: digest(data), Size: int64(len(data))}, 0},
		"size unknown":  {fetch.Request{SHA256: digest(data), Size: -1}, 0},
		"digest learnt": {fetch.Request{Size: -1}, 1}, // asks whether it is still that version; 416 says so
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
			dir := t.TempDir()
			c.r.Name, c.r.URLs = "f", []string{srv.URL + "/f"}
			cut(t, dir, c.r, srv, 100_000)
			if err := os.WriteFile(partialFile(dir, ""), data, 0o644); err != nil { // as if killed before the rename
				t.Fatal(err)
			}
			b, err := fetcher(t, dir).Fetch(t.Context(), c.r)
			if err != nil {
				t.Fatal(err)
			}
			wantBlob(t, b, data)
			wantCache(t, dir, data)
			got := srv.Requests()
			if len(got) != c.requests {
				t.Fatalf("requests: got %+v, want %d", got, c.requests)
			}
			for _, r := range got {
				if r.Status != http.StatusRequestedRangeNotSatisfiable {
					t.Errorf("got %+v, want nothing of the file", r)
				}
			}
		})
	}
}

func rangeFrom(n int64) string { return fmt.Sprintf("bytes=%d-", n) }

// rangeStart returns the first byte asked for, 0 where no range was.
func rangeStart(header string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(header, "bytes="), "-"), 10, 64)
	return n
}
