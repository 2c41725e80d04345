package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestRestart keeps keys and images, and nothing else.
func TestRestart(t *testing.T) {
	dir, base := t.TempDir(), t.TempDir()
	p := &park{}
	s := open(t, p, sandbox.Options{Dir: dir, Base: base})
	_, image := captured(t, s)
	copied := ok(t, s, "CopyCustomImage",
		values{"SourceImageId": image, "TargetProjectId": s.Ready().Project, "TargetRegion": "hk"}).text("TargetImageId")
	await(t, s, "DescribeImage", values{"ImageId": copied, "Region": "hk"}, "ImageSet.0.State", "Available")
	running(t, s, create(s))
	images, before, described := s.Images(), s.Ready(), ok(t, s, "DescribeImage", values{"ImageId": image})
	write(t, filepath.Join(dir, "machines", "unpacked"), "as guests do with their base")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "machines")); err != nil || len(left) != 0 {
		t.Errorf("for machines Close left %v, %v", left, err)
	}
	if len(p.machines()) != 0 {
		t.Errorf("machines after Close: %v", p.machines())
	}
	// What a sandbox leaves that was killed while it made an image.
	for _, name := range []string{"uimage-half.part", "uimage-whole.tar"} {
		write(t, filepath.Join(dir, "images", name), "x")
	}
	s = open(t, p, sandbox.Options{Dir: dir, Base: base})
	after := s.Ready()
	if after.PublicKey != before.PublicKey || after.PrivateKey != before.PrivateKey || after.Images[0] != before.Images[0] {
		t.Error("got other keys or base images after a restart")
	}
	byID := func(all []sandbox.Image) map[string]sandbox.Image {
		m := map[string]sandbox.Image{}
		for _, one := range all {
			m[one.ID] = one
		}
		return m
	}
	if d := cmp.Diff(byID(images), byID(s.Images())); d != "" {
		t.Errorf("images (-before +after):\n%s", d)
	}
	if d := cmp.Diff(described, ok(t, s, "DescribeImage", values{"ImageId": image})); d != "" {
		t.Errorf("DescribeImage (-before +after):\n%s", d)
	}
	if hosts, eips := s.Hosts(), s.EIPs(); len(hosts)+len(eips) != 0 {
		t.Errorf("got hosts %v, EIPs %v, want none", hosts, eips)
	}
	running(t, s, create(s).with("ImageId="+image))
	left, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil || len(left) != 4 {
		t.Errorf("got files %v, %v, want two of each image", left, err)
	}
	for _, name := range []string{"", "keys.json", "images/" + image + ".tar", "images/" + image + ".json"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); name != "" && (err != nil || fi.Mode().Perm() != 0o600) {
			t.Errorf("%s: got %v, %v, want mode 0600", name, fi.Mode(), err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	base := t.TempDir()
	for name, c := range map[string]struct {
		o    sandbox.Options
		want string
	}{
		"any address":  {sandbox.Options{Base: base, Listen: "0.0.0.0:0"}, "loopback"},
		"an outer one": {sandbox.Options{Base: base, Listen: "10.1.2.3:80"}, "loopback"},
		"IPv6":         {sandbox.Options{Base: base, Listen: "[::1]:0"}, "loopback"},
		"a name":       {sandbox.Options{Base: base, Listen: "localhost:0"}, "loopback"},
		"no port":      {sandbox.Options{Base: base, Listen: "127.0.0.1"}, "loopback"},
		"no base":      {sandbox.Options{Base: filepath.Join(base, "none")}, "base: "},
	} {
		c.o.Dir = filepath.Join(t.TempDir(), "d")
		s, err := sandbox.New(c.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, c.want)
		}
	}
	dir := t.TempDir()
	open(t, &park{}, sandbox.Options{Dir: dir})
	if _, err := sandbox.New(sandbox.Options{Dir: dir, Base: base}); err == nil || !strings.Contains(err.Error(), "another sandbox") {
		t.Errorf("second sandbox in a folder: got %v, want that it is taken", err)
	}
	broken := t.TempDir()
	write(t, filepath.Join(broken, "keys.json"), "{}")
	if _, err := sandbox.New(sandbox.Options{Dir: broken, Base: base}); err == nil || !strings.Contains(err.Error(), "keys.json") {
		t.Errorf("broken keys: got %v, want an error that names the file", err)
	}
	if err := os.Remove(filepath.Join(broken, "keys.json")); err != nil {
		t.Fatal(err)
	}
	open(t, &park{}, sandbox.Options{Dir: broken}) // the failed one let go of it
}

func TestListensWhereItIsTold(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{Listen: "127.0.0.9:0"})
	r := s.Ready()
	if !strings.HasPrefix(r.API, "http://127.0.0.9:") || !strings.HasPrefix(r.Endpoint, "http://127.0.0.9:") || r.Bucket != "127" {
		t.Errorf("got %s, %s, bucket %s, want 127.0.0.9 and 127", r.API, r.Endpoint, r.Bucket)
	}
}
