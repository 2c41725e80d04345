package ucloud_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/ucloud"
)

func TestBase(t *testing.T) {
	images := func() []map[string]any {
		return []map[string]any{
			baseImage("old", "CentOS 7.9 64位", 100),
			baseImage("new", "CentOS 7.9 64位", 200),
			with(baseImage("newer-making", "CentOS 7.9 64位", 300), "State", "Making"),
			with(baseImage("gpu", "CentOS 7.9 64位 GPU", 400), "Features", []string{"CloudInit", "RssdAttachable", "Vgpu_NVIDIA"}),
			with(baseImage("arm", "CentOS 7.9 64位 ARM", 500), "Features", []string{"CloudInit", "RssdAttachable", "Aarch64_Type"}),
			with(baseImage("plain", "CentOS 7.2 64位", 50), "Features", []string{"CloudInit"}),
			baseImage("kernel", "高内核CentOS 7.6 64位", 600),
			baseImage("ubuntu", "Ubuntu 22.04 64位", 700),
			with(baseImage("windows", "Windows 2019 64位", 800), "OsType", "Windows"),
			with(baseImage("custom", "CentOS 7.9 mine", 900), "ImageType", "Custom"),
		}
	}
	for name, c := range map[string]struct {
		base    manifest.Base
		machine string
		want    string // id
		near    []string
	}{
		"newest":                {manifest.Base{Name: "CentOS 7.*"}, "n-basic-2", "new", nil},
		"exact":                 {manifest.Base{Name: "CentOS 7.2 64位"}, "c-basic-2", "plain", nil},
		"class":                 {manifest.Base{Name: "CentOS 7.[0-3]*"}, "n-basic-2", "plain", nil},
		"not the high kernel":   {manifest.Base{Name: "*CentOS 7.*"}, "n-basic-2", "new", nil},
		"the high kernel for O": {manifest.Base{Name: "*CentOS 7.*"}, "o-basic-2", "kernel", nil},
		"by id":                 {manifest.Base{ID: "old"}, "n-basic-2", "old", nil},
		"custom by id":          {manifest.Base{ID: "custom"}, "n-basic-2", "custom", nil},
		"GPU by id":             {manifest.Base{ID: "gpu"}, "n-basic-2", "gpu", nil},
		"no such id":            {manifest.Base{ID: "none"}, "n-basic-2", "", nil},
		"making by id":          {manifest.Base{ID: "newer-making"}, "n-basic-2", "", []string{`"CentOS 7.9 64位" (its state is Making)`}},
		"windows":               {manifest.Base{ID: "windows"}, "n-basic-2", "", []string{`"Windows 2019 64位" (Windows)`}},
		"without RSSD for O": {manifest.Base{Name: "CentOS 7.2 *"}, "o-basic-2", "",
			[]string{`"CentOS 7.2 64位" (not for instance types o-)`}},
		"high kernel for N": {manifest.Base{Name: "高*"}, "n-basic-2", "",
			[]string{`"高内核CentOS 7.6 64位" (for instance types o- only)`}},
		"GPU and ARM by name": {manifest.Base{Name: "CentOS 7.9 64位 *"}, "n-basic-2", "",
			[]string{`"CentOS 7.9 64位 ARM" (for ARM)`, `"CentOS 7.9 64位 GPU" (for GPU machines)`}},
		"custom is no base": {manifest.Base{Name: "CentOS 7.9 mine"}, "n-basic-2", "",
			[]string{`"高内核CentOS 7.6 64位" (for instance types o- only)`, `"CentOS 7.9 64位 ARM" (for ARM)`,
				`"CentOS 7.9 64位 GPU" (for GPU machines)`, `"CentOS 7.9 64位" (its state is Making)`, `"CentOS 7.9 64位"`, `"CentOS 7.9 64位"`}},
		"misspelt": {manifest.Base{Name: "ubuntu-22*"}, "n-basic-2", "", []string{`"Ubuntu 22.04 64位"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			s.images = images()
			got, err := s.cloud(t).Base(t.Context(), image(func(i *manifest.Image) { i.Base, i.Cloud.InstanceType = c.base, c.machine }))
			if c.want != "" {
				if err != nil || got.ID != c.want || got.Name == "" {
					t.Errorf("got %+v, %v, want %s", got, err, c.want)
				}
				return
			}
			lost, ok := errors.AsType[*ucloud.BaseError](err)
			if !ok {
				t.Fatalf("got %+v, %v, want a *BaseError", got, err)
			}
			if diff := cmp.Diff(c.near, lost.Near); diff != "" {
				t.Errorf("near misses: %s", diff)
			}
			text := lost.Error()
			if !strings.Contains(text, "in cn-bj2 cn-bj2-02: there is none") || !strings.Contains(text, c.base.ID+c.base.Name) {
				t.Errorf("got %q, want what and where", text)
			}
			for _, call := range s.calls("DescribeImage") {
				if c.base.Name != "" && (call.Get("Zone") != zone || call.Get("ImageType") != "Base") {
					t.Errorf("got %v, want base images of the zone", call)
				}
			}
		})
	}
}

func TestBases(t *testing.T) {
	s := newScripted(t)
	s.images = []map[string]any{baseImage("b", "CentOS 7.9", 1), baseImage("a", "CentOS 7.9", 2),
		with(baseImage("c", "CentOS 6", 3), "State", "Unavailable"),
		baseImage("u", "Ubuntu", 4)}
	got, err := s.cloud(t).Bases(t.Context(), regexp.MustCompile("^CentOS"))
	var ids []string
	for _, b := range got {
		ids = append(ids, b.ID)
		if b.Available == (b.ID == "c") || b.Zone != zone || b.Size != 20 || b.Features == nil {
			t.Errorf("got %+v", b)
		}
	}
	if err != nil || !slices.Equal(ids, []string{"c", "a", "b"}) {
		t.Errorf("got %v, %v, want them by name, newest first", ids, err)
	}
}

// TestChecks: all that is wrong is told at once, and nothing is made or asked for that would be.
func TestChecks(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*manifest.Image)
		want   []string // keys, in order
	}{
		"all good": {func(i *manifest.Image) {
			i.Cloud.VPC, i.Cloud.Subnet, i.Cloud.SSH.PrivateIP, i.Cloud.SecurityGroup = "uvnet-1", "subnet-1", true, "firewall-web"
			i.Cloud.CopyTo, i.Cloud.SSH.Password, i.Cloud.ChargeType = []string{"cn-sh2", "cn-bj2/org-2", "hk/org-2"}, "correct-1", "Month"
		}, nil},
		"defaults":              {func(i *manifest.Image) { i.Cloud = place() }, nil},
		"no place":              {func(i *manifest.Image) { i.Cloud.Region, i.Cloud.Zone = "", "" }, []string{"region", "zone"}},
		"vpc alone":             {func(i *manifest.Image) { i.Cloud.VPC = "uvnet-1" }, []string{"vpc"}},
		"subnet alone":          {func(i *manifest.Image) { i.Cloud.Subnet = "subnet-1" }, []string{"vpc"}},
		"private without a vpc": {func(i *manifest.Image) { i.Cloud.SSH.PrivateIP = true }, []string{"ssh.private_ip"}},
		"no such vpc":           {func(i *manifest.Image) { i.Cloud.VPC, i.Cloud.Subnet = "uvnet-9", "subnet-1" }, []string{"vpc"}},
		"no such subnet":        {func(i *manifest.Image) { i.Cloud.VPC, i.Cloud.Subnet = "uvnet-1", "subnet-9" }, []string{"subnet"}},
		"another vpc's subnet":  {func(i *manifest.Image) { i.Cloud.VPC, i.Cloud.Subnet = "uvnet-1", "subnet-of-2" }, []string{"subnet"}},
		"no such firewall":      {func(i *manifest.Image) { i.Cloud.SecurityGroup = "firewall-9" }, []string{"security_group"}},
		"small disk":            {func(i *manifest.Image) { i.Cloud.BootDisk.Size = 19 }, []string{"boot_disk.size"}},
		"large disk":            {func(i *manifest.Image) { i.Cloud.BootDisk.Size = 40 }, nil},
		"large local disk": {func(i *manifest.Image) {
			i.Cloud.BootDisk = manifest.BootDisk{Type: "local_ssd", Size: 40}
		}, []string{"boot_disk.size"}},
		"local disk": {func(i *manifest.Image) { i.Cloud.BootDisk.Type = "local_normal" }, nil},
		"odd disk":   {func(i *manifest.Image) { i.Cloud.BootDisk.Type = "floppy" }, []string{"boot_disk.type"}},
		"O with another disk": {func(i *manifest.Image) {
			i.Cloud.InstanceType, i.Cloud.BootDisk.Type = "o-basic-2", "cloud_ssd"
		}, []string{"boot_disk.type"}},
		"broad EIP":             {func(i *manifest.Image) { i.Cloud.EIP.Bandwidth = 301 }, []string{"eip.bandwidth"}},
		"short password":        {func(i *manifest.Image) { i.Cloud.SSH.Password = "Ab-4567" }, []string{"ssh.password"}},
		"long password":         {func(i *manifest.Image) { i.Cloud.SSH.Password = strings.Repeat("Ab1", 11) }, []string{"ssh.password"}},
		"password of one class": {func(i *manifest.Image) { i.Cloud.SSH.Password = "abcdefghij" }, []string{"ssh.password"}},
		"password with a space": {func(i *manifest.Image) { i.Cloud.SSH.Password = "abc 12345" }, []string{"ssh.password"}},
		"charge":                {func(i *manifest.Image) { i.Cloud.ChargeType = "Spot" }, []string{"charge_type"}},
		"copy to nowhere":       {func(i *manifest.Image) { i.Cloud.CopyTo = []string{"us-ca"} }, []string{"copy_to"}},
		"copy to no project":    {func(i *manifest.Image) { i.Cloud.CopyTo = []string{"hk/org-9"} }, []string{"copy_to"}},
		"copy to itself":        {func(i *manifest.Image) { i.Cloud.CopyTo = []string{region} }, []string{"copy_to"}},
		"copy to itself, spelt": {func(i *manifest.Image) {
			i.Cloud.Project, i.Cloud.CopyTo = "", []string{region + "/org-1"}
		}, []string{"copy_to"}},
		"copy twice": {func(i *manifest.Image) { i.Cloud.CopyTo = []string{"hk", "hk/org-1"} }, []string{"copy_to"}},
		"copy to a riddle": {func(i *manifest.Image) {
			i.Cloud.CopyTo = []string{"hk/a/b", "/x", "hk/"}
		}, []string{"copy_to", "copy_to", "copy_to"}},
		"type": {func(i *manifest.Image) { i.Cloud.InstanceType = "x-basic-2" }, []string{"instance_type"}},
		"everything, all at once": {func(i *manifest.Image) {
			i.Cloud = manifest.Cloud{Region: region, VPC: "uvnet-1", SecurityGroup: "f", ChargeType: "Spot",
				InstanceType: "n-basic", CopyTo: []string{"mars"}}
			i.Cloud.BootDisk.Size, i.Cloud.SSH.Password = 1, "x"
		}, []string{"zone", "vpc", "ssh.password", "charge_type", "instance_type", "boot_disk.size", "security_group", "copy_to"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			_, err := s.cloud(t).Base(t.Context(), image(c.change))
			var got []string
			for _, one := range flat(err) {
				setting, ok := errors.AsType[*ucloud.SettingError](one)
				if !ok || setting.Image != "db" || setting.What == "" {
					t.Errorf("got %v, want a *SettingError of the image", one)
					continue
				}
				got = append(got, setting.Key)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v (%v), want %v", got, err, c.want)
			}
			for _, call := range s.calls("") {
				if action := call.Get("Action"); !strings.HasPrefix(action, "Describe") && !strings.HasPrefix(action, "Get") {
					t.Errorf("got a call of %s", action)
				}
			}
		})
	}
}

// flat is what an error joins.
func flat(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// TestChecksNeedAnswers: what keeps us from checking is no problem of the manifest's.
// TestLongImageName: the host's name holds the image's, and the API bounds it.
func TestLongImageName(t *testing.T) {
	img := image(func(i *manifest.Image) { i.Name = strings.Repeat("x", 47) })
	_, err := newScripted(t).cloud(t).Base(t.Context(), img)
	setting, ok := errors.AsType[*ucloud.SettingError](err)
	if !ok || setting.Image != img.Name || setting.Key != "" || !strings.Contains(err.Error(), ": got a name of 47 characters, want at most 46") {
		t.Errorf("got %v, want a *SettingError about the name", err)
	}
}

func TestChecksNeedAnswers(t *testing.T) {
	for _, action := range []string{"DescribeImage", "DescribeVPC", "DescribeSubnet", "DescribeFirewall", "GetRegion", "GetProjectList"} {
		s := newScripted(t)
		s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
			if form.Get("Action") == action {
				reply(w, "RetCode", 299, "Message", "no permission")
			}
			return form.Get("Action") == action
		}
		_, err := s.cloud(t).Base(t.Context(), image(func(i *manifest.Image) {
			i.Cloud.VPC, i.Cloud.Subnet, i.Cloud.CopyTo, i.Cloud.ChargeType = "uvnet-1", "subnet-1", []string{"hk"}, "Spot"
		}))
		if e, ok := errors.AsType[*ucloud.Error](err); !ok || e.Kind() != ucloud.Permission || e.Action != action {
			t.Errorf("%s: got %v, want it to be told", action, err)
		}
	}
}

func TestInstanceTypes(t *testing.T) {
	for typ, want := range map[string][3]string{ // MachineType, CPU, Memory; empty for an error
		"n-highcpu-1": {"N", "1", "1024"}, "n-basic-2": {"N", "2", "4096"}, "n-standard-4": {"N", "4", "16384"},
		"n-highmem-16": {"N", "16", "131072"},
		"c-basic-32":   {"C", "32", "65536"}, "o-standard-96": {"O", "96", "393216"}, "o-highmem-32": {"O", "32", "262144"},
		"n-customized-1-12": {"N", "1", "12288"}, "n-customized-12-8": {"N", "12", "8192"}, "n-customized-2-4": {"N", "2", "4096"},
		"n-highcpu-3": {}, "n-highcpu-34": {}, "n-highmem-18": {}, "o-basic-1": {}, "o-basic-6": {}, "o-highmem-64": {},
		"n-basic-0": {}, "n-basic--2": {},
		"n-basic-x": {}, "n-basic": {}, "n": {}, "n-basic-2-4": {}, "nx-basic-2": {}, "n-tiny-2": {},
		"n-customized-2": {}, "n-customized-3-4": {},
		"n-customized-2-5": {}, "n-customized-14-6": {}, "n-customized-2-64": {}, "n-customized-2-512": {},
	} {
		s := newScripted(t)
		c := s.cloud(t)
		img := image(func(i *manifest.Image) { i.Cloud.InstanceType = typ })
		base, err := c.Base(t.Context(), img)
		if want[0] == "" {
			setting, ok := errors.AsType[*ucloud.SettingError](err)
			if !ok || setting.Key != "instance_type" || !strings.Contains(setting.What, typ) {
				t.Errorf("%s: got %v, want it refused by name", typ, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		intent, err := c.Intend(t.Context(), base, img, provision.Capture{Name: "db-1", Description: "offbake key offbake-RUN-db"})
		if err != nil {
			t.Fatal(err)
		}
		p := intent.Calls[0].Parameters
		if got := [3]string{p["MachineType"], p["CPU"], p["Memory"]}; got != want {
			t.Errorf("%s: got %v, want %v", typ, got, want)
		}
	}
}

func TestIntend(t *testing.T) {
	s := newScripted(t)
	c := s.cloud(t)
	const password = "Correct-Horse-9"
	img := image(func(i *manifest.Image) {
		i.Cloud.VPC, i.Cloud.Subnet, i.Cloud.SSH.Password, i.Cloud.CopyTo = "uvnet-1", "subnet-1", password, []string{"hk/org-2"}
	})
	base, err := c.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Intend(t.Context(), base, img, provision.Capture{Name: "db-1", Key: "key", Description: "offbake key offbake-RUN-db"})
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{"Region": region, "ProjectId": "org-1"}
	and := func(pairs ...string) map[string]string {
		out := map[string]string{"Region": at["Region"], "ProjectId": at["ProjectId"]}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	want := provision.Intent{Price: "0.35 CNY an hour", Calls: []provision.Call{
		{Action: "CreateUHostInstance", Parameters: and("Zone", zone, "Name", "offbake-RUN-db", "Tag", "offbake", "ImageId", "uimage-base79",
			"LoginMode", "Password", "Password", "[secret]", "UserData", "[secret]", "CPU", "2", "Memory", "4096", "MachineType", "N",
			"MinimalCpuPlatform", "Intel/Auto", "ChargeType", "Dynamic", "SecurityGroupId", "firewall-nonweb", "VPCId", "uvnet-1",
			"SubnetId", "subnet-1", "Disks.0.IsBoot", "True", "Disks.0.Size", "20", "Disks.0.Type", "CLOUD_SSD",
			"NetworkInterface.0.EIP.Bandwidth", "10", "NetworkInterface.0.EIP.PayMode", "Traffic", "NetworkInterface.0.EIP.OperatorName", "Bgp")},
		{Action: "DescribeUHostInstance", Parameters: and("UHostIds.0", "[UHostId]")},
		{Action: "StopUHostInstance", Parameters: and("UHostId", "[UHostId]")},
		{Action: "CreateCustomImage", Parameters: and("UHostId", "[UHostId]", "ImageName", "db-1",
			"ImageDescription", "offbake key offbake-RUN-db", "Tag", "offbake")},
		{Action: "DescribeImage", Parameters: and("ImageId", "[ImageId]")},
		{Action: "CopyCustomImage", Parameters: and("SourceImageId", "[ImageId]", "TargetRegion", "hk", "TargetProjectId", "org-2",
			"TargetImageName", "db-1", "TargetImageDescription", "offbake key offbake-RUN-db", "TargetImageTag", "offbake")},
		{Action: "DescribeImage", Parameters: map[string]string{"Region": "hk", "ProjectId": "org-2", "ImageId": "[TargetImageId]"}},
		{Action: "TerminateUHostInstance", Parameters: and("UHostId", "[UHostId]", "ReleaseEIP", "true", "ReleaseUDisk", "true")},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("intent: %s", diff)
	}
	for _, call := range s.calls("") {
		if action := call.Get("Action"); !strings.HasPrefix(action, "Describe") && !strings.HasPrefix(action, "Get") {
			t.Errorf("got a call of %s", action)
		}
	}
	s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
		reply(w, "RetCode", 299, "Message", "no")
		return true
	}
	if got, err = c.Intend(t.Context(), base, img, provision.Capture{}); err != nil || got.Price != "" || len(got.Calls) != len(want.Calls) {
		t.Errorf("without a price: got %+v, %v", got, err)
	}
}
