package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/bundle/ufile"
)

// at opens a store whose service is any handler.
func at(t testing.TB, h http.HandlerFunc, o store.Options) store.Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	o.Endpoint, o.PublicKey, o.PrivateKey, o.Backoff = srv.URL, testKey.Public, testKey.Private, time.Millisecond
	s, err := store.Open("ufile://bkt", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Connections break while an object is read: its reader goes on where it was.
func TestGetResumes(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	body := content(3 << 20)
	put(t, srv.open(t, store.Options{}), "k", body)
	rec := newRecorder(t)
	rec.fault = func(_ int, req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(resp.Body, 1<<20), brokenReader{}), resp.Body}
		}
		return resp, err
	}
	st := srv.open(t, store.Options{Client: &http.Client{Transport: rec}})
	if got := get(t, st, "k", 5); !bytes.Equal(got, body[5:]) {
		t.Errorf("got %d other bytes", len(got))
	}
	if n := rec.count("GET"); n < 3 {
		t.Errorf("got %d requests: nothing was resumed", n)
	}
	// One that is replaced meanwhile is not glued together from two.
	rc, err := st.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	put(t, srv.open(t, store.Options{}), "k", content(3<<20))
	if n, err := io.Copy(io.Discard, rc); err == nil || n > 1<<20 {
		t.Errorf("replaced: got %d bytes and %v, want an error", n, err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestGetRefusesWrongRange(t *testing.T) {
	for fault, answer := range map[string]func(http.ResponseWriter){
		"the whole object": func(w http.ResponseWriter) { io.WriteString(w, "0123456789") },
		"another range": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(206)
			io.WriteString(w, "0123456789")
		},
		"no range": func(w http.ResponseWriter) { w.WriteHeader(206) },
	} {
		st := at(t, func(w http.ResponseWriter, _ *http.Request) { answer(w) }, store.Options{Tries: 1})
		if rc, err := st.Get(t.Context(), "k", 5); err == nil {
			rc.Close()
			t.Errorf("%s: taken", fault)
		}
	}
}

// Answers of a service that is not what it should be; each is an error, none an object. The Go SDK alone would upload
// nothing, or for ever, where BlkSize is missing.
func TestPutRefusesOddAnswers(t *testing.T) {
	for fault, body := range map[string]string{
		"no BlkSize": `{"UploadId":"x"}`, "BlkSize 0": `{"UploadId":"x","BlkSize":0}`, "negative": `{"UploadId":"x","BlkSize":-1}`,
		"huge": `{"UploadId":"x","BlkSize":1073741824}`, "no ID": `{"BlkSize":4194304}`, "empty": "", "HTML": "<html>", "endless": strings.Repeat(" ", 20<<20),
	} {
		var writes atomic.Int32
		st := at(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "uploads" && r.Method != http.MethodGet {
				writes.Add(1)
			}
			io.WriteString(w, body)
		}, store.Options{Tries: 1})
		if err := st.Put(t.Context(), upload("k", content(ufile.BlockSize+1))); err == nil {
			t.Errorf("%s: stored", fault)
		}
		if n := writes.Load(); n != 0 {
			t.Errorf("%s: %d requests followed", fault, n)
		}
	}
}

// between puts a handler before the service that may answer in its place.
func between(t testing.TB, srv *service, answer func(http.ResponseWriter, *http.Request) bool, o store.Options) store.Store {
	t.Helper()
	next := srv.Config.Handler
	return at(t, func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			next.ServeHTTP(w, r)
		}
	}, o)
}

// discard answers a request by the service, and throws the answer away.
func discard(srv *service, r *http.Request) {
	srv.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
}

