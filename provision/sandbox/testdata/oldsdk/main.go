// Oldsdk walks a bake with ucloud-sdk-go v0.20.2, which packer-plugin-ucloud v1.0.9 has, and prints what it saw.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uaccount"
	"github.com/ucloud/ucloud-sdk-go/services/ufile"
	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	"github.com/ucloud/ucloud-sdk-go/services/uk8s"
	"github.com/ucloud/ucloud-sdk-go/services/unet"
	"github.com/ucloud/ucloud-sdk-go/services/vpc"
	"github.com/ucloud/ucloud-sdk-go/ucloud"
	"github.com/ucloud/ucloud-sdk-go/ucloud/auth"
	"github.com/ucloud/ucloud-sdk-go/ucloud/log"
)

// place is the one line that the sandbox prints.
type place struct {
	API        string `json:"api"`
	Bucket     string `json:"bucket"`
	PublicKey  string `json:"public_key"`
	PrivateKey string `json:"private_key"`
	Project    string `json:"project"`
	Region     string `json:"region"`
	Zone       string `json:"zone"`
	VPC        string `json:"vpc"`
	Subnet     string `json:"subnet"`
	Images     []struct {
		ID string `json:"id"`
	} `json:"images"`
}

// walk is one bake.
type walk struct {
	place
	conf ucloud.Config
	cred auth.Credential
	host *uhost.UHostClient
	saw  map[string]any
}

func main() {
	var w walk
	must(json.NewDecoder(os.Stdin).Decode(&w.place))
	w.conf = ucloud.NewConfig()
	w.conf.BaseUrl, w.conf.Region, w.conf.ProjectId, w.conf.LogLevel = w.API, w.Region, w.Project, log.PanicLevel
	w.cred = auth.NewCredential()
	w.cred.PublicKey, w.cred.PrivateKey = w.PublicKey, w.PrivateKey
	w.host, w.saw = uhost.NewClient(&w.conf, &w.cred), map[string]any{}
	w.look()
	id := w.create()
	w.wait(id, "Running")
	w.image(id)
	w.end(id)
	must(json.NewEncoder(os.Stdout).Encode(w.saw))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// look asks for everything that a bake needs to know first.
func (w *walk) look() {
	account := uaccount.NewClient(&w.conf, &w.cred)
	projects, err := account.GetProjectList(account.NewGetProjectListRequest())
	must(err)
	w.saw["project"] = projects.ProjectSet[0].ProjectId
	regions, err := account.GetRegion(account.NewGetRegionRequest())
	must(err)
	w.saw["regions"] = len(regions.Regions)
	network := vpc.NewClient(&w.conf, &w.cred)
	v := network.NewDescribeVPCRequest()
	v.VPCIds = []string{w.VPC}
	vpcs, err := network.DescribeVPC(v)
	must(err)
	w.saw["vpc"] = vpcs.DataSet[0].VPCId
	s := network.NewDescribeSubnetRequest()
	s.SubnetIds = []string{w.Subnet}
	subnets, err := network.DescribeSubnet(s)
	must(err)
	w.saw["subnet"] = subnets.DataSet[0].SubnetId
	wall := unet.NewClient(&w.conf, &w.cred)
	f := wall.NewDescribeFirewallRequest()
	f.Limit, f.Offset = ucloud.Int(100), ucloud.Int(0)
	walls, err := wall.DescribeFirewall(f)
	must(err)
	w.saw["firewall"] = walls.DataSet[0].Type
	k8s := uk8s.NewClient(&w.conf, &w.cred)
	_, err = k8s.DescribeUK8SImage(k8s.NewDescribeUK8SImageRequest())
	must(err)
	files := ufile.NewClient(&w.conf, &w.cred)
	b := files.NewDescribeBucketRequest()
	b.BucketName = ucloud.String(w.Bucket)
	buckets, err := files.DescribeBucket(b)
	must(err)
	w.saw["source"] = buckets.DataSet[0].Domain.Src[0]
	image := w.describeImage(w.Region, w.Images[0].ID)
	w.saw["base"] = image.ImageName
	price := w.host.NewGetUHostInstancePriceRequest()
	price.Zone, price.ImageId = ucloud.String(w.Zone), ucloud.String(image.ImageId)
	price.CPU, price.Memory, price.Count = ucloud.Int(2), ucloud.Int(4096), ucloud.Int(1)
	price.ChargeType, price.Disks = ucloud.String("Dynamic"), w.disks()
	prices, err := w.host.GetUHostInstancePrice(price)
	must(err)
	w.saw["price"] = prices.PriceSet[0].Price
}

func (w *walk) disks() []uhost.UHostDisk {
	return []uhost.UHostDisk{{IsBoot: ucloud.String("true"), Size: ucloud.Int(20), Type: ucloud.String("CLOUD_SSD")}}
}

func (w *walk) create() string {
	r := w.host.NewCreateUHostInstanceRequest()
	r.Zone, r.ImageId, r.LoginMode = ucloud.String(w.Zone), ucloud.String(w.Images[0].ID), ucloud.String("Password")
	r.Password, r.Name, r.ChargeType = ucloud.String("abcde-01234"), ucloud.String("packer-1"), ucloud.String("Dynamic")
	r.CPU, r.Memory, r.MachineType = ucloud.Int(2), ucloud.Int(4096), ucloud.String("N")
	r.MinimalCpuPlatform, r.Disks = ucloud.String("Intel/Auto"), w.disks()
	r.VPCId, r.SubnetId = ucloud.String(w.VPC), ucloud.String(w.Subnet)
	r.NetworkInterface = []uhost.CreateUHostInstanceParamNetworkInterface{{
		EIP: &uhost.CreateUHostInstanceParamNetworkInterfaceEIP{
			Bandwidth: ucloud.Int(10), PayMode: ucloud.String("Traffic"), OperatorName: ucloud.String("Bgp")}}}
	made, err := w.host.CreateUHostInstance(r)
	must(err)
	first := w.describeHost(made.UHostIds[0])
	w.saw["first"] = first.State
	w.saw["addresses"] = []string{first.IPSet[0].Type, first.IPSet[1].Type}
	return made.UHostIds[0]
}

func (w *walk) describeHost(id string) uhost.UHostInstanceSet {
	r := w.host.NewDescribeUHostInstanceRequest()
	r.UHostIds = []string{id}
	got, err := w.host.DescribeUHostInstance(r)
	must(err)
	if len(got.UHostSet) == 0 {
		return uhost.UHostInstanceSet{State: "none"}
	}
	return got.UHostSet[0]
}

// patience is how long a state may take to come.
const patience = 30 * time.Second

func (w *walk) wait(id, state string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if h := w.describeHost(id); h.State == state && (state == "none" || h.BootDiskState == "Normal") {
			return
		}
	}
	must(fmt.Errorf("host %s is not %s after %s", id, state, patience))
}

