package sandbox

import (
	"context"
	"log/slog"
	"slices"
)

// States of hosts and of their boot disks.
const (
	hostInitializing = "Initializing"
	hostStarting     = "Starting"
	hostRunning      = "Running"
	hostStopping     = "Stopping"
	hostStopped      = "Stopped"
	hostRebooting    = "Rebooting"
	hostInstallFail  = "Install Fail"
	hostGone         = "gone" // never told: a host in it is in no answer

	diskInitializing = "Initializing"
	diskNormal       = "Normal"
)

// uhost is one host of the API. The first part is fixed before anybody else knows the host and may be read by all.
type uhost struct {
	id       string   // uhost-…, unique on this machine for all practical purposes
	root     string   // root file system of its image: a folder, which must not be changed, or a tar
	password string   // root's; "" lets nobody in by password
	userData []byte   // decoded; nil for none, or where the image has no CloudInit
	private  *address // always there
	eip      *address // nil for a host without

	running running // for bootHost and its like alone

	spec                  spec
	project, region, zone string
	created               int64

	// The rest is under Sandbox.mu.
	power, disk phase
	making      bool // an image is being made of it
	job         *job // the latest work on it
}

// job is work on a host that goes on while the API answers.
type job struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// do starts work on h. Earlier work on h is cancelled and over before. then is told, with s.mu held, how it ended and
// whether no later work was started. s.mu is held; what do returns cancels the work.
func (s *Sandbox) do(h *uhost, work func(ctx context.Context) error, then func(err error, latest bool)) context.CancelFunc {
	ctx, cancel := context.WithCancel(s.ctx)
	before, j := h.job, &job{cancel, make(chan struct{})}
	h.job = j
	s.busy.Go(func() {
		defer close(j.done)
		defer cancel()
		if before != nil {
			before.cancel()
			<-before.done
		}
		err := work(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		then(err, h.job == j)
	})
	return cancel
}

// background is do for work that is on no host.
func (s *Sandbox) background(work func(ctx context.Context) error, then func(err error)) context.CancelFunc {
	ctx, cancel := context.WithCancel(s.ctx)
	s.busy.Go(func() {
		defer cancel()
		err := work(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		then(err)
	})
	return cancel
}

// note has an error of work behind the API in the log.
func (s *Sandbox) note(doing string, h *uhost, err error) {
	if err != nil {
		s.o.Log.LogAttrs(context.Background(), slog.LevelError, doing, slog.String("host", h.id), slog.Any("cause", err))
	}
}

// advance takes the states that are due. The boot disk's time begins when the host runs. A host that went down by
// itself is found out here.
func (h *uhost) advance(polls int) {
	h.power.advance(polls)
	if h.power.state == hostRunning && h.power.next == "" {
		if down, rebooted := h.down(); down && !rebooted { // else restart is on its way
			h.power = phase{state: hostStopped}
		}
	}
	if h.disk.busy && h.power.state == hostRunning {
		h.disk.busy, h.disk.seen = false, 0
	}
	h.disk.advance(polls)
}

// over says that nothing is left of the host, whatever answers may still tell.
func (h *uhost) over() bool { return h.power.next == hostGone && !h.power.busy }

// findHost finds a host that is there for this request.
func (c *call) findHost(id string) (*uhost, error) {
	for _, h := range c.s.hosts {
		if h.id == id && h.region == c.region.name && h.project == c.project {
			h.advance(c.s.o.Polls)
			if h.power.next != hostGone && h.power.state != hostGone {
				return h, nil
			}
		}
	}
	return nil, &apiError{8039, "UHostInstance [" + id + "] not found or deleted"}
}

// Host is a host as Hosts tells it.
type Host struct {
	ID, Name, Tag         string
	State, BootDiskState  string
	Image                 string // the id of the image that it was made from
	Region, Zone, Project string
	Private, EIP          string // addresses; EIP may be ""
}

// Hosts are the hosts of which something is left, in the order in which they were made.
func (s *Sandbox) Hosts() []Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Host
	for _, h := range s.hosts {
		h.advance(s.o.Polls)
		if h.over() || h.power.state == hostGone {
			continue
		}
		one := Host{ID: h.id, Name: h.spec.name, Tag: h.spec.tag, State: h.power.state, BootDiskState: h.disk.state,
			Image: h.spec.image.ID, Region: h.region, Zone: h.zone, Project: h.project, Private: h.private.ip.String()}
		if h.eip != nil {
			one.EIP = h.eip.ip.String()
		}
		all = append(all, one)
	}
	return all
}

// bury forgets the hosts that answers need not tell any more. s.mu is held.
func (s *Sandbox) bury() {
	s.hosts = slices.DeleteFunc(s.hosts, func(h *uhost) bool {
		h.advance(s.o.Polls)
		return h.power.state == hostGone
	})
}