// A service that leaves part 0 out of its list (its documentation can be read so) is not asked to send it again for ever.
func TestPartZeroUnlisted(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	lost := 0
	st := between(t, srv, func(w http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		if q.Get("part-number-marker") == "0" {
			q.Set("part-number-marker", "1")
			r.URL.RawQuery = q.Encode()
		}
		if q.Get("partNumber") == "0" && lost == 0 {
			lost++
			discard(srv, r)
			w.WriteHeader(502)
			return true
		}
		return false
	}, store.Options{})
	b := content(ufile.BlockSize + 1)
	put(t, st, "k", b)
	if !bytes.Equal(get(t, st, "k", 0), b) || lost != 1 {
		t.Errorf("got other bytes, or no answer was lost")
	}
	if got := srv.unfinished(t); len(got) != 0 {
		t.Errorf("unfinished uploads: %q", got)
	}
}

// Somebody altered the bytes on their way: the store's ETag tells, and the object is not finished with them.
func TestPartAlteredOnTheWay(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	for _, always := range []bool{false, true} {
		altered := 0
		st := between(t, srv, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("partNumber") == "1" && (altered == 0 || always) {
				altered++
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(strings.NewReader("X"), &dropReader{r.Body, 1}), r.Body}
			}
			return false
		}, store.Options{})
		b := content(ufile.BlockSize + 100)
		err := st.Put(t.Context(), upload("k", b))
		if always {
			if err == nil {
				t.Error("altered for good: stored")
			}
		} else if err != nil || !bytes.Equal(get(t, st, "k", 0), b) {
			t.Errorf("altered once: got %v, want it sent again from the start", err)
		}
		if got := srv.unfinished(t); len(got) != 0 {
			t.Errorf("unfinished uploads: %q", got)
		}
		if err := st.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	for _, always := range []bool{false, true} {
		altered := 0
		st := between(t, srv, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PUT" && (altered == 0 || always) {
				altered++
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(strings.NewReader("X"), &dropReader{r.Body, 1}), r.Body}
			}
			return false
		}, store.Options{})
		err := st.Put(t.Context(), upload("small", []byte("content")))
		if always {
			if err == nil {
				t.Error("small, altered for good: stored")
			}
			wantAbsent(t, st, "small") // nothing stays that claims to be what it is not
		} else if err != nil || string(get(t, st, "small", 0)) != "content" {
			t.Errorf("small, altered once: got %v, want it sent again", err)
		}
	}
}

// dropReader leaves out the first n bytes.
type dropReader struct {
	r io.Reader
	n int64
}

func (d *dropReader) Read(p []byte) (int, error) {
	if d.n > 0 {
		if _, err := io.CopyN(io.Discard, d.r, d.n); err != nil {
			return 0, err
		}
		d.n = 0
	}
	return d.r.Read(p)
}

// The service has dropped the upload that the journal names: it starts anew.
func TestResumeUploadGone(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	journal := t.TempDir()
	b := content(ufile.BlockSize + 1)
	var refuse atomic.Bool
	refuse.Store(true)
	var asked atomic.Int32
	st := between(t, srv, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("muploadpart") {
			asked.Add(1)
		}
		refused := r.URL.Query().Get("partNumber") == "1" && refuse.Load()
		if refused {
			w.WriteHeader(503)
		}
		return refused
	}, store.Options{Journal: journal, Tries: 1})
	if err := st.Put(t.Context(), upload("k", b)); err == nil {
		t.Fatal("stored")
	}
	left := srv.unfinished(t)
	if len(left) != 1 {
		t.Fatalf("got %d unfinished uploads, want the one to resume", len(left))
	}
	req, err := http.NewRequest("DELETE", srv.URL+"/k?uploadId="+filepath.Base(left[0]), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", testKey.Authorization(ufile.Request{Method: "DELETE", Bucket: "bkt", Key: "k"}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 204 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	refuse.Store(false)
	put(t, st, "k", b)
	if !bytes.Equal(get(t, st, "k", 0), b) || asked.Load() != 1 {
		t.Errorf("got other bytes, or the parts were asked for %d times, want once", asked.Load())
	}
	wantClean(t, srv, journal)
}

