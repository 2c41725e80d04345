package remote

import (
	"fmt"
	"strings"
)

// HostKeyError is a host that proved to have another key than it must have, or none of that kind: it is another machine,
// or somebody stands between.
type HostKeyError struct {
	Host string // Config.Name
	Got  string // fingerprint as OpenSSH prints it, "" where the host has no key of the kind that is wanted
	Want string // fingerprint
	Kind string // kind of the wanted key, for example ssh-ed25519
}

func (e *HostKeyError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("host key of %q: got no %s key, want %s", e.Host, e.Kind, e.Want)
	}
	return fmt.Sprintf("host key of %q: got %s, want %s %s", e.Host, e.Got, e.Kind, e.Want)
}

// AuthError is a host that refused the login with all that it was offered.
type AuthError struct {
	Host    string   // Config.Name
	User    string   // Config.User
	Offered []string // what was offered and refused: "key", "password"; empty where the host takes neither
	Err     error    // what the host said when it hung up, nil where it did not
}

func (e *AuthError) Error() string {
	s := fmt.Sprintf("logging in to %q as %q: ", e.Host, e.User)
	if len(e.Offered) == 0 {
		s += "the host takes neither key nor password"
	} else {
		s += "the host refused the " + strings.Join(e.Offered, " and the ")
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *AuthError) Unwrap() error { return e.Err }

// LostError is a connection that broke while a command ran, or may have.
type LostError struct {
	Host    string // Config.Name
	Command string // for people: its words, long ones left out
	Err     error  // what became of the connection
}

func (e *LostError) Error() string {
	return fmt.Sprintf("connection to %q was lost while %s ran: %v", e.Host, e.Command, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }
