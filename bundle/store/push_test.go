package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/bundle/ufile"
)

func smallFiles() map[string][]byte {
	return map[string][]byte{"files/a": []byte("content of a"), "files/empty": nil, "rpms/Packages/libstdc++.rpm": []byte("rpm"),
		"files/ü x": []byte("named"), "manifest.yaml": []byte("schema: x\n")}
}

func push(t testing.TB, st store.Store, b *bundle.Bundle) store.PushResult {
	t.Helper()
	r, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: b})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPush(t *testing.T) {
	big := smallFiles()
	big["files/big"] = content(2*ufile.BlockSize + 5)
	s := newSample(t, big)
	dir := t.TempDir()
	folder, err := store.Open("dir:"+dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv := newService(t, serve.StoreOptions{})
	rec := newRecorder(t)
	all, size := whole(t, s)
	for url, st := range map[string]store.Store{
		"dir:" + dir + "/test/1.2.3":         folder,
		"ufile://bkt/some/prefix/test/1.2.3": srv.open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: t.TempDir()}),
	} {
		pushed{st, rec, store.PushResult{URL: url, Uploaded: all, Bytes: size}}.test(t, s)
	}
	// A folder that was pushed to is the bundle, for stock tools and for us.
	b, err := bundle.Open(filepath.Join(dir, "test/1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: []sign.Public{s.pub}}); err != nil {
		t.Error(err)
	}
	wantCommitLast(t, rec)
	if got := srv.unfinished(t); len(got) != 0 {
		t.Errorf("unfinished uploads: %q", got)
	}
}

// whole is how many files a bundle has, with those that the index does not list, and their size.
func whole(t *testing.T, s *sample) (files int, size int64) {
	t.Helper()
	for _, f := range s.Index().Files {
		size += f.Size
	}
	for _, name := range []string{"bundle.json", "bundle.json.minisig", "SHA256SUMS"} {
		data, err := s.ReadFile(name, bundle.MaxIndex)
		if err != nil {
			t.Fatal(err)
		}
		size += int64(len(data))
	}
	return len(s.Index().Files) + 3, size
}

// pushed is one store to push a bundle to.
type pushed struct {
	st   store.Store
	rec  *recorder
	want store.PushResult // of the first push
}

// test pushes three times: to nothing, to all, and to all but one file.
func (p pushed) test(t *testing.T, s *sample) {
	t.Helper()
	st, rec, want := p.st, p.rec, p.want
	dry, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle, DryRun: true})
	if diff := cmp.Diff(want, dry); err != nil || diff != "" {
		t.Errorf("dry run: %v (-want +got):\n%s", err, diff)
	}
	if got := list(t, st, ""); len(got) != 0 {
		t.Errorf("the dry run stored %q", got)
	}
	if diff := cmp.Diff(want, push(t, st, s.Bundle)); diff != "" {
		t.Errorf("first push (-want +got):\n%s", diff)
	}
	s.wantPushed(t, st)
	before := rec.count("PUT") + rec.count("POST")
	if diff := cmp.Diff(store.PushResult{URL: want.URL, Skipped: want.Uploaded}, push(t, st, s.Bundle)); diff != "" {
		t.Errorf("second push (-want +got):\n%s", diff)
	}
	if after := rec.count("PUT") + rec.count("POST"); after != before {
		t.Errorf("the second push sent %d requests that write", after-before)
	}
	if err := st.Delete(t.Context(), "test/1.2.3/files/a"); err != nil {
		t.Fatal(err)
	}
	if r := push(t, st, s.Bundle); r.Uploaded != 1 || r.Bytes != int64(len("content of a")) {
		t.Errorf("after a loss: got %+v", r)
	}
	s.wantPushed(t, st)
}

