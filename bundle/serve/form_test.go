package serve_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// field is one part of a form; a name "file" is the file.
type field struct{ name, value string }

// signForm is the Authorization field for a key and a content type.
func signForm(k serve.Key, key, contentType string) field {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return field{"Authorization", k.Authorization(ufile.Request{Method: "POST", Bucket: "bkt", Key: key, Header: h})}
}

func formBody(t testing.TB, fields []field) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"`, f.name)}}
		if f.name == "file" {
			h.Set("Content-Disposition", `form-data; name="file"; filename="../../etc/passwd"`)
			h.Set("Content-Type", "image/jpeg")
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(f.value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

func (s *service) post(t testing.TB, fields ...field) *answer {
	t.Helper()
	body, contentType := formBody(t, fields)
	return s.do(t, request{method: "POST", target: "/", body: body, header: http.Header{"Content-Type": {contentType}}, unsigned: true})
}

func TestPostForm(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	big := strings.Repeat("0123456789", 500_000) + "\r\n--not the boundary\r\n"
	for name, c := range map[string]struct {
		fields    []field
		key, want string
	}{
		"as the SDK":           {[]field{signForm(testKey, "a", "text/plain"), {"Content-Type", "text/plain"}, {"FileName", "a"}, {"file", "x"}}, "a", "text/plain"},
		"as the documentation": {[]field{{"FileName", "dir/ä b"}, signForm(testKey, "dir/ä b", ""), {"file", big}}, "dir/ä b", "image/jpeg"},
		"other name":           {[]field{{"ObjectName", "c"}, signForm(testKey, "c", ""), {"file", ""}}, "c", "image/jpeg"},
		"with a policy": {[]field{{"FileName", "d"}, {"Authorization", testKey.Authorization(ufile.Request{Method: "POST", Bucket: "bkt", Key: "d",
			Policy: "e30="})}, {"file", "x"}}, "d", "image/jpeg"},
		"fields behind": {[]field{{"FileName", "e"}, signForm(testKey, "e", ""), {"file", "x"}, {"submit", "Upload"}}, "e", "image/jpeg"},
	} {
		a := s.post(t, c.fields...)
		a.want(t, 200, 0)
		content := ""
		for _, f := range c.fields {
			if f.name == "file" {
				content = f.value
			}
		}
		etag, _, _ := ufile.ETagOf(strings.NewReader(content))
		if got := a.Header.Get("ETag"); got != `"`+etag+`"` || len(a.body) != 0 {
			t.Errorf("%s: got ETag %s and %q", name, got, a.body)
		}
		got := s.do(t, request{method: "GET", target: "/" + strings.ReplaceAll(c.key, " ", "%20"), key: c.key})
		if string(got.body) != content || got.Header.Get("Content-Type") != c.want {
			t.Errorf("%s: got %d other bytes, or type %q, want %q", name, len(got.body), got.Header.Get("Content-Type"), c.want)
		}
	}
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
}

func TestPostFormRefuses(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	auth := signForm(testKey, "k", "")
	file, name := field{"file", "evil"}, field{"FileName", "k"}
	sum := fmt.Sprintf("%x", md5.Sum([]byte("other")))
	withSum := field{"Authorization", testKey.Authorization(ufile.Request{Method: "POST", Bucket: "bkt", Key: "k", Header: http.Header{"Content-Md5": {sum}}})}
	for fault, c := range map[string]struct {
		status int
		fields []field
	}{
		"no signature":        {403, []field{name, file}},
		"signature behind":    {403, []field{name, file, auth}},
		"name behind":         {403, []field{auth, file, name}},
		"other secret":        {403, []field{name, signForm(serve.Key{Public: testKey.Public, Private: "guessed"}, "k", ""), file}},
		"other key":           {403, []field{name, signForm(testKey, "j", ""), file}},
		"other type":          {403, []field{name, auth, {"Content-Type", "text/html"}, file}},
		"no name":             {400, []field{signForm(testKey, "", ""), file}},
		"two names":           {400, []field{name, {"ObjectName", "j"}, auth, file}},
		"name twice":          {400, []field{name, {"FileName", "j"}, auth, file}},
		"signature twice":     {400, []field{name, auth, auth, file}},
		"no file":             {400, []field{name, auth}},
		"two files":           {400, []field{name, auth, file, file}},
		"key with parents":    {400, []field{{"FileName", "../k"}, signForm(testKey, "../k", ""), file}},
		"key with a newline":  {400, []field{{"FileName", "k\n"}, signForm(testKey, "k\n", ""), file}},
		"policy is no base64": {400, []field{name, {"Authorization", testKey.Authorization(ufile.Request{Method: "POST", Bucket: "bkt", Key: "k", Policy: "%"})}, file}},
		"MD5 of other bytes":  {400, []field{name, withSum, {"Content-MD5", sum}, file}},
		"a field too large":   {400, []field{name, {"x", strings.Repeat("x", 70_000)}, auth, file}},
		"too many fields":     {400, append(bytesOf(2000), name, auth, file)},
	} {
		if a := s.post(t, c.fields...); a.StatusCode != c.status {
			t.Errorf("%s: got status %d %s, want %d", fault, a.StatusCode, a.body, c.status)
		}
	}
	for fault, contentType := range map[string]string{"no form": "text/plain", "no boundary": "multipart/form-data", "nonsense": "multipart/form-data; boundary",
		"another multipart": "multipart/mixed; boundary=x"} {
		s.do(t, request{method: "POST", target: "/", body: []byte("--x--\r\n"), header: http.Header{"Content-Type": {contentType}}, unsigned: true}).want(t, 400, 0)
		if t.Failed() {
			t.Fatalf("the fault was %s", fault)
		}
	}
	s.wantOnly(t, "k", "kept")
}

// bytesOf makes n small fields of different names.
func bytesOf(n int) (fields []field) {
	for i := range n {
		fields = append(fields, field{fmt.Sprint("f", i), "x"})
	}
	return fields
}

// wantOnly checks that the store has one object and nothing temporary.
func (s *service) wantOnly(t testing.TB, key, content string) {
	t.Helper()
	if got := s.get(t, key); string(got) != content {
		t.Errorf("%s: got %.100q, want %q", key, got, content)
	}
	if got := s.keys(t, 10); len(got) != 1 {
		t.Errorf("the store has %q", got)
	}
	if got := s.files(t, "tmp"); len(got) != 0 {
		t.Errorf("temporary files are left: %q", got)
	}
}

// A form that is cut anywhere leaves what was there.
func TestPostFormCut(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	body, contentType := formBody(t, []field{{"FileName", "k"}, signForm(testKey, "k", ""), {"file", strings.Repeat("x", 100)}})
	send := func(n, length int, close bool) int {
		t.Helper()
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, length, body[:n])
		if close {
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		return (&hanging{conn}).status(t)
	}
	end := len(strings.TrimRight(string(body), "\r\n"))
	for n := 0; n < end; n += 3 {
		if got := send(n, len(body), true); got != 400 {
			t.Errorf("connection cut after %d of %d bytes: got status %d, want 400", n, len(body), got)
		}
		if n%3 != 0 {
			continue
		}
		if got := send(n, n, false); got != 400 { // a client that says itself that there is no more
			t.Errorf("form of %d of %d bytes: got status %d, want 400", n, len(body), got)
		}
	}
	s.wantOnly(t, "k", "kept")
	if got := send(end, end, false); got != 200 {
		t.Errorf("the whole form: got status %d", got)
	}
}

// A disk that is full while the file of a form comes, or a copy is made.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	objects, err := serve.Store(serve.StoreOptions{Dir: dir, Bucket: "bkt", Keys: []serve.Key{testKey}})
	if err != nil {
		t.Fatal(err)
	}
	before := serviceOf(t, objects, dir)
	before.put(t, "big", bytes.Repeat([]byte("x"), 1<<20))
	before.Close()
	if err := objects.Close(); err != nil {
		t.Fatal(err)
	}
	address, _ := child(t, dir, 512)
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	s := serviceOf(t, httputil.NewSingleHostReverseProxy(to), dir)
	defer s.Close()
	form := func(key string, size int) []field {
		return []field{{"FileName", key}, signForm(testKey, key, ""), {"file", strings.Repeat("x", size)}}
	}
	copied := http.Header{ufile.CopySource: {"/bkt/big"}}
	for fault, a := range map[string]*answer{
		"form":   s.post(t, form("f", 1<<20)...),
		"copy":   s.do(t, request{method: "PUT", target: "/c", key: "c", header: copied}),
		"rename": s.do(t, request{method: "PUT", target: "/big?newFileName=r", key: "big"}),
		"tags":   s.do(t, request{method: "PUT", target: "/big?tagging", key: "big", body: []byte(`{"Tags":[{"Key":"a","Value":"b"}]}`)}),
	} {
		if a.StatusCode != 500 || strings.Contains(string(a.body), dir) {
			t.Errorf("%s: got status %d, %s; want 500", fault, a.StatusCode, a.body)
		}
	}
	s.wantOnly(t, "big", strings.Repeat("x", 1<<20))
	s.post(t, form("f", 1000)...).want(t, 200, 0)
}

// Whatever the form: no answer is a failure of the server's, and nothing is stored that the key's owner did not sign.
func FuzzForm(f *testing.F) {
	dir := f.TempDir()
	s, err := serve.Store(serve.StoreOptions{Dir: dir, Bucket: "bkt", Keys: []serve.Key{testKey}, Strict: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	valid := []field{{"FileName", "k"}, signForm(testKey, "k", ""), {"file", "content"}}
	for _, fields := range [][]field{valid, valid[:2], {valid[0], valid[2]}, append(valid, field{"file", "x"}), nil} {
		body, contentType := formBody(f, fields)
		f.Add(body, contentType)
		f.Add(body[:len(body)/2], contentType)
	}
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"b\"\r\n\r\n\r\n--x\r\n\r\n--x--\r\n"), "multipart/form-data; boundary=x")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if !bytes.Contains(body, []byte(valid[1].value)) {
				t.Errorf("stored without the signature: %q", body)
			}
		case 400, 403:
		default:
			t.Errorf("got status %d: %s", w.Code, w.Body)
		}
		for _, sub := range []string{"tmp", "objects"} {
			left, err := filepath.Glob(filepath.Join(dir, sub, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range left {
				if sub == "tmp" || filepath.Base(name) != "=k" {
					t.Errorf("got the file %q", name)
				}
			}
		}
	})
}