func (w *walk) describeImage(region, id string) uhost.UHostImageSet {
	r := w.host.NewDescribeImageRequest()
	r.Region, r.ImageId = ucloud.String(region), ucloud.String(id)
	got, err := w.host.DescribeImage(r)
	must(err)
	if len(got.ImageSet) == 0 {
		must(fmt.Errorf("there is no image %s in %s", id, region))
	}
	return got.ImageSet[0]
}

func (w *walk) waitImage(region, id string) string {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if m := w.describeImage(region, id); m.State == "Available" {
			return m.ImageName
		}
	}
	must(fmt.Errorf("image %s is not Available after %s", id, patience))
	return ""
}

// image stops the host, makes an image of it, copies and removes the copy.
func (w *walk) image(id string) {
	stop := w.host.NewStopUHostInstanceRequest()
	stop.UHostId = ucloud.String(id)
	_, err := w.host.StopUHostInstance(stop)
	must(err)
	w.wait(id, "Stopped")
	r := w.host.NewCreateCustomImageRequest()
	r.UHostId, r.ImageName, r.ImageDescription = ucloud.String(id), ucloud.String("web"), ucloud.String("a text")
	made, err := w.host.CreateCustomImage(r)
	must(err)
	w.saw["image"] = w.waitImage(w.Region, made.ImageId)
	c := w.host.NewCopyCustomImageRequest()
	c.SourceImageId, c.TargetProjectId = ucloud.String(made.ImageId), ucloud.String(w.Project)
	c.TargetRegion, c.TargetImageName = ucloud.String("cn-sh2"), ucloud.String("web-copy")
	copied, err := w.host.CopyCustomImage(c)
	must(err)
	w.saw["copy"] = w.waitImage("cn-sh2", copied.TargetImageId)
	end := w.host.NewTerminateCustomImageRequest()
	end.Region, end.ImageId = ucloud.String("cn-sh2"), ucloud.String(copied.TargetImageId)
	_, err = w.host.TerminateCustomImage(end)
	must(err)
}

func (w *walk) end(id string) {
	r := w.host.NewTerminateUHostInstanceRequest()
	r.UHostId, r.ReleaseEIP, r.ReleaseUDisk = ucloud.String(id), ucloud.Bool(true), ucloud.Bool(true)
	_, err := w.host.TerminateUHostInstance(r)
	must(err)
	w.wait(id, "none")
	w.saw["last"] = w.describeHost(id).State
}
