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
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
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

	api     netip.AddrPort
	key     ufile.KeyPair
	lock    *os.File
	objects *serve.Objects
	servers []*http.Server
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	busy    sync.WaitGroup // requests, and work that goes on behind them
	close   func() error

	mu     sync.Mutex
	hosts  []*uhost
	images []*image
	eips   []*eip
	calls  []Call
	counts map[string]int // calls by action
}

// New opens a sandbox and serves it. The caller owes a Close.
func New(o Options) (*Sandbox, error) {
	s := &Sandbox{o: o, counts: map[string]int{}}
	s.close = sync.OnceValue(s.end)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening sandbox %q: %w", o.Dir, err), s.Close())
	}
	return s, nil
}

// fill puts defaults in and checks the rest.
func (o *Options) fill() error {
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.Base, err = filepath.Abs(o.Base); err != nil {
		return err
	}
	if _, err := os.Stat(o.Base); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	at, err := netip.ParseAddrPort(o.Listen)
	if err != nil || !at.Addr().Is4() || !at.Addr().IsLoopback() {
		return fmt.Errorf("listen: got %q, want an IPv4 loopback address and a port, such as 127.0.0.1:8080", o.Listen)
	}
	o.Hosts, o.EIPs, o.Images = cmp.Or(o.Hosts, 10), cmp.Or(o.EIPs, 10), cmp.Or(o.Images, 30)
	o.Polls = max(0, cmp.Or(o.Polls, 1))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// open does New's work; what it has done when it fails end undoes.
func (s *Sandbox) open() error {
	err := s.o.fill()
	if err != nil {
		return err
	}
	if s.lock, err = openDir(s.o.Dir); err != nil {
		return err
	}
	s.work = filepath.Join(s.o.Dir, machinesDir)
	if err := s.reapHosts(s.ctx); err != nil {
		return err
	}
	if s.key, err = loadKeys(s.o.Dir); err != nil {
		return err
	}
	s.images = baseImages(s.o.Base, !s.o.NoCloudInit)
	if err := s.loadImages(); err != nil {
		return err
	}
	return s.listen()
}

// listen serves the store and then the API, whose first answers tell where the store is.
func (s *Sandbox) listen() error {
	at := netip.MustParseAddrPort(s.o.Listen)
	var err error
	s.objects, err = serve.Store(serve.StoreOptions{Dir: filepath.Join(s.o.Dir, storeDir), Bucket: bucketOf(at.Addr()),
		Keys: []serve.Key{s.key}, Log: s.o.Log})
	if err != nil {
		return err
	}
	if s.ufile, err = s.serve(netip.AddrPortFrom(at.Addr(), 0), s.objects); err != nil {
		return err
	}
	s.api, err = s.serve(at, http.HandlerFunc(s.serveAPI))
	return err
}

// serve starts a server and tells where.
func (s *Sandbox) serve(at netip.AddrPort, h http.Handler) (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", at.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn)}
	s.servers = append(s.servers, server)
	s.busy.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.o.Log.LogAttrs(s.ctx, slog.LevelError, "serving", slog.Any("cause", err))
		}
	})
	return netip.ParseAddrPort(l.Addr().String())
}

// Close ends all hosts and stops serving. What it began to do is done when it returns. Calls after the first return the
// first one's result.
func (s *Sandbox) Close() error { return s.close() }

func (s *Sandbox) end() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	s.busy.Wait()
	for _, h := range s.hosts {
		errs = append(errs, s.endHost(h))
	}
	if s.objects != nil {
		errs = append(errs, s.objects.Close())
	}
	if s.lock != nil {
		// The base that guests unpacked, and what is left of a host that could not be ended.
		errs = append(errs, s.reapHosts(context.Background()), s.lock.Close())
	}
	return errors.Join(errs...)
}

// bucketOf is the name of the bucket of a sandbox that listens on addr: see bucket.go.
func bucketOf(addr netip.Addr) string {
	first, _, _ := strings.Cut(addr.String(), ".")
	return first
}

func (s *Sandbox) bucket() string { return bucketOf(s.ufile.Addr()) }
