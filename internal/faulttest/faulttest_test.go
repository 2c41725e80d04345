package faulttest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/internal/faulttest"
)

const text = "0123456789abcdef"

// got is what a client sees of one answer.
type got struct {
	code   int
	body   string
	broken bool // the body ended with an error, or no head came
}

func ask(t *testing.T, url string, header ...string) (got, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: 5 * time.Second}
	resp, err := (&http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return got{broken: true}, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, string(data), err != nil}, resp.Header
}

func TestKinds(t *testing.T) {
	const rest = "bytes=10-"
	xor := func(s string) string {
		p := []byte(s)
		for i := range p {
			p[i] ^= 0xff
		}
		return string(p)
	}
	for name, c := range map[string]struct {
		fault faulttest.Fault
		rng   string
		want  got
		head  [2]string // a header that must be there
	}{
		"none":                     {faulttest.Fault{}, "", got{200, text, false}, [2]string{"Content-Length", "16"}},
		"none, range":              {faulttest.Fault{}, rest, got{206, "abcdef", false}, [2]string{"Content-Range", "bytes 10-15/16"}},
		"refuse":                   {faulttest.Fault{Kind: faulttest.Refuse}, "", got{broken: true}, [2]string{}},
		"reset":                    {faulttest.Fault{Kind: faulttest.Reset, N: 3}, "", got{200, "012", true}, [2]string{"Content-Length", "16"}},
		"reset after the head":     {faulttest.Fault{Kind: faulttest.Reset}, "", got{200, "", true}, [2]string{}},
		"reset of a range":         {faulttest.Fault{Kind: faulttest.Reset, N: 3}, rest, got{206, "abc", true}, [2]string{}},
		"slow":                     {faulttest.Fault{Kind: faulttest.Slow, N: 5, Wait: time.Millisecond}, "", got{200, text, false}, [2]string{}},
		"status":                   {faulttest.Fault{Kind: faulttest.Status, Code: 429, Wait: 7 * time.Second}, "", got{429, "Too Many Requests\n", false}, [2]string{"Retry-After", "7"}},
		"wrong byte":               {faulttest.Fault{Kind: faulttest.WrongByte, N: 1}, "", got{200, "0\xce23456789abcdef", false}, [2]string{"Content-Length", "16"}},
		"short":                    {faulttest.Fault{Kind: faulttest.Short, N: 4}, "", got{200, "0123", false}, [2]string{"Content-Length", "4"}},
		"long":                     {faulttest.Fault{Kind: faulttest.Long, N: 2}, "", got{200, text + "\x00\x00", false}, [2]string{"Content-Length", "18"}},
		"ignore range":             {faulttest.Fault{Kind: faulttest.IgnoreRange}, rest, got{200, text, false}, [2]string{"Content-Length", "16"}},
		"lying range":              {faulttest.Fault{Kind: faulttest.LyingRange, N: 2}, rest, got{206, "abcdef", false}, [2]string{"Content-Range", "bytes 12-15/16"}},
		"wrong range":              {faulttest.Fault{Kind: faulttest.WrongRange}, rest, got{206, "012345", false}, [2]string{"Content-Range", "bytes 10-15/16"}},
		"wrong range, none asked":  {faulttest.Fault{Kind: faulttest.WrongRange}, "", got{200, text, false}, [2]string{}},
		"416":                      {faulttest.Fault{Kind: faulttest.NoRange}, rest, got{416, "", false}, [2]string{}},
		"416, no range":            {faulttest.Fault{Kind: faulttest.NoRange}, "", got{200, text, false}, [2]string{}},
		"redirect":                 {faulttest.Fault{Kind: faulttest.Redirect, To: "http://h/"}, "", got{302, "<a href=\"http://h/\">Found</a>.\n\n", false}, [2]string{"Location", "http://h/"}},
		"gzip label":               {faulttest.Fault{Kind: faulttest.Gzip}, "", got{200, text, false}, [2]string{"Content-Encoding", "gzip"}},
		"changed":                  {faulttest.Fault{Kind: faulttest.Changed}, "", got{200, xor(text), false}, [2]string{}},
		"changed, range":           {faulttest.Fault{Kind: faulttest.Changed}, rest, got{206, xor("abcdef"), false}, [2]string{}},
		"chunked":                  {faulttest.Fault{Kind: faulttest.Chunked}, "", got{200, text, false}, [2]string{}},
		"of another path":          {faulttest.Fault{Kind: faulttest.Refuse, Path: "/g"}, "", got{200, text, false}, [2]string{}},
		"of another request":       {faulttest.Fault{Kind: faulttest.Refuse, Request: 2}, "", got{200, text, false}, [2]string{}},
		"of this path and request": {faulttest.Fault{Kind: faulttest.Refuse, Path: "/f", Request: 1}, "", got{broken: true}, [2]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulttest.NewServer(t, faulttest.Files{"/f": []byte(text)})
			srv.Fail(c.fault)
			var header []string
			if c.rng != "" {
				header = []string{"Range", c.rng}
			}
			answer, head := ask(t, srv.URL+"/f", header...)
			if answer != c.want {
				t.Errorf("got %+v, want %+v", answer, c.want)
			}
			if c.head[0] != "" && head.Get(c.head[0]) != c.head[1] {
				t.Errorf("%s: got %q, want %q", c.head[0], head.Get(c.head[0]), c.head[1])
			}
			r := srv.Requests()
			if len(r) != 1 || r[0].Method != "GET" || r[0].Path != "/f" || r[0].Range != c.rng || r[0].Status != c.want.code {
				t.Fatalf("record: got %+v", r)
			}
			if c.want.code != 302 && r[0].Sent != int64(len(c.want.body)) {
				t.Errorf("record: got %d bytes sent, want %d", r[0].Sent, len(c.want.body))
			}
		})
	}
}

