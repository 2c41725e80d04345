package serve_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

var testKey = serve.Key{Public: "TOKEN_test", Private: "secret-of-tests"}

// service is a store on loopback.
type service struct {
	*httptest.Server
	dir string
	key serve.Key
}

// start serves a store with the test key, strictly, in a new folder unless o names one.
func start(t testing.TB, o serve.StoreOptions) *service {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "store")
	}
	if o.Keys == nil {
		o.Keys = []serve.Key{{Public: "other", Private: "other-secret"}, testKey}
	}
	o.Bucket, o.Strict = "bkt", true
	return startExactly(t, o)
}

func startExactly(t testing.TB, o serve.StoreOptions) *service {
	t.Helper()
	s, err := serve.Store(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &service{srv, o.Dir, testKey}
}

// sdk makes one request object of the real SDK.
func (s *service) sdk(t testing.TB) *ufsdk.UFileRequest {
	t.Helper()
	req, err := ufsdk.NewFileRequest(&ufsdk.Config{
		PublicKey: s.key.Public, PrivateKey: s.key.Private, BucketName: "bkt", Endpoint: s.URL, VerifyUploadMD5: true,
	}, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// request is one raw request; target is sent as it is, and signed for key unless unsigned.
type request struct {
	method, target, key string
	body                []byte
	header              http.Header
	unsigned            bool
}

func (s *service) do(t testing.TB, q request) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, s.URL, bytes.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(q.target, "?")
	req.URL.Opaque, req.URL.RawQuery = "//"+req.URL.Host+path, query
	for name, values := range q.header {
		req.Header[name] = values
	}
	if !q.unsigned {
		req.Header.Set("Authorization", s.key.Authorization(ufile.Request{Method: q.method, Bucket: "bkt", Key: q.key, Header: req.Header}))
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", q.method, q.target, err)
	}
	return &answer{resp, body}
}

type answer struct {
	*http.Response
	body []byte
}

// want checks the status and, when it is not 0, the RetCode.
func (a *answer) want(t testing.TB, status int, code ufile.RetCode) {
	t.Helper()
	where := a.Request.Method + " " + a.Request.URL.RequestURI()
	if a.StatusCode != status {
		t.Errorf("%s: got status %d %.200s, want %d", where, a.StatusCode, a.body, status)
	}
	if code != 0 {
		if e := ufile.ParseError(status, a.body); e.RetCode != code {
			t.Errorf("%s: got RetCode %d (%.200s), want %d", where, e.RetCode, a.body, code)
		}
	}
	if a.Header.Get(ufile.SessionHeader) == "" {
		t.Errorf("%s: no session", where)
	}
	if len(a.TransferEncoding) > 0 || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("%s: got transfer encoding %q, content encoding %q", where, a.TransferEncoding, a.Header.Get("Content-Encoding"))
	}
}

func (s *service) put(t testing.TB, key string, body []byte) {
	t.Helper()
	s.do(t, request{method: "PUT", target: "/" + key, key: key, body: body}).want(t, 200, 0)
}

func (s *service) get(t testing.TB, key string) []byte {
	t.Helper()
	a := s.do(t, request{method: "GET", target: "/" + key, key: key})
	a.want(t, 200, 0)
	return a.body
}

func (s *service) wantAbsent(t testing.TB, key string) {
	t.Helper()
	s.do(t, request{method: "GET", target: "/" + key, key: key}).want(t, 404, ufile.FileNotExist)
}

// keys lists all objects, page by page.
func (s *service) keys(t testing.TB, page int) []string {
	t.Helper()
	keys := []string{}
	for marker := ""; ; {
		list, err := s.sdk(t).ListObjects("", marker, "", page)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Contents {
			keys = append(keys, c.Key)
		}
		if !list.IsTruncated {
			return keys
		}
		marker = list.NextMarker
	}
}

// files lists the names of all files in the store's folder, for what must not be there.
func (s *service) files(t testing.TB, sub string) []string {
	t.Helper()
	names := []string{}
	err := filepath.WalkDir(filepath.Join(s.dir, sub), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (s *service) initiate(t testing.TB, key string) (id string) {
	t.Helper()
	a := s.do(t, request{method: "POST", target: "/" + key + "?uploads", key: key})
	a.want(t, 200, 0)
	var state struct {
		UploadID, Bucket, Key string
		BlkSize               int
	}
	if err := json.Unmarshal(a.body, &state); err != nil {
		t.Fatal(err)
	}
	if state.BlkSize != ufile.BlockSize || state.UploadID == "" || state.Bucket != "bkt" || state.Key != key {
		t.Errorf("got %+v", state)
	}
	return state.UploadID
}

func (s *service) part(t testing.TB, key, id string, n int, body []byte) *answer {
	t.Helper()
	return s.do(t, request{method: "PUT", target: fmt.Sprintf("/%s?partNumber=%d&uploadId=%s", key, n, id), key: key, body: body})
}

func (s *service) finish(t testing.TB, key, id string, etags ...string) *answer {
	t.Helper()
	return s.do(t, request{method: "POST", target: "/" + key + "?uploadId=" + id, key: key, body: []byte(strings.Join(etags, ","))})
}

func block(b byte) []byte { return bytes.Repeat([]byte{b}, ufile.BlockSize) }
