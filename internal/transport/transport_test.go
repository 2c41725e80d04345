package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
)

// get sends a GET through Do and returns the body.
func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.Do(c, req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := transport.CheckStatus(resp); err != nil {
		return "", err
	}
	data, err := io.ReadAll(resp.Body)
	return string(data), err
}

func client(t *testing.T, o transport.Options) *http.Client {
	t.Helper()
	c := transport.New(o)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestWhatServersSee(t *testing.T) {
	var seen http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = req.Header.Clone()
		if req.URL.Path == "/from" {
			http.Redirect(w, req, "/to", http.StatusFound)
		}
	}))
	defer srv.Close()
	if _, err := get(t, client(t, transport.Options{}), srv.URL+"/from?signature=s3cret"); err != nil {
		t.Fatal(err)
	}
	if got := seen.Get("User-Agent"); got != "offbake" {
		t.Errorf("User-Agent: got %q, want offbake", got)
	}
	for _, name := range []string{"Accept-Encoding", "Referer"} {
		if got, ok := seen[name]; ok {
			t.Errorf("%s: got %q, want none", name, got)
		}
	}
	if _, err := get(t, client(t, transport.Options{UserAgent: "offbake/1.2"}), srv.URL); err != nil {
		t.Fatal(err)
	}
	if got := seen.Get("User-Agent"); got != "offbake/1.2" {
		t.Errorf("User-Agent: got %q, want offbake/1.2", got)
	}
}

func TestDefaultTransportStaysAlone(t *testing.T) {
	before := http.DefaultTransport
	c := client(t, transport.Options{Allow: []string{}})
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	if _, err := get(t, c, srv.URL); !errors.Is(err, transport.ErrBlocked) {
		t.Errorf("ours: got %v, want ErrBlocked", err)
	}
	resp, err := http.Get(srv.URL)
	if err != nil || http.DefaultTransport != before {
		t.Fatalf("the default client changed: %v", err)
	}
	resp.Body.Close()
}

func TestRedirects(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{})
	srv.Fail(faulttest.Fault{Path: "/loop", Kind: faulttest.Redirect, To: "/loop"},
		faulttest.Fault{Path: "/file", Kind: faulttest.Redirect, To: "file:///etc/passwd"})
	for path, want := range map[string]string{"/loop": "after 10 others", "/file": `scheme "file"`} {
		srv.Forget()
		_, err := get(t, client(t, transport.Options{Backoff: time.Millisecond}), srv.URL+path)
		if err == nil || !strings.Contains(err.Error(), want) || transport.Temporary(err) {
			t.Errorf("%s: got %v, want %s, for good", path, err, want)
		}
		if got := len(srv.Requests()); got > 10 {
			t.Errorf("%s: got %d requests", path, got)
		}
	}
}

func TestErrors(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": make([]byte, 100_000)})
	secret := strings.Replace(srv.URL, "http://", "http://user:s3cret@", 1) + "/f?X-Signature=s3cret#s3cret"
	for name, c := range map[string]struct {
		fault faulttest.Fault
		want  string
		as    func(error) bool
	}{
		"status": {faulttest.Fault{Kind: faulttest.Status, Code: 404}, "GET " + srv.URL + "/f?…: status 404 Not Found", func(err error) bool {
			s, ok := errors.AsType[*transport.StatusError](err)
			return ok && s.Code == 404 && !transport.Temporary(err)
		}},
		"a status without a name": {faulttest.Fault{Kind: faulttest.Status, Code: 599}, "GET " + srv.URL + "/f?…: status 599", func(err error) bool {
			return transport.Temporary(err)
		}},
		"reset": {faulttest.Fault{Kind: faulttest.Refuse}, "GET " + srv.URL + "/f?…: ", func(err error) bool {
			_, ok := errors.AsType[*transport.Error](err)
			return ok && transport.Temporary(err)
		}},
		"stalled head": {faulttest.Fault{Kind: faulttest.Stall, N: -1}, "GET " + srv.URL + "/f?…: stalled: got no byte in 100ms", func(err error) bool {
			s, ok := errors.AsType[*transport.StalledError](err)
			return ok && s.Window == 100*time.Millisecond && s.Timeout()
		}},
		"stalled body": {faulttest.Fault{Kind: faulttest.Stall, N: 10}, "stalled: got no byte in 100ms", func(err error) bool {
			_, ok := errors.AsType[*transport.StalledError](err)
			return ok
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv.Heal()
			srv.Fail(c.fault)
			var trace bytes.Buffer
			_, err := get(t, client(t, transport.Options{Tries: 1, Stall: 100 * time.Millisecond, Trace: &trace}), secret)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !c.as(err) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if text := fmt.Sprintf("%v %+v %s", err, err, &trace); strings.Contains(text, "s3cret") || strings.Contains(text, "dXNlcjpzM2NyZXQ") {
				t.Errorf("told: %s", text)
			}
		})
	}
}

