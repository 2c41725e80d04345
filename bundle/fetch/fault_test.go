package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/internal/transport"
)

// kind classifies an error the way cmd does.
func kind(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, transport.ErrBlocked):
		return "blocked"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	if _, ok := errors.AsType[*fetch.MismatchError](err); ok {
		return "mismatch"
	}
	if s, ok := errors.AsType[*transport.StatusError](err); ok {
		return fmt.Sprint("status ", s.Code)
	}
	if _, ok := errors.AsType[*transport.StalledError](err); ok {
		return "stalled"
	}
	return "other"
}

func TestFaults(t *testing.T) {
	const size = 300_000
	data := content(size)
	for name, c := range map[string]struct {
		fault    faulttest.Fault
		once     string // outcome where the fault happens once
		always   string // and where it always does
		requests int    // in the second case
	}{
		"connection reset":      {faulttest.Fault{Kind: faulttest.Refuse}, "ok", "other", 3},
		"cut at once":           {faulttest.Fault{Kind: faulttest.Reset}, "ok", "other", 3},
		"cut in the middle":     {faulttest.Fault{Kind: faulttest.Reset, N: 100_000}, "ok", "ok", 3},
		"cut after a little":    {faulttest.Fault{Kind: faulttest.Reset, N: 1000}, "ok", "other", 3},
		"stall before the head": {faulttest.Fault{Kind: faulttest.Stall, N: -1}, "ok", "stalled", 3},
		"stall in the body":     {faulttest.Fault{Kind: faulttest.Stall, N: 1000}, "ok", "stalled", 3},
		"slow drip":             {faulttest.Fault{Kind: faulttest.Slow, N: 50_000, Wait: 10 * time.Millisecond}, "ok", "ok", 1},
		"404":                   {faulttest.Fault{Kind: faulttest.Status, Code: 404}, "status 404", "status 404", 1},
		"403":                   {faulttest.Fault{Kind: faulttest.Status, Code: 403}, "status 403", "status 403", 1},
		"503":                   {faulttest.Fault{Kind: faulttest.Status, Code: 503}, "ok", "status 503", 3},
		"429, come tomorrow":    {faulttest.Fault{Kind: faulttest.Status, Code: 429, Wait: 24 * time.Hour}, "status 429", "status 429", 1},
		"204":                   {faulttest.Fault{Kind: faulttest.Status, Code: 204}, "status 204", "status 204", 1},
		"wrong byte":            {faulttest.Fault{Kind: faulttest.WrongByte, N: 299_999}, "ok", "mismatch", 2},
		"short":                 {faulttest.Fault{Kind: faulttest.Short, N: 1000}, "ok", "mismatch", 2},
		"long":                  {faulttest.Fault{Kind: faulttest.Long, N: 1000}, "ok", "mismatch", 2},
		"another version":       {faulttest.Fault{Kind: faulttest.Changed}, "ok", "mismatch", 2},
		"login page":            {faulttest.Fault{Kind: faulttest.HTML}, "ok", "mismatch", 2}, // and says that it is HTML
		"gzip label":            {faulttest.Fault{Kind: faulttest.Gzip}, "ok", "ok", 1},
		"redirect to nowhere":   {faulttest.Fault{Kind: faulttest.Redirect, To: "/none"}, "status 404", "other", 1},
		"redirect to file:":     {faulttest.Fault{Kind: faulttest.Redirect, To: "file:///etc/passwd"}, "other", "other", 1},
	} {
		for _, times := range []int{1, 0} {
			for _, sized := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, times %d, sized %v", name, times, sized), func(t *testing.T) {
					t.Parallel()
					srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
					fault := c.fault
					fault.Times = times
					srv.Fail(fault)
					dir := t.TempDir()
					r := fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, SHA256: digest(data), Size: size}
					if !sized {
						r.Size = -1
					}
					b, err := impatient(t, dir, patience(fault)).Fetch(t.Context(), r)
					want := c.once
					if times == 0 {
						want = c.always
					}
					if got := kind(err); got != want {
						t.Fatalf("got %s (%v), want %s", got, err, want)
					}
					if err == nil {
						wantBlob(t, b, data)
						wantCache(t, dir, data)
						return
					}
					wantOneLine(t, err)
					if html := c.fault.Kind == faulttest.HTML; strings.Contains(err.Error(), "an HTML page") != html {
						t.Errorf("got %v, want it to say that it is HTML: %v", err, html)
					}
					wantOnlyPrefix(t, dir, data)
					if got := len(srv.Requests()); times == 0 && c.fault.Kind != faulttest.Redirect && got != c.requests {
						t.Errorf("requests: got %d, want %d", got, c.requests)
					}
				})
			}
		}
	}
}

