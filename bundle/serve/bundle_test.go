package serve_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/manifest"
)

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// writeBundle makes a signed bundle of these contents, as a tar or as a folder, and returns its key.
func writeBundle(t testing.TB, files map[string]string, folder bool) (path string, pub sign.Public) {
	t.Helper()
	dir := t.TempDir()
	pub, err := sign.WriteKeyPair(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.LoadKey(filepath.Join(dir, sign.KeyFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := bundle.Output{Contents: map[string]bundle.Content{}, Index: bundle.Index{
		Schema: bundle.Schema, Name: "test", Version: "1.2.3", Platform: "linux/amd64", Created: "2024-05-06T07:08:09Z", Inputs: sumOf(nil)}}
	for p, data := range files {
		o.Index.Files = append(o.Index.Files, bundle.File{
			Path: p, Size: int64(len(data)), SHA256: sumOf([]byte(data)), Mode: "0644", Kind: manifest.KindFile})
		o.Contents[p] = bundle.Content{Data: []byte(data)}
	}
	slices.SortFunc(o.Index.Files, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	text, err := bundle.Sign(o.Index, key)
	if err != nil {
		t.Fatal(err)
	}
	o.Signatures = map[string][]byte{bundle.SignatureFile: text}
	path = filepath.Join(dir, "test.tar")
	write := bundle.WriteTar
	if folder {
		write = bundle.WriteDir
	}
	if err := write(t.Context(), path, o); err != nil {
		t.Fatal(err)
	}
	return path, pub
}

func openBundle(t testing.TB, path string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func siteFiles() map[string]string {
	return map[string]string{
		"index.html": "<title>hello</title>", "files/big": strings.Repeat("0123456789", 100_000), "files/empty": "",
		"rpms/Packages/libstdc++ é.rpm": "rpm", "terraform/index.json": "{}", "manifest.yaml": "schema: x\n",
	}
}

func TestBundle(t *testing.T) {
	for _, folder := range []bool{false, true} {
		path, pub := writeBundle(t, siteFiles(), folder)
		b := openBundle(t, path)
		if _, err := b.Trust([]sign.Public{pub}, false); err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(serve.Bundle(b))
		defer srv.Close()
		want := siteFiles()
		want["bundle.json"], want["SHA256SUMS"] = string(b.IndexBytes()), string(b.Index().Sums())
		want["bundle.json.minisig"] = string(b.Signatures()[bundle.SignatureFile])
		for name, content := range want {
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := fetch(t, method, srv.URL+"/"+name, nil)
				if method == "HEAD" {
					if len(body) != 0 || resp.ContentLength != int64(len(content)) {
						t.Errorf("HEAD %s: got %d bytes and length %d", name, len(body), resp.ContentLength)
					}
				} else if string(body) != content {
					t.Errorf("GET %s: got %d other bytes", name, len(body))
				}
				if resp.StatusCode != 200 || resp.Header.Get("ETag") != `"`+sumOf([]byte(content))+`"` || len(resp.TransferEncoding) > 0 {
					t.Errorf("%s %s: got status %d, header %v", method, name, resp.StatusCode, resp.Header)
				}
			}
		}
		if _, body := fetch(t, "GET", srv.URL+"/", nil); string(body) != want["index.html"] {
			t.Errorf("/: got %q", body)
		}
		for name, want := range map[string]string{
			"": "text/html; charset=utf-8", "terraform/index.json": "application/json", "SHA256SUMS": "text/plain; charset=utf-8",
			"files/big": "application/octet-stream", "manifest.yaml": "text/plain; charset=utf-8", "rpms/Packages/libstdc++ é.rpm": "application/x-rpm",
		} {
			if resp, _ := fetch(t, "HEAD", srv.URL+"/"+name, nil); resp.Header.Get("Content-Type") != want {
				t.Errorf("%q: got content type %s, want %s", name, resp.Header.Get("Content-Type"), want)
			}
		}
		resp, body := fetch(t, "GET", srv.URL+"/files/big", http.Header{"Range": {"bytes=999995-"}})
		if resp.StatusCode != 206 || string(body) != "56789" || resp.Header.Get("Content-Range") != "bytes 999995-999999/1000000" {
			t.Errorf("range: got status %d, %q", resp.StatusCode, body)
		}
		if resp, _ := fetch(t, "GET", srv.URL+"/files/big", http.Header{"Range": {"bytes=1000000-"}}); resp.StatusCode != 416 {
			t.Errorf("range behind the end: got status %d, want 416", resp.StatusCode)
		}
		etag := `"` + sumOf([]byte(want["files/big"])) + `"`
		if resp, _ := fetch(t, "GET", srv.URL+"/files/big", http.Header{"If-None-Match": {etag}}); resp.StatusCode != 304 {
			t.Errorf("If-None-Match: got status %d, want 304", resp.StatusCode)
		}
		for _, absent := range []string{"absent", "files", "files/", "files/../manifest.yaml", "//manifest.yaml", "%2e%2e/etc/passwd", "bundle.json.minisig2"} {
			if resp, _ := fetch(t, "GET", srv.URL+"/"+absent, nil); resp.StatusCode != 404 {
				t.Errorf("%s: got status %d, want 404", absent, resp.StatusCode)
			}
		}
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			if resp, _ := fetch(t, method, srv.URL+"/manifest.yaml", nil); resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
				t.Errorf("%s: got status %d, want 405", method, resp.StatusCode)
			}
		}
	}
}

func fetch(t testing.TB, method, url string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	resp, body, err := tryFetch(t, method, url, header)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func tryFetch(t testing.TB, method, url string, header http.Header) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, strings.ReplaceAll(url, " ", "%20"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// A byte of a file changes under an accepted bundle: whoever asks for it sees the connection cut, or an error, never
// a good end.
func TestBundleAltered(t *testing.T) {
	path, pub := writeBundle(t, siteFiles(), false)
	b := openBundle(t, path)
	if _, err := b.Trust([]sign.Public{pub}, false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(strings.Repeat("0123456789", 10)))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("X"), int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(serve.Bundle(b))
	defer srv.Close()
	if _, body, err := tryFetch(t, "GET", srv.URL+"/files/big", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d bytes and %v, want a cut connection", len(body), err)
	}
	for _, r := range []string{"bytes=0-5", "bytes=500000-500005"} {
		if resp, body := fetch(t, "GET", srv.URL+"/files/big", http.Header{"Range": {r}}); resp.StatusCode != 500 || strings.Contains(string(body), "01234") {
			t.Errorf("%s: got status %d, %q", r, resp.StatusCode, body)
		}
	}
	if _, body := fetch(t, "GET", srv.URL+"/index.html", nil); string(body) != siteFiles()["index.html"] {
		t.Errorf("another file: got %q", body)
	}
}

func TestBundleNotTrusted(t *testing.T) {
	path, _ := writeBundle(t, siteFiles(), false)
	srv := httptest.NewServer(serve.Bundle(openBundle(t, path)))
	defer srv.Close()
	for _, header := range []http.Header{nil, {"Range": {"bytes=0-1"}}} {
		if resp, body := fetch(t, "GET", srv.URL+"/index.html", header); resp.StatusCode != 500 || strings.Contains(string(body), "hello") {
			t.Errorf("got status %d, %q", resp.StatusCode, body)
		}
	}
}
