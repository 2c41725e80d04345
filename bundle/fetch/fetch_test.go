package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
)

// content returns n bytes that differ everywhere; the same for the same n.
func content(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(p)
	return p
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

func openCache(t testing.TB, dir string) *fetch.Cache {
	t.Helper()
	c, err := fetch.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fetcher returns one that tries three times, quickly, and waits long for a server that is alive.
func fetcher(t testing.TB, dir string) *fetch.Fetcher {
	t.Helper()
	return impatient(t, dir, time.Minute)
}

// impatient returns one that gives up a silent server after stall.
func impatient(t testing.TB, dir string, stall time.Duration) *fetch.Fetcher {
	t.Helper()
	client := transport.New(transport.Options{Stall: stall})
	t.Cleanup(client.CloseIdleConnections)
	return &fetch.Fetcher{Cache: openCache(t, dir), Client: client, Tries: 3, Backoff: time.Millisecond}
}

// patience returns what a test waits for a server with these faults: not long where one stalls for ever.
func patience(faults ...faulttest.Fault) time.Duration {
	if slices.ContainsFunc(faults, func(f faulttest.Fault) bool { return f.Kind == faulttest.Stall }) {
		return 150 * time.Millisecond
	}
	return time.Minute
}

// files lists what is in a cache folder: path to content.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		got[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantCache requires that the cache holds these blobs and nothing else, not even a partial.
func wantCache(t testing.TB, dir string, blobs ...[]byte) {
	t.Helper()
	got := files(t, dir)
	for _, b := range blobs {
		sum := digest(b)
		path := filepath.Join("sha256", sum[:2], sum)
		if !bytes.Equal(got[path], b) {
			t.Errorf("cache: %s is not there or not right", path)
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("cache: %s should not be there", path)
	}
}

func wantBlob(t testing.TB, b *fetch.Blob, want []byte) {
	t.Helper()
	if b == nil {
		t.Fatal("no blob")
		return
	}
	got, err := io.ReadAll(b.File)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || b.Size != int64(len(want)) || b.SHA256 != digest(want) {
		t.Errorf("blob: got %d bytes, Size %d, SHA256 %s; want %d bytes of %s", len(got), b.Size, b.SHA256, len(want), digest(want))
	}
	if fi, err := b.File.Stat(); err != nil || fi.Mode().Perm() != 0o444 {
		t.Errorf("blob: got mode %v (%v), want 0444", fi.Mode(), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestFetchKinds(t *testing.T) {
	data := content(300_000)
	for name, r := range map[string]fetch.Request{
		"digest and size": {SHA256: digest(data), Size: int64(len(data))},
		"digest only":     {SHA256: digest(data), Size: -1},
		"size only":       {Size: int64(len(data))},
		"nothing known":   {Size: -1},
		"size bounded":    {Size: -1, MaxSize: int64(len(data))},
	} {
		for _, length := range []faulttest.Kind{faulttest.None, faulttest.Chunked} {
			t.Run(name+" "+string(length), func(t *testing.T) {
				srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
				srv.Fail(faulttest.Fault{Kind: length})
				dir := t.TempDir()
				r.Name, r.URLs = "f", []string{srv.URL + "/f"}
				b, err := fetcher(t, dir).Fetch(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if b.Reused || b.Downloaded != int64(len(data)) || b.URL != srv.URL+"/f" {
					t.Errorf("got Reused %v, Downloaded %d, URL %s", b.Reused, b.Downloaded, b.URL)
				}
				wantBlob(t, b, data)
				wantCache(t, dir, data)
				if got := srv.Requests(); len(got) != 1 || got[0].Method != "GET" || got[0].Range != "" {
					t.Errorf("requests: got %+v, want one plain GET", got)
				}
			})
		}
	}
}

func TestEmptyFile(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": {}})
	for _, r := range []fetch.Request{{SHA256: digest(nil), Size: 0}, {SHA256: digest(nil), Size: -1}, {Size: 0}, {Size: -1}} {
		dir := t.TempDir()
		r.Name, r.URLs = "f", []string{srv.URL + "/f"}
		b, err := fetcher(t, dir).Fetch(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		wantBlob(t, b, nil)
		wantCache(t, dir, nil)
	}
}

func TestReuse(t *testing.T) {
	data := content(100_000)
	srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
	dir := t.TempDir()
	r := fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, SHA256: digest(data), Size: int64(len(data))}
	get := func(reused bool, requests int) {
		t.Helper()
		b, err := fetcher(t, dir).Fetch(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if b.Reused != reused || b.Reused == (b.Downloaded > 0) {
			t.Errorf("got Reused %v, Downloaded %d; want Reused %v", b.Reused, b.Downloaded, reused)
		}
		wantBlob(t, b, data)
		wantCache(t, dir, data)
		if got := len(srv.Requests()); got != requests {
			t.Errorf("requests: got %d, want %d", got, requests)
		}
	}
	get(false, 1)
	get(true, 1)

	path := filepath.Join(dir, "sha256", r.SHA256[:2], r.SHA256)
	for name, damage := range map[string]func() error{
		"one byte": func() error {
			os.Chmod(path, 0o644)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{^data[500]}, 500)
				f.Close()
			}
			return err
		},
		"cut short": func() error { os.Chmod(path, 0o644); return os.Truncate(path, 10) },
		"gone":      func() error { return os.Remove(path) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		srv.Forget()
		get(false, 1)
		if t.Failed() {
			t.Fatalf("after damage: %s", name)
		}
	}

	r.Size++
	_, err := fetcher(t, dir).Fetch(t.Context(), r)
	if m, ok := errors.AsType[*fetch.MismatchError](err); !ok || m.Got != "100000 bytes" || m.Want != "100001 bytes" {
		t.Errorf("cached with another size: got %v", err)
	}
	wantCache(t, dir, data)
}

func TestFileURL(t *testing.T) {
	data := content(3 << 20)
	src := filepath.Join(t.TempDir(), "a b%")
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	url := "file://" + strings.NewReplacer("%", "%25", " ", "%20").Replace(src)
	dir := t.TempDir()
	b, err := fetcher(t, dir).Fetch(t.Context(), fetch.Request{Name: "f", URLs: []string{url}, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	wantBlob(t, b, data)
	wantCache(t, dir, data)
	if got, err := os.ReadFile(src); err != nil || !bytes.Equal(got, data) {
		t.Error("the source changed")
	}
	if fi, err := os.Stat(src); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the source's mode changed: %v", fi.Mode())
	}

	for name, c := range map[string]struct {
		r    fetch.Request
		want string
	}{
		"wrong digest":   {fetch.Request{URLs: []string{url}, SHA256: digest(nil), Size: -1}, "got sha256:" + digest(data) + ", want sha256:" + digest(nil)},
		"wrong size":     {fetch.Request{URLs: []string{url}, Size: 5}, "got 3145728 bytes, want 5 bytes"},
		"too large":      {fetch.Request{URLs: []string{url}, Size: -1, MaxSize: 5}, "got more than 5 bytes"},
		"not there":      {fetch.Request{URLs: []string{url + "x"}, Size: -1}, "no such file"},
		"a folder":       {fetch.Request{URLs: []string{"file://" + filepath.Dir(src)}, Size: -1}, "not a regular file"},
		"of a host":      {fetch.Request{URLs: []string{"file://host/x"}, Size: -1}, "another host"},
		"another scheme": {fetch.Request{URLs: []string{"ftp://host/x"}, Size: -1}, `unsupported scheme "ftp"`},
		"no URL":         {fetch.Request{Size: -1}, "no URL"},
		"bad digest":     {fetch.Request{URLs: []string{url}, SHA256: "../../../etc/passwd", Size: -1}, "invalid sha256"},
		"upper case":     {fetch.Request{URLs: []string{url}, SHA256: strings.ToUpper(digest(data)), Size: -1}, "invalid sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.r.Name = "f"
			_, err := fetcher(t, dir).Fetch(t.Context(), c.r)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `fetching "f": `) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			wantCache(t, dir)
		})
	}
}

func TestPut(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir)
	data := content(2<<20 + 5)
	for range 2 {
		b, err := c.Put(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		wantBlob(t, b, data)
		wantCache(t, dir, data)
	}

	broken := errors.New("broken")
	if _, err := c.Put(t.Context(), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Put(ctx, bytes.NewReader(data)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	wantCache(t, dir, data)
}
