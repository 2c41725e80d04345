package ufile_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
)

func TestETag(t *testing.T) {
	as := func(n int) []byte { return bytes.Repeat([]byte("a"), n) }
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":          {nil, "AAAAANo5o-5ea0sNMlW_75VgGJCv2AcJ"},
		"short":          {[]byte("hello world\n"), "AQAAACJZY2Oz3kCwb5gfuF2CMS6MDtUR"},
		"one block":      {as(ufile.BlockSize), "AQAAAOwQ-vpd56Izwiom1JHzCIdrQa4_"},
		"one byte above": {as(ufile.BlockSize + 1), "AgAAACeGn00gWdbfwEIHaUpzu4drHeun"},
	} {
		t.Run(name, func(t *testing.T) {
			got, n, err := ufile.ETagOf(bytes.NewReader(c.content))
			if err != nil || got != c.want || n != int64(len(c.content)) {
				t.Errorf("got %s of %d bytes, %v; want %s of %d", got, n, err, c.want, len(c.content))
			}
			var b ufile.Blocks
			for block := range blocks(c.content) {
				b.Add(sha1.Sum(block))
			}
			if b.ETag() != c.want {
				t.Errorf("from block digests: got %s, want %s", b.ETag(), c.want)
			}
		})
	}
	if got := ufile.PartETag(as(ufile.BlockSize)); got != "7BD6-l3nojPCKibUkfMIh2tBrj8=" {
		t.Errorf("part: got %s", got)
	}
	if got := ufile.PartETag([]byte("a")); got != "hvfkN_qlp_zhXR3cuerq6jd2Z7g=" {
		t.Errorf("last part: got %s", got)
	}
}

