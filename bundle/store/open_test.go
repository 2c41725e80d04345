package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/store"
)

// Where requests go, seen in the URL of an object.
func TestEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"cn-bj.ufileos.com":                  "https://bkt.cn-bj.ufileos.com/p/k",
		"cn-bj.ufileos.com/":                 "https://bkt.cn-bj.ufileos.com/p/k",
		"bkt.cn-bj.ufileos.com":              "https://bkt.cn-bj.ufileos.com/p/k",
		"https://cn-bj.ufileos.com":          "https://bkt.cn-bj.ufileos.com/p/k",
		"http://cn-bj.ufileos.com":           "http://bkt.cn-bj.ufileos.com/p/k", // the user's own word
		"bktx.cn-bj.ufileos.com":             "https://bkt.bktx.cn-bj.ufileos.com/p/k",
		"store.lan:8443":                     "https://bkt.store.lan:8443/p/k",
		"internal-cn-wlcb.ufileos.com":       "http://bkt.internal-cn-wlcb.ufileos.com/p/k",
		"bkt.internal-hk-01.ufileos.com":     "http://bkt.internal-hk-01.ufileos.com/p/k",
		"ufile.cn-north-02.ucloud.cn":        "http://bkt.ufile.cn-north-02.ucloud.cn/p/k",
		"https://internal-hk-01.ufileos.com": "https://bkt.internal-hk-01.ufileos.com/p/k",
		"10.0.0.2:9000":                      "http://10.0.0.2:9000/p/k",
		"127.0.0.1":                          "http://127.0.0.1/p/k",
		"[fd00::1]:9000":                     "http://[fd00::1]:9000/p/k",
		"8.8.8.8":                            "https://8.8.8.8/p/k",
		"http://8.8.8.8:80":                  "http://8.8.8.8:80/p/k",
		"localhost:9000":                     "http://localhost:9000/p/k",
	} {
		s, err := store.Open("ufile://bkt/p", store.Options{Endpoint: endpoint})
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
			continue
		}
		if got, err := s.URL(t.Context(), "k", time.Hour); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", endpoint, got, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	ok := store.Options{Endpoint: "10.0.0.2"}
	for fault, c := range map[string]struct {
		url string
		o   store.Options
	}{
		"no scheme":           {"bundles/offbake", ok},
		"other scheme":        {"s3://bundles/offbake", ok},
		"empty":               {"", ok},
		"no bucket":           {"ufile:///offbake", ok},
		"opaque":              {"ufile:bundles", ok},
		"bucket with a dot":   {"ufile://a.b/offbake", ok},
		"bucket with a port":  {"ufile://bkt:80/offbake", ok},
		"user info":           {"ufile://pub:hunter2@bkt/offbake", ok},
		"query":               {"ufile://bkt/offbake?key=hunter2", ok},
		"hostile prefix":      {"ufile://bkt/a/../b", ok},
		"empty path":          {"dir:", ok},
		"no endpoint":         {"ufile://bkt/p", store.Options{}},
		"endpoint with path":  {"ufile://bkt/p", store.Options{Endpoint: "https://cn-bj.ufileos.com/x"}},
		"endpoint with query": {"ufile://bkt/p", store.Options{Endpoint: "https://cn-bj.ufileos.com?x=hunter2"}},
		"endpoint with user":  {"ufile://bkt/p", store.Options{Endpoint: "https://pub:hunter2@cn-bj.ufileos.com"}},
		"endpoint by ftp":     {"ufile://bkt/p", store.Options{Endpoint: "ftp://cn-bj.ufileos.com"}},
		"endpoint empty host": {"ufile://bkt/p", store.Options{Endpoint: "http://:80"}},
		"half a key pair":     {"ufile://bkt/p", store.Options{Endpoint: "10.0.0.2", PublicKey: "p"}},
		"other half":          {"ufile://bkt/p", store.Options{Endpoint: "10.0.0.2", PrivateKey: "hunter2"}},
	} {
		_, err := store.Open(c.url, c.o)
		if err == nil {
			t.Errorf("%s: opened", fault)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error tells too much: %v", fault, err)
		}
	}
}

func TestString(t *testing.T) {
	for url, want := range map[string]string{
		"ufile://bkt": "ufile://bkt", "ufile://bkt/": "ufile://bkt", "ufile://bkt/a/b/": "ufile://bkt/a/b",
		"dir:/srv/x/": "dir:/srv/x", "dir:x": "dir:x",
	} {
		s, err := store.Open(url, store.Options{Endpoint: "10.0.0.2", PublicKey: "p", PrivateKey: "hunter2"})
		if err != nil || s.String() != want {
			t.Errorf("%s: got %v, %v; want %s", url, s, err, want)
		}
	}
}

func TestParseBundle(t *testing.T) {
	for url, want := range map[string][3]string{
		"ufile://bkt/p/q/name/1.0.0":  {"ufile://bkt/p/q", "name", "1.0.0"},
		"ufile://bkt/name/1.0.0-rc.1": {"ufile://bkt", "name", "1.0.0-rc.1"},
		"ufile://bkt/p/name/1.0.0/":   {"ufile://bkt/p", "name", "1.0.0"},
		"dir:/srv/name/1.0.0":         {"dir:/srv", "name", "1.0.0"},
		"dir:rel/name/1.0.0":          {"dir:rel", "name", "1.0.0"},
	} {
		st, name, version, err := store.ParseBundle(url)
		if err != nil || [3]string{st, name, version} != want {
			t.Errorf("%s: got %q %q %q, %v", url, st, name, version, err)
		}
	}
	for _, url := range []string{"", "ufile://bkt", "ufile://bkt/name", "ufile:///name/1.0.0", "dir:name/1.0.0", "bundle.tar", "/a/b/c", "s3://b/n/1.0.0", "ufile://bkt//1.0.0"} {
		if st, name, version, err := store.ParseBundle(url); err == nil {
			t.Errorf("%q: got %q %q %q", url, st, name, version)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add("ufile://bkt/p/name/1.0.0")
	f.Add("dir:/a/b/c")
	f.Fuzz(func(t *testing.T, url string) {
		st, name, version, err := store.ParseBundle(url)
		if err == nil && strings.TrimRight(url, "/") != st+"/"+name+"/"+version {
			t.Errorf("%q: got %q %q %q", url, st, name, version)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add("ufile://bkt/p", "cn-bj.ufileos.com")
	f.Add("ufile://bkt", "http://[::1]:9000")
	f.Fuzz(func(t *testing.T, url, endpoint string) {
		s, err := store.Open(url, store.Options{Endpoint: endpoint})
		if err != nil {
			return
		}
		again, err := store.Open(s.String(), store.Options{Endpoint: endpoint})
		if err != nil || again.String() != s.String() {
			t.Errorf("%q reads as %q, and that as %v, %v", url, s, again, err)
		}
	})
}