// wantCommitLast demands that the signature was written before the index, and nothing between them.
func wantCommitLast(t *testing.T, rec *recorder) {
	t.Helper()
	var order []string
	for _, r := range rec.seen {
		if strings.HasPrefix(r, "PUT") && strings.Contains(r, "bundle.json") {
			order = append(order, filepath.Base(r))
		}
	}
	if diff := cmp.Diff([]string{"bundle.json.minisig", "bundle.json"}, order); diff != "" {
		t.Errorf("order of the commit (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(rec.seen, func(r string) bool { return strings.HasSuffix(r, "bundle.json.minisig") && r[0] == 'P' }); i >= 0 {
		for _, later := range rec.seen[i+1:] {
			if strings.HasSuffix(later, "bundle.json") {
				break
			}
			t.Errorf("between signature and index: %s", later)
		}
	}
}

// What another tool put there without our metadata is known by its ETag.
func TestPushKnowsForeignObjects(t *testing.T) {
	s := newSample(t, smallFiles())
	srv := newService(t, serve.StoreOptions{})
	st := srv.open(t, store.Options{})
	for path, body := range map[string]string{"files/a": "content of a", "manifest.yaml": "schema: y\n"} { // same, same length
		key := "some/prefix/test/1.2.3/" + path
		req, err := http.NewRequest("PUT", srv.URL+"/"+key, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", testKey.Authorization(ufile.Request{Method: "PUT", Bucket: "bkt", Key: key, Header: req.Header}))
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	if r := push(t, st, s.Bundle); r.Skipped != 1 {
		t.Errorf("got %+v, want files/a skipped and nothing else", r)
	}
	s.wantPushed(t, st)
}

func TestPushImmutable(t *testing.T) {
	first, second := newSample(t, smallFiles()), newSample(t, map[string][]byte{"files/a": []byte("other")})
	folder, err := store.Open("dir:"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range []store.Store{folder, newService(t, serve.StoreOptions{}).open(t, store.Options{})} {
		push(t, st, first.Bundle)
		var conflict *store.ConflictError
		_, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: second.Bundle})
		if !errors.As(err, &conflict) || conflict.Got != first.Identity() || conflict.Want != second.Identity() {
			t.Errorf("got %v, want *ConflictError", err)
		}
		first.wantPushed(t, st)
	}
}

func TestPushRefusesUntrusted(t *testing.T) {
	s := newSample(t, smallFiles())
	b, err := bundle.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	st := newService(t, serve.StoreOptions{}).open(t, store.Options{})
	if _, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: b}); !errors.Is(err, bundle.ErrUnverified) {
		t.Errorf("got %v, want bundle.ErrUnverified", err)
	}
	if got := list(t, st, ""); len(got) != 0 {
		t.Errorf("the store has %q", got)
	}
}

// The bundle changes under the push: nothing is committed.
func TestPushAltered(t *testing.T) {
	s := newSample(t, smallFiles())
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, bytes.Replace(data, []byte("content of a"), []byte("content of b"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	st := newService(t, serve.StoreOptions{}).open(t, store.Options{})
	var mismatch *bundle.MismatchError
	if _, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle}); !errors.As(err, &mismatch) {
		t.Errorf("got %v, want *bundle.MismatchError", err)
	}
	wantUncommitted(t, st)
}

// A push dies inside a large file; the next one sends only the parts that are missing.
func TestPushResumesInsideFile(t *testing.T) {
	s := newSample(t, map[string][]byte{"files/big": content(5*ufile.BlockSize + 1)})
	srv := newService(t, serve.StoreOptions{})
	journal := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	rec := newRecorder(t)
	done := 0
	rec.fault = func(_ int, req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasPrefix(req.URL.RawQuery, "partNumber=") {
			if done == 3 {
				cancel(errTest)
				req.Body.Close()
				return nil, req.Context().Err()
			}
			done++
		}
		return next.RoundTrip(req)
	}
	// One part at a time, so that three parts are there and no fourth is on its way.
	st := srv.open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: journal, Jobs: 1})
	if _, err := store.Push(ctx, store.PushOptions{Store: st, Bundle: s.Bundle}); !errors.Is(err, errTest) {
		t.Fatalf("got %v, want the cause of the cancellation", err)
	}
	wantUncommitted(t, st)
	if got := srv.unfinished(t); len(got) != 1 {
		t.Fatalf("got %d unfinished uploads, want the one to resume", len(got))
	}
	rec = newRecorder(t)
	st = srv.open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: journal})
	push(t, st, s.Bundle)
	s.wantPushed(t, st)
	if parts, starts := rec.count("PUT /some/prefix/test/1.2.3/files/big?partNumber="), rec.count("POST /some/prefix/test/1.2.3/files/big?uploads"); parts != 3 || starts != 0 {
		t.Errorf("the second push sent %d parts and started %d uploads, want 3 and 0", parts, starts)
	}
	wantClean(t, srv, journal)
}

func wantClean(t testing.TB, srv *service, journal string) {
	t.Helper()
	if got := srv.unfinished(t); len(got) != 0 {
		t.Errorf("unfinished uploads: %q", got)
	}
	if got, err := os.ReadDir(journal); err != nil || len(got) != 0 {
		t.Errorf("the journal still has %v, %v", got, err)
	}
}

