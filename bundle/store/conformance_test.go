package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/bundle/ufile"
)

// TestConformance holds every Store to the interface's comments.
func TestConformance(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"dir": func(t *testing.T) store.Store {
			s, err := store.Open("dir:"+t.TempDir()+"/made/later", store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"ufile": func(t *testing.T) store.Store { return newService(t, serve.StoreOptions{}).open(t, store.Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name string
				run  func(*testing.T, store.Store)
			}{
				{"absent", testAbsent}, {"round trip", testRoundTrip}, {"keys", testKeys}, {"hostile keys", testHostileKeys},
				{"overwrite", testOverwrite}, {"altered", testAltered}, {"cancelled", testCancelled},
				{"concurrent", testConcurrent}, {"list", testList},
			} {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, open(t))
				})
			}
		})
	}
}

func content(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func upload(key string, b []byte) store.Upload {
	return store.Upload{Key: key, Body: bytes.NewReader(b), Size: int64(len(b)), SHA256: sumOf(b)}
}

func put(t testing.TB, s store.Store, key string, b []byte) {
	t.Helper()
	if err := s.Put(t.Context(), upload(key, b)); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store.Store, key string, offset int64) []byte {
	t.Helper()
	rc, err := s.Get(t.Context(), key, offset)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func list(t testing.TB, s store.Store, prefix string) []string {
	t.Helper()
	keys := []string{}
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func wantAbsent(t testing.TB, s store.Store, key string) {
	t.Helper()
	if _, err := s.Head(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Head of %q: got %v, want fs.ErrNotExist", key, err)
	}
	if rc, err := s.Get(t.Context(), key, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of %q: got %v, want fs.ErrNotExist", key, err)
		if err == nil {
			rc.Close()
		}
	}
}

func testAbsent(t *testing.T, s store.Store) {
	wantAbsent(t, s, "a/b")
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("an empty store lists %q", got)
	}
	if got := list(t, s, "a/b/"); len(got) != 0 {
		t.Errorf("an absent folder lists %q", got)
	}
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	put(t, s, "a/b", []byte("x"))
	wantAbsent(t, s, "a") // above an object is no object
	if err := s.Delete(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	wantAbsent(t, s, "a/b")
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("after the deletion: %q", got)
	}
}

// Sizes around each seam: empty, small, one part, one byte more, several parts.
func testRoundTrip(t *testing.T, s store.Store) {
	const block = ufile.BlockSize
	for _, size := range []int{0, 1, block - 1, block, block + 1, 9 << 20} {
		key := fmt.Sprintf("sizes/%d", size)
		b := content(size)
		put(t, s, key, b)
		o, err := s.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if o.Key != key || o.Size != int64(size) || o.SHA256 != sumOf(b) {
			t.Errorf("%d bytes: got %+v, want sha256 %s", size, o, sumOf(b))
		}
		for _, offset := range []int{0, size / 3, max(size-1, 0), size} {
			if got := get(t, s, key, int64(offset)); !bytes.Equal(got, b[offset:]) {
				t.Errorf("%d bytes from %d: got %d other bytes", size, offset, len(got))
			}
		}
		if rc, err := s.Get(t.Context(), key, int64(size)+1); err == nil {
			rc.Close()
			t.Errorf("%d bytes: an offset behind the end is taken", size)
		}
	}
}

func testKeys(t *testing.T, s store.Store) {
	keys := []string{
		"a b/c d", "libstdc++-4.8.rpm", "+", "a+b/c", "100%", "%2e%2e", "q?x=1&y", "frag#ment", `quote"back\slash`, "~a;b:c@d=e,f",
		"中文/文件.rpm", "é", "ünï/cödé", "..hidden", "a..b", ".x", "_2", "A", "a/B", strings.Repeat("long/", 30) + "x",
		strings.Repeat("n", 200),
	}
	for i, key := range keys {
		put(t, s, key, []byte(fmt.Sprint(i)))
	}
	for i, key := range keys {
		if got := string(get(t, s, key, 0)); got != fmt.Sprint(i) {
			t.Errorf("%q: got %q, want %d", key, got, i)
		}
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, list(t, s, "")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a+b/c"}, list(t, s, "a+")); diff != "" {
		t.Errorf("list of a+ (-want +got):\n%s", diff)
	}
}

func testHostileKeys(t *testing.T, s store.Store) {
	for fault, key := range map[string]string{
		"empty": "", "absolute": "/a", "parent": "../a", "parent inside": "a/../b", "only parent": "..", "dot": ".", "dot inside": "a/./b",
		"empty element": "a//b", "trailing slash": "a/", "newline": "a\nb", "NUL": "a\x00b", "not UTF-8": "a\xffb", "too long": strings.Repeat("k/", 600),
	} {
		if err := s.Put(t.Context(), upload(key, []byte("x"))); err == nil {
			t.Errorf("%s: Put takes %q", fault, key)
		}
		if _, err := s.Head(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Head of %q: got %v, want a refusal", fault, key, err)
		}
		if rc, err := s.Get(t.Context(), key, 0); err == nil {
			rc.Close()
			t.Errorf("%s: Get takes %q", fault, key)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("the store has %q", got)
	}
}

func testOverwrite(t *testing.T, s store.Store) {
	for _, size := range []int{10, ufile.BlockSize + 5, 3, 0, ufile.BlockSize + 6, ufile.BlockSize + 6} {
		b := content(size)
		put(t, s, "k", b)
		o, err := s.Head(t.Context(), "k")
		if err != nil || o.SHA256 != sumOf(b) || !bytes.Equal(get(t, s, "k", 0), b) {
			t.Errorf("%d bytes: got %+v, %v", size, o, err)
		}
	}
}

// A source that is not what it was said to be is an error, and nothing is stored.
func testAltered(t *testing.T, s store.Store) {
	put(t, s, "there", []byte("before"))
	for _, size := range []int{5, ufile.BlockSize + 5} {
		b := content(size)
		wrong := upload("new", b)
		wrong.SHA256 = sumOf([]byte("other"))
		short := upload("new", b)
		short.Size++
		for fault, u := range map[string]store.Upload{"other bytes": wrong, "truncated": short} {
			var altered *store.AlteredError
			if err := s.Put(t.Context(), u); !errors.As(err, &altered) {
				t.Errorf("%d bytes, %s: got %v, want *AlteredError", size, fault, err)
			}
			wantAbsent(t, s, "new")
			u.Key = "there"
			if err := s.Put(t.Context(), u); err == nil {
				t.Errorf("%d bytes, %s: stored", size, fault)
			}
		}
	}
	if got := string(get(t, s, "there", 0)); got != "before" {
		t.Errorf("a refused Put replaced the object by %d bytes", len(got))
	}
}

// cancelReader ends the context in the middle of a read.
type cancelReader struct {
	io.ReaderAt
	at     int64
	cancel context.CancelCauseFunc
}

var errTest = errors.New("enough")

func (r *cancelReader) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > r.at {
		r.cancel(errTest)
	}
	return r.ReaderAt.ReadAt(p, offset)
}

func testCancelled(t *testing.T, s store.Store) {
	for _, size := range []int{100, ufile.BlockSize, 9 << 20} {
		ctx, cancel := context.WithCancelCause(t.Context())
		u := upload("k", content(size))
		u.Body = &cancelReader{u.Body, int64(size / 2), cancel}
		if err := s.Put(ctx, u); !errors.Is(err, errTest) {
			t.Errorf("%d bytes: got %v, want the cause of the cancellation", size, err)
		}
		wantAbsent(t, s, "k")
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("the store has %q", got)
	}
}

// Puts of one key and of others at once: each object is one of those that were put, whole.
func testConcurrent(t *testing.T, s store.Store) {
	bodies := map[string][]byte{}
	for i := range 4 {
		b := content(ufile.BlockSize*(i%2) + 1000 + i)
		bodies[sumOf(b)] = b
	}
	var wg sync.WaitGroup
	for sum, b := range bodies {
		for _, key := range []string{"shared", "own/" + sum} {
			wg.Go(func() {
				if err := s.Put(t.Context(), upload(key, b)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for sum, b := range bodies {
		if !bytes.Equal(get(t, s, "own/"+sum, 0), b) {
			t.Errorf("own/%s: got another object", sum)
		}
	}
	if got := get(t, s, "shared", 0); bodies[sumOf(got)] == nil {
		t.Errorf("shared: got %d bytes that nobody put", len(got))
	}
}

// More objects than a page holds, in an order that is not the one of a walk.
func testList(t *testing.T, s store.Store) {
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("p/%d", i), fmt.Sprintf("p-%d/x", i), fmt.Sprintf("p+%d", i))
	}
	jobs := make(chan string)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for key := range jobs {
				if err := s.Put(t.Context(), upload(key, []byte(key))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, key := range want {
		jobs <- key
	}
	close(jobs)
	wg.Wait()
	slices.Sort(want)
	if diff := cmp.Diff(want, list(t, s, "")); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	below := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return !strings.HasPrefix(k, "p/") })
	if diff := cmp.Diff(below, list(t, s, "p/")); diff != "" {
		t.Errorf("p/ (-want +got):\n%s", diff)
	}
	for o, err := range s.List(t.Context(), "p/1") {
		if err != nil || o.Size != int64(len(o.Key)) || o.SHA256 != "" && o.SHA256 != sumOf([]byte(o.Key)) {
			t.Errorf("got %+v, %v", o, err)
		}
		if o.Key != "p/1" {
			break // ending early is allowed
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, errTest) && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	}
}
