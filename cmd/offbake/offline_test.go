package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
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

// TestBakeOfflineResolvesOnlyTheStore has a store that is known by name, and that sends bake to other names of its own address and
// to that address itself. Of all names the resolver hears the store's alone.
func TestBakeOfflineResolvesOnlyTheStore(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base.tar")
	if err := os.WriteFile(base, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"", "other.example", "store.example.other.example", "127.0.0.1", "localhost"} {
		asked := witnessResolver(t)
		var port string
		requests := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			if r.Host != "bundles.store.example:"+port {
				t.Errorf("sent to %q: a request came for %s", to, r.Host)
			}
			if to != "" {
				http.Redirect(w, r, "http://"+to+":"+port+r.URL.Path, http.StatusFound)
				return
			}
			w.WriteHeader(http.StatusForbidden)
		}))
		port = server.URL[strings.LastIndex(server.URL, ":")+1:]
		var out, errs bytes.Buffer
		code := run([]string{"bake", "--offline", "ufile://bundles/offbake/a/1.0.0", "--endpoint", "http://store.example:" + port, "--base", base,
			"--out", t.TempDir(), "--cache", t.TempDir()}, console{out: &out, err: &errs, getenv: func(string) string { return "" }})
		server.Close()
		want, wantCode := "dialling "+to+":"+port, exitEgress
		if to == "" {
			want, wantCode = "403", exitFailed
		}
		if code != wantCode || !strings.Contains(errs.String(), want) || requests == 0 {
			t.Errorf("sent to %q: got exit code %d, %d requests, %q; want %d and %q", to, code, requests, &errs, wantCode, want)
		}
		if names := asked(); !slices.Equal(names, []string{"bundles.store.example."}) {
			t.Errorf("sent to %q: the resolver was asked for %q", to, names)
		}
	}
}

// witnessResolver puts a resolver in the place of the system's that finds every name at 127.0.0.1. It returns a function that
// tells what was asked, each name once.
func witnessResolver(t *testing.T) (asked func() []string) {
	var mu sync.Mutex
	names := map[string]bool{}
	system := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = system })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			name, err := answerName(ours)
			if err != nil {
				t.Errorf("answering a resolver: %v", err)
			}
			mu.Lock()
			names[name] = true
			mu.Unlock()
		}()
		return theirs, nil
	}}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(maps.Keys(names))
	}
}

// answerName reads one DNS question as over TCP (RFC 1035, section 4.2.2) and answers 127.0.0.1 where an IPv4 address was
// asked for.
func answerName(c net.Conn) (string, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return "", err
	}
	packet := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, packet); err != nil {
		return "", err
	}
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return "", err
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	}
	reply, err := m.Pack()
	if err != nil {
		return "", err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return q.Name.String(), err
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
