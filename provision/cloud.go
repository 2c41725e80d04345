// Package provision turns base images into machine images with nothing but a bundle: it plans, stages the bundle's files
// on hosts, seals the hosts off, runs recipes and users' scripts there, checks, cleans and has images made of them.
//
// What it works on are the interfaces Cloud, Host and Files; packages below this one implement them. Recipes are POSIX sh
// files, embedded here; docs/scripting.md says what scripts may rely on. Whatever fails, no host is left behind that a
// journal on disk does not name.
package provision

import (
	"context"
	"io"
	"net/netip"

	"github.com/offbake/offbake/manifest"
)

// Cloud makes hosts from base images and images from hosts. Implementations retry what is safe to repeat; an error
// that reaches the caller is final. All methods may be called from several goroutines, one host each.
type Cloud interface {
	// Base finds the base image that an image asks for. Fails when none or, by id, not that one is available.
	Base(ctx context.Context, img manifest.Image) (Base, error)
	// Find returns the image whose description carries key (the input address), and whether there is one.
	Find(ctx context.Context, img manifest.Image, key string) (Made, bool, error)
	// Create makes a host called name, which is unique to this run and image, and waits until commands run on it.
	// On error nothing of it is left, unless the cloud itself could not be asked; Terminate(name) then ends it.
	Create(ctx context.Context, name string, base Base, img manifest.Image) (Host, error)
	// Capture stops the host cleanly and makes an image of it, and the copies that its manifest asks for. On error no
	// image is left.
	Capture(ctx context.Context, h Host, c Capture) (Made, error)
	// Terminate ends the host called name and waits until it is gone; a host that is not there is no error.
	// It is called with a context of its own after the run's was cancelled.
	Terminate(ctx context.Context, name string) error
	// Discard is Terminate for a host whose bake did not finish: it also removes images that were captured from it, or
	// half captured, and their copies in the places copyTo.
	Discard(ctx context.Context, name string, copyTo []string) error
	// Intend tells what Create, Capture and Terminate would do for img, and changes nothing.
	Intend(ctx context.Context, base Base, img manifest.Image, c Capture) (Intent, error)
}

// Base is a base image as the cloud knows it.
type Base struct {
	ID   string // what identifies it: an image id, or a digest of a root file system
	Name string // for people
}

// Made is a finished image. One of ID and Path is set.
type Made struct {
	ID     string `json:"image_id,omitempty"`
	Path   string `json:"path,omitempty"`
	Region string `json:"region,omitempty"`
	Copies []Made `json:"copies,omitempty"` // in other regions, in the order that the manifest has
}

// Intent is what a builder would do for one image. Its JSON form is part of --dry-run's.
type Intent struct {
	Calls []Call `json:"calls"`           // in order; one that is repeated until a state is reached stands once
	Price string `json:"price,omitempty"` // of the host, with its unit; "" where nobody knows
}

// Call is one request to a cloud. Parameters hold nothing secret.
type Call struct {
	Action     string            `json:"action"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Capture says what to make of a host.
type Capture struct {
	Name        string // image name
	Description string // "offbake KEY HOST", with the host's unique name
	Key         string // input address, lower-case hex
	// Trial is a POSIX sh script that a builder which can boot the finished image in a throw-away copy runs there as
	// root; it exits 0 when the image works. Builders that cannot (a real cloud) ignore it.
	Trial string
}

// Host is one running machine, reached as root.
type Host interface {
	// Name is the unique name that Create was given.
	Name() string
	// Run runs one command on the host and waits for it. A command that ran and failed is an *ExitError.
	Run(ctx context.Context, c Command) error
	// Seal cuts the host off from everything but SSH replies and the one address allow, from now on, for commands
	// and for the host's own daemons. Commands with Command.Sealed afterwards run in a network of their own, so that
	// what they try is told from what daemons try. The zero AddrPort lets nothing but SSH replies pass.
	Seal(ctx context.Context, allow netip.AddrPort) error
	// Background lists what the host's own daemons tried to reach since Seal.
	Background(ctx context.Context) ([]Attempt, error)
	// Close releases the connection; the host goes on.
	Close() error
}

// Command is one command for a host.
type Command struct {
	// Argv is the program and its arguments; never a secret, for they show in the host's process list.
	Argv []string
	// Stdin is fed to it; nil for nothing.
	Stdin io.Reader
	// Stdout and Stderr take its output; nil to drop it.
	Stdout, Stderr io.Writer
	// Sealed runs it in a network of its own in which only the sealed address answers. The first attempt to reach
	// anything else ends it: Run returns an *EgressError. A command after which the host is not sealed any more is a
	// *SealError.
	Sealed bool
}

// Attempt is one try to reach an address that the seal forbids.
type Attempt struct {
	Address string `json:"address"`        // IP address
	Port    int    `json:"port,omitempty"` // 0 where the protocol has none
	Proto   string `json:"proto"`          // tcp, udp, icmp, ...
	Name    string `json:"name,omitempty"` // the DNS name that was asked for, where DNS was
}

// Files is where a host takes the bundle's files from.
type Files interface {
	// URL is the address of a bundle path for a host; valid for the time a bake takes.
	URL(ctx context.Context, path string) (string, error)
	// Server is where hosts find files/ while recipes and scripts run. The zero FileServer says that they can reach none.
	Server(ctx context.Context) (FileServer, error)
	// Open reads a bundle path here, for transfer over SSH. What comes out was checked against the index.
	Open(path string) (io.ReadCloser, error)
}

// FileServer is the FILE_SERVER of recipes and scripts.
type FileServer struct {
	URL   string         // base URL of files/
	Allow netip.AddrPort // the one address that the seal lets through
	// Disk says that it serves what staging put on the host, so that all of files/ is staged where users' scripts run.
	Disk bool
}
