// Package ucloud bakes on UCloud: a provision.Cloud over ucloud-sdk-go. Hosts are UHosts that are reached over SSH, base
// images are the region's own or custom ones, images are custom images.
//
// What it guarantees: what is wrong with a manifest's cloud keys is told before anything is made; whatever fails, no
// host, address or image of a failed bake is left that could still be asked to go; nothing is made twice, for after an
// answer that was lost the result is looked for by its unique name; keys, passwords and user data are in no error and
// no line. What it does not: it believes what the API says, and a host whose base lacks cloud-init is trusted on first
// sight of its key.
//
// It is the only package that knows the SDK, which has no context, logs to standard output and has its own idea of
// retries: each request gets an SDK client of its own, with a transport bound to the context and all else turned off.
package ucloud

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"

	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// DefaultBaseURL is the API's address on the internet; inside a VPC it is http://api.service.ucloud.cn.
const DefaultBaseURL = "https://api.ucloud.cn"

// tag is the business group (Tag) of every host and image, by which Orphans finds hosts. It is no proof of whose a host
// is; names are.
const tag = "offbake"

// Config says how to reach the cloud.
type Config struct {
	PublicKey  string
	PrivateKey string // secret
	// BaseURL is the API's address and wins over the manifest's cloud.api, which wins over DefaultBaseURL.
	BaseURL string
	// Client carries the API's requests; nil means one without a guard. Its Timeout and redirects count for nothing: a
	// request has Patience.Call, and a redirect is an error, for it would take a signed request elsewhere.
	Client *http.Client
	// Dial dials hosts for SSH; nil means a plain dialler.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Agent is the path of the offbake program for the hosts, which is copied there to seal them.
	Agent string
	// Progress hears what happens; nil for silence. With Verbose that is each request, too.
	Progress *progress.Reporter
	Verbose  bool
	Patience Patience
}

// Patience is how long things may take. Zero values mean the defaults.
type Patience struct {
	Call time.Duration // one request; 30 s
	Boot time.Duration // from Create to Running; 10 min
	Disk time.Duration // until the boot disk is whole, without which no image can be made; 40 min
	SSH  time.Duration // from Running until a command runs; 5 min
	// Login and Stall are remote.Config's Handshake and Stall; 0 is its default.
	Login, Stall time.Duration

	Stop  time.Duration // a clean shutdown, then the power goes; 5 min
	Image time.Duration // until an image, or a copy of it, is there; 60 min
	Gone  time.Duration // until a host or an image that was ended is gone; 5 min
	// Seen is how long what was made may be missing from listings; 20 s. Only where an answer was lost, or nobody is left
	// who heard it, and nothing is found, all of it is waited.
	Seen time.Duration
	// Poll is the wait after the first look at a state that is to come, growing to 100 times that; 50 ms.
	Poll time.Duration
	// Retry is the wait after a request that failed for a passing reason, doubled each time; 500 ms.
	Retry time.Duration
}

func (p Patience) withDefaults() Patience {
	return Patience{
		Call:  cmp.Or(p.Call, 30*time.Second),
		Boot:  cmp.Or(p.Boot, 10*time.Minute),
		Disk:  cmp.Or(p.Disk, 40*time.Minute),
		SSH:   cmp.Or(p.SSH, 5*time.Minute),
		Login: p.Login,
		Stall: p.Stall,
		Stop:  cmp.Or(p.Stop, 5*time.Minute),
		Image: cmp.Or(p.Image, time.Hour),
		Gone:  cmp.Or(p.Gone, 5*time.Minute),
		Seen:  cmp.Or(p.Seen, 20*time.Second),
		Poll:  cmp.Or(p.Poll, 50*time.Millisecond),
		Retry: cmp.Or(p.Retry, 500*time.Millisecond),
	}
}

// place is where requests go. The zone is given only where it matters: an image or a host of a region is found in all
// its zones.
type place struct{ api, region, zone, project string }

func placeOf(c manifest.Cloud) place {
	return place{api: c.API, region: c.Region, zone: c.Zone, project: c.Project}
}

// Cloud is the builder.
type Cloud struct {
	config    Config
	patience  Patience
	transport http.RoundTripper
	target    place

	mu     sync.Mutex
	plans  map[string]*plan // by image: what Base found, for Create
	places map[string]place // by host name, of this process
	// sure has the names of hosts of this process of which listings have all that there is: what makes a host or an image
	// was answered, or in vain looked for.
	sure map[string]bool
}

var _ provision.Cloud = (*Cloud)(nil)

// New returns a builder. target is the cloud of the manifest, or of a journal's entry: where Terminate and Discard look
// for hosts that another process made, and Bases and Orphans list. It sends nothing.
func New(c Config, target manifest.Cloud) (*Cloud, error) {
	if c.PublicKey == "" || c.PrivateKey == "" {
		return nil, errors.New("reaching UCloud: want a public and a private key")
	}
	rt := http.RoundTripper(nil)
	if c.Client != nil {
		rt = c.Client.Transport
	}
	if rt == nil {
		rt = transport.RoundTripper(transport.Options{})
	}
	return &Cloud{config: c, patience: c.Patience.withDefaults(), transport: rt, target: placeOf(target),
		plans: map[string]*plan{}, places: map[string]place{}, sure: map[string]bool{}}, nil
}

// setSure notes whether listings have all that there is of a host and its images.
func (c *Cloud) setSure(name string, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sure[name] = is
}

func (c *Cloud) isSure(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sure[name]
}

// placeOf returns where the host called name is, or would be.
func (c *Cloud) placeOf(name string) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.places[name]; ok {
		return at
	}
	return c.target
}

func (c *Cloud) say(format string, args ...any) { c.config.Progress.Line(format, args...) }

// hostSet and imageSet are the API's own terms, too long for a line.
type (
	hostSet  = uhost.UHostInstanceSet
	imageSet = uhost.UHostImageSet
)
