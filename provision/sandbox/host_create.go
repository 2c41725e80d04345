package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

func createUHostInstance(c *call) (fields, error) {
	p, err := c.readSpec()
	if err != nil {
		return nil, err
	}
	if err := c.roomForHosts(p); err != nil {
		return nil, err
	}
	var ids, ips []string
	for range p.count {
		h, err := c.newHost(p)
		if err != nil {
			// Those before it, if any, stay, as with a service that is short of something.
			c.s.o.Log.LogAttrs(context.Background(), slog.LevelError, "making host", slog.Any("cause", err))
			if len(ids) == 0 {
				return nil, err
			}
			break
		}
		ids, ips = append(ids, h.id), append(ips, h.private.ip.String())
	}
	return fields{"UHostIds": ids, "IPs": ips}, nil
}

// roomForHosts keeps the quotas.
func (c *call) roomForHosts(p spec) error {
	hosts := p.count
	for _, h := range c.s.hosts {
		if !h.over() {
			hosts++
		}
	}
	if hosts > c.s.o.Hosts {
		return &apiError{8095, fmt.Sprintf("quota of %d hosts exceeded", c.s.o.Hosts)}
	}
	if p.eip != nil && len(c.s.eips)+p.count > c.s.o.EIPs {
		return &apiError{4207, fmt.Sprintf("quota of %d EIPs exceeded", c.s.o.EIPs)}
	}
	return nil
}

// newHost makes one host and starts the work behind it. s.mu is held.
func (c *call) newHost(p spec) (*uhost, error) {
	h := &uhost{id: newID("uhost"), root: p.image.root, password: p.password, userData: p.userData, spec: p,
		project: c.project, region: c.region.name, zone: c.zone, created: time.Now().Unix(),
		power: phase{state: hostInitializing, next: hostRunning, busy: true},
		disk:  phase{state: diskInitializing, next: diskNormal, busy: true}}
	var err error
	if h.private, err = c.s.takeAddress(); err != nil {
		return nil, &apiError{8847, "no private address is left: " + err.Error()}
	}
	if p.eip != nil {
		if h.eip, err = c.s.takeAddress(); err != nil {
			h.private.free()
			return nil, &apiError{4207, "no EIP is left: " + err.Error()}
		}
		c.s.eips = append(c.s.eips, &eip{id: newID("eip"), ip: h.eip.ip.String(), bandwidth: p.eip.bandwidth,
			mode: p.eip.mode, operator: p.eip.operator, host: h, region: h.region, project: h.project, created: h.created})
	}
	c.s.hosts = append(c.s.hosts, h)
	h.power.stuck, h.disk.stuck = c.fault.Kind == FaultStuck, c.fault.Kind == FaultStuckDisk
	switch {
	case h.power.stuck:
	case c.fault.Kind == FaultInstallFail || !p.image.Boots:
		h.power.next, h.power.busy = hostInstallFail, false
	default:
		c.s.boot(h)
	}
	return h, nil
}
