package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/offbake/offbake/internal/transport"
)

// offlineClient is a client that reaches the store p and nothing else.
func offlineClient(o transport.Options, p place) *http.Client {
	o.Allow = storeAddresses(p)
	c := transport.New(o)
	c.Transport = &redirectGuard{next: c.Transport, guard: transport.NewGuard(o.Allow)}
	return c
}

// storeAddresses are the host:port pairs at which a store may be: the endpoint itself, or as its bucket's own host. A store
// that is a folder has none.
func storeAddresses(p place) []string {
	u, err := url.Parse(p.url)
	if err != nil || u.Host == "" {
		return []string{}
	}
	host := p.endpoint
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	host = strings.TrimSuffix(host, "/")
	if _, _, err := net.SplitHostPort(host); err == nil {
		return []string{host, u.Host + "." + host}
	}
	host = strings.Trim(host, "[]")
	var out []string
	for _, port := range []string{"80", "443"} {
		out = append(out, net.JoinHostPort(host, port), net.JoinHostPort(u.Host+"."+host, port))
	}
	return out
}

// redirectGuard makes an answer that sends us elsewhere the guard's error, also where the client would not follow it.
type redirectGuard struct {
	next  http.RoundTripper
	guard *transport.Guard
}

func (g *redirectGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	to, err := resp.Location()
	if err != nil || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return resp, nil // no redirect
	}
	port := to.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	}
	if err := g.guard.Check(net.JoinHostPort(to.Hostname(), port)); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}
