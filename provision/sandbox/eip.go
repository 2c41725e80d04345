package sandbox

import "slices"

// eip is a public address that somebody pays for.
type eip struct {
	id, ip          string
	bandwidth       int // Mbit/s
	mode            string
	operator        string // Bgp or International
	host            *uhost // nil when it is bound to none
	region, project string
	created         int64
}

// EIP is an elastic IP as EIPs tells it.
type EIP struct {
	ID, IP          string
	Host            string // the id of the host that has it, or ""
	Region, Project string
}

// EIPs are the elastic IPs that were not released.
func (s *Sandbox) EIPs() []EIP {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []EIP
	for _, e := range s.eips {
		all = append(all, EIP{e.id, e.ip, e.hostID(), e.region, e.project})
	}
	return all
}

func (e *eip) hostID() string {
	if e.host == nil {
		return ""
	}
	return e.host.id
}

// parted takes a host's elastic IP from it, and gives it back where release says so. s.mu is held.
func (s *Sandbox) parted(h *uhost, release bool) {
	s.eips = slices.DeleteFunc(s.eips, func(e *eip) bool {
		if e.host != h {
			return false
		}
		e.host = nil
		return release
	})
}

func describeEIP(c *call) (fields, error) {
	type address struct{ IP, OperatorName string }
	type resource struct{ ResourceID, ResourceName, ResourceType, EIPId string }
	type entry struct {
		EIPId, Name, Tag, Remark, Status string
		Bandwidth, BandwidthType, Weight int
		ChargeType, PayMode              string
		CreateTime, ExpireTime           int64
		Expire                           bool
		EIPAddr                          []address
		Resource                         resource
	}
	ids, ips := c.p.list("EIPIds"), c.p.list("IPs")
	all, free, bandwidth := []entry{}, 0, 0
	for _, e := range c.s.eips {
		if e.region != c.region.name || e.project != c.project ||
			len(ids)+len(ips) > 0 && !slices.Contains(ids, e.id) && !slices.Contains(ips, e.ip) {
			continue
		}
		one := entry{EIPId: e.id, Name: "EIP", Tag: "Default", Status: "free", Bandwidth: e.bandwidth, Weight: 50,
			ChargeType: "Dynamic", PayMode: e.mode, CreateTime: e.created, ExpireTime: e.created + 3600,
			EIPAddr: []address{{e.ip, e.operator}}}
		if e.host != nil {
			one.Status, one.Resource = "used", resource{e.host.id, e.host.spec.name, "uhost", e.id}
		} else {
			free++
		}
		bandwidth += e.bandwidth
		all = append(all, one)
	}
	from, to := c.p.page(len(all), 20)
	if c.p.err != nil {
		return nil, c.p.err
	}
	return fields{"TotalCount": len(all), "UnbindCount": free, "TotalBandwidth": bandwidth, "EIPSet": all[from:to]}, nil
}

func releaseEIP(c *call) (fields, error) {
	id := c.p.required("EIPId")
	if c.p.err != nil {
		return nil, c.p.err
	}
	for i, e := range c.s.eips {
		if e.id != id || e.region != c.region.name || e.project != c.project {
			continue
		}
		if e.host != nil {
			return nil, &apiError{230, "EIP [" + id + "] is bound to " + e.host.id}
		}
		c.s.eips = slices.Delete(c.s.eips, i, i+1)
		return fields{}, nil
	}
	return nil, &apiError{54002, "Resource [" + id + "] not found"}
}
