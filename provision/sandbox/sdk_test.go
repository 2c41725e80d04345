package sandbox_test

import (
	"testing"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/ufile"
	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	"github.com/ucloud/ucloud-sdk-go/ucloud"
	uerr "github.com/ucloud/ucloud-sdk-go/ucloud/error"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestSDKBakes walks a whole bake with ucloud-sdk-go v0.22.98.
func TestSDKBakes(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	c := client(s)
	host := sdkCreate(t, s, c)
	sdkWait(t, c, host, "Running")
	stop := c.NewStopUHostInstanceRequest()
	stop.UHostId = ucloud.String(host)
	if _, err := c.StopUHostInstance(stop); err != nil {
		t.Fatal(err)
	}
	sdkWait(t, c, host, "Stopped")
	make := c.NewCreateCustomImageRequest()
	make.UHostId, make.ImageName, make.ImageDescription = ucloud.String(host), ucloud.String("web"), ucloud.String("offbake abc")
	made, err := c.CreateCustomImage(make)
	if err != nil {
		t.Fatal(err)
	}
	got := sdkImage(t, c, region, made.ImageId)
	if got.ImageName != "web" || got.ImageDescription != "offbake abc" || got.ImageType != "Custom" {
		t.Errorf("got image %+v", got)
	}
	copyReq := c.NewCopyCustomImageRequest()
	copyReq.SourceImageId, copyReq.TargetProjectId = ucloud.String(made.ImageId), ucloud.String(s.Ready().Project)
	copyReq.TargetRegion = ucloud.String("cn-sh2")
	copied, err := c.CopyCustomImage(copyReq)
	if err != nil {
		t.Fatal(err)
	}
	if got := sdkImage(t, c, "cn-sh2", copied.TargetImageId); got.ImageName != "web" || got.Zone != "cn-sh2-02" {
		t.Errorf("got copy %+v", got)
	}
	end := c.NewTerminateUHostInstanceRequest()
	end.UHostId, end.ReleaseEIP, end.ReleaseUDisk = ucloud.String(host), ucloud.Bool(true), ucloud.Bool(true)
	if _, err := c.TerminateUHostInstance(end); err != nil {
		t.Fatal(err)
	}
	await(t, s, "DescribeUHostInstance", values{}, "TotalCount", "0")
	if hosts, eips, machines := s.Hosts(), s.EIPs(), p.machines(); len(hosts)+len(eips)+len(machines) != 0 {
		t.Errorf("left: hosts %v, EIPs %v, machines %v", hosts, eips, machines)
	}
	if images := s.Images(); len(images) != 2 || images[0].State != "Available" || images[1].State != "Available" {
		t.Errorf("got images %+v, want two", images)
	}
}

func sdkCreate(t *testing.T, s *sandbox.Sandbox, c *uhost.UHostClient) string {
	t.Helper()
	r := c.NewCreateUHostInstanceRequest()
	r.ImageId, r.LoginMode, r.Password = ucloud.String(s.Ready().Images[0].ID), ucloud.String("Password"), ucloud.String(password)
	r.Zone = ucloud.String(zone)
	r.Name, r.Tag, r.ChargeType = ucloud.String("offbake-sdk"), ucloud.String("offbake"), ucloud.String("Dynamic")
	r.CPU, r.Memory, r.MachineType = ucloud.Int(2), ucloud.Int(4096), ucloud.String("N")
	r.VPCId, r.SubnetId = ucloud.String(s.Ready().VPC), ucloud.String(s.Ready().Subnet)
	r.UserData = ucloud.String("I2Nsb3VkLWNvbmZpZwo=")
	r.Disks = []uhost.UHostDisk{{IsBoot: ucloud.String("True"), Size: ucloud.Int(20), Type: ucloud.String("CLOUD_SSD")}}
	r.NetworkInterface = []uhost.CreateUHostInstanceParamNetworkInterface{{
		EIP: &uhost.CreateUHostInstanceParamNetworkInterfaceEIP{Bandwidth: ucloud.Int(10), PayMode: ucloud.String("Traffic"),
			OperatorName: ucloud.String("Bgp")}}}
	made, err := c.CreateUHostInstance(r)
	if err != nil {
		t.Fatal(err)
	}
	// Clients rely on it: packer-plugin-ucloud crashes where a new host is not told at once.
	host := sdkHost(t, c, made.UHostIds[0])
	if host.State != "Initializing" || host.BootDiskState != "Initializing" || host.BasicImageId != *r.ImageId {
		t.Errorf("got %+v, want a host that is being made", host)
	}
	if len(host.IPSet) != 2 || host.IPSet[0].Type != "Private" || host.IPSet[0].IP != made.IPs[0] || host.IPSet[1].Type != "Bgp" {
		t.Errorf("got addresses %+v, want a private one and an EIP", host.IPSet)
	}
	return made.UHostIds[0]
}

func sdkHost(t *testing.T, c *uhost.UHostClient, id string) uhost.UHostInstanceSet {
	t.Helper()
	r := c.NewDescribeUHostInstanceRequest()
	r.UHostIds = []string{id}
	got, err := c.DescribeUHostInstance(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.UHostSet) != 1 {
		t.Fatalf("got %d hosts, want %s", len(got.UHostSet), id)
	}
	return got.UHostSet[0]
}

func sdkWait(t *testing.T, c *uhost.UHostClient, id, state string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if h := sdkHost(t, c, id); h.State == state && h.BootDiskState == "Normal" {
			return
		}
	}
	t.Fatalf("host %s is not %s after %s", id, state, patience)
}

func sdkImage(t *testing.T, c *uhost.UHostClient, region, id string) uhost.UHostImageSet {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		r := c.NewDescribeImageRequest()
		r.Region, r.ImageId = ucloud.String(region), ucloud.String(id)
		got, err := c.DescribeImage(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.ImageSet) != 1 {
			t.Fatalf("got %d images, want %s", len(got.ImageSet), id)
		}
		if got.ImageSet[0].State == "Available" {
			return got.ImageSet[0]
		}
	}
	t.Fatalf("image %s is not Available after %s", id, patience)
	return uhost.UHostImageSet{}
}

func TestSDKSeesErrors(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{Hosts: 1})
	c := client(s)
	sdkCreate(t, s, c)
	r := c.NewTerminateCustomImageRequest()
	r.ImageId = ucloud.String("uimage-none")
	_, err := c.TerminateCustomImage(r)
	got, isOurs := err.(uerr.Error)
	if !isOurs || got.Code() != 8956 || got.Name() != uerr.ErrRetCode {
		t.Errorf("got %v, want RetCode 8956", err)
	}
}

func TestSDKFindsBucket(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	conf, cred := config(s)
	c := ufile.NewClient(&conf, &cred)
	r := c.NewDescribeBucketRequest()
	r.BucketName = ucloud.String(s.Ready().Bucket)
	got, err := c.DescribeBucket(r)
	if err != nil || len(got.DataSet) != 1 || len(got.DataSet[0].Domain.Src) != 0 {
		t.Errorf("with a region: got %+v, %v, want the name alone", got.DataSet, err)
	}
	r.Region = ucloud.String("")
	got, err = c.DescribeBucket(r)
	if err != nil || len(got.DataSet) != 1 || "http://"+got.DataSet[0].Domain.Src[0] != s.Ready().Endpoint {
		t.Errorf("got %+v, %v, want the endpoint %s", got.DataSet, err, s.Ready().Endpoint)
	}
}
