package transport_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
)

func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		allow   []string
		address string
		blocked string // host and port as told; "" if allowed
	}{
		"no guard":             {nil, "example.com:443", ""},
		"nothing allowed":      {[]string{}, "127.0.0.1:80", "127.0.0.1:80"},
		"host, any port":       {[]string{"example.com"}, "example.com:8080", ""},
		"host and port":        {[]string{"example.com:443"}, "example.com:443", ""},
		"another port":         {[]string{"example.com:443"}, "example.com:80", "example.com:80"},
		"upper case":           {[]string{"Example.COM"}, "eXample.com:80", ""},
		"with a final dot":     {[]string{"example.com"}, "example.com.:80", ""},
		"a name inside":        {[]string{"example.com"}, "sub.example.com:80", "sub.example.com:80"},
		"a name around":        {[]string{"sub.example.com"}, "example.com:80", "example.com:80"},
		"an IP allows no name": {[]string{"127.0.0.1"}, "localhost:80", "localhost:80"},
		"a name allows no IP":  {[]string{"localhost"}, "127.0.0.1:80", "127.0.0.1:80"},
		"IPv6":                 {[]string{"::1"}, "[::1]:80", ""},
		"IPv6 in brackets":     {[]string{"[::1]"}, "[0:0::1]:80", ""},
		"IPv6 and port":        {[]string{"[::1]:80"}, "[::1]:81", "[::1]:81"},
		"IPv4 inside IPv6":     {[]string{"127.0.0.1"}, "[::ffff:127.0.0.1]:80", ""},
		"IPv4 written short":   {[]string{"127.0.0.1"}, "127.1:80", "127.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			err := transport.NewGuard(c.allow).Check(c.address)
			if c.blocked == "" {
				if err != nil {
					t.Errorf("got %v, want it allowed", err)
				}
				return
			}
			b, ok := errors.AsType[*transport.BlockedError](err)
			if !ok || !errors.Is(err, transport.ErrBlocked) || net.JoinHostPort(b.Host, b.Port) != c.blocked {
				t.Errorf("got %v, want %s blocked", err, c.blocked)
			}
		})
	}
}

func TestGuardHoldsRedirectsAndNames(t *testing.T) {
	other := faulttest.NewServer(t, faulttest.Files{"/": nil})
	srv := faulttest.NewServer(t, faulttest.Files{"/ok": []byte("ok")})
	srv.Fail(faulttest.Fault{Path: "/away", Kind: faulttest.Redirect, To: other.URL + "/?token=s3cret"},
		faulttest.Fault{Path: "/name", Kind: faulttest.Redirect, To: "http://name.invalid/"})
	// A proxy would dial for us.
	t.Setenv("HTTP_PROXY", other.URL)
	t.Setenv("http_proxy", other.URL)
	address := strings.TrimPrefix(srv.URL, "http://")
	c := client(t, transport.Options{Allow: []string{address}})
	if got, err := get(t, c, srv.URL+"/ok"); got != "ok" || err != nil {
		t.Errorf("allowed: got %q, %v", got, err)
	}
	for path, host := range map[string]string{"/away": "127.0.0.1", "/name": "name.invalid"} {
		_, err := get(t, c, srv.URL+path)
		b, ok := errors.AsType[*transport.BlockedError](err)
		if !ok || b.Host != host || b.Port == "" || b.Port == "0" {
			t.Errorf("%s: got %v, want %s blocked", path, err, host)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "s3cret") || !strings.Contains(text, "dialling "+host+":") {
			t.Errorf("%s: got %q, want the address and no secret", path, text)
		}
	}
	if got := other.Requests(); len(got) != 0 {
		t.Errorf("the other server: got %+v, want nothing", got)
	}
	if got := len(srv.Requests()); got != 3 {
		t.Errorf("got %d requests, want 3: what is blocked is not tried again", got)
	}
}
