package store

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
)

// Options configure Open. A folder needs none of them.
type Options struct {
	// Endpoint is UFile's region host, such as cn-bj.ufileos.com, with or without "https://", "http://" and a port.
	// "BUCKET." is put before it unless it is there already, the host is an IP, or it is localhost: such a server has
	// one bucket. Without a scheme it is https, but http where the service has nothing else or TLS could not be checked:
	// hosts inside a VPC (internal-*, ufile.*.ucloud.cn), localhost, loopback and private addresses.
	Endpoint string
	// PublicKey and PrivateKey sign requests. Without them only the objects of a public bucket can be read.
	PublicKey, PrivateKey string
	// Client carries every request; nil is a client of package transport. Its own retries are switched off in favour of
	// the store's. It must give up a server that says nothing, and have no total timeout.
	Client *http.Client
	// Jobs is how many parts and small objects are sent at once, each with 4 MiB of memory; 0 is 8.
	Jobs int
	// Journal is a folder where unfinished uploads of large objects are noted, so that a later Put resumes them. With ""
	// an upload that fails is aborted.
	Journal string
	// Tries is how often a request is sent before its error is told; 0 is 5.
	Tries int
	// Backoff is about how long to wait before the second try; 0 is half a second. Later tries wait longer.
	Backoff time.Duration
}

const (
	schemeUFile = "ufile"
	schemeDir   = "dir"
)

// Open makes a Store of its URL: ufile://BUCKET/PREFIX or dir:PATH. Keys are below PREFIX or PATH. No request is sent,
// and no folder made, before the first use.
func Open(rawURL string, o Options) (Store, error) {
	s, err := open(rawURL, o)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", transport.Redact(rawURL), err)
	}
	return s, nil
}

func open(rawURL string, o Options) (Store, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case schemeDir:
		if rest == "" {
			return nil, errors.New("path: got an empty one")
		}
		return openFolder(rest), nil
	case schemeUFile:
		bucket, prefix, err := parseUFile(rawURL)
		if err != nil {
			return nil, err
		}
		return openUFile(bucket, prefix, o)
	}
	return nil, errors.New("want ufile://BUCKET/PREFIX or dir:PATH")
}

// ParseBundle takes the URL of a bundle in a store, STORE/NAME/VERSION, apart.
func ParseBundle(rawURL string) (storeURL, name, version string, err error) {
	trimmed := strings.TrimRight(rawURL, "/")
	rest, version := cutLast(trimmed)
	storeURL, name = cutLast(rest)
	scheme, root, _ := strings.Cut(storeURL, ":")
	if scheme != schemeUFile && scheme != schemeDir || strings.Trim(root, "/") == "" || name == "" || version == "" {
		return "", "", "", fmt.Errorf("bundle %q: want ufile://BUCKET/PREFIX/NAME/VERSION or dir:PATH/NAME/VERSION",
			transport.Redact(rawURL))
	}
	return storeURL, name, version, nil
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '/')
	return s[:max(i, 0)], s[i+1:]
}

// IsURL tells whether a text that a user typed names a store or a bundle in one, rather than a file.
func IsURL(text string) bool {
	return strings.HasPrefix(text, schemeUFile+"://") || strings.HasPrefix(text, schemeDir+":")
}

func parseUFile(rawURL string) (bucket, prefix string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", "", errors.New("not a URL") // url.Parse would quote it
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", "", errors.New("want ufile://BUCKET/PREFIX without user info, query and fragment")
	}
	if u.Host == "" || strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", "", fmt.Errorf("bucket: got %q, want lower-case letters, digits and '-'", u.Host)
	}
	prefix = strings.Trim(u.Path, "/")
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return "", "", fmt.Errorf("prefix: %w", err)
		}
		if _, err := ufile.EscapeKey(prefix); err != nil {
			return "", "", fmt.Errorf("prefix: %w", err)
		}
	}
	return u.Host, prefix, nil
}

// checkKey holds what Store says of keys.
func checkKey(key string) error {
	if err := ufile.CheckKey(key); err != nil {
		return err
	}
	if path.Clean(key) != key { // "a//b", "a/"
		return fmt.Errorf("key %q: has an empty element", key)
	}
	return nil
}

// endpoint makes the base URL of a bucket's objects; Options.Endpoint has the rules.
func endpoint(text, bucket string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("endpoint is missing: want the region host of the UFile service, such as cn-bj.ufileos.com")
	}
	scheme, rest, explicit := strings.Cut(text, "://")
	if !explicit {
		scheme, rest = "", text
	}
	u, err := url.Parse("//" + strings.TrimSuffix(rest, "/"))
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("endpoint: want HOST, https://HOST or http://HOST, with or without a port, and nothing else")
	}
	switch scheme {
	case "":
		u.Scheme = "https"
		if inside(u.Hostname(), bucket) {
			u.Scheme = "http"
		}
	case "http", "https":
		u.Scheme = scheme
	default:
		return nil, fmt.Errorf("endpoint: scheme: got %.20q, want https or http", scheme)
	}
	host := u.Hostname()
	if net.ParseIP(host) == nil && host != "localhost" && !strings.HasPrefix(host, bucket+".") {
		u.Host = bucket + "." + u.Host
	}
	return u, nil
}

// inside tells hosts that are reached without crossing a public network.
func inside(host, bucket string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	host = strings.TrimPrefix(host, bucket+".")
	return host == "localhost" || strings.HasPrefix(host, "internal-") || strings.HasPrefix(host, "internal.") ||
		strings.HasPrefix(host, "ufile.") && strings.HasSuffix(host, ".ucloud.cn")
}
