package sandbox_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/provision/sandbox"
)

// imageID finds an image by its name, page by page as the service wants it.
func imageID(t *testing.T, s *sandbox.Sandbox, v values, name string) string {
	t.Helper()
	for offset := 0; ; offset += 20 {
		r := ok(t, s, "DescribeImage", v.with("Offset="+string(rune('0'+offset/10))+"0"))
		entries := r["ImageSet"].([]any)
		if len(entries) == 0 {
			t.Fatalf("got no image %q", name)
		}
		for _, e := range entries {
			if e.(map[string]any)["ImageName"] == name {
				return e.(map[string]any)["ImageId"].(string)
			}
		}
	}
}

// TestCreateRules asks for hosts that are wrong in one thing each: nothing may be made of any.
func TestCreateRules(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	base, rssd := create(s), imageID(t, s, values{"Zone": zone}, "高内核CentOS 7.9 64位")
	oType := base.with("MachineType=O", "ImageId="+rssd, "Disks.0.Type=CLOUD_RSSD")
	b64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, c := range map[string]struct {
		v    values
		want int
	}{
		"no image":              {base.with("ImageId="), 230},
		"unknown image":         {base.with("ImageId=uimage-none"), 8889},
		"another zone's image":  {base.with("Zone=cn-bj2-05"), 8889},
		"another region's":      {base.with("Region=cn-sh2", "Zone=cn-sh2-02"), 8889},
		"no zone":               {base.with("Zone="), 230},
		"another region's zone": {base.with("Zone=hk-02"), 293},
		"image not available":   {base.with("ImageId=" + imageID(t, s, values{"Zone": zone}, "CentOS 7.6 64位")), 8889},
		"windows":               {base.with("ImageId=" + imageID(t, s, values{"Zone": zone}, "Windows 2019 64位 中文版")), 8833},
		"no login mode":         {base.with("LoginMode="), 230},
		"key pair":              {base.with("LoginMode=KeyPair"), 230},
		"password of a base":    {base.with("LoginMode=ImagePasswd"), 230},
		"no password":           {base.with("Password="), 230},
		"password not base64":   {base.with("Password=?"), 230},
		"password of one kind":  {base.with("Password=" + b64("abcdefgh")), 230},
		"short password":        {base.with("Password=" + b64("abcde-1")), 230},
		"long password":         {base.with("Password=" + b64(strings.Repeat("a1", 16))), 230},
		"password with a space": {base.with("Password=" + b64("abc def 123")), 230},
		"no disk":               {base.with("Disks.0.IsBoot=", "Disks.0.Size=", "Disks.0.Type="), 230},
		"disk does not boot":    {base.with("Disks.0.IsBoot=False"), 230},
		"two that boot":         {base.with("Disks.1.IsBoot=True", "Disks.1.Size=20", "Disks.1.Type=CLOUD_SSD"), 230},
		"disk type":             {base.with("Disks.0.Type=FLOPPY"), 230},
		"N with rssd":           {base.with("Disks.0.Type=CLOUD_RSSD"), 230},
		"O without rssd":        {oType.with("Disks.0.Type=CLOUD_SSD"), 230},
		"O with a plain image":  {oType.with("ImageId=" + base["ImageId"]), 230},
		"N with 高内核":            {base.with("ImageId=" + rssd), 230},
		"O with 6 CPU":          {oType.with("CPU=6"), 230},
		"small boot disk":       {base.with("Disks.0.Size=10"), 8315},
		"small local disk":      {base.with("Disks.0.Type=LOCAL_NORMAL", "Disks.0.Size=10"), 8316},
		"large local disk":      {base.with("Disks.0.Type=LOCAL_SSD", "Disks.0.Size=40"), 8316},
		"huge boot disk":        {base.with("Disks.0.Size=501"), 230},
		"odd CPU":               {base.with("CPU=3"), 230},
		"many CPU":              {base.with("CPU=34", "Memory=65536"), 230},
		"no number":             {base.with("CPU=two"), 230},
		"odd memory":            {base.with("Memory=4000"), 230},
		"little memory":         {base.with("CPU=8", "Memory=2048"), 230},
		"much memory":           {base.with("CPU=1", "Memory=16384"), 230},
		"machine type":          {base.with("MachineType=Z"), 230},
		"charge type":           {base.with("ChargeType=Never"), 230},
		"name":                  {base.with("Name=a b"), 230},
		"long name":             {base.with("Name=" + strings.Repeat("a", 64)), 230},
		"vpc alone":             {base.with("VPCId=" + s.Ready().VPC), 230},
		"unknown vpc":           {base.with("VPCId=uvnet-none", "SubnetId="+s.Ready().Subnet), 54002},
		"unknown subnet":        {base.with("VPCId="+s.Ready().VPC, "SubnetId=subnet-none"), 54002},
		"unknown firewall":      {base.with("SecurityGroupId=firewall-none"), 54002},
		"operator":              {base.with("NetworkInterface.0.EIP.OperatorName=International"), 230},
		"pay mode":              {base.with("NetworkInterface.0.EIP.PayMode=Cash"), 230},
		"bandwidth":             {base.with("NetworkInterface.0.EIP.Bandwidth=1001"), 230},
		"user data":             {base.with("UserData=?"), 230},
		"much user data":        {base.with("UserData=" + b64(strings.Repeat("x", 16<<10+1))), 230},
		"quota":                 {base.with("MaxCount=11"), 8095},
	} {
		if r := call(t, s, "CreateUHostInstance", c.v); r.code() != c.want || r.text("Message") == "" {
			t.Errorf("%s: got RetCode %d %q, want %d and why", name, r.code(), r.text("Message"), c.want)
		}
	}
	if hosts, eips := s.Hosts(), s.EIPs(); len(hosts)+len(eips) != 0 {
		t.Errorf("got hosts %v and EIPs %v of requests that were refused", hosts, eips)
	}
	for name, v := range map[string]values{
		"O type":     oType,
		"large disk": base.with("Disks.0.Size=100"),
		"local disk": base.with("Disks.0.Type=LOCAL_NORMAL"),
		"customized": base.with("CPU=2", "Memory=6144"),
		"private":    base.with("NetworkInterface.0.EIP.Bandwidth="),
		"firewall":   base.with("SecurityGroupId=firewall-web-bj2", "VPCId="+s.Ready().VPC, "SubnetId="+s.Ready().Subnet),
	} {
		if r := call(t, s, "CreateUHostInstance", v); r.code() != 0 {
			t.Errorf("%s: got RetCode %d %q", name, r.code(), r.text("Message"))
		}
	}
}

