package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBakeOfflineDialsOnlyTheStore has stores that send bake elsewhere.
func TestBakeOfflineDialsOnlyTheStore(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("bake came, want it kept from doing so")
	}))
	defer elsewhere.Close()
	address := strings.TrimPrefix(elsewhere.URL, "http://")
	base := filepath.Join(t.TempDir(), "base.tar")
	if err := os.WriteFile(base, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ to, want string }{
		{"http://" + address, "dialling " + address},
		{"https://mirror.example", "dialling mirror.example:443"},
	} {
		for what, redirects := range map[string]func(*http.Request) bool{
			"every request":   func(*http.Request) bool { return true },
			"objects' bodies": func(r *http.Request) bool { return r.URL.Path != "/" && r.Method == http.MethodGet },
		} {
			listing := `{"IsTruncated":"false","Contents":[{"Key":"offbake/a/1.0.0/bundle.json","Size":"2"}]}`
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if redirects(r) {
					http.Redirect(w, r, tt.to+r.URL.Path, http.StatusFound)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte(listing))
			}))
			var out, errs bytes.Buffer
			code := run([]string{"bake", "--offline", "ufile://bundles/offbake/a/1.0.0", "--endpoint", server.URL, "--base", base,
				"--out", t.TempDir(), "--cache", t.TempDir()}, console{out: &out, err: &errs, getenv: func(string) string { return "" }})
			server.Close()
			if code != exitEgress || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
				t.Errorf("%s sent to %s: got exit code %d, %q, %q; want %d and %q", what, tt.to, code, &out, &errs, exitEgress, tt.want)
			}
		}
	}
}

func TestStoreAddresses(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    place
		want []string
	}{
		{"region", place{url: "ufile://b/x", endpoint: "cn-bj.ufileos.com"},
			[]string{"cn-bj.ufileos.com:80", "b.cn-bj.ufileos.com:80", "cn-bj.ufileos.com:443", "b.cn-bj.ufileos.com:443"}},
		{"URL with a port", place{url: "ufile://b", endpoint: "http://10.0.0.2:9000/"}, []string{"10.0.0.2:9000", "b.10.0.0.2:9000"}},
		{"IPv6", place{url: "ufile://b", endpoint: "[fd00::1]"}, []string{"[fd00::1]:80", "[b.fd00::1]:80", "[fd00::1]:443", "[b.fd00::1]:443"}},
		{"folder", place{url: "dir:/srv/bundles", endpoint: "x"}, []string{}},
	} {
		if diff := cmp.Diff(tt.want, storeAddresses(tt.p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
