package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrBlocked says that the guard refused an address. The error is a *BlockedError.
var ErrBlocked = errors.New("blocked by the guard")

// BlockedError names the address that was refused. Nothing was resolved or sent.
type BlockedError struct {
	Host string // a name or an IP, as it was asked for
	Port string
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("dialling %s: %v", net.JoinHostPort(e.Host, e.Port), ErrBlocked)
}

// Is makes errors.Is(err, ErrBlocked) true.
func (e *BlockedError) Is(target error) bool { return target == ErrBlocked }

// Guard decides what may be dialled. A nil *Guard allows everything.
type Guard struct {
	allowed map[string]bool // "host" or "host:port", normalized
}

// NewGuard allows the hosts and host:port pairs of allow, and nothing else; nil allows everything and returns nil. A
// name that is allowed may be resolved and its addresses dialled; an IP that is allowed allows no name.
func NewGuard(allow []string) *Guard {
	if allow == nil {
		return nil
	}
	g := &Guard{allowed: make(map[string]bool, len(allow))}
	for _, entry := range allow {
		if host, port, err := net.SplitHostPort(entry); err == nil {
			g.allowed[net.JoinHostPort(normalHost(host), port)] = true
		} else {
			g.allowed[normalHost(strings.Trim(entry, "[]"))] = true
		}
	}
	return g
}

// Check returns a *BlockedError unless address, a host:port, may be dialled.
func (g *Guard) Check(address string) error {
	if g == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	name := normalHost(host)
	if g.allowed[name] || g.allowed[net.JoinHostPort(name, port)] {
		return nil
	}
	return &BlockedError{Host: host, Port: port}
}

// DialContext dials what Check lets through, and resolves nothing else.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := g.Check(address); err != nil {
		return nil, err
	}
	return newDialer().DialContext(ctx, network, address)
}

// normalHost brings a name or an IP to one spelling.
func normalHost(host string) string {
	if ip := net.ParseIP(host); ip != nil {
		return ip.String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
