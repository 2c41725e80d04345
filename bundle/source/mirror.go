package source

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// URLs lists the addresses to try for one address, in order: each mirror of each entry that covers it, then itself.
func URLs(address string, mirrors []manifest.Mirror) []string {
	var all []string
	for _, m := range mirrors {
		rest, ok := strings.CutPrefix(address, m.From)
		if !ok {
			continue
		}
		for _, to := range m.To {
			all = append(all, to+rest)
		}
	}
	return append(all, address)
}

// Canonical is the form of an address that locks and indexes record: no user, no password, no query, no fragment,
// since any of them may be secret.
func Canonical(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		// Without the address, which may hold a password.
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return "", fmt.Errorf("reading an address: %w", err)
	}
	switch {
	case u.Scheme == "file" && u.Path != "":
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return "", fmt.Errorf("got the address scheme %q, want http, https or file", u.Scheme)
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String(), nil
}