// The file changed between two pushes that share a journal: what the first one sent is dropped.
func TestPushDropsOtherUpload(t *testing.T) {
	srv := newService(t, serve.StoreOptions{})
	journal := t.TempDir()
	for i, size := range []int{2*ufile.BlockSize + 1, 2*ufile.BlockSize + 1, 3 * ufile.BlockSize} {
		s := newSample(t, map[string][]byte{"files/big": content(size)})
		rec := newRecorder(t)
		if i < 2 {
			rec.fault = func(_ int, req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if req.Method == "POST" && strings.HasPrefix(req.URL.RawQuery, "uploadId=") {
					return answerWith(req, 503, ""), nil
				}
				return next.RoundTrip(req)
			}
		}
		st := srv.open(t, store.Options{Client: &http.Client{Transport: rec}, Journal: journal, Tries: 2})
		_, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle})
		var e *ufile.Error
		if i < 2 && (!errors.As(err, &e) || e.Status != 503) {
			t.Fatalf("push %d: got %v, want status 503", i, err)
		}
		if i == 2 {
			if err != nil {
				t.Fatal(err)
			}
			s.wantPushed(t, st)
		}
	}
	wantClean(t, srv, journal)
}

// What an uncommitted push of another bundle left is not looked at.
func TestBundleIgnoresStrangers(t *testing.T) {
	s := newSample(t, smallFiles())
	st := newService(t, serve.StoreOptions{}).open(t, store.Options{})
	put(t, st, "test/1.2.3/files/stranger", []byte("x"))
	put(t, st, "test/1.2.3/files/a", []byte("replaced"))
	put(t, st, "test/1.2.30/files/a", []byte("neighbour"))
	wantUncommitted(t, st)
	push(t, st, s.Bundle)
	s.wantPushed(t, st)
}

// A pushed bundle is read lazily, and a file that was altered in the store is refused.
func TestBundleReads(t *testing.T) {
	files := smallFiles()
	files["files/big"] = content(1 << 20)
	s := newSample(t, files)
	srv := newService(t, serve.StoreOptions{})
	rec := newRecorder(t)
	st := srv.open(t, store.Options{Client: &http.Client{Transport: rec}})
	push(t, st, s.Bundle)
	b, err := store.Bundle(t.Context(), st, "test", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadFile("files/a", 100); !errors.Is(err, bundle.ErrUnverified) {
		t.Errorf("before Trust: got %v", err)
	}
	if n := rec.count("GET /some/prefix/test/1.2.3/files/"); n != 0 {
		t.Errorf("opening read %d files", n)
	}
	if _, err := b.Trust([]sign.Public{s.pub}, false); err != nil {
		t.Fatal(err)
	}
	if got, err := b.ReadFile("rpms/Packages/libstdc++.rpm", 100); err != nil || string(got) != "rpm" {
		t.Errorf("got %q, %v", got, err)
	}
	put(t, st, "test/1.2.3/files/big", content(1<<20))
	var mismatch *bundle.MismatchError
	if _, err := b.ReadFile("files/big", 2<<20); !errors.As(err, &mismatch) {
		t.Errorf("altered: got %v, want *bundle.MismatchError", err)
	}
	if err := st.Delete(t.Context(), "test/1.2.3/files/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadFile("files/a", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: got %v", err)
	}
	if _, err := store.Bundle(t.Context(), st, "test", "1.2.3"); !bundle.Refused(err) {
		t.Errorf("opening with a file missing: got %v, want a refusal", err)
	}
	if _, err := store.Bundle(t.Context(), st, "test", "9.9.9"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such version: got %v", err)
	}
}

// Two processes push one bundle at once, with one journal: both succeed, and nothing is left.
func TestPushTwiceAtOnce(t *testing.T) {
	s := newSample(t, map[string][]byte{"files/big": content(2*ufile.BlockSize + 1), "files/a": []byte("a")})
	srv := newService(t, serve.StoreOptions{})
	journal := t.TempDir()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			st := srv.open(t, store.Options{Journal: journal})
			if _, err := store.Push(t.Context(), store.PushOptions{Store: st, Bundle: s.Bundle}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	st := srv.open(t, store.Options{Journal: journal})
	push(t, st, s.Bundle)
	s.wantPushed(t, st)
	wantClean(t, srv, journal)
}