func TestUserDataNeedsCloudInit(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{NoCloudInit: true})
	if r := call(t, s, "CreateUHostInstance", create(s).with("UserData=I2Nsb3VkLWNvbmZpZwo=")); r.code() != 230 {
		t.Errorf("got RetCode %d, want 230", r.code())
	}
	host := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	if r := ok(t, s, "DescribeUHostInstance", values{"UHostIds.0": host}); r.text("UHostSet.0.CloudInitFeature") != "false" {
		t.Error("the host has CloudInit")
	}
}

func TestQuotas(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{Hosts: 2, EIPs: 1, Images: 1})
	private := create(s).with("NetworkInterface.0.EIP.Bandwidth=")
	if r := call(t, s, "CreateUHostInstance", create(s).with("MaxCount=2")); r.code() != 4207 || len(s.Hosts()) != 0 {
		t.Errorf("two EIPs: got RetCode %d and hosts %v, want 4207 and none", r.code(), s.Hosts())
	}
	host := stopped(t, s, create(s))
	if r := call(t, s, "CreateUHostInstance", create(s)); r.code() != 4207 {
		t.Errorf("second EIP: got RetCode %d, want 4207", r.code())
	}
	ok(t, s, "CreateUHostInstance", private)
	if r := call(t, s, "CreateUHostInstance", private); r.code() != 8095 {
		t.Errorf("third host: got RetCode %d, want 8095", r.code())
	}
	image := ok(t, s, "CreateCustomImage", values{"UHostId": host, "ImageName": "a"}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Available")
	second := values{"UHostId": host, "ImageName": "b"}
	if r := call(t, s, "CreateCustomImage", second); r.code() != 8095 {
		t.Errorf("second image: got RetCode %d, want 8095", r.code())
	}
	ok(t, s, "TerminateCustomImage", values{"ImageId": image})
	ok(t, s, "CreateCustomImage", second)
	terminate(t, s, host)
	ok(t, s, "CreateUHostInstance", create(s))
}

func TestBaseImages(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	first := ok(t, s, "DescribeImage", values{"ImageType": "Base", "Zone": zone})
	if n := len(first["ImageSet"].([]any)); n != 20 || first.text("TotalCount") != "25" {
		t.Errorf("got %d of %s images, want a page of 20 of 25", n, first.text("TotalCount"))
	}
	all := ok(t, s, "DescribeImage", values{"ImageType": "Base", "Limit": "500"})
	if all.text("TotalCount") != "50" {
		t.Errorf("got %s images in the region, want those of two zones", all.text("TotalCount"))
	}
	var here, there []string
	for _, z := range []values{{"Zone": zone}, {"Zone": "cn-bj2-05"}, {"Region": "cn-sh2"}} {
		there = append(there, imageID(t, s, z, "CentOS 7.9 64位"))
	}
	slices.Sort(there)
	if len(slices.Compact(there)) != 3 {
		t.Errorf("got ids %v, want another one in each zone", there)
	}
	for _, m := range s.Ready().Images {
		here = append(here, m.Name)
		r := ok(t, s, "DescribeImage", values{"ImageId": m.ID})
		if r.text("ImageSet.0.State") != "Available" || r.text("ImageSet.0.OsType") != "Linux" || r.text("ImageSet.0.Zone") != zone {
			t.Errorf("Ready tells %s: %v", m.Name, r)
		}
		if other := ok(t, s, "DescribeImage", values{"ImageId": m.ID, "Region": "cn-sh2"}); other.text("TotalCount") != "0" {
			t.Errorf("%s is in two regions", m.Name)
		}
	}
	if here[0] != "CentOS 7.9 64位" || slices.Contains(here, "CentOS 7.8 64位") {
		t.Errorf("Ready tells %v, want CentOS 7.9 first and no image that is not Available", here)
	}
	if r := ok(t, s, "DescribeImage", values{"ImageIds.0": s.Ready().Images[0].ID, "ImageIds.1": "uimage-none"}); r.text("TotalCount") != "1" {
		t.Errorf("by ids: got %s images, want 1", r.text("TotalCount"))
	}
	if r := ok(t, s, "DescribeImage", values{"OsType": "Windows", "Zone": zone}); r.text("TotalCount") != "3" {
		t.Errorf("Windows: got %s images, want 3", r.text("TotalCount"))
	}
	if r := ok(t, s, "DescribeImage", values{"ImageType": "Custom"}); r.text("TotalCount") != "0" {
		t.Errorf("Custom: got %s images, want none", r.text("TotalCount"))
	}
}