func TestCancelTellsWhy(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{})
	srv.Fail(faulttest.Fault{Kind: faulttest.Stall, N: -1})
	reason := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
	if _, err := transport.Do(client(t, transport.Options{}), req); !errors.Is(err, reason) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestTrace(t *testing.T) {
	srv := faulttest.NewServer(t, faulttest.Files{"/f": make([]byte, 100)})
	// The refusal comes first: on a connection that was used before, net/http itself would try again.
	srv.Fail(faulttest.Fault{Kind: faulttest.Refuse, Times: 1}, faulttest.Fault{Kind: faulttest.Status, Code: 503, Times: 1})
	var trace bytes.Buffer
	c := client(t, transport.Options{Trace: &trace, Backoff: time.Millisecond})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(srv.URL, "//", "//u:s3cret@", 1)+"/f?s3cret", nil)
	req.Header.Set("Range", "bytes=90-")
	req.Header.Set("Authorization", "s3cret")
	resp, err := transport.Do(c, req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	lines := strings.Split(strings.TrimSpace(trace.String()), "\n")
	want := []string{": ", ": status 503, ", ": status 206, length 10 "}
	if len(lines) != len(want) {
		t.Fatalf("got %q, want a line for each request sent", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "offbake: GET "+srv.URL+"/f?… bytes=90-"+want[i]) || strings.Contains(line, "s3cret") {
			t.Errorf("got %q", line)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	conns := map[net.Conn]bool{}
	srv := httptest.NewUnstartedServer(faulttest.Files{"/f": make([]byte, 1000)})
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns[c] = true
		}
	}
	srv.Start()
	c := client(t, transport.Options{})
	for range 10 {
		if _, err := get(t, c, srv.URL+"/f"); err != nil {
			t.Fatal(err)
		}
	}
	srv.Close()
	if len(conns) != 1 {
		t.Errorf("got %d connections for 10 requests, want 1", len(conns))
	}
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"https://host/a/b.zip":                     "https://host/a/b.zip",
		"https://user:pw@host:8443/a?sig=1&x=2#pw": "https://host:8443/a?…",
		"https://token@host/a%20b":                 "https://host/a%20b",
		"https://host/a?":                          "https://host/a",
		"file:///etc/x":                            "file:///etc/x",
		"http://[::1]:80/":                         "http://[::1]:80/",
		"http://host/\x1b[2J":                      "(invalid URL)",
		"http://user:pw@ho st/":                    "(invalid URL)",
		"":                                         "",
	} {
		if got := transport.Redact(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("https", "user", "host/a")
	f.Add("http", "%", "host?x=%zz")
	f.Fuzz(func(t *testing.T, scheme, user, rest string) {
		const secret = "s3cretS3CRET"
		if scheme == "" || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz") != "" || strings.ContainsAny(user, "/?#") {
			return // then the secret stands in a path, where none is kept
		}
		for _, raw := range []string{
			scheme + "://" + user + ":" + secret + "@" + rest, scheme + "://" + user + secret + "@" + rest, scheme + "://host/?" + user + secret,
		} {
			got := transport.Redact(raw)
			if strings.Contains(got, secret) {
				t.Errorf("%q: got %q, which tells the secret", raw, got)
			}
			if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q: got control characters in %q", raw, got)
			}
		}
	})
}

func TestCertificateIsRefusedForGood(t *testing.T) {
	srv := httptest.NewUnstartedServer(faulttest.Files{"/": []byte("never")})
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	_, err := get(t, client(t, transport.Options{Backoff: time.Hour}), srv.URL+"/?s3cret") // a second try would be seen
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || transport.Temporary(err) || strings.Contains(fmt.Sprint(err), "s3cret") {
		t.Errorf("got %v, want a refused certificate, for good", err)
	}
}
