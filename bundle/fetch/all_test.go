package fetch_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"net/http"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/internal/transport"
)

// many returns n requests for different files that srv has.
func many(srv string, n int) (requests []fetch.Request, want [][]byte) {
	for i := range n {
		data := content(1000 + i)
		want = append(want, data)
		requests = append(requests, fetch.Request{
			Name: fmt.Sprint(i), URLs: []string{fmt.Sprintf("%s/%d", srv, i)}, SHA256: digest(data), Size: int64(len(data)),
		})
	}
	return requests, want
}

func served(n int) faulttest.Files {
	_, want := many("", n)
	f := faulttest.Files{}
	for i, data := range want {
		f[fmt.Sprintf("/%d", i)] = data
	}
	return f
}

func TestAllKeepsOrderAndFetchesOnce(t *testing.T) {
	srv := faulttest.NewServer(t, served(20))
	requests, want := many(srv.URL, 20)
	requests = append(requests, requests[3], requests[3], requests[0])
	want = append(want, want[3], want[3], want[0])
	dir := t.TempDir()
	blobs, err := fetcher(t, dir).All(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range blobs {
		if reused := i >= 20; b.Reused != reused {
			t.Errorf("blob %d: got Reused %v, want %v", i, b.Reused, reused)
		}
		wantBlob(t, b, want[i]) // reads and closes each: none shares its offset or its descriptor with another
	}
	wantCache(t, dir, want[:20]...)
	if got := len(srv.Requests()); got != 20 {
		t.Errorf("requests: got %d, want 20", got)
	}
}

func TestAllGoesOnAfterFailures(t *testing.T) {
	srv := faulttest.NewServer(t, served(10))
	requests, want := many(srv.URL, 10)
	srv.Fail(
		faulttest.Fault{Path: "/7", Kind: faulttest.Status, Code: 404},
		faulttest.Fault{Path: "/2", Kind: faulttest.WrongByte, N: 1})
	requests = append(requests, requests[2]) // told once, although asked for twice
	dir := t.TempDir()
	var out bytes.Buffer
	f := fetcher(t, dir)
	f.Progress = progress.New(&out, progress.Options{})
	blobs, err := f.All(t.Context(), requests)
	if blobs != nil || err == nil {
		t.Fatalf("got %v, %v", blobs, err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `fetching "2": `) || !strings.HasPrefix(lines[1], `fetching "7": `) {
		t.Errorf("got %q, want one line for 2, then one for 7", lines)
	}
	if m, ok := errors.AsType[*fetch.MismatchError](err); !ok || m.Name != "2" || m.Want != "sha256:"+requests[2].SHA256 {
		t.Errorf("got %#v, want the mismatch of 2", m)
	}
	if s, ok := errors.AsType[*transport.StatusError](err); !ok || s.Code != 404 {
		t.Errorf("got %#v, want the 404 of 7", s)
	}
	for _, i := range []int{0, 1, 3, 4, 5, 6, 8, 9} {
		if line := fmt.Sprintf("offbake: %d: fetched, ", i); strings.Count(out.String(), line) != 1 {
			t.Errorf("got no line %q in:\n%s", line, out.String())
		}
	}
	wantCache(t, dir, append(append(append([][]byte{}, want[:2]...), want[3:7]...), want[8:]...)...)
}

func TestAllRunsSeveralAtOnce(t *testing.T) {
	for _, jobs := range []int{0, 1, 3} {
		var now, most atomic.Int64
		gate := make(chan struct{}, 64)
		files := served(16)
		srv := faulttest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if want := int64(max(jobs, 1)); n >= want && jobs > 0 || n >= 8 {
				select {
				case gate <- struct{}{}:
				default:
				}
			}
			select { // until as many are here as should be, or it is clear that they do not come
			case <-gate:
			case <-time.After(20 * time.Millisecond):
			}
			files.ServeHTTP(w, req)
		}))
		requests, _ := many(srv.URL, 16)
		f := fetcher(t, t.TempDir())
		f.Jobs = jobs
		blobs, err := f.All(t.Context(), requests)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blobs {
			b.Close()
		}
		want := int64(jobs)
		if jobs == 0 {
			want = 8
		}
		if got := most.Load(); got != want {
			t.Errorf("Jobs %d: got %d at once, want %d", jobs, got, want)
		}
	}
}

func TestAllOfNothing(t *testing.T) {
	blobs, err := fetcher(t, t.TempDir()).All(t.Context(), nil)
	if len(blobs) != 0 || err != nil {
		t.Errorf("got %v, %v", blobs, err)
	}
}

// Two fetchers stand for two processes: their caches know nothing of each other but the folder.
func TestSharedCache(t *testing.T) {
	srv := faulttest.NewServer(t, served(10))
	requests, want := many(srv.URL, 10)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			blobs, err := fetcher(t, dir).All(t.Context(), requests)
			if err != nil {
				t.Error(err)
				return
			}
			for i, b := range blobs {
				got, err := io.ReadAll(b.File)
				if err != nil || !bytes.Equal(got, want[i]) {
					t.Errorf("blob %d: %v", i, err)
				}
				b.Close()
			}
		})
	}
	wg.Wait()
	wantCache(t, dir, want...)
	if got := len(srv.Requests()); got != 10 {
		t.Errorf("requests: got %d, want 10: each file once", got)
	}
}

func TestCacheFolderProblems(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch.OpenCache(dir + "/file"); err == nil || !strings.HasPrefix(err.Error(), "opening cache: ") {
		t.Errorf("a file: got %v", err)
	}
}

// What goes wrong on our own disk is told at once: no server is asked again for it.
func TestLocalFailureIsFinal(t *testing.T) {
	data := content(200_000)
	dir := t.TempDir()
	files := faulttest.Files{"/f": data}
	srv := faulttest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := os.MkdirAll(filepath.Join(dir, "partial", digest(data)+".json"), 0o755); err != nil { // in the way
			t.Error(err)
		}
		files.ServeHTTP(w, req)
	}))
	_, err := fetcher(t, dir).Fetch(t.Context(), fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, SHA256: digest(data), Size: 200_000})
	if _, ok := errors.AsType[*fs.PathError](err); !ok || len(srv.Requests()) != 1 {
		t.Errorf("got %v after %d requests, want our own failure after 1", err, len(srv.Requests()))
	}
	wantCache(t, dir)
}
