package sandbox

import (
	"net/netip"
	"slices"
)

// Networks of a region as the API tells them. The addresses of hosts are loopback ones, whatever the subnet says.
const (
	network = "10.9.0.0"
	netmask = "16"
)

func describeVPC(c *call) (fields, error) {
	type info struct {
		Network     string
		SubnetCount int
	}
	type entry struct {
		VPCId, Name, Tag          string
		Network                   []string
		NetworkInfo               []info
		SubnetCount               int
		CreateTime, UpdateTime    int
		IPv6Network, OperatorName string
		VPCType                   string
	}
	all := []entry{}
	if ids := c.p.list("VPCIds"); len(ids) == 0 || slices.Contains(ids, c.region.vpc()) {
		cidr := network + "/" + netmask
		all = append(all, entry{VPCId: c.region.vpc(), Name: "DefaultVPC", Tag: "Default", Network: []string{cidr},
			NetworkInfo: []info{{cidr, 1}}, SubnetCount: 1, CreateTime: epoch, UpdateTime: epoch, VPCType: "DefaultVPC"})
	}
	from, to := c.p.page(len(all), 60)
	return fields{"TotalCount": len(all), "DataSet": all[from:to]}, nil
}

func describeSubnet(c *call) (fields, error) {
	type entry struct {
		SubnetId, SubnetName      string
		SubnetType                int
		Subnet, Netmask, Gateway  string
		VPCId, VPCName            string
		Tag, Remark, RouteTableId string
		HasNATGW                  bool
		IPv6Network               string
		AvailableIPs, CreateTime  int
		Zone                      string
	}
	all := []entry{}
	ids := c.p.list("SubnetIds")
	if id := c.p.text("SubnetId"); id != "" {
		ids = append(ids, id)
	}
	vpc := c.p.text("VPCId")
	if (len(ids) == 0 || slices.Contains(ids, c.region.subnet())) && (vpc == "" || vpc == c.region.vpc()) {
		all = append(all, entry{SubnetId: c.region.subnet(), SubnetName: "DefaultNetwork", SubnetType: 2,
			Subnet: network, Netmask: netmask, Gateway: netip.MustParseAddr(network).Next().String(),
			VPCId: c.region.vpc(), VPCName: "DefaultVPC", Tag: "Default", RouteTableId: "rtb-" + c.region.short,
			AvailableIPs: 65000, CreateTime: epoch})
	}
	from, to := c.p.page(len(all), 20)
	return fields{"TotalCount": len(all), "DataSet": all[from:to]}, nil
}

func describeFirewall(c *call) (fields, error) {
	type rule struct{ SrcIP, Priority, ProtocolType, DstPort, RuleAction, Remark string }
	type entry struct {
		FWId, GroupId, Name, Tag, Remark string
		ResourceCount, CreateTime        int
		Type                             string
		Rule                             []rule
	}
	ssh := rule{"0.0.0.0/0", "HIGH", "TCP", "22", "ACCEPT", ""}
	web := rule{"0.0.0.0/0", "HIGH", "TCP", "80", "ACCEPT", ""}
	ids := c.region.firewalls()
	all := []entry{
		{ids[0], "1", "Non-Web Recommended", "Default", "", 0, epoch, "recommend non web", []rule{ssh}},
		{ids[1], "2", "Web Recommended", "Default", "", 0, epoch, "recommend web", []rule{ssh, web}},
	}
	if id := c.p.text("FWId"); id != "" {
		all = slices.DeleteFunc(all, func(e entry) bool { return e.FWId != id })
		if len(all) == 0 {
			return nil, &apiError{54002, "Resource [" + id + "] not found"}
		}
	}
	from, to := c.p.page(len(all), 20)
	return fields{"TotalCount": len(all), "DataSet": all[from:to]}, nil
}
