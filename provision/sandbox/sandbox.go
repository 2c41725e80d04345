// Package sandbox is a UCloud on this machine: its API (API requests are signed, states advance, regions, images, quotas
// and RetCodes are there), its object store (bundle/serve) and its hosts, which are guests of this machine behind an SSH
// server.
//
// What it guarantees: nothing listens on an address that is not loopback; after Close no host is left, while custom
// images and stored objects stay in Options.Dir for the next start. What it is not: a cloud for more than one user, for
// whoever has its keys may do all; a copy of the service in what is not documented (docs/sandbox.md).
//
// Sources: UCloud's API documentation, ucloud-sdk-go v0.20.2 and v0.22.98, packer-plugin-ucloud v1.0.9.
package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

// Options configure a sandbox.
type Options struct {
	// Dir keeps keys, images and objects over restarts; it is made where it is missing. One process has it at a time.
	Dir string
	// Base is the root file system of the base images: a folder or a tar file.
	Base string
	// Listen is HOST:PORT of the API, an IPv4 loopback address; "" is 127.0.0.1:0, any free port.
	Listen string
	// Boot makes the machine behind a host; nil makes guests of this machine, which needs root.
	Boot func(ctx context.Context, c BootConfig) (*Machine, error)
	// Fault is asked about every call before it is answered; nil for none. It is called from several goroutines.
	Fault func(c Call) Fault
	// SSHFault is asked at every step of every host's SSH server: n counts them from 1, what is "connect", "auth", "channel",
	// "exec COMMAND", "shell" or "sftp"; nil for none. It is called from several goroutines.
	SSHFault func(n int, what string) SSHFault
	// Polls is how often, at least, a transient state is seen in a Describe before the next comes: 0 is once, negative is
	// never. A state comes no sooner than the work behind it is done.
	Polls int
	// Hosts, EIPs and Images bound what can be had at once, in all regions together; 0 is 10, 10 and 30.
	Hosts, EIPs, Images int
	// NoCloudInit leaves the feature CloudInit out of the base images, as older ones do.
	NoCloudInit bool
	// Log gets one line a call, without its parameters. Nil is silent.
	Log *slog.Logger
}

// Sandbox is one cloud. Its methods may be called from several goroutines.
type Sandbox struct {
	o     Options        // with defaults filled in; Boot nil means guests
	work  string         // folder for machines, emptied by New and Close
	ufile netip.AddrPort // where the object store listens; hosts reach it under the same address
	fleet fleet          // what the hosts have in common: machine_run.go
}

// Ready is what a client needs to know, as `offbake sandbox` prints it.
type Ready struct {
	API        string       `json:"api"`
	Endpoint   string       `json:"endpoint"` // of the object store
	Bucket     string       `json:"bucket"`
	PublicKey  string       `json:"public_key"`
	PrivateKey string       `json:"private_key"` // secret
	Project    string       `json:"project"`
	Region     string       `json:"region"`
	Zone       string       `json:"zone"`
	VPC        string       `json:"vpc"`
	Subnet     string       `json:"subnet"`
	Images     []ReadyImage `json:"images"` // base images and custom ones of Region and Zone
}

// ReadyImage is one image that hosts can be made from.
type ReadyImage struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// New opens a sandbox and serves it. The caller owes a Close.
func New(o Options) (*Sandbox, error) { return nil, errors.New("not built yet") }

// Ready tells how to reach the sandbox.
func (s *Sandbox) Ready() Ready { return Ready{} }

// Close ends all hosts and stops serving.
func (s *Sandbox) Close() error { return nil }