func TestHTMLIsNoFile(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": []byte(text)})
	srv.Fail(faulttest.Fault{Kind: faulttest.HTML})
	answer, head := ask(t, srv.URL+"/f")
	if answer.code != 200 || head.Get("Content-Type") != "text/html" || !strings.Contains(answer.body, "<html>") {
		t.Errorf("got %+v", answer)
	}
}

func TestChunkedHasNoLength(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": bytes.Repeat([]byte("x"), 100_000)})
	srv.Fail(faulttest.Fault{Kind: faulttest.Chunked})
	answer, head := ask(t, srv.URL+"/f")
	if len(answer.body) != 100_000 || answer.broken || head.Get("Content-Length") != "" {
		t.Errorf("got %d bytes, Content-Length %q", len(answer.body), head.Get("Content-Length"))
	}
}

func TestStallEndsWithTheServer(t *testing.T) {
	for _, n := range []int64{-1, 0, 5} {
		srv := faulttest.NewServer(t, faulttest.Files{"/f": []byte(text)})
		srv.Fail(faulttest.Fault{Kind: faulttest.Stall, N: n})
		done := make(chan got)
		go func() {
			resp, err := http.Get(srv.URL + "/f")
			if err != nil {
				done <- got{broken: true}
				return
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(resp.Body)
			done <- got{resp.StatusCode, string(data), err != nil}
		}()
		for len(srv.Requests()) == 0 {
			time.Sleep(time.Millisecond)
		}
		select {
		case g := <-done:
			t.Errorf("N %d: got %+v, want nothing yet", n, g)
		case <-time.After(20 * time.Millisecond):
		}
		srv.Close()
		if g := <-done; !g.broken || len(g.body) > int(max(n, 0)) {
			t.Errorf("N %d: got %+v, want a broken body", n, g)
		}
	}
}

func TestIfRange(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": []byte(text)})
	_, head := ask(t, srv.URL+"/f")
	etag := head.Get("ETag")
	if answer, _ := ask(t, srv.URL+"/f", "Range", "bytes=10-", "If-Range", etag); answer.code != 206 {
		t.Errorf("the same version: got %d, want 206", answer.code)
	}
	if answer, _ := ask(t, srv.URL+"/f", "Range", "bytes=10-", "If-Range", `"old"`); answer.code != 200 {
		t.Errorf("another version: got %d, want 200", answer.code)
	}
	srv.Fail(faulttest.Fault{Kind: faulttest.Changed})
	answer, head := ask(t, srv.URL+"/f", "Range", "bytes=10-", "If-Range", etag)
	if answer.code != 200 || head.Get("ETag") == etag {
		t.Errorf("changed: got %d with ETag %s, want 200 with another", answer.code, head.Get("ETag"))
	}
	if answer, _ := ask(t, srv.URL+"/f", "Range", "bytes=10-", "If-Range", head.Get("ETag")); answer.code != 206 {
		t.Errorf("the changed version: got %d, want 206", answer.code)
	}
	if got := srv.Requests()[1].IfRange; got != etag {
		t.Errorf("record: got If-Range %s, want %s", got, etag)
	}
}

func TestTimesHealForget(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": []byte(text)})
	srv.Fail(faulttest.Fault{Kind: faulttest.Status, Code: 503, Times: 2}, faulttest.Fault{Kind: faulttest.Status, Code: 404, Request: 4})
	codes := func(n int) (list []int) {
		for range n {
			answer, _ := ask(t, srv.URL+"/f")
			list = append(list, answer.code)
		}
		return list
	}
	if diff := cmp.Diff([]int{503, 503, 200, 404, 200}, codes(5)); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	srv.Forget()
	if diff := cmp.Diff([]int{200, 200, 200, 404}, codes(4)); diff != "" {
		t.Errorf("statuses after Forget (-want +got):\n%s", diff)
	}
	if got, want := srv.Paths(), slices.Repeat([]string{"GET /f"}, 4); !slices.Equal(got, want) {
		t.Errorf("paths: got %q, want %q", got, want)
	}
	srv.Forget()
	srv.Heal()
	if diff := cmp.Diff([]int{200, 200, 200, 200}, codes(4)); diff != "" {
		t.Errorf("statuses after Heal (-want +got):\n%s", diff)
	}
}

func TestSweepBreaksEveryRequest(t *testing.T) {
	var seen []string
	faults := []faulttest.Fault{{Kind: faulttest.Refuse}, {Kind: faulttest.Status, Code: 500}}
	runs := faulttest.Sweep(t, func() http.Handler { return faulttest.Files{"/a": nil, "/b": nil} }, faults,
		func(t *testing.T, srv *faulttest.Server, fault *faulttest.Fault) {
			line := ""
			for _, path := range []string{"/a", "/b"} {
				answer, _ := ask(t, srv.URL+path)
				line += fmt.Sprint(answer.code, " ")
			}
			if fault != nil {
				line += fault.String()
			}
			seen = append(seen, line)
		})
	want := []string{"200 200 ", "0 200 refuse", "200 0 refuse", "500 200 status 500", "200 500 status 500"}
	if diff := cmp.Diff(want, seen); diff != "" || runs != len(want) {
		t.Errorf("%d runs (-want +got):\n%s", runs, diff)
	}
}