func wantOneLine(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); strings.ContainsAny(text, "\n\r") || strings.Count(text, "GET ") > 1 && !strings.Contains(text, "; ") {
		t.Errorf("got %q, want one line that names the URL once", text)
	}
}

// wantOnlyPrefix requires that a failed fetch left nothing but bytes it may go on with.
func wantOnlyPrefix(t *testing.T, dir string, data []byte) {
	t.Helper()
	for path, got := range files(t, dir) {
		switch {
		case strings.HasPrefix(path, "sha256"):
			t.Errorf("in the cache: %s", path)
		case strings.HasSuffix(path, ".json"):
		case len(got) == 0 || !bytes.HasPrefix(data, got):
			t.Errorf("partial %s: got %d bytes that are no prefix", path, len(got))
		}
	}
}

func TestMirrors(t *testing.T) {
	const size = 300_000
	data := content(size)
	gone := "http://127.0.0.1:1/f"
	for name, c := range map[string]struct {
		first  []faulttest.Fault // of the first mirror; nil: nobody listens
		second []faulttest.Fault
		want   string
		sent   int64 // bytes that the second sent
	}{
		"the first is enough":         {[]faulttest.Fault{}, nil, "ok", 0},
		"nobody listens":              {nil, nil, "ok", size},
		"404":                         {[]faulttest.Fault{{Kind: faulttest.Status, Code: 404}}, nil, "ok", size},
		"stalls for ever":             {[]faulttest.Fault{{Kind: faulttest.Stall, N: -1}}, nil, "ok", size},
		"wrong byte":                  {[]faulttest.Fault{{Kind: faulttest.WrongByte, N: 5}}, nil, "ok", size},
		"login page":                  {[]faulttest.Fault{{Kind: faulttest.HTML}}, nil, "ok", size},
		"both wrong":                  {[]faulttest.Fault{{Kind: faulttest.WrongByte, N: 5}}, []faulttest.Fault{{Kind: faulttest.WrongByte, N: 5}}, "mismatch", size},
		"both 404":                    {[]faulttest.Fault{{Kind: faulttest.Status, Code: 404}}, []faulttest.Fault{{Kind: faulttest.Status, Code: 404}}, "status 404", 0},
		"busy, and the second is bad": {[]faulttest.Fault{{Kind: faulttest.Status, Code: 503, Times: 1}}, []faulttest.Fault{{Kind: faulttest.Status, Code: 404}}, "ok", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := gone
			if c.first != nil {
				srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
				srv.Fail(c.first...)
				url = srv.URL + "/f"
			}
			second := faulttest.NewServer(t, faulttest.Files{"/g": data})
			second.Fail(c.second...)
			dir := t.TempDir()
			r := fetch.Request{Name: "f", URLs: []string{url, second.URL + "/g"}, SHA256: digest(data), Size: size}
			b, err := impatient(t, dir, patience(c.first...)).Fetch(t.Context(), r)
			if got := kind(err); got != c.want {
				t.Fatalf("got %s (%v), want %s", got, err, c.want)
			}
			var sent int64
			for _, r := range second.Requests() {
				if r.Status == http.StatusOK {
					sent += r.Sent
				}
			}
			if sent != c.sent {
				t.Errorf("second mirror: got %d bytes sent, want %d", sent, c.sent)
			}
			if err == nil {
				wantBlob(t, b, data)
				wantCache(t, dir, data)
				return
			}
			wantOnlyPrefix(t, dir, data)
			for _, u := range r.URLs {
				if !strings.Contains(err.Error(), u) {
					t.Errorf("got %v, want it to name %s", err, u)
				}
			}
		})
	}
}

