package sandbox

import (
	"fmt"
	"slices"
)

// uhostEntry is a host as DescribeUHostInstance tells it.
type uhostEntry struct {
	Zone, UHostId, Name, Tag, Remark              string
	State, BootDiskState                          string
	ImageId, BasicImageId, BasicImageName         string
	OsName, OsType                                string
	CPU, Memory, GPU                              int
	MachineType, UHostType, HostType, CpuPlatform string
	StorageType                                   string
	TotalDiskSpace                                int
	ChargeType, AutoRenew                         string
	CreateTime, ExpireTime                        int64
	CloudInitFeature, HotplugFeature, IPv6Feature bool
	NetCapability, NetworkState, SubnetType       string
	TimemachineFeature, IsolationGroup, LifeCycle string
	RdmaClusterId, RestrictMode                   string
	KeyPair                                       struct{}
	DiskSet                                       []diskEntry
	IPSet                                         []any
}

type diskEntry struct {
	DiskId, IsBoot, Type, DiskType, Name, Drive string
	Size                                        int
	Encrypted, BackupType                       string
}

// A private address and a public one are told with different fields.
type privateEntry struct {
	Type, IP, IPId, IPMode, Mac string
	Bandwidth                   int
	Default, VPCId, SubnetId    string
	Weight                      int
}

type publicEntry struct {
	Type, IP, IPId, IPMode string
	Bandwidth, Weight      int
}

func (s *Sandbox) entry(h *uhost) uhostEntry {
	p := h.spec
	e := uhostEntry{Zone: h.zone, UHostId: h.id, Name: p.name, Tag: p.tag, State: h.power.state, BootDiskState: h.disk.state,
		ImageId: h.bootDisk().id, BasicImageId: p.image.BaseID, BasicImageName: p.image.BaseName,
		OsName: p.image.OsName, OsType: p.image.OsType, CPU: p.cpu, Memory: p.memory,
		MachineType: p.machine, HostType: "N2", CpuPlatform: "Intel/Broadwell", StorageType: "UDisk",
		ChargeType: p.charge, AutoRenew: "Yes", CreateTime: h.created, ExpireTime: h.created + 3600,
		CloudInitFeature: slices.Contains(p.image.Features, featureCloudInit),
		NetCapability:    "Normal", NetworkState: "Connected", TimemachineFeature: "no", LifeCycle: "Normal"}
	for i, d := range p.disks {
		one := diskEntry{DiskId: d.id, IsBoot: "False", Type: "Data", DiskType: d.kind, Drive: fmt.Sprintf("/dev/vd%c", 'a'+i),
			Size: d.size, Encrypted: "false", BackupType: "NONE"}
		if d.boot {
			one.IsBoot, one.Type = "True", "Boot"
		} else {
			e.TotalDiskSpace += d.size
		}
		e.DiskSet = append(e.DiskSet, one)
	}
	ip := h.private.ip.As4()
	e.IPSet = []any{privateEntry{Type: "Private", IP: h.private.ip.String(), IPMode: "IPv4",
		Mac:     fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3]),
		Default: "true", VPCId: p.vpc, SubnetId: p.subnet}}
	for _, a := range s.eips {
		if a.host == h {
			e.IPSet = append(e.IPSet, publicEntry{Type: a.operator, IP: a.ip, IPId: a.id, IPMode: "IPv4",
				Bandwidth: a.bandwidth, Weight: 50})
		}
	}
	return e
}

func describeUHostInstance(c *call) (fields, error) {
	ids, tag := c.p.list("UHostIds"), c.p.text("Tag")
	vpc, subnet := c.p.text("VPCId"), c.p.text("SubnetId")
	if c.p.number("Limit", 20, 0) > 100 {
		c.p.bad("Limit", "want at most 100")
	}
	c.s.bury()
	var found []*uhost
	for _, h := range c.s.hosts {
		if h.region != c.region.name || h.project != c.project || c.zone != "" && h.zone != c.zone ||
			len(ids) > 0 && !slices.Contains(ids, h.id) || tag != "" && tag != h.spec.tag ||
			vpc != "" && vpc != h.spec.vpc || subnet != "" && subnet != h.spec.subnet {
			continue
		}
		found = append(found, h)
	}
	from, to := c.p.page(len(found), 20)
	if c.p.err != nil {
		return nil, c.p.err
	}
	entries := []uhostEntry{}
	for _, h := range found[from:to] {
		entries = append(entries, c.s.entry(h))
		h.power.seen++
		h.disk.seen++
	}
	return fields{"TotalCount": len(found), "UHostSet": entries}, nil
}
