package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

func TestMultipart(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	a := s.do(t, request{method: "POST", target: "/big?uploads", key: "big", header: http.Header{
		"Content-Type": {"application/x-rpm"}, "X-Ufile-Meta-Sha256": {"abc"}}})
	a.want(t, 200, 0)
	var state struct{ UploadID string }
	if err := json.Unmarshal(a.body, &state); err != nil {
		t.Fatal(err)
	}
	id := state.UploadID
	parts := [][]byte{block('a'), block('b'), []byte("tail")}
	etags := make([]string, len(parts))
	for _, n := range []int{2, 0, 1} { // in any order
		a := s.part(t, "big", id, n, parts[n])
		a.want(t, 200, 0)
		etags[n] = strings.Trim(a.Header.Get("ETag"), `"`)
		if len(a.body) != 0 || etags[n] != ufile.PartETag(parts[n]) {
			t.Errorf("part %d: got ETag %s, body %q", n, etags[n], a.body)
		}
		s.wantAbsent(t, "big")
	}
	if got := s.keys(t, 10); len(got) != 0 {
		t.Errorf("an unfinished upload is listed as %q", got)
	}
	a = s.finish(t, "big", id, etags...)
	a.want(t, 200, 0)
	whole := slices.Concat(parts...)
	etag, _, _ := ufile.ETagOf(bytes.NewReader(whole))
	if want := fmt.Sprintf(`{"Bucket":"bkt","Key":"big","FileSize":%d}`, len(whole)); string(a.body) != want || a.Header.Get("ETag") != `"`+etag+`"` {
		t.Errorf("got %s, ETag %s; want %s, %q", a.body, a.Header.Get("ETag"), want, etag)
	}
	a = s.do(t, request{method: "GET", target: "/big", key: "big"})
	if !bytes.Equal(a.body, whole) || a.Header.Get("Content-Type") != "application/x-rpm" || a.Header.Get("X-Ufile-Meta-Sha256") != "abc" {
		t.Errorf("got %d other bytes, or headers %v", len(a.body), a.Header)
	}
	s.finish(t, "big", id, etags...).want(t, 404, 0) // once only
	s.part(t, "big", id, 3, []byte("x")).want(t, 404, 0)
	if got := append(s.files(t, "uploads"), s.files(t, "tmp")...); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestFinishRefuses(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	a, b, tail := block('a'), block('b'), []byte("tail")
	ea, eb, et := ufile.PartETag(a), ufile.PartETag(b), ufile.PartETag(tail)
	for fault, c := range map[string]struct {
		parts map[int][]byte
		etags []string
	}{
		"a hole":              {map[int][]byte{0: a, 2: tail}, []string{ea, et}},
		"no first part":       {map[int][]byte{1: tail}, []string{et}},
		"wrong order":         {map[int][]byte{0: a, 1: b, 2: tail}, []string{eb, ea, et}},
		"other ETag":          {map[int][]byte{0: a, 1: tail}, []string{ea, eb}},
		"fewer than there":    {map[int][]byte{0: a, 1: b, 2: tail}, []string{ea, eb}},
		"more than there":     {map[int][]byte{0: a}, []string{ea, eb}},
		"none of those there": {map[int][]byte{0: a}, nil},
		"short in the middle": {map[int][]byte{0: tail, 1: a}, []string{et, ea}},
		"quoted":              {map[int][]byte{0: a}, []string{`"` + ea + `"`}},
		"empty element":       {map[int][]byte{0: a}, []string{ea, ""}},
	} {
		t.Run(fault, func(t *testing.T) {
			key := strings.ReplaceAll(fault, " ", "-")
			id := s.initiate(t, key)
			var right []string
			for n, part := range c.parts {
				s.part(t, key, id, n, part).want(t, 200, 0)
			}
			s.finish(t, key, id, c.etags...).want(t, 400, 0)
			s.wantAbsent(t, key)
			for n := range 3 { // it goes on from there
				if part, ok := c.parts[n]; ok && len(right) == n {
					right = append(right, ufile.PartETag(part))
				}
			}
			if len(right) == len(c.parts) && fault != "short in the middle" {
				s.finish(t, key, id, right...).want(t, 200, 0)
				s.get(t, key)
			}
		})
	}
}

func TestPartRefuses(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	id, other := s.initiate(t, "k"), s.initiate(t, "other")
	s.part(t, "k", id, 0, append(block('a'), 'a')).want(t, 400, ufile.BlockTooLarge)
	for fault, n := range map[string]string{"negative": "-1", "not a number": "x", "empty": "", "above 5 TB": "1310720", "huge": "4294967296"} {
		a := s.do(t, request{method: "PUT", target: "/k?partNumber=" + n + "&uploadId=" + id, key: "k", body: []byte("x")})
		if a.StatusCode != 400 {
			t.Errorf("%s: got status %d, want 400", fault, a.StatusCode)
		}
	}
	for fault, id := range map[string]string{"no such": strings.Repeat("A", 26), "other key's": other, "path": "../objects", "empty": "", "short": "A"} {
		for _, a := range []*answer{s.part(t, "k", id, 0, []byte("x")), s.finish(t, "k", id),
			s.do(t, request{method: "DELETE", target: "/k?uploadId=" + id, key: "k"})} {
			if a.StatusCode != 404 {
				t.Errorf("%s: %s: got status %d, want 404", fault, a.Request.Method, a.StatusCode)
			}
		}
	}
	s.part(t, "k", id, 0, []byte("first")).want(t, 200, 0)
	for _, again := range []string{"first", "other"} { // as the real service: also when the bytes are the same
		s.part(t, "k", id, 0, []byte(again)).want(t, 500, ufile.DuplicatePart)
	}
	a := s.do(t, request{method: "PUT", target: "/k?partNumber=1&uploadId=" + id, key: "k", body: []byte("x"),
		header: http.Header{"Content-Md5": {"6f5902ac237024bdd0c176cb93063dc4"}}})
	a.want(t, 400, 0)
	if list, err := s.sdk(t).ListParts(id, 0, 0); err != nil || len(list.Parts) != 1 {
		t.Errorf("got %+v, %v; want the first part only", list, err)
	}
}

func TestLenientParts(t *testing.T) {
	s := startExactly(t, serve.StoreOptions{Dir: t.TempDir(), Bucket: "bkt", Keys: []serve.Key{testKey}})
	id := s.initiate(t, "k")
	s.part(t, "k", id, 0, []byte("first")).want(t, 200, 0)
	s.part(t, "k", id, 0, []byte("first")).want(t, 200, 0)
	s.part(t, "k", id, 0, []byte("other")).want(t, 500, ufile.DuplicatePart)
	s.finish(t, "k", id, ufile.PartETag([]byte("first"))).want(t, 200, 0)
	if got := s.get(t, "k"); string(got) != "first" {
		t.Errorf("got %q", got)
	}
}

func TestAbort(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	id := s.initiate(t, "k")
	s.part(t, "k", id, 0, block('a')).want(t, 200, 0)
	s.do(t, request{method: "DELETE", target: "/k?uploadId=" + id, key: "k"}).want(t, 204, 0)
	s.do(t, request{method: "DELETE", target: "/k?uploadId=" + id, key: "k"}).want(t, 404, 0)
	s.finish(t, "k", id, ufile.PartETag(block('a'))).want(t, 404, 0)
	s.wantAbsent(t, "k")
	if got := append(s.files(t, "uploads"), s.files(t, "tmp")...); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestListPartsAndUploads(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	id := s.initiate(t, "b/k")
	for _, n := range []int{0, 1, 2, 150, 4000} {
		s.part(t, "b/k", id, n, fmt.Append(nil, n)).want(t, 200, 0)
	}
	got := []uint32{}
	for marker := 0; ; {
		list, err := s.sdk(t).ListParts(id, 2, marker)
		if err != nil {
			t.Fatal(err)
		}
		if list.Key != "b/k" || list.UploadID != id || list.MaxParts != 2 || len(list.Parts) > 2 {
			t.Errorf("got %+v", list)
		}
		for _, p := range list.Parts {
			got = append(got, p.PartNum)
			if want := fmt.Append(nil, p.PartNum); p.Etag != ufile.PartETag(want) || int(p.Size) != len(want) || p.LastModified == 0 {
				t.Errorf("got %+v", p)
			}
		}
		if !list.IsTruncated {
			break
		}
		marker = int(list.NextPartNumberMarker)
	}
	if diff := cmp.Diff([]uint32{0, 1, 2, 150, 4000}, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	second, other := s.initiate(t, "b/k"), s.initiate(t, "a")
	for _, c := range []struct {
		query, next string
		want        []string
	}{
		{"muploadid&prefix=&marker=&limit=10", "", []string{"a " + other, "b/k " + id, "b/k " + second}},
		{"muploadid&prefix=b/&marker=&limit=1", "", []string{"b/k " + id, "b/k " + second}}, // all of one key together
		{"limit=1&marker=&muploadid=&prefix=", "a", []string{"a " + other}},
		{"limit=1&marker=a&muploadid=&prefix=", "", []string{"b/k " + id, "b/k " + second}},
		{"muploadid&prefix=x", "", []string{}},
	} {
		a := s.do(t, request{method: "GET", target: "/?" + c.query})
		a.want(t, 200, 0)
		var list struct {
			NextMarker string
			DataSet    []struct {
				UploadID, FileName string
				StartTime          int64
			}
		}
		if err := json.Unmarshal(a.body, &list); err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, u := range list.DataSet {
			got = append(got, u.FileName+" "+u.UploadID)
		}
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, got); diff != "" || list.NextMarker != c.next {
			t.Errorf("%s: next %q (-want +got):\n%s", c.query, list.NextMarker, diff)
		}
	}
	s.do(t, request{method: "GET", target: "/?muploadpart&uploadId=" + strings.Repeat("B", 26)}).want(t, 404, 0)
	s.do(t, request{method: "GET", target: "/?muploadpart&max-parts=0&uploadId=" + id}).want(t, 400, 0)
}

// Many writers of one part: one wins, and the object is its bytes.
func TestConcurrentParts(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	id := s.initiate(t, "k")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := []string{}
	for i := range 8 {
		wg.Go(func() {
			body := block(byte('a' + i))
			a := s.part(t, "k", id, 0, body)
			switch a.StatusCode {
			case 200:
				mu.Lock()
				won = append(won, ufile.PartETag(body))
				mu.Unlock()
			case 409, 500:
			default:
				t.Errorf("got status %d", a.StatusCode)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d requests stored the part, want 1", len(won))
	}
	s.finish(t, "k", id, won[0]).want(t, 200, 0)
	if got := s.get(t, "k"); ufile.PartETag(got) != won[0] {
		t.Error("the object is not what its writer sent")
	}
}

// A client whose connection hangs sends the part again: the second is taken at once, and the first can do no harm.
func TestSupersededPart(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	id := s.initiate(t, "k")
	slow := s.hang(t, "/k?partNumber=0&uploadId="+id, "k", bytes.Repeat([]byte("x"), 1<<20), ufile.BlockSize)
	s.part(t, "k", id, 0, block('b')).want(t, 200, 0)
	slow.send(t, bytes.Repeat([]byte("x"), ufile.BlockSize-1<<20))
	if status := slow.status(t); status != 409 {
		t.Errorf("the superseded request: got status %d, want 409", status)
	}
	// One that still hangs when the upload is finished must not write into the object.
	late := s.hang(t, "/k?partNumber=1&uploadId="+id, "k", []byte("y"), 100)
	s.finish(t, "k", id, ufile.PartETag(block('b'))).want(t, 200, 0)
	late.send(t, bytes.Repeat([]byte("y"), 99))
	if status := late.status(t); status != 409 {
		t.Errorf("the late request: got status %d, want 409", status)
	}
	if got := s.get(t, "k"); !bytes.Equal(got, block('b')) {
		t.Error("the object holds bytes of a request that failed")
	}
}

// What an earlier server left of an upload is there for the next one, unless it is old or half-made.
func TestUploadsSurvive(t *testing.T) {
	dir := t.TempDir()
	open := func() *serve.Objects {
		s, err := serve.Store(serve.StoreOptions{Dir: dir, Bucket: "bkt", Keys: []serve.Key{testKey}, Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open()
	srv := serviceOf(t, first, dir)
	id, old := srv.initiate(t, "k"), srv.initiate(t, "old")
	srv.part(t, "k", id, 0, block('a')).want(t, 200, 0)
	srv.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	about := dir + "/uploads/" + old + "/about.json"
	text, err := os.ReadFile(about)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	fields["started"] = 1700000000
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(about, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/tmp/left", "/uploads/HALFMADE/data"} {
		if err := os.MkdirAll(dir+name[:strings.LastIndexByte(name, '/')], 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := open()
	defer second.Close()
	srv = serviceOf(t, second, dir)
	defer srv.Close()
	if got := srv.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
	if entries, err := os.ReadDir(dir + "/uploads"); err != nil || len(entries) != 1 || entries[0].Name() != id {
		t.Errorf("got the uploads %v, %v; want %s", entries, err, id)
	}
	srv.part(t, "k", id, 0, block('a')).want(t, 500, ufile.DuplicatePart)
	srv.part(t, "k", id, 1, []byte("b")).want(t, 200, 0)
	srv.finish(t, "k", id, ufile.PartETag(block('a')), ufile.PartETag([]byte("b"))).want(t, 200, 0)
	if got := srv.get(t, "k"); !bytes.Equal(got, append(block('a'), 'b')) {
		t.Error("got other bytes")
	}
}