// A mirror takes over at the exact byte where the other broke, but only where the digest decides in the end.
func TestFailover(t *testing.T) {
	const size, at = 2 << 20, 1 << 20
	data := content(size)
	for _, learn := range []bool{false, true} {
		t.Run(fmt.Sprint("learn ", learn), func(t *testing.T) {
			first := faulttest.NewServer(t, faulttest.Files{"/f": data})
			second := faulttest.NewServer(t, faulttest.Files{"/f": data})
			first.Fail(faulttest.Fault{Kind: faulttest.Stall, N: at})
			dir := t.TempDir()
			r := fetch.Request{Name: "f", URLs: []string{first.URL + "/f", second.URL + "/f"}, SHA256: digest(data), Size: size}
			if learn {
				r.SHA256, r.Size = "", -1
			}
			b, err := impatient(t, dir, patience(faulttest.Fault{Kind: faulttest.Stall})).Fetch(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if b.URL != second.URL+"/f" {
				t.Errorf("got URL %s, want the second mirror", b.URL)
			}
			wantBlob(t, b, data)
			wantCache(t, dir, data)
			got := second.Requests()
			want := rangeFrom(at)
			if learn {
				want = ""
			}
			if len(got) != 1 || got[0].Range != want || got[0].IfRange != "" {
				t.Errorf("second mirror: got %+v, want one request for %q without If-Range", got, want)
			}
		})
	}
}

func TestSlowLinkWithManyCuts(t *testing.T) {
	data := content(8 << 20)
	srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
	srv.Fail(faulttest.Fault{Kind: faulttest.Reset, N: 3 << 19})
	dir := t.TempDir()
	r := fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, SHA256: digest(data), Size: int64(len(data))}
	b, err := fetcher(t, dir).Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err) // 3 tries would not do, if those that bring a megabyte counted
	}
	if b.Downloaded != b.Size {
		t.Errorf("downloaded: got %d, want %d: no byte twice", b.Downloaded, b.Size)
	}
	wantBlob(t, b, data)
	wantCache(t, dir, data)
}

func TestTooLarge(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": content(100_000)})
	for _, length := range []faulttest.Kind{faulttest.None, faulttest.Chunked} {
		srv.Fail(faulttest.Fault{Kind: length})
		dir := t.TempDir()
		_, err := fetcher(t, dir).Fetch(t.Context(), fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, Size: -1, MaxSize: 99_999})
		if err == nil || !strings.Contains(err.Error(), "got more than 99999 bytes") {
			t.Errorf("%q: got %v", length, err)
		}
		wantCache(t, dir)
		srv.Heal()
	}
	if got := len(srv.Requests()); got != 2 {
		t.Errorf("requests: got %d, want 2: it stays too large", got)
	}
}

func TestSecretsStayOut(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": content(1000)})
	url := strings.Replace(srv.URL, "http://", "http://user:s3cret@", 1) + "/f?sig=s3cret#s3cret"
	for _, fault := range []faulttest.Fault{
		{Kind: faulttest.Status, Code: 404}, {Kind: faulttest.Refuse}, {Kind: faulttest.WrongByte}, {Kind: faulttest.Short, N: 5},
		{Kind: faulttest.Stall, N: 5}, {Kind: faulttest.Redirect, To: "ftp://u:s3cret@h/?s3cret"}, {Kind: faulttest.HTML},
	} {
		srv.Heal()
		srv.Fail(fault)
		var out bytes.Buffer
		f := impatient(t, t.TempDir(), patience(fault))
		f.Progress = progress.New(&out, progress.Options{})
		_, err := f.Fetch(t.Context(), fetch.Request{Name: "f", URLs: []string{url}, SHA256: digest(content(1000)), Size: 1000})
		if err == nil || !strings.Contains(err.Error(), "/?…") && !strings.Contains(err.Error(), srv.URL+"/f?…") {
			t.Errorf("%s: got %v, want a redacted URL", fault, err)
		}
		if text := fmt.Sprintf("%v %+v %s", err, err, out.String()); strings.Contains(text, "s3cret") {
			t.Errorf("%s: told in %s", fault, text)
		}
	}
}

