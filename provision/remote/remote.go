// Package remote is one machine reached by SSH, as a provision.Host.
//
// What it guarantees: a host is only ever spoken to under one host key, that of Config.HostKey or of the first login; a
// command is never begun twice; whatever the host does or leaves undone, Run ends with its context, and a connection
// over which nothing comes any more ends by itself; after Close nothing of a Host runs here any more. Passwords and
// private keys are in no error, no line for Config.Log and not in what fmt prints of a Config, Host or Identity.
//
// What it does not: it moves no files but the agent; what it is given as Command.Argv is open to all users of the host.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says which host to connect to, and how. The zero values of all but Name, Address, User and one of Password and
// Key are useful.
type Config struct {
	// Name is the host's unique name, for Host.Name, errors and log lines.
	Name string
	// Address is an IP address and port, for example 10.9.0.11:22.
	Address string
	// User is who logs in. Where it is not root, every command has `sudo -n` in front.
	User string
	// Password is given where the host asks for one, after Key. "" for none.
	Password string
	// Key is the user's key; nil for none.
	Key ssh.Signer
	// HostKey is what the host must prove to have. nil takes that of the first login that succeeds, for the life of the Host:
	// until then cloud-init may give the host another one.
	HostKey ssh.PublicKey
	// Agent is the path of the offbake program that Seal copies to the host; "" for a host that is never sealed. See
	// CheckAgent.
	Agent string
	// Platform is what the host runs, as in a manifest; "" is linux/amd64.
	Platform string
	// Dial makes connections; nil is a net.Dialer. It must heed its context, which has a time limit of its own.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Stall is how long a connection may bring no byte, answers to keepalives included, before it counts as broken. 0 is
	// 30 s.
	Stall time.Duration
	// Handshake is how long a host may take for one login, and for its answer to the request to run a command. 0 is 1 min:
	// sshd may ask a name server first that does not answer. A broken connection is dialled again for as long, or for Stall
	// where that is longer.
	Handshake time.Duration
	// AuthPatience is for how long Connect tries again when the host refuses the login: cloud-init sets password and keys
	// after the SSH server has started. 0 is 2 min.
	AuthPatience time.Duration
	// Log takes lines about connections and commands, without secrets; nil for none. It may be called from several
	// goroutines.
	Log func(line string)
}

// Format keeps the secrets out of whatever fmt is asked to print.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "remote.Config{Name: %q, Address: %q, User: %q}", c.Name, c.Address, c.User)
}

func (c Config) withDefaults() Config {
	c.Platform = cmp.Or(c.Platform, "linux/amd64")
	c.Stall = cmp.Or(c.Stall, 30*time.Second)
	c.Handshake = cmp.Or(c.Handshake, time.Minute)
	c.AuthPatience = cmp.Or(c.AuthPatience, 2*time.Minute)
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return c
}

func (c Config) check() error {
	_, err := netip.ParseAddrPort(c.Address)
	switch {
	case err != nil:
		return fmt.Errorf("got address %q, want an IP address and a port", c.Address)
	case c.User == "":
		return errors.New("no user is given")
	case c.Password == "" && c.Key == nil:
		return errors.New("neither a password nor a key is given")
	case c.Agent != "":
		return CheckAgent(c.Agent, c.Platform)
	}
	return nil
}
