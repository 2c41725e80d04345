package serve_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

func TestOpenRefuses(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	later := t.TempDir()
	if err := os.WriteFile(filepath.Join(later, "format"), []byte("offbake store 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy := start(t, serve.StoreOptions{})
	for fault, o := range map[string]serve.StoreOptions{
		"foreign folder": {Dir: foreign}, "later format": {Dir: later}, "folder in use": {Dir: busy.dir},
		"a file": {Dir: filepath.Join(foreign, "letter.txt")}, "bucket name": {Dir: t.TempDir(), Bucket: "a/b"},
		"incomplete key": {Dir: t.TempDir(), Keys: []serve.Key{{Public: "p"}}}, "colon in key": {Dir: t.TempDir(), Keys: []serve.Key{{Public: "p:q", Private: "s"}}},
	} {
		if s, err := serve.Store(o); err == nil {
			s.Close()
			t.Errorf("%s: opened", fault)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", fault, err)
		}
	}
	if names, err := filepath.Glob(filepath.Join(foreign, "*")); err != nil || len(names) != 1 {
		t.Errorf("the foreign folder now has %q, %v", names, err)
	}
}

func TestObject(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	a := s.do(t, request{method: "PUT", target: "/dir/hello.txt", key: "dir/hello.txt", body: []byte("hello world\n"), header: http.Header{
		"Content-Type": {"text/plain"}, "X-Ufile-Meta-Sha256": {"abc"}, "X-Ufile-Meta-Made-By": {"é"}, "X-Other": {"x"}}})
	a.want(t, 200, 0)
	const etag = `"AQAAACJZY2Oz3kCwb5gfuF2CMS6MDtUR"`
	if a.Header.Get("ETag") != etag || len(a.body) != 0 {
		t.Errorf("PUT: got ETag %s and %q", a.Header.Get("ETag"), a.body)
	}
	for _, method := range []string{"GET", "HEAD"} {
		a := s.do(t, request{method: method, target: "/dir/hello.txt", key: "dir/hello.txt", header: http.Header{"Accept-Encoding": {"gzip"}}})
		a.want(t, 200, 0)
		got := []string{a.Header.Get("ETag"), a.Header.Get("Content-Type"), a.Header.Get("Content-Length"), a.Header.Get("X-Ufile-Meta-Sha256"),
			a.Header.Get("X-Ufile-Meta-Made-By"), a.Header.Get("X-Other"), a.Header.Get("X-Ufile-Storage-Class"), string(a.body)}
		want := []string{etag, "text/plain", "12", "abc", "é", "", "STANDARD", "hello world\n"}
		if method == "HEAD" {
			want[len(want)-1] = ""
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, want %q", method, got, want)
		}
		if a.Header.Get("Last-Modified") == "" {
			t.Errorf("%s: no Last-Modified", method)
		}
	}
	a = s.do(t, request{method: "DELETE", target: "/dir/hello.txt", key: "dir/hello.txt"})
	a.want(t, 204, 0)
	s.wantAbsent(t, "dir/hello.txt")
	s.do(t, request{method: "HEAD", target: "/dir/hello.txt", key: "dir/hello.txt"}).want(t, 404, 0)
	s.do(t, request{method: "DELETE", target: "/dir/hello.txt", key: "dir/hello.txt"}).want(t, 404, ufile.FileNotExist)
	if got := s.files(t, "objects"); len(got) != 0 {
		t.Errorf("the folder still has %q", got)
	}
}

func TestConditions(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("0123456789"))
	first := s.do(t, request{method: "HEAD", target: "/k", key: "k"})
	for _, c := range []struct {
		header, value string
		status        int
		body, crange  string
	}{
		{"Range", "bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"Range", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"Range", "bytes=-1", 206, "9", "bytes 9-9/10"},
		{"Range", "bytes=0-99", 206, "0123456789", "bytes 0-9/10"},
		{"Range", "bytes=10-", 416, "", "bytes */10"},
		{"If-Modified-Since", first.Header.Get("Last-Modified"), 304, "", ""},
		{"If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200, "0123456789", ""},
		{"If-None-Match", first.Header.Get("ETag"), 304, "", ""},
	} {
		a := s.do(t, request{method: "GET", target: "/k", key: "k", header: http.Header{c.header: {c.value}}})
		a.want(t, c.status, 0)
		if c.status != 416 && string(a.body) != c.body || a.Header.Get("Content-Range") != c.crange {
			t.Errorf("%s %s: got %q, %q", c.header, c.value, a.body, a.Header.Get("Content-Range"))
		}
	}
	a := s.do(t, request{method: "GET", target: "/k?ufileattname=a%20b.txt", key: "k"})
	a.want(t, 200, 0)
	if got := a.Header.Get("Content-Disposition"); got != `attachment; filename="a b.txt"` {
		t.Errorf("got Content-Disposition %s", got)
	}
}

// What HTTP libraries like to clean: each key is itself or refused, never another one.
func TestKeys(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "b", []byte("at b"))
	s.put(t, "a/b", []byte("at a/b"))
	for fault, q := range map[string]request{
		"parent":            {target: "/a/../b", key: "a/../b"},
		"escaped parent":    {target: "/a/%2e%2e/b", key: "a/../b"},
		"escaped slash":     {target: "/a/..%2fb", key: "a/../b"},
		"dot":               {target: "/./b", key: "./b"},
		"two leading":       {target: "//b", key: "/b"},
		"NUL":               {target: "/b%00", key: "b\x00"},
		"newline":           {target: "/b%0a", key: "b\n"},
		"not UTF-8":         {target: "/b%ff", key: "b\xff"},
		"too long":          {target: "/" + strings.Repeat("k", 1025), key: strings.Repeat("k", 1025)},
		"above the folder":  {target: "/../../../../etc/passwd", key: "../../../../etc/passwd"},
		"backslash parents": {target: "/..%5c../b/..", key: `..\../b/..`},
	} {
		for _, method := range []string{"PUT", "GET", "HEAD", "DELETE"} {
			q.method = method
			if method == "PUT" {
				q.body = []byte("evil")
			}
			if a := s.do(t, q); a.StatusCode != 400 {
				t.Errorf("%s: %s: got status %d, want 400", fault, method, a.StatusCode)
			}
		}
	}
	own := []string{"a//b", "a/", "a+b", "a b", "%41", "ä", "..b", strings.Repeat("k/", 512), strings.Repeat("ü", 512), "uploadhit", "objects/x", "=x", "+x"}
	for _, key := range own {
		if err := s.sdk(t).PutFileWithData(key, "text/plain", []byte(key)); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range own {
		var b bytes.Buffer
		if err := s.sdk(t).DownloadFile(&b, key); err != nil || b.String() != key {
			t.Errorf("%q: got %q, %v", key, b.String(), err)
		}
	}
	if got := s.get(t, "b"); string(got) != "at b" {
		t.Errorf("b: got %q", got)
	}
	if got := s.get(t, "a/b"); string(got) != "at a/b" {
		t.Errorf("a/b: got %q", got)
	}
	if got, want := len(s.keys(t, 1000)), len(own)+2; got != want {
		t.Errorf("got %d objects, want %d", got, want)
	}
}

func TestLimits(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	put := func(header http.Header) *answer {
		return s.do(t, request{method: "PUT", target: "/k", key: "k", body: []byte("hello world\n"), header: header})
	}
	for fault, header := range map[string]http.Header{
		"metadata size":      {"X-Ufile-Meta-A": {strings.Repeat("x", 5000)}, "X-Ufile-Meta-B": {strings.Repeat("x", 5000)}},
		"metadata name":      {"X-Ufile-Meta-A_b": {"x"}},
		"metadata no name":   {"X-Ufile-Meta-": {"x"}},
		"metadata not UTF-8": {"X-Ufile-Meta-A": {"\xff"}},
		"MD5 of other bytes": {"Content-Md5": {"6f5902ac237024bdd0c176cb93063dc5"}},
		"MD5 nonsense":       {"Content-Md5": {"x"}},
		"MD5 too short":      {"Content-Md5": {"6f59"}},
	} {
		a := put(header)
		a.want(t, 400, 0)
		if t.Failed() {
			t.Logf("the fault was %s", fault)
		}
	}
	s.wantAbsent(t, "k")
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
	put(http.Header{"X-Ufile-Meta-A": {strings.Repeat(`"`, 8191)}}).want(t, 200, 0) // escaping doubles it on disk
	if got := s.do(t, request{method: "HEAD", target: "/k", key: "k"}).Header.Get("X-Ufile-Meta-A"); got != strings.Repeat(`"`, 8191) {
		t.Errorf("got %d bytes of metadata", len(got))
	}
	put(http.Header{"Content-Md5": {"6f5902ac237024bdd0c176cb93063dc4"}}).want(t, 200, 0) // hex, as the SDK
	put(http.Header{"Content-Md5": {"b1kCrCNwJL3QwXbLkwY9xA=="}}).want(t, 200, 0)         // base64, as RFC 1864
}

// What this store does not know yet is refused, and changes nothing: ignoring the query would store an empty object.
func TestUnknownRequests(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for call, err := range map[string]error{
		"PutFileWithIopString": s.sdk(t).PutFileWithIopString(path, "k", "text/plain", "iopcmd=thumbnail"),
		"two things at once":   statusError(s.do(t, request{method: "PUT", target: "/k?tagging&acl", key: "k", body: []byte("{}")})),
		"GET with a source":    statusError(s.do(t, request{method: "GET", target: "/k", key: "k", header: http.Header{"X-Ufile-Copy-Source": {"/bkt/k"}}})),
		"DELETE of uploads":    statusError(s.do(t, request{method: "DELETE", target: "/k?uploads=x", key: "k"})),
		"POST of an object":    statusError(s.do(t, request{method: "POST", target: "/k", key: "k", body: []byte("x")})),
		"PATCH":                statusError(s.do(t, request{method: "PATCH", target: "/k", key: "k", body: []byte("x")})),
		"GET of the bucket":    statusError(s.do(t, request{method: "GET", target: "/"})),
		"DELETE of the bucket": statusError(s.do(t, request{method: "DELETE", target: "/"})),
		"PUT of the bucket":    statusError(s.do(t, request{method: "PUT", target: "/", body: []byte("x")})),
		"part of no object":    statusError(s.do(t, request{method: "PUT", target: "/?partNumber=0&uploadId=x", body: []byte("x")})),
	} {
		if err == nil {
			t.Errorf("%s: done", call)
		}
	}
	if got := s.get(t, "k"); string(got) != "kept" {
		t.Errorf("the object is now %q", got)
	}
	if got := s.keys(t, 10); len(got) != 1 {
		t.Errorf("the store has %q", got)
	}
}

func statusError(a *answer) error {
	if a.StatusCode >= 300 {
		return fmt.Errorf("status %d", a.StatusCode)
	}
	return nil
}

// A damaged file is never sent as if it were the object.
func TestDamagedObject(t *testing.T) {
	for fault, damage := range map[string]func([]byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"cut":             func(b []byte) []byte { return b[:len(b)-1] },
		"cut at the head": func(b []byte) []byte { return b[1:] },
		"no trailer":      func(b []byte) []byte { return b[:5] },
		"other length":    func(b []byte) []byte { return bytes.Replace(b, []byte(`"size":5`), []byte(`"size":4`), 1) },
		"other key":       func(b []byte) []byte { return bytes.Replace(b, []byte(`"key":"k"`), []byte(`"key":"x"`), 1) },
		"not JSON":        func(b []byte) []byte { return bytes.Replace(b, []byte(`{`), []byte(`[`), 1) },
	} {
		s := start(t, serve.StoreOptions{})
		s.put(t, "k", []byte("whole"))
		files := s.files(t, "objects")
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], damage(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := s.do(t, request{method: "GET", target: "/k", key: "k"}); a.StatusCode != 500 || strings.Contains(string(a.body), s.dir) {
			t.Errorf("%s: got status %d, %q", fault, a.StatusCode, a.body)
		}
		s.put(t, "k", []byte("again"))
		if got := s.get(t, "k"); string(got) != "again" {
			t.Errorf("%s: after a new PUT: got %q", fault, got)
		}
	}
}
