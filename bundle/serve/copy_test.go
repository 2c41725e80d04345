package serve_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// copyFrom is the header that names what is copied, and more headers by pairs.
func copyFrom(source string, more ...string) http.Header {
	h := http.Header{ufile.CopySource: {source}}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}

func TestCopy(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	const source = "rpms/libstdc++ 中文%41"
	content := bytes.Repeat([]byte("0123456789"), 500_000)
	put := s.sdk(t)
	put.RequestHeader = http.Header{"X-Ufile-Meta-Sha256": {"abc"}}
	if err := put.PutFileWithData(source, "application/x-rpm", content); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header       http.Header
		kind, sha256 string
	}{
		"raw":               {copyFrom("/bkt/" + source), "application/x-rpm", "abc"},
		"escaped":           {copyFrom("/bkt/rpms/libstdc%2B%2B%20%E4%B8%AD%E6%96%87%2541"), "application/x-rpm", "abc"},
		"escaped whole":     {copyFrom("%2Fbkt%2Frpms%2Flibstdc%2B%2B%20%E4%B8%AD%E6%96%87%2541"), "application/x-rpm", "abc"},
		"without its slash": {copyFrom("bkt/" + source), "application/x-rpm", "abc"},
		"COPY":              {copyFrom("/bkt/"+source, ufile.MetadataDirective, "COPY", "X-Ufile-Meta-Sha256", "x"), "application/x-rpm", "abc"},
		"REPLACE":           {copyFrom("/bkt/"+source, ufile.MetadataDirective, "REPLACE", "X-Ufile-Meta-Sha256", "x", "Content-Type", "a/b"), "a/b", "x"},
	} {
		key := strings.ReplaceAll(name, " ", "-")
		a := s.do(t, request{method: "PUT", target: "/" + key, key: key, header: c.header})
		a.want(t, 200, 0)
		etag, _, _ := ufile.ETagOf(bytes.NewReader(content))
		if a.Header.Get("ETag") != `"`+etag+`"` || len(a.body) != 0 {
			t.Errorf("%s: got ETag %s, body %q", name, a.Header.Get("ETag"), a.body)
		}
		got := s.do(t, request{method: "GET", target: "/" + key, key: key})
		if !bytes.Equal(got.body, content) || got.Header.Get("Content-Type") != c.kind || got.Header.Get("X-Ufile-Meta-Sha256") != c.sha256 {
			t.Errorf("%s: got %d other bytes, or headers %v", name, len(got.body), got.Header)
		}
	}
	s.put(t, "raw", []byte("replaced")) // the copy is an object of its own
	s.do(t, request{method: "PUT", target: "/raw", key: "raw", header: copyFrom("/bkt/raw")}).want(t, 200, 0)
	if got := s.get(t, "raw"); string(got) != "replaced" {
		t.Errorf("copied onto itself: got %d bytes", len(got))
	}
	if got := s.get(t, "COPY"); !bytes.Equal(got, content) {
		t.Errorf("another copy changed: got %d bytes", len(got))
	}
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
}

func TestCopyRefuses(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	s.sparse(t, "large", ufile.MaxCopy+1)
	for fault, c := range map[string]struct {
		header http.Header
		body   string
		status int
		code   ufile.RetCode
	}{
		"absent":            {copyFrom("/bkt/none"), "", 404, ufile.FileNotExist},
		"escaped, absent":   {copyFrom("/bkt/%6eone"), "", 404, ufile.FileNotExist},
		"other bucket":      {copyFrom("/other/k"), "", 404, ufile.BucketNotExist},
		"no key":            {copyFrom("/bkt"), "", 400, 0},
		"empty key":         {copyFrom("/bkt/"), "", 400, 0},
		"parents":           {copyFrom("/bkt/../../etc/passwd"), "", 400, 0},
		"escaped parents":   {copyFrom("/bkt/%2e%2e/k"), "", 404, 0},
		"with a body":       {copyFrom("/bkt/k"), "x", 400, 0},
		"above 100 MB":      {copyFrom("/bkt/large"), "", 400, 0},
		"unknown directive": {copyFrom("/bkt/k", ufile.MetadataDirective, "MOVE"), "", 400, 0},
		"bad metadata":      {copyFrom("/bkt/k", ufile.MetadataDirective, "REPLACE", "X-Ufile-Meta-A_b", "x"), "", 400, 0},
	} {
		a := s.do(t, request{method: "PUT", target: "/new", key: "new", body: []byte(c.body), header: c.header})
		if a.want(t, c.status, c.code); t.Failed() {
			t.Fatalf("the fault was %s", fault)
		}
	}
	s.wantAbsent(t, "new")
	lenient := startExactly(t, serve.StoreOptions{Dir: t.TempDir(), Bucket: "bkt", Keys: []serve.Key{testKey}})
	lenient.sparse(t, "large", ufile.MaxCopy+1)
	lenient.do(t, request{method: "PUT", target: "/new", key: "new", header: copyFrom("/bkt/large")}).want(t, 200, 0)
	if got := lenient.do(t, request{method: "HEAD", target: "/new", key: "new"}); got.ContentLength != ufile.MaxCopy+1 {
		t.Errorf("got %d bytes", got.ContentLength)
	}
}