// A policy that is signed but nonsense is the client's fault, whatever it is.
func FuzzPolicy(f *testing.F) {
	s, err := serve.Store(serve.StoreOptions{Dir: f.TempDir(), Bucket: "bkt", Keys: []serve.Key{testKey}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	for _, text := range []string{"e30=", "eyJjYWxsYmFja1VybCI6Imh0dHA6Ly94In0=", "bnVsbA==", "W10=", "e30", "%", "eyJjYWxsYmFja1VybCI6MX0=", strings.Repeat("QUFB", 10_000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		if strings.Contains(policy, ":") || policy == "" {
			return // another header
		}
		r := httptest.NewRequest("PUT", "/k", strings.NewReader("x"))
		r.Header.Set("Authorization", testKey.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: "k", Policy: policy}))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("got status %d: %s", w.Code, w.Body)
		}
	})
}

func TestPolicy(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	for text, status := range map[string]int{
		"e30=":                                 200,
		"eyJjYWxsYmFja1VybCI6Imh0dHA6Ly94In0=": 200, // {"callbackUrl":"http://x"}; nobody is called
		"bnVsbA==":                             400, // null
		"W10=":                                 400, // []
		"e30":                                  400, // no padding
		"eyJjYWxsYmFja1VybCI6MX0=":             400, // {"callbackUrl":1}
		strings.Repeat("ICAg", 5000) + "e30=":  400, // too long
	} {
		auth := testKey.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: "k", Policy: text})
		s.do(t, request{method: "PUT", target: "/k", body: []byte("x"), header: http.Header{"Authorization": {auth}}, unsigned: true}).want(t, status, 0)
		forged := strings.Replace(auth, ":"+text, ":e30g", 1) // {} and a space
		s.do(t, request{method: "PUT", target: "/k", body: []byte("evil"), header: http.Header{"Authorization": {forged}}, unsigned: true}).want(t, 403, ufile.InvalidSignature)
	}
	s.wantOnly(t, "k", "x")
	if _, err := os.Stat(filepath.Join(s.dir, "objects", "=k")); err != nil {
		t.Error(err)
	}
}
