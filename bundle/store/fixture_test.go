package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/manifest"
)

var testKey = serve.Key{Public: "TOKEN_test", Private: "secret-of-tests"}

// service is the UFile-compatible server of package serve on loopback.
type service struct {
	*httptest.Server
	dir string
}

func newService(t testing.TB, o serve.StoreOptions) *service {
	t.Helper()
	o.Dir, o.Bucket, o.Keys, o.Strict = t.TempDir(), "bkt", []serve.Key{testKey}, true
	s, err := serve.Store(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(smallPages(s))
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &service{srv, o.Dir}
}

// smallPages lets a few dozen objects fill several pages. A query is not signed.
func smallPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"max-keys=", "max-parts="} {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, name+"1000", name+"20", 1)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *service) open(t testing.TB, o store.Options) store.Store {
	t.Helper()
	o.Endpoint, o.PublicKey, o.PrivateKey = s.URL, testKey.Public, testKey.Private
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	st, err := store.Open("ufile://bkt/some/prefix", o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// sample is a signed bundle, accepted.
type sample struct {
	*bundle.Bundle
	path string
	pub  sign.Public
}

// newSample makes a bundle named test, version 1.2.3, with these contents.
func newSample(t testing.TB, files map[string][]byte) *sample {
	t.Helper()
	return newVersion(t, "1.2.3", files)
}

// newVersion is newSample with another version.
func newVersion(t testing.TB, version string, files map[string][]byte) *sample {
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
		Schema: bundle.Schema, Name: "test", Version: version, Platform: "linux/amd64", Created: "2024-05-06T07:08:09Z", Inputs: sumOf(nil)}}
	for p, data := range files {
		o.Index.Files = append(o.Index.Files, bundle.File{Path: p, Size: int64(len(data)), SHA256: sumOf(data), Mode: "0644", Kind: manifest.KindFile})
		o.Contents[p] = bundle.Content{Data: data}
		if len(data) == 0 {
			o.Contents[p] = bundle.Content{}
		}
	}
	slices.SortFunc(o.Index.Files, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	text, err := bundle.Sign(o.Index, key)
	if err != nil {
		t.Fatal(err)
	}
	o.Signatures = map[string][]byte{bundle.SignatureFile: text}
	s := &sample{path: filepath.Join(dir, "test.tar"), pub: pub}
	if err := bundle.WriteTar(t.Context(), s.path, o); err != nil {
		t.Fatal(err)
	}
	if s.Bundle, err = bundle.Open(s.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Trust([]sign.Public{pub}, false); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantPushed checks that the store has the bundle, whole and signed, by reading all of it.
func (s *sample) wantPushed(t testing.TB, st store.Store) {
	t.Helper()
	b, err := store.Bundle(t.Context(), st, "test", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: []sign.Public{s.pub}})
	if err != nil || r.Identity != s.Identity() {
		t.Fatalf("got %+v, %v", r, err)
	}
}

// wantUncommitted checks that nobody takes what is in the store for a bundle.
func wantUncommitted(t testing.TB, st store.Store) {
	t.Helper()
	wantAbsent(t, st, "test/1.2.3/bundle.json")
	if _, err := store.Bundle(t.Context(), st, "test", "1.2.3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// recorder notes the requests that pass, and lets a test answer instead.
type recorder struct {
	next http.RoundTripper
	// fault, if set, answers the k-th request (from 0) in place of next, or passes it on by calling next itself.
	fault func(k int, req *http.Request, next http.RoundTripper) (*http.Response, error)

	mu   sync.Mutex
	seen []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	k := len(r.seen)
	query := req.URL.RawQuery
	if i := strings.Index(query, "uploadId="); i >= 0 && !strings.HasPrefix(query, "mu") {
		query = query[:i+8]
	}
	r.seen = append(r.seen, strings.TrimSuffix(fmt.Sprintf("%s %s?%s", req.Method, req.URL.Path, query), "?"))
	r.mu.Unlock()
	if r.fault != nil {
		return r.fault(k, req, r.next)
	}
	return r.next.RoundTrip(req)
}

// count is how many of the requests begin with a text.
func (r *recorder) count(prefix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.seen {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func newRecorder(t testing.TB) *recorder {
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return &recorder{next: transport}
}

// answerWith answers without a network.
func answerWith(req *http.Request, status int, body string) *http.Response {
	if req.Body != nil {
		req.Body.Close()
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewBufferString(body)), ContentLength: int64(len(body)), Request: req}
}

// unfinished lists the uploads that the service has.
func (s *service) unfinished(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.dir, "uploads", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
