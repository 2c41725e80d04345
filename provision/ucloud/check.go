package ucloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ucloud/ucloud-sdk-go/services/uaccount"
	"github.com/ucloud/ucloud-sdk-go/services/unet"
	"github.com/ucloud/ucloud-sdk-go/services/vpc"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"

	"github.com/offbake/offbake/manifest"
)

const (
	maxBandwidth = 300 // Mbit/s, of addresses that are paid by traffic
	longestName  = 63
)

// plan is what a host of one image takes; all of it was checked.
type plan struct {
	at       place
	cloud    manifest.Cloud
	base     imageSet
	machine  instance
	disk     disk
	firewall string
	copies   []place
}

// problems gathers what is wrong with an image's cloud keys. What keeps us from finding out is another matter: it ends
// the check.
type problems struct {
	image string
	list  []error
}

func (p *problems) add(key, format string, args ...any) {
	p.list = append(p.list, &SettingError{Image: p.image, Key: key, What: fmt.Sprintf(format, args...)})
}

// prepare plans a host, or tells all that is wrong at once.
func (c *Cloud) prepare(ctx context.Context, img manifest.Image) (*plan, error) {
	p := &plan{at: placeOf(img.Cloud), cloud: withDefaults(img.Cloud)}
	found := &problems{image: img.Name}
	found.local(img)
	var err error
	if p.machine, err = parseInstance(p.cloud.InstanceType); err != nil {
		found.add("instance_type", "%v", err)
	}
	if p.at.region == "" {
		return nil, errors.Join(found.list...) // there is nowhere to ask
	}
	var lost *BaseError
	switch p.base, err = c.findBase(ctx, img, p.machine.family); {
	case errors.As(err, &lost):
		found.list = append(found.list, lost)
	case err != nil:
		return nil, err
	default:
		var key string
		if p.disk, key, err = bootDisk(img.Cloud.BootDisk, p.base.ImageSize, p.machine.family); err != nil {
			found.add("boot_disk."+key, "%v", err)
		}
	}
	if err := c.checkNetwork(ctx, p, found); err != nil {
		return nil, err
	}
	if err := c.checkCopies(ctx, p, found); err != nil {
		return nil, err
	}
	return p, errors.Join(found.list...)
}

func withDefaults(cl manifest.Cloud) manifest.Cloud {
	cl.InstanceType = cmp.Or(cl.InstanceType, "n-basic-2")
	cl.ChargeType = cmp.Or(cl.ChargeType, "Dynamic")
	cl.EIP.Bandwidth = cmp.Or(cl.EIP.Bandwidth, 10)
	cl.SSH.User, cl.SSH.Port = cmp.Or(cl.SSH.User, "root"), cmp.Or(cl.SSH.Port, 22)
	return cl
}

// local checks what needs no question.
func (p *problems) local(img manifest.Image) {
	cl := img.Cloud
	if cl.Region == "" {
		p.add("region", "it is empty")
	}
	if cl.Zone == "" {
		p.add("zone", "it is empty")
	}
	if (cl.VPC == "") != (cl.Subnet == "") {
		p.add("vpc", "want vpc and subnet, or neither")
	}
	if cl.SSH.PrivateIP && cl.VPC == "" {
		p.add("ssh.private_ip", "it needs vpc and subnet: only from inside can a private address be reached")
	}
	if b := cl.EIP.Bandwidth; b > maxBandwidth && !cl.SSH.PrivateIP {
		p.add("eip.bandwidth", "got %d Mbit/s, want at most %d", b, maxBandwidth)
	}
	if cl.SSH.Password != "" {
		if err := checkPassword(cl.SSH.Password); err != nil {
			p.add("ssh.password", "%v", err)
		}
	}
	switch cl.ChargeType {
	case "", "Dynamic", "Month", "Year":
	default:
		p.add("charge_type", "got %q, want Dynamic, Month or Year", cl.ChargeType)
	}
	if n := longestName - len("offbake-12345678-"); len(img.Name) > n {
		p.add("", "got a name of %d characters, want at most %d for that of its host", len(img.Name), n)
	}
}

// checkNetwork finds VPC, subnet and security group.
func (c *Cloud) checkNetwork(ctx context.Context, p *plan, found *problems) error {
	if p.cloud.VPC != "" && p.cloud.Subnet != "" {
		resp, err := ask(ctx, c, on(p.at, "DescribeVPC", func(a api) (*vpc.DescribeVPCResponse, error) {
			client := a.vpc()
			req := client.NewDescribeVPCRequest()
			req.VPCIds = []string{p.cloud.VPC}
			return client.DescribeVPC(req)
		}))
		if err != nil && !isMissing(err) {
			return err
		}
		if err != nil || !slices.ContainsFunc(resp.DataSet, func(v vpc.VPCInfo) bool { return v.VPCId == p.cloud.VPC }) {
			found.add("vpc", "%s has no %q", p.at.region, p.cloud.VPC)
		} else if err := c.checkSubnet(ctx, p, found); err != nil {
			return err
		}
	}
	return c.checkFirewall(ctx, p, found)
}

