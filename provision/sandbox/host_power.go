package sandbox

import (
	"context"
	"slices"
)

// boot starts the work behind h's way to Running.
func (s *Sandbox) boot(h *uhost) {
	s.do(h, func(ctx context.Context) error { return s.bootHost(ctx, h) }, func(err error, latest bool) {
		if !latest {
			return
		}
		s.note("booting", h, err)
		if err != nil {
			h.power.next = hostInstallFail
		}
		h.power.busy = false
	})
}

// restart starts a host again that went down for that by itself, unless something else was asked for meanwhile. It waits for
// the work that brought the host up, which may still be about to say so.
func (s *Sandbox) restart(h *uhost) {
	s.mu.Lock()
	before := h.job
	s.mu.Unlock()
	<-before.done
	s.mu.Lock()
	defer s.mu.Unlock()
	up := h.power.state == hostRunning && h.power.next == "" || h.power.next == hostRunning
	if _, rebooted := h.down(); rebooted && up && h.job == before && s.ctx.Err() == nil {
		h.power = phase{state: hostRebooting, next: hostRunning, busy: true}
		s.boot(h)
	}
}

// halt starts the work behind h's way to Stopped.
func (s *Sandbox) halt(h *uhost, hard bool) {
	s.do(h, func(ctx context.Context) error { return s.stopHost(ctx, h, hard) }, func(err error, latest bool) {
		if latest {
			s.note("stopping", h, err)
			h.power.busy = false
		}
	})
}

// powerCall reads what the actions on a host's power have in common. The host must be in one of states.
func (c *call) powerCall(states ...string) (*uhost, error) {
	id := c.p.required("UHostId")
	if c.p.err != nil {
		return nil, c.p.err
	}
	h, err := c.findHost(id)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(states, h.power.state) || h.making {
		return nil, &apiError{8905, "UHostInstance [" + id + "] is " + h.power.state}
	}
	return h, nil
}

// turn puts h on its way from one state to another; a fault may keep it there.
func (c *call) turn(h *uhost, state, next string) bool {
	h.power = phase{state: state, next: next, busy: true, stuck: c.fault.Kind == FaultStuck}
	return !h.power.stuck
}

func stopUHostInstance(c *call) (fields, error) {
	h, err := c.powerCall(hostRunning)
	if err != nil {
		return nil, err
	}
	if c.turn(h, hostStopping, hostStopped) {
		c.s.halt(h, false)
	}
	return fields{"UHostId": h.id}, nil
}

func poweroffUHostInstance(c *call) (fields, error) {
	h, err := c.powerCall(hostRunning, hostStarting, hostStopping, hostRebooting)
	if err != nil {
		return nil, err
	}
	if c.turn(h, hostStopping, hostStopped) {
		c.s.halt(h, true)
	}
	return fields{"UHostId": h.id}, nil
}

func startUHostInstance(c *call) (fields, error) {
	h, err := c.powerCall(hostStopped)
	if err != nil {
		return nil, err
	}
	if c.turn(h, hostStarting, hostRunning) {
		c.s.boot(h)
	}
	return fields{"UHostId": h.id}, nil
}

func rebootUHostInstance(c *call) (fields, error) {
	h, err := c.powerCall(hostRunning)
	if err != nil {
		return nil, err
	}
	if c.turn(h, hostRebooting, hostRunning) {
		c.s.do(h, func(ctx context.Context) error { return c.s.stopHost(ctx, h, false) }, func(err error, latest bool) {
			c.s.note("stopping", h, err)
			if latest && c.s.ctx.Err() == nil {
				c.s.boot(h)
			}
		})
	}
	return fields{"UHostId": h.id}, nil
}

// terminateUHostInstance ends a host that does not run. One that never came to run may be ended as it is: the service's
// documentation says only that a running one must be stopped first.
func terminateUHostInstance(c *call) (fields, error) {
	id, release := c.p.required("UHostId"), c.p.yes("ReleaseEIP")
	c.p.yes("ReleaseUDisk")
	if c.p.err != nil {
		return nil, c.p.err
	}
	h, err := c.findHost(id)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{hostInitializing, hostStopped, hostInstallFail}, h.power.state) {
		return nil, &apiError{8856, "UHostInstance [" + id + "] is " + h.power.state + ", it must be stopped first"}
	}
	if c.fault.Kind != FaultStuck {
		h.power = phase{state: h.power.state, next: hostGone, busy: true}
		c.s.parted(h, release)
		c.s.do(h, func(context.Context) error { return c.s.endHost(h) }, func(err error, _ bool) {
			c.s.note("ending", h, err)
			h.power.busy = false
		})
	}
	return fields{"UHostId": id, "InRecycle": "No"}, nil
}