func blocks(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(len(b), ufile.BlockSize)
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// The SDK itself is the reference, for sizes around every seam; and asking in between changes nothing.
func TestETagAgainstSDK(t *testing.T) {
	const b = ufile.BlockSize
	for _, size := range []int{0, 1, b - 1, b, b + 1, 2*b - 1, 2 * b, 2*b + 1, 3*b + 7} {
		content := bytes.Repeat([]byte("0123456789abc"), size/13+1)[:size]
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var e ufile.ETag
		for rest := content; len(rest) > 0; {
			n := min(len(rest), 1<<20+3)
			e.Write(rest[:n])
			_ = e.String()
			rest = rest[n:]
		}
		if got, want := e.String(), ufsdk.GetFileEtag(path); got != want {
			t.Errorf("%d bytes: got %s, want %s", size, got, want)
		}
	}
}

func TestParsePartETag(t *testing.T) {
	want := sha1.Sum([]byte("a"))
	if got, err := ufile.ParsePartETag(ufile.PartETag([]byte("a"))); err != nil || got != want {
		t.Errorf("got %x, %v; want %x", got, err, want)
	}
	for fault, etag := range map[string]string{
		"empty": "", "short": "AAAA", "not base64": "hvfkN_qlp_zhXR3cuerq6jd2Z7g*", "standard alphabet": "7BD6+l3nojPCKibUkfMIh2tBrj8=",
		"object's": "AQAAAOwQ-vpd56Izwiom1JHzCIdrQa4_", "spare bits": "hvfkN_qlp_zhXR3cuerq6jd2Z7h=", "quoted": `"hvfkN_qlp_zhXR3cuerq6jd2Z7g="`,
	} {
		if _, err := ufile.ParsePartETag(etag); err == nil {
			t.Errorf("%s: %q was taken", fault, etag)
		}
	}
}

var demo = ufile.KeyPair{Public: "TOKEN_demo-public", Private: "demo-private-key"}

// Vectors made by ufile-gosdk v1.0.7.
func TestSign(t *testing.T) {
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	for want, r := range map[string]ufile.Request{
		"zJos7YZsQKi4tWAdM0Z2QqwG8X0=": {Method: "PUT", Key: "dir/hello.txt", Header: header("Content-Type", "text/plain")},
		"j+Nv2FJu+q0sXlSRX4ZyCh2o024=": {Method: "HEAD", Key: "dir/hello.txt"},
		"j2w0TRY0hLm3dDYP1DTES0uTuLQ=": {Method: "GET"},
		"XiHswCIsJLXOwIIccnsXb4fpdis=": {Method: "put", Key: "中文/a b+c.rpm", Header: header(
			"Content-Type", "application/octet-stream", "Content-MD5", "6f5902ac237024bdd0c176cb93063dc4")},
		"Ce8UJ43wsIRI135bPNq35m7fNwM=": {Method: "GET", Key: "dir/hello.txt", Expires: "1700000000"},
		"m0I2JNsISRvoP2OY0NX9FribSnk=": {Method: "PUT", Key: "pol.txt", Header: header("Content-Type", "text/plain"),
			Policy: "eyJjYWxsYmFja1VybCI6Imh0dHA6Ly94In0="},
	} {
		r.Bucket = "bkt"
		if got := demo.Sign(r); got != want {
			t.Errorf("%s %q: got %s, want %s", r.Method, r.Key, got, want)
		}
		if !demo.Verify(r, want) {
			t.Errorf("%s %q: its own signature is refused", r.Method, r.Key)
		}
		other := r
		other.Bucket = "other"
		if demo.Verify(other, want) || demo.Verify(r, want+"=") || demo.Verify(r, "") ||
			(ufile.KeyPair{Public: demo.Public, Private: "x"}).Verify(r, want) {
			t.Errorf("%s %q: a wrong signature is accepted", r.Method, r.Key)
		}
	}
}

func TestCanonicalHeaders(t *testing.T) {
	r := ufile.Request{Method: "PUT", Bucket: "b", Key: "k", Header: http.Header{
		"Date":             {"Thu, 01 Jan 1970 00:00:00 GMT"},
		"X-Ucloud-Zz":      {" 2 ", "1"},
		"X-Ucloud-Aa":      {"x"},
		"X-Ufile-Meta-Sha": {"not signed"},
	}}
	const want = "PUT\n\n\nThu, 01 Jan 1970 00:00:00 GMT\nx-ucloud-aa:x\nx-ucloud-zz:2,1\n/b/k"
	if got := r.StringToSign(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPrivateKeyIsNotPrinted(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, demo) + fmt.Sprintf(format, &demo); strings.Contains(got, demo.Private) {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestParseAuthorization(t *testing.T) {
	for _, a := range []ufile.Authorization{{Public: "p", Signature: "s="}, {Public: "p", Signature: "s", Policy: "e30="}} {
		if got, err := ufile.ParseAuthorization(a.String()); err != nil || got != a {
			t.Errorf("%q: got %+v, %v", a, got, err)
		}
	}
	for fault, header := range map[string]string{
		"empty": "", "scheme only": "UCloud ", "no signature": "UCloud p", "empty signature": "UCloud p:", "empty public": "UCloud :s",
		"empty policy": "UCloud p:s:", "four parts": "UCloud p:s:e:x", "other scheme": "AWS p:s", "lower case": "ucloud p:s",
	} {
		if _, err := ufile.ParseAuthorization(header); err == nil {
			t.Errorf("%s: %q was taken", fault, header)
		}
	}
}

func TestError(t *testing.T) {
	e := &ufile.Error{Status: 404, RetCode: ufile.FileNotExist, Message: "file not exist"}
	if got := ufile.ParseError(404, e.Body()); *got != *e {
		t.Errorf("got %+v, want %+v", got, e)
	}
	if !errors.Is(e, fs.ErrNotExist) || errors.Is(e, fs.ErrPermission) {
		t.Error("404 is not fs.ErrNotExist, or more than that")
	}
	if e := ufile.ParseError(403, nil); !errors.Is(e, fs.ErrPermission) || errors.Is(e, fs.ErrNotExist) {
		t.Error("403 is not fs.ErrPermission, or more than that")
	}
	for fault, body := range map[string]string{"empty": "", "HTML": "<html>", "null": "null", "array": "[]", "text code": `{"RetCode":"x"}`} {
		if got := ufile.ParseError(502, []byte(body)); got.Status != 502 || got.RetCode != 0 || got.Message != "" {
			t.Errorf("%s: got %+v", fault, got)
		}
	}
	hostile := ufile.ParseError(400, []byte(`{"RetCode":-1,"ErrMsg":"a\u001b[31m\n"}`)).Error()
	if strings.ContainsAny(hostile, "\x1b\n") {
		t.Errorf("control characters pass: %q", hostile)
	}
}

func TestCheckKey(t *testing.T) {
	for _, key := range []string{"a", "a/b", "a//b", "a/", "a b", "a+b", "..a", "a..", "中文", "%2e%2e/a", `a\b`, "-", strings.Repeat("k", ufile.MaxKey)} {
		if err := ufile.CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for fault, key := range map[string]string{
		"empty": "", "slash": "/", "absolute": "/a", "parent": "..", "parent first": "../a", "parent inside": "a/../b", "parent last": "a/..",
		"dot": "./a", "dot inside": "a/./b", "newline": "a\nb", "NUL": "a\x00", "DEL": "a\x7f", "C1": "a\u0085", "not UTF-8": "a\xff",
		"long": strings.Repeat("k", ufile.MaxKey+1),
	} {
		if err := ufile.CheckKey(key); err == nil {
			t.Errorf("%s: %q was taken", fault, key)
		}
	}
}

func TestEscapeKey(t *testing.T) {
	if got, err := ufile.EscapeKey("rpms/libstdc++-4.8 (1).rpm"); err != nil || got != "rpms/libstdc_2B_2B-4.8 (1).rpm" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ufile.EscapeKey("a_2Bb"); err == nil {
		t.Error("a path that reads as escaped was taken")
	}
}

func FuzzEscapeKey(f *testing.F) {
	for _, s := range []string{"", "a+b", "_2B", "_+2B", "_2+B", "+_2B", "__2B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		key, err := ufile.EscapeKey(path)
		if err != nil {
			return
		}
		if strings.Contains(key, "+") || ufile.UnescapeKey(key) != path {
			t.Errorf("%q became %q, then %q", path, key, ufile.UnescapeKey(key))
		}
	})
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add("UCloud p:s")
	f.Add("UCloud p:s:e")
	f.Fuzz(func(t *testing.T, header string) {
		if a, err := ufile.ParseAuthorization(header); err == nil && a.String() != header {
			t.Errorf("%q reads as %q", header, a)
		}
	})
}
