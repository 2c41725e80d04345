// Package transport is how offbake speaks HTTP: a client of small layers, each doing one thing, that together hold
//
//   - nothing is dialled or resolved but what is allowed, when a guard is set, also after redirects;
//   - a server that says nothing for a while is given up (a window without a byte, never a total time);
//   - requests that are safe to repeat are repeated with backoff, before their body has been handed out;
//   - user info, queries and Authorization, where secrets travel, are in no error and no trace.
//
// It does not resume broken bodies (package fetch does) and does not decompress: lengths and ranges mean the file itself.
package transport

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Options say how a client behaves. The zero value is usable: no guard, 4 tries, no trace, proxies from the environment.
type Options struct {
	// Allow lists what may be dialled, as host or host:port; a host is a name or an IP. nil means everything; an empty
	// list means nothing. With a list, no proxy is used: a proxy would dial for us what we must not.
	Allow     []string
	Tries     int           // how often a request is sent at most; 0 means 4, 1 means no retry
	Backoff   time.Duration // the wait after the first failure, doubled with each; 0 means 500 ms
	Stall     time.Duration // how long a server may say nothing; 0 means 30 s, negative for ever
	Trace     io.Writer     // gets one line per request that was answered or failed
	UserAgent string        // "" means "offbake"
}

const (
	defaultTries = 4
	defaultStall = 30 * time.Second
	maxRedirects = 10
	// connsPerHost keeps a connection for every parallel download. The default of 2 would close six of eight after
	// each small file.
	connsPerHost = 64
	// readBuffer is for heads; bodies are read past it into the reader's own buffer (bufio does so for large reads).
	readBuffer = 8 << 10
)

// New returns a client. Errors of its methods hold whole URLs, because net/http puts them there: use Do, or pass them
// through Scrub, before they are printed.
func New(o Options) *http.Client {
	return &http.Client{Transport: RoundTripper(o), CheckRedirect: checkRedirect}
}

// RoundTripper returns the layers alone, for SDKs that bring their own http.Client.
func RoundTripper(o Options) http.RoundTripper {
	guard := NewGuard(o.Allow)
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           guard.DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   connsPerHost,
		ReadBufferSize:        readBuffer,
		DisableCompression:    true,
		// HTTP/2 would put all downloads of a host on one TCP connection, which is slower on a lossy link, and one
		// reset would cut them all.
		ForceAttemptHTTP2: false,
	}
	if guard != nil {
		base.Proxy = nil
	}
	var rt http.RoundTripper = base
	if stall := cmp.Or(o.Stall, defaultStall); stall > 0 {
		rt = &stallLayer{next: rt, window: stall}
	}
	if o.Trace != nil {
		rt = &traceLayer{next: rt, w: o.Trace}
	}
	if tries := cmp.Or(o.Tries, defaultTries); tries > 1 {
		rt = &retryLayer{next: rt, tries: tries, backoff: o.Backoff}
	}
	return &agentLayer{next: rt, agent: cmp.Or(o.UserAgent, "offbake")}
}

// errRedirect says that a redirect is not followed; asking again will not help.
var errRedirect = errors.New("refusing a redirect")

// checkRedirect follows up to ten redirects to http(s) and drops the Referer, which would carry a signed query along.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w after %d others", errRedirect, maxRedirects)
	}
	if s := req.URL.Scheme; s != "http" && s != "https" {
		return fmt.Errorf("%w to scheme %q", errRedirect, s)
	}
	req.Header.Del("Referer")
	return nil
}

// agentLayer names the program to servers.
type agentLayer struct {
	next  http.RoundTripper
	agent string
}

func (l *agentLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", l.agent)
	}
	return l.next.RoundTrip(req)
}

func (l *agentLayer) CloseIdleConnections() { closeIdle(l.next) }

// closeIdle passes http.Client.CloseIdleConnections down the layers.
func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// newDialer returns the dialer below the guard.
func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
}