// sparse writes an object of zeros as docs/store-layout.md says, without their bytes.
func (s *service) sparse(t testing.TB, key string, size int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(s.dir, "objects", "="+key))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	about := fmt.Sprintf(`{"key":%q,"size":%d,"etag":"x","type":"a/b","modified":1}`+"\n", key, size)
	if _, err := f.WriteAt(fmt.Appendf([]byte(about), "%08x offbake\n", len(about)), size); err != nil {
		t.Fatal(err)
	}
}

func TestCopyPart(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	content := append(block('a'), block('b')...)
	s.put(t, "src", content)
	s.put(t, "empty", nil)
	id := s.initiate(t, "k")
	part := func(n int, header http.Header) *answer {
		return s.do(t, request{method: "PUT", target: fmt.Sprintf("/k?partNumber=%d&uploadId=%s", n, id), key: "k", header: header})
	}
	for fault, c := range map[string]struct {
		header http.Header
		status int
		code   ufile.RetCode
	}{
		"behind the end":  {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=8388608-8388609"), 419, 0},
		"over the end":    {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=8388600-8388608"), 419, 0},
		"backwards":       {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=5-4"), 419, 0},
		"of nothing":      {copyFrom("/bkt/empty", ufile.CopySourceRange, "bytes=0-0"), 419, 0},
		"open":            {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=0-"), 419, 0},
		"from the end":    {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=-5"), 419, 0},
		"no unit":         {copyFrom("/bkt/src", ufile.CopySourceRange, "0-4"), 419, 0},
		"nonsense":        {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=a-b"), 419, 0},
		"huge":            {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=0-99999999999999999999"), 419, 0},
		"above a block":   {copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=0-4194304"), 400, ufile.BlockTooLarge},
		"whole, too long": {copyFrom("/bkt/src"), 400, ufile.BlockTooLarge},
		"absent":          {copyFrom("/bkt/none", ufile.CopySourceRange, "bytes=0-1"), 404, ufile.FileNotExist},
		"other bucket":    {copyFrom("/x/src", ufile.CopySourceRange, "bytes=0-1"), 404, ufile.BucketNotExist},
	} {
		a := part(0, c.header)
		if a.want(t, c.status, c.code); t.Failed() || a.Header.Get("Content-Range") != "" {
			t.Fatalf("the fault was %s, the answer %v", fault, a.Header)
		}
	}
	for n, r := range []string{"4194304-8388607", "3-6"} {
		a := part(n, copyFrom("/bkt/src", ufile.CopySourceRange, "bytes="+r))
		a.want(t, 200, 0)
		if got, want := a.Header.Get("Content-Range"), "bytes "+r+"/8388608"; got != want || len(a.body) != 0 {
			t.Errorf("got Content-Range %q and %q, want %q", got, a.body, want)
		}
	}
	part(1, copyFrom("/bkt/src", ufile.CopySourceRange, "bytes=3-6")).want(t, 500, ufile.DuplicatePart)
	s.finish(t, "k", id, ufile.PartETag(block('b')), ufile.PartETag([]byte("aaaa"))).want(t, 200, 0)
	if got := s.get(t, "k"); !bytes.Equal(got, append(block('b'), "aaaa"...)) {
		t.Errorf("got %d other bytes", len(got))
	}
}

func TestUploadHit(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "a", []byte("hello world\n"))
	s.put(t, "b", []byte("other"))
	const etag = "AQAAACJZY2Oz3kCwb5gfuF2CMS6MDtUR"
	hit := func(name, size, hash string) *answer {
		return s.do(t, request{method: "POST", target: "/uploadhit?Hash=" + hash + "&FileName=" + name + "&FileSize=" + size, key: name})
	}
	hit("new", "12", "AQAAACJZY2Oz3kCwb5gfuF2CMS6MDtUS").want(t, 404, ufile.FileNotExist)
	hit("new", "13", etag).want(t, 404, ufile.FileNotExist)
	hit("new", "x", etag).want(t, 400, 0)
	hit("../new", "12", etag).want(t, 400, 0)
	s.do(t, request{method: "POST", target: "/uploadhit?Hash=" + etag + "&FileName=new&FileSize=12", key: "uploadhit"}).want(t, 403, ufile.InvalidSignature)
	s.wantAbsent(t, "new")
	a := hit("new", "12", etag)
	a.want(t, 200, 0)
	if a.Header.Get("ETag") != `"`+etag+`"` {
		t.Errorf("got ETag %s", a.Header.Get("ETag"))
	}
	if got := s.get(t, "new"); string(got) != "hello world\n" {
		t.Errorf("got %q", got)
	}
	if got := s.keys(t, 10); len(got) != 3 {
		t.Errorf("the store has %q", got)
	}
}

func TestRename(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "a", []byte("of a"))
	s.put(t, "b", []byte("of b"))
	rename := func(from, to, more string) *answer {
		return s.do(t, request{method: "PUT", target: "/" + from + "?newFileName=" + to + more, key: from})
	}
	rename("none", "c", "").want(t, 404, ufile.FileNotExist)
	rename("a", "b", "&force=false").want(t, 409, 0)
	rename("a", "b", "").want(t, 409, 0)
	rename("a", "../b", "&force=true").want(t, 400, 0)
	rename("a", "", "&force=true").want(t, 400, 0)
	rename("a", "a", "&force=true").want(t, 200, 0)
	if got := string(s.get(t, "a")) + string(s.get(t, "b")); got != "of aof b" {
		t.Errorf("got %q", got)
	}
	rename("a", "dir/c", "&force=false").want(t, 200, 0)
	s.wantAbsent(t, "a")
	rename("dir/c", "b", "&force=true").want(t, 200, 0)
	s.wantOnly(t, "b", "of a")
}

// Renames to one name and PUTs of the old one at the same time: no content is lost, and none is doubled without force.
func TestRenameTogether(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	for i := range 4 {
		s.put(t, fmt.Sprint("from", i), fmt.Append(nil, "old ", i))
	}
	var wg sync.WaitGroup
	status := make([]int, 4)
	for i := range 4 {
		from := fmt.Sprint("from", i)
		wg.Go(func() {
			status[i] = s.do(t, request{method: "PUT", target: "/" + from + "?newFileName=to", key: from}).StatusCode
		})
		wg.Go(func() { s.put(t, from, fmt.Append(nil, "new ", i)) })
	}
	wg.Wait()
	done := 0
	for i, got := range status {
		switch got {
		case 200:
			done++
		case 409:
		default:
			t.Errorf("got status %d", got)
		}
		// The PUT came before the rename, and was renamed; or after it, and is there.
		content, err := os.ReadFile(filepath.Join(s.dir, "objects", fmt.Sprint("=from", i)))
		moved := string(s.get(t, "to")) == fmt.Sprint("new ", i)
		if there := err == nil && bytes.HasPrefix(content, fmt.Append(nil, "new ", i)); there == moved {
			t.Errorf("from%d: got %.20q, %v; moved: %v", i, content, err, moved)
		}
	}
	if done != 1 {
		t.Errorf("%d renames were done, want 1", done)
	}
}