func (c *Cloud) checkSubnet(ctx context.Context, p *plan, found *problems) error {
	resp, err := ask(ctx, c, on(p.at, "DescribeSubnet", func(a api) (*vpc.DescribeSubnetResponse, error) {
		client := a.vpc()
		req := client.NewDescribeSubnetRequest()
		req.SubnetIds = []string{p.cloud.Subnet}
		return client.DescribeSubnet(req)
	}))
	if err != nil && !isMissing(err) {
		return err
	}
	i := -1
	if err == nil {
		i = slices.IndexFunc(resp.DataSet, func(s vpc.SubnetInfo) bool { return s.SubnetId == p.cloud.Subnet })
	}
	if i < 0 {
		found.add("subnet", "%s has no %q", p.at.region, p.cloud.Subnet)
	} else if of := resp.DataSet[i].VPCId; of != p.cloud.VPC {
		found.add("subnet", "%q is one of VPC %q, want one of %q", p.cloud.Subnet, of, p.cloud.VPC)
	}
	return nil
}

// checkFirewall finds the security group; without one of the user's it is the region's own that opens SSH alone.
func (c *Cloud) checkFirewall(ctx context.Context, p *plan, found *problems) error {
	list, err := pages(func(offset int) ([]unet.FirewallDataSet, int, error) {
		resp, err := ask(ctx, c, on(p.at, "DescribeFirewall", func(a api) (*unet.DescribeFirewallResponse, error) {
			client := a.unet()
			req := client.NewDescribeFirewallRequest()
			req.Limit, req.Offset, req.FWId = sdk.Int(pageSize), sdk.Int(offset), optional(p.cloud.SecurityGroup)
			return client.DescribeFirewall(req)
		}))
		if err != nil {
			return nil, 0, err
		}
		return resp.DataSet, resp.TotalCount, nil
	}, func(f unet.FirewallDataSet) string { return f.FWId })
	if err != nil && !isMissing(err) {
		return err
	}
	want := p.cloud.SecurityGroup
	i := slices.IndexFunc(list, func(f unet.FirewallDataSet) bool {
		return f.FWId == want || want == "" && f.Type == "recommend non web"
	})
	switch {
	case i >= 0:
		p.firewall = list[i].FWId
	case want != "":
		found.add("security_group", "%s has no %q", p.at.region, want)
	default:
		found.add("security_group", "want one: %s has none that UCloud recommends for SSH", p.at.region)
	}
	return nil
}

// checkCopies finds the regions and projects of copy_to.
func (c *Cloud) checkCopies(ctx context.Context, p *plan, found *problems) error {
	if len(p.cloud.CopyTo) == 0 {
		return nil
	}
	regions, projects, err := c.account(ctx, p.at)
	if err != nil {
		return err
	}
	own := p.at
	own.project = projects.of(own.project)
	for _, entry := range p.cloud.CopyTo {
		to, err := copyPlace(own, entry)
		switch {
		case err != nil:
			found.add("copy_to", "%v", err)
		case !slices.Contains(regions, to.region):
			found.add("copy_to", "%q: got region %q, want one of %s", entry, to.region, strings.Join(regions, " "))
		case !slices.Contains(projects.all, to.project):
			found.add("copy_to", "%q: the key sees no project %q", entry, to.project)
		case to.region == own.region && to.project == own.project:
			found.add("copy_to", "%q is where the image is made", entry)
		case slices.Contains(p.copies, to):
			found.add("copy_to", "%q is there twice", entry)
		default:
			p.copies = append(p.copies, to)
		}
	}
	return nil
}

// projects are those that a key sees.
type projects struct {
	all      []string
	fallback string // where requests go that name none
}

func (p projects) of(id string) string { return cmp.Or(id, p.fallback) }

// account lists the regions and projects that the key may use.
func (c *Cloud) account(ctx context.Context, at place) ([]string, projects, error) {
	resp, err := ask(ctx, c, on(at, "GetRegion", func(a api) (*uaccount.GetRegionResponse, error) {
		client := a.account()
		return client.GetRegion(client.NewGetRegionRequest())
	}))
	if err != nil {
		return nil, projects{}, err
	}
	var regions []string
	for _, r := range resp.Regions {
		if !slices.Contains(regions, r.Region) {
			regions = append(regions, r.Region)
		}
	}
	list, err := ask(ctx, c, on(at, "GetProjectList", func(a api) (*uaccount.GetProjectListResponse, error) {
		client := a.account()
		return client.GetProjectList(client.NewGetProjectListRequest())
	}))
	if err != nil {
		return nil, projects{}, err
	}
	var out projects
	for _, p := range list.ProjectSet {
		out.all = append(out.all, p.ProjectId)
		if p.IsDefault {
			out.fallback = p.ProjectId
		}
	}
	return regions, out, nil
}