// Neither keys nor signatures show in errors.
func TestErrorsHoldNoSecrets(t *testing.T) {
	st := at(t, func(w http.ResponseWriter, _ *http.Request) {
		hijacked, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			hijacked.Close()
		}
	}, store.Options{Tries: 1})
	var errs []error
	_, err := st.Head(t.Context(), "k")
	errs = append(errs, err)
	_, err = st.Get(t.Context(), "k", 0)
	errs = append(errs, err, st.Delete(t.Context(), "k"), st.Put(t.Context(), upload("k", []byte("x"))),
		st.Put(t.Context(), upload("k", content(ufile.BlockSize+1))))
	for _, err := range st.List(t.Context(), "") {
		errs = append(errs, err)
	}
	if len(errs) != 6 {
		t.Fatalf("got %d errors, want 6", len(errs))
	}
	for _, err := range errs {
		text := fmt.Sprint(err)
		if err == nil || strings.Contains(text, testKey.Private) || strings.Contains(text, "Signature=") || strings.Contains(text, "UCloud ") || strings.Contains(text, "\n") {
			t.Errorf("got %q", text)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	for status, want := range map[int]error{403: fs.ErrPermission, 404: fs.ErrNotExist} {
		var n atomic.Int32
		st := at(t, func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			w.WriteHeader(status)
			io.WriteString(w, `{"RetCode":-1,"ErrMsg":"why"}`)
		}, store.Options{})
		if err := st.Put(t.Context(), upload("k", []byte("x"))); !errors.Is(err, want) || !strings.Contains(err.Error(), "why") {
			t.Errorf("%d: got %v", status, err)
		}
		if n.Load() != 1 {
			t.Errorf("%d: sent %d times, want once", status, n.Load())
		}
	}
	var n atomic.Int32
	st := at(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(503)
	}, store.Options{})
	var e *ufile.Error
	if err := st.Put(t.Context(), upload("k", []byte("x"))); !errors.As(err, &e) || e.Status != 503 || n.Load() != 5 {
		t.Errorf("503: got %v after %d requests, want 5", err, n.Load())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	if _, err := st.Head(ctx, "k"); !errors.Is(err, errTest) {
		t.Errorf("cancelled: got %v", err)
	}
}

// Stock curl takes a presigned URL, whole and from the middle, and no other.
func TestURL(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	st := srv.open(t, store.Options{})
	put(t, st, "rpms/libstdc++ ü.rpm", []byte("0123456789"))
	url, err := st.URL(t.Context(), "rpms/libstdc++ ü.rpm", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{"0123456789": {url}, "56789": {"-r", "5-", url}} {
		out, err := exec.Command("curl", append([]string{"-sS", "--fail", "--noproxy", "*"}, args...)...).Output()
		if err != nil || string(out) != want {
			t.Errorf("got %q, %v; want %q", out, err, want)
		}
	}
	bare, _, _ := strings.Cut(url, "?")
	if err := exec.Command("curl", "-sS", "--fail", "--noproxy", "*", bare).Run(); err == nil {
		t.Error("the URL is answered without its signature")
	}
}

// A public bucket is read without keys.
func TestPublicBucket(t *testing.T) {
	srv := newService(t, serve.StoreOptions{Public: true})
	put(t, srv.open(t, store.Options{}), "a+b", []byte("public"))
	st, err := store.Open("ufile://bkt/some/prefix", store.Options{Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(get(t, st, "a+b", 0)); got != "public" {
		t.Errorf("got %q", got)
	}
	if o, err := st.Head(t.Context(), "a+b"); err != nil || o.SHA256 != sumOf([]byte("public")) {
		t.Errorf("got %+v, %v", o, err)
	}
	if url, err := st.URL(t.Context(), "a+b", time.Hour); err != nil || url != srv.URL+"/some/prefix/a_2Bb" {
		t.Errorf("got %s, %v", url, err)
	}
	if err := st.Put(t.Context(), upload("k", []byte("x"))); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Put without a key: got %v", err)
	}
}
