// Package remote is one machine reached by SSH, as a provision.Host.
//
// What it guarantees: a host is only ever spoken to under one host key, that of Config.HostKey or the first one seen; a
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

	"github.com/offbake/offbake/provision"
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
	// HostKey is what the host must prove to have. nil takes the first one that is seen, for the life of the Host.
	HostKey ssh.PublicKey
	// Agent is the path of the offbake program that Seal copies to the host; "" for a host that is never sealed. See
	// CheckAgent.
	Agent string
	// Platform is what the host runs, as in a manifest; "" is linux/amd64.
	Platform string
	// Dial makes connections; nil is a net.Dialer. It is called with a context of its own time limit.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Stall is how long a connection may bring no byte, answers to keepalives included, before it counts as broken. A
	// broken connection is dialled again for as long. 0 is 30 s.
	Stall time.Duration
	// Handshake is how long a host may take for one login, and for its answer to the request to run a command. 0 is 1 min:
	// sshd may ask a name server first that does not answer.
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

// Host is one machine reached by SSH. Its methods may be called from several goroutines. A connection that broke is
// made again by the next call.
type Host struct {
	name string
}

var _ provision.Host = (*Host)(nil)

// Connect logs in to a host that may still be booting: it tries again, from every 50 ms to every 2 s, while nothing
// answers, connections are refused, break or stay silent, until ctx ends; the error then is ctx's cause and what was the
// matter last. What waiting cannot mend is final at once: another host key (*HostKeyError), no algorithm in common,
// whatever Config.Dial refuses by an error that is none of the network's. A refused login (*AuthError) is final after
// Config.AuthPatience. The caller owes a Close.
func Connect(ctx context.Context, c Config) (*Host, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", c.Name, err)
	}
	return nil, errors.New("not built yet")
}

// Name is Config.Name.
func (h *Host) Name() string { return h.name }

// HostKey is the key that the host has proven to have: Config.HostKey, or the first one seen.
func (h *Host) HostKey() ssh.PublicKey { return nil }

// Run runs a command as root and waits for it, as provision.Host says. It returns when the command has ended and its
// output has, or 5 s after the last of it where something that the command left behind holds it open. After Run has
// returned nothing is written to Stdout and Stderr any more; a Read of Stdin may still be going on if the command ended
// without reading all. A Stdin that fails ends the command.
//
// Where ctx ends first, the host is told to kill the command (OpenSSH does from 7.9 on; older ones leave it without
// input and output) and Run returns ctx's cause. A connection that is found broken before the host was asked to run the
// command is made again, once; one that breaks afterwards is a *LostError, for the command may or may not have run.
func (h *Host) Run(ctx context.Context, c provision.Command) error { return errors.New("not built yet") }

// Seal copies the agent to the host, unless it is there, and has it seal the host. allow must be seal.Address(), where
// the agent serves provision.Root; the zero AddrPort is refused.
func (h *Host) Seal(ctx context.Context, allow netip.AddrPort) error {
	return errors.New("not built yet")
}

// Background is what the agent has seen of the host's own daemons since Seal.
func (h *Host) Background(ctx context.Context) ([]provision.Attempt, error) {
	return nil, errors.New("not built yet")
}

// Close ends the connection and waits until nothing of the Host runs here any more; commands that are being run end with
// an error. The host itself goes on. The error is always nil.
func (h *Host) Close() error { return nil }
