package sandbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/offbake/offbake/provision/sandbox"
)

func TestImageRules(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	host, image := captured(t, s)
	project := s.Ready().Project
	to := values{"SourceImageId": image, "TargetProjectId": project, "TargetRegion": "hk"}
	for name, c := range map[string]struct {
		action string
		v      values
		want   int
	}{
		"no name":            {"CreateCustomImage", values{"UHostId": host}, 230},
		"bad name":           {"CreateCustomImage", values{"UHostId": host, "ImageName": "a/b"}, 230},
		"no host":            {"CreateCustomImage", values{"UHostId": "uhost-none", "ImageName": "x"}, 8039},
		"copy to itself":     {"CopyCustomImage", to.with("TargetRegion="), 8962},
		"copy of a base":     {"CopyCustomImage", to.with("SourceImageId=" + s.Ready().Images[0].ID), 8956},
		"copy of none":       {"CopyCustomImage", to.with("SourceImageId=uimage-none"), 8956},
		"copy from nowhere":  {"CopyCustomImage", to.with("Region=hk"), 8956},
		"copy to nowhere":    {"CopyCustomImage", to.with("TargetRegion=mars"), 230},
		"copy to nobody":     {"CopyCustomImage", to.with("TargetProjectId=org-none"), 292},
		"another project's":  {"CopyCustomImage", to.with("ProjectId=org-sandbox2"), 8956},
		"end of a base":      {"TerminateCustomImage", values{"ImageId": s.Ready().Images[0].ID}, 8956},
		"end of none":        {"TerminateCustomImage", values{"ImageId": "uimage-none"}, 8956},
		"end elsewhere":      {"TerminateCustomImage", values{"ImageId": image, "Region": "hk"}, 8956},
		"end by another":     {"TerminateCustomImage", values{"ImageId": image, "ProjectId": "org-sandbox2"}, 8956},
		"end of nothing":     {"TerminateCustomImage", nil, 230},
		"host by another":    {"CreateUHostInstance", create(s).with("ImageId="+image, "ProjectId=org-sandbox2"), 8889},
		"host in hk of ours": {"CreateUHostInstance", create(s).with("ImageId="+image, "Region=hk", "Zone=hk-02"), 8889},
	} {
		if r := call(t, s, c.action, c.v); r.code() != c.want || r.text("Message") == "" {
			t.Errorf("%s: got RetCode %d %q, want %d", name, r.code(), r.text("Message"), c.want)
		}
	}
	if images := s.Images(); len(images) != 1 {
		t.Errorf("got images %v, want one", images)
	}
}

// TestCopies go to other regions and projects, and live without their source.
func TestCopies(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	_, image := captured(t, s)
	to := values{"SourceImageId": image, "TargetProjectId": s.Ready().Project, "TargetImageName": "two"}
	hk := ok(t, s, "CopyCustomImage", to.with("TargetRegion=hk")).text("TargetImageId")
	other := ok(t, s, "CopyCustomImage", to.with("TargetProjectId=org-sandbox2")).text("TargetImageId")
	ok(t, s, "CopyCustomImage", to.with("TargetRegionList.0=hk", "TargetRegionList.1=cn-sh2"))
	for _, v := range []values{{"ImageId": hk, "Region": "hk"}, {"ImageId": other, "ProjectId": "org-sandbox2"}} {
		r := await(t, s, "DescribeImage", v, "ImageSet.0.State", "Available")
		if r.text("ImageSet.0.ImageName") != "two" || r.text("ImageSet.0.ImageDescription") != "a text" {
			t.Errorf("got copy %v", r)
		}
		if r := ok(t, s, "DescribeImage", v.with("Region="+region, "ProjectId=")); r.text("TotalCount") != "0" {
			t.Errorf("the copy %v is where its source is", v)
		}
	}
	ok(t, s, "TerminateCustomImage", values{"ImageId": image})
	if r := ok(t, s, "DescribeImage", values{"ImageType": "Custom"}); r.text("TotalCount") != "0" {
		t.Errorf("got %v, want no custom image here", r)
	}
	v := create(s).with("Region=hk", "Zone=hk-02", "ImageId="+hk, "NetworkInterface.0.EIP.OperatorName=International")
	id := ok(t, s, "CreateUHostInstance", v).text("UHostIds.0")
	r := await(t, s, "DescribeUHostInstance", values{"Region": "hk"}, "UHostSet.0.State", "Running")
	if r.text("UHostSet.0.UHostId") != id || r.text("UHostSet.0.BasicImageName") != "CentOS 7.9 64位" ||
		r.text("UHostSet.0.IPSet.1.Type") != "International" {
		t.Errorf("got %v, want a host of a custom image of CentOS", r)
	}
	if n := len(s.Images()); n != 4 {
		t.Errorf("got %d images, want 4", n)
	}
}

// TestImageIsBaseOfTheNext boots a host from an image that was made here.
func TestImageIsBaseOfTheNext(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	_, image := captured(t, s)
	if all := s.Ready().Images; all[len(all)-1].ID != image {
		t.Errorf("Ready tells %v, want %s among them", all, image)
	}
	running(t, s, create(s).with("ImageId="+image, "Zone=cn-bj2-05", "LoginMode=ImagePasswd", "Password="))
	if got := filepath.Base(p.boots[1].Image); got != image+".tar" {
		t.Errorf("got a machine from %s, want %s.tar", got, image)
	}
	first, err := os.Stat(p.boots[0].Image)
	if err != nil || !first.IsDir() {
		t.Errorf("got the first machine from %q, %v, want the base folder", p.boots[0].Image, err)
	}
}

// TestImageGivenUp removes one while it is being made: nothing of it is left on disk.
func TestImageGivenUp(t *testing.T) {
	p := &park{}
	dir := t.TempDir()
	s := open(t, p, sandbox.Options{Dir: dir})
	id := stopped(t, s, create(s))
	p.pack = make(chan struct{})
	image := values{"ImageId": ok(t, s, "CreateCustomImage", values{"UHostId": id, "ImageName": "x"}).text("ImageId")}
	await(t, s, "DescribeImage", image, "ImageSet.0.State", "Making")
	for _, action := range []string{"StartUHostInstance", "CreateCustomImage"} {
		if r := call(t, s, action, values{"UHostId": id, "ImageName": "y"}); r.code() != 8905 {
			t.Errorf("%s while an image is made: got RetCode %d, want 8905", action, r.code())
		}
	}
	ok(t, s, "TerminateCustomImage", image)
	second := ok(t, s, "CreateCustomImage", values{"UHostId": stopped(t, s, create(s)), "ImageName": "z"}).text("ImageId")
	terminate(t, s, id)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want nothing of images that were not finished, %s too", left, err, second)
	}
}