func TestCancel(t *testing.T) {
	data := content(300_000)
	srv := faulttest.NewServer(t, faulttest.Files{"/f": data})
	srv.Fail(faulttest.Fault{Kind: faulttest.Stall, N: 1000})
	reason := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	f := fetcher(t, t.TempDir())
	f.Client = transport.New(transport.Options{Stall: time.Minute})
	var out bytes.Buffer
	f.Progress = progress.New(&out, progress.Options{})
	time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
	start := time.Now()
	if _, err := f.Fetch(ctx, fetch.Request{Name: "f", URLs: []string{srv.URL + "/f"}, Size: -1}); !errors.Is(err, reason) {
		t.Errorf("Fetch: got %v, want the cause", err)
	}
	if _, err := f.All(ctx, []fetch.Request{{Name: "f", URLs: []string{srv.URL + "/f"}, Size: -1}}); !errors.Is(err, reason) {
		t.Errorf("All: got %v, want the cause", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if out.Len() != 0 {
		t.Errorf("got %q, want no line for each file that was called off", &out)
	}
}

// TestSweep breaks every request of a fetch of several files in every way.
func TestSweep(t *testing.T) {
	want := [][]byte{content(1000), content(70_000), content(200_000)}
	served := faulttest.Files{"/0": want[0], "/1": want[1], "/2": want[2]}
	faults := []faulttest.Fault{
		{Kind: faulttest.Refuse}, {Kind: faulttest.Reset, N: 500}, {Kind: faulttest.Stall, N: 500}, {Kind: faulttest.Stall, N: -1},
		{Kind: faulttest.Slow, N: 500, Wait: time.Microsecond}, {Kind: faulttest.Status, Code: 404}, {Kind: faulttest.Status, Code: 429},
		{Kind: faulttest.Status, Code: 503}, {Kind: faulttest.WrongByte, N: 999}, {Kind: faulttest.Short, N: 500}, {Kind: faulttest.Long, N: 1},
		{Kind: faulttest.IgnoreRange}, {Kind: faulttest.LyingRange, N: 3}, {Kind: faulttest.WrongRange}, {Kind: faulttest.NoRange},
		{Kind: faulttest.Redirect, To: "http://127.0.0.1:1/"}, {Kind: faulttest.Gzip}, {Kind: faulttest.HTML}, {Kind: faulttest.Changed},
		{Kind: faulttest.Chunked},
	}
	// A request that finds a prefix is swept too: every run starts with one of the third file.
	outcomes := map[string]int{}
	runs := faulttest.Sweep(t, func() http.Handler { return served }, faults, func(t *testing.T, srv *faulttest.Server, fault *faulttest.Fault) {
		dir := t.TempDir()
		var requests []fetch.Request
		for i, data := range want {
			requests = append(requests, fetch.Request{
				Name: fmt.Sprint(i), URLs: []string{fmt.Sprintf("%s/%d", srv.URL, i)}, SHA256: digest(data), Size: int64(len(data)),
			})
		}
		requests = append(requests, requests[1]) // the same file under another name
		leavePrefix(t, dir, want[2], 150_000)
		f := fetcher(t, dir)
		if fault != nil {
			f = impatient(t, dir, patience(*fault))
		}
		blobs, err := f.All(t.Context(), requests)
		outcomes[kind(err)]++
		if err != nil {
			if fault == nil || blobs != nil || !strings.HasPrefix(err.Error(), `fetching "`) {
				t.Fatalf("got %v blobs, %v", blobs, err)
			}
			wantNoWrongByte(t, dir, want)
			srv.Heal() // and the next run
			srv.Forget()
			if blobs, err = fetcher(t, dir).All(t.Context(), requests); err != nil {
				t.Fatalf("the next run: %v", err)
			}
			if got := len(srv.Requests()); got == 0 || got > 2 {
				t.Errorf("the next run: got %d requests, want only what was missing", got)
			}
		}
		for i, b := range blobs {
			wantBlob(t, b, append(want, want[1])[i])
		}
		wantCache(t, dir, want...)
	})
	t.Logf("%d runs: %v", runs, outcomes)
	if outcomes["ok"] == runs || outcomes["ok"] < runs/2 {
		t.Errorf("got outcomes %v, want most runs to succeed and 404 not to", outcomes)
	}
}

func wantNoWrongByte(t *testing.T, dir string, want [][]byte) {
	t.Helper()
	for path, data := range files(t, dir) {
		if strings.HasPrefix(path, "sha256") && !slices.ContainsFunc(want, func(w []byte) bool { return bytes.Equal(w, data) }) {
			t.Errorf("in the cache: %s, %d bytes that nobody asked for", path, len(data))
		}
	}
}

// leavePrefix makes a cache hold the first bytes of data, as a killed process would.
func leavePrefix(t *testing.T, dir string, data []byte, n int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "partial", digest(data)), data[:n], 0o644); err != nil {
		t.Fatal(err)
	}
}
