package ucloud_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

func TestBake(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	img := sweepImage(b)
	img.Cloud.CopyTo = append(img.Cloud.CopyTo, region+"/org-sandbox2")
	res, err := provision.Bake(t.Context(), b.request(img))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.out.String())
	}
	made := res.Images[0].Made
	if err := b.left(made); err != nil {
		t.Error(err)
	}
	images := b.sandbox.Images()
	if len(made.Copies) != 2 || len(images) != 3 {
		t.Fatalf("got %+v and images %+v, want one and two copies", made, images)
	}
	for i, want := range []struct{ id, region, project string }{
		{made.ID, region, b.ready.Project}, {made.Copies[0].ID, "cn-sh2", b.ready.Project}, {made.Copies[1].ID, region, "org-sandbox2"},
	} {
		got := images[i]
		if got.ID != want.id || got.Region != want.region || got.Project != want.project || got.Name != "db-1" || got.State != "Available" {
			t.Errorf("image %d: got %+v, want %+v", i, got, want)
		}
		words := strings.Fields(got.Description)
		if len(words) != 3 || words[0] != "offbake" || words[1] != res.Images[0].Inputs || !strings.HasPrefix(words[2], "offbake-") {
			t.Errorf("image %d: got description %q, want offbake, key and host", i, got.Description)
		}
	}
	calls := len(b.sandbox.Calls())
	again, err := provision.Bake(t.Context(), b.request(img))
	if err != nil || !again.Images[0].Reused || again.Images[0].Made.ID != made.ID || len(again.Images[0].Made.Copies) != 2 {
		t.Errorf("once more: got %+v, %v, want the same image and copies", again, err)
	}
	for _, c := range b.sandbox.Calls()[calls:] {
		if strings.HasPrefix(c.Action, "Create") {
			t.Errorf("once more: got a call of %s", c.Action)
		}
	}
	img.Cloud.CopyTo = append(img.Cloud.CopyTo, "hk")
	again, err = provision.Bake(t.Context(), b.request(img))
	if err != nil || again.Images[0].Reused || len(again.Images[0].Made.Copies) != 3 {
		t.Errorf("with another copy: got %+v, %v, want all of it made", again, err)
	}
}

// TestFindWantsAllOfIt: what bears the key and is not what was asked for does not count.
func TestFindWantsAllOfIt(t *testing.T) {
	s := newScripted(t)
	key := strings.Repeat("ab", 32)
	custom := func(id, name, description string, created int) map[string]any {
		return with(baseImage(id, name, created), "ImageType", "Custom", "ImageDescription", description)
	}
	s.images = []map[string]any{
		custom("good-old", "db-1", "offbake "+key+" offbake-a-db", 1), custom("good", "db-1", "offbake "+key+" offbake-b-db", 2),
		with(custom("making", "db-1", "offbake "+key+" offbake-c-db", 3), "State", "Making"),
		custom("other name", "db-2", "offbake "+key+" offbake-d-db", 4),
		custom("other key", "db-1", "offbake "+strings.Repeat("cd", 32)+" x", 5),
		custom("part of a word", "db-1", "offbake x"+key, 6), with(baseImage("base", "db-1", 7), "ImageDescription", "offbake "+key),
	}
	got, ok, err := s.cloud(t).Find(t.Context(), image(nil), key)
	if err != nil || !ok || got.ID != "good" || got.Region != region {
		t.Errorf("got %+v, %v, %v, want the newest that is good", got, ok, err)
	}
	if _, ok, err = s.cloud(t).Find(t.Context(), image(nil), strings.Repeat("ef", 32)); ok || err != nil {
		t.Errorf("another key: got %v, %v", ok, err)
	}
}

// TestHost: what a host is asked for, and that it can be used at once.
func TestHost(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*manifest.Image)
		eip    bool
	}{
		"private address": {nil, false},
		"public address":  {func(i *manifest.Image) { i.Cloud.SSH.PrivateIP = false }, true},
		"no VPC of ours": {func(i *manifest.Image) {
			i.Cloud = manifest.Cloud{Region: region, Zone: i.Cloud.Zone, Project: i.Cloud.Project}
		}, true},
		"given password":  {func(i *manifest.Image) { i.Cloud.SSH.Password = "Correct-Horse-9" }, false},
		"another project": {func(i *manifest.Image) { i.Cloud.Project = "org-sandbox2" }, false},
		"another region": {func(i *manifest.Image) {
			i.Cloud = manifest.Cloud{Region: "hk", Zone: "hk-02", Project: i.Cloud.Project}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, sandbox.Options{})
			cloud, img := b.cloud(), b.image("db", c.change)
			base, err := cloud.Base(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			h, err := cloud.Create(t.Context(), "offbake-run-db", base, img)
			if err != nil {
				t.Fatalf("%v\n%s", err, b.out.String())
			}
			if err := h.Run(t.Context(), provision.Command{Argv: []string{"true"}}); err != nil || h.Name() != "offbake-run-db" {
				t.Errorf("got %q, %v, want a host that takes commands", h.Name(), err)
			}
			hosts := b.sandbox.Hosts()
			if len(hosts) != 1 || len(b.sandbox.EIPs()) == 1 != c.eip {
				t.Fatalf("got hosts %+v, EIPs %+v", hosts, b.sandbox.EIPs())
			}
			got := hosts[0]
			if got.Name != h.Name() || got.Tag != "offbake" || got.Zone != img.Cloud.Zone ||
				got.Project != img.Cloud.Project || got.Image != base.ID {
				t.Errorf("got %+v", got)
			}
			once := func() error { return cloud.Terminate(t.Context(), h.Name()) }
			if err := errors.Join(h.Close(), once(), once(), b.left()); err != nil {
				t.Errorf("ending it, twice: %v", err)
			}
		})
	}
}

// TestHostIsRecognised: another machine at the host's address is not let near the bake; without cloud-init it cannot be
// told, which is said.
func TestHostIsRecognised(t *testing.T) {
	for _, without := range []bool{false, true} {
		b := newBench(t, sandbox.Options{NoCloudInit: without})
		cloud, img := b.cloud(), b.image("db", nil)
		base, err := cloud.Base(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		first, err := cloud.Create(t.Context(), "offbake-run-first", base, img)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		address := net.JoinHostPort(b.sandbox.Hosts()[0].Private, "22")
		b.tune = func(c *ucloud.Config) {
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			c.Patience.SSH = time.Second // after which the first host's password is taken for wrong
		}
		_, err = b.cloud().Create(t.Context(), "offbake-run-second", base, img)
		key, ok := errors.AsType[*remote.HostKeyError](err)
		if err == nil || ok == without || !without && key.Host != "offbake-run-second" {
			t.Errorf("without cloud-init %v: got %v", without, err)
		}
		if told := strings.Contains(b.out.String(), "warning: host offbake-run-second: base image "); told != without {
			t.Errorf("without cloud-init %v: a warning was said: %v", without, told)
		}
		if hosts := b.sandbox.Hosts(); len(hosts) != 1 || hosts[0].Name != "offbake-run-first" {
			t.Errorf("got hosts %+v, want the first alone", hosts)
		}
	}
}

// TestPasswordsDiffer: a random one for each host.
func TestPasswordsDiffer(t *testing.T) {
	s := newScripted(t)
	c := s.cloud(t)
	seen := map[string]bool{}
	for i := range 3 {
		base, err := c.Base(t.Context(), image(nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Create(t.Context(), fmt.Sprintf("offbake-run-db%d", i), base, image(nil)); err == nil {
			t.Fatal("got no error of an API that has no such action")
		}
	}
	for _, call := range s.calls("CreateUHostInstance") {
		seen[call.Get("Password")] = true
		if call.Get("UserData") == "" || len(call.Get("Password")) < 32 {
			t.Errorf("got %v, want user data and a long password", call)
		}
	}
	if len(seen) != 3 {
		t.Errorf("got %d different passwords, want 3", len(seen))
	}
}

// TestTerminateByName: a process knows a host by its name alone, finds it among many, and ends all of that name.
func TestTerminateByName(t *testing.T) {
	b := newBench(t, sandbox.Options{Hosts: 30})
	first := b.cloud()
	img := b.image("db", nil)
	base, err := first.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"offbake-a-db", "offbake-a-db", "offbake-a-db2", "other"} {
		h, err := first.Create(t.Context(), name, base, img)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	if err := b.cloud().Terminate(t.Context(), "offbake-a-db"); err != nil {
		t.Error(err)
	}
	var names []string
	for _, h := range b.sandbox.Hosts() {
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"offbake-a-db2", "other"}) {
		t.Errorf("got hosts %v left, want the two others", names)
	}
	orphans, err := b.cloud().Orphans(t.Context(), 0)
	if err != nil || len(orphans) != 1 || orphans[0].Name != "offbake-a-db2" || orphans[0].Region != region ||
		orphans[0].State != "Running" {
		t.Errorf("orphans: got %+v, %v, want the one with a name of ours", orphans, err)
	}
	if orphans, err = b.cloud().Orphans(t.Context(), time.Hour); err != nil || len(orphans) != 0 {
		t.Errorf("orphans of an hour: got %+v, %v, want none", orphans, err)
	}
}

// TestDiscard removes what was captured, and copies of it, and nothing else.
func TestDiscard(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	var kept []provision.Made
	var host string
	for i, name := range []string{"db", "other"} {
		img := b.image(name, func(i *manifest.Image) { i.Cloud.CopyTo = []string{"cn-sh2"} })
		cloud := b.cloud()
		base, err := cloud.Base(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		h, err := cloud.Create(t.Context(), "offbake-run-"+name, base, img)
		if err != nil {
			t.Fatal(err)
		}
		made, err := cloud.Capture(t.Context(), h, provision.Capture{Name: name, Key: "key", Description: "offbake key " + h.Name()})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			host = h.Name()
			continue
		}
		if err := cloud.Terminate(t.Context(), h.Name()); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, made)
	}
	if err := errors.Join(b.cloud().Discard(t.Context(), host, []string{"cn-sh2"}), b.left(kept...)); err != nil {
		t.Error(err)
	}
	if err := b.cloud().Discard(t.Context(), host, []string{"/"}); err == nil {
		t.Error("a place that is none: got no error")
	}
}

// TestCaptureTakesItsOwn: a host of another builder, and a description by which the image could not be found again.
func TestCaptureTakesItsOwn(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	if _, err := b.cloud().Capture(t.Context(), strange{}, provision.Capture{Description: "offbake key x"}); err == nil {
		t.Error("another builder's host: got no error")
	}
	img := b.image("db", nil)
	cloud := b.cloud()
	base, err := cloud.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	h, err := cloud.Create(t.Context(), "offbake-run-db", base, img)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cloud.Capture(t.Context(), h, provision.Capture{Name: "x", Description: "offbake key"})
	if err == nil || len(b.sandbox.Images()) != 0 {
		t.Errorf("without the host's name: got %v and %v, want an error and no image", err, b.sandbox.Images())
	}
}

type strange struct{ provision.Host }

func TestImport(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	_, err := b.cloud().Import(t.Context(), ucloud.Import{Name: "x", Description: "offbake key offbake-run-x",
		URL:    "http://" + b.ready.Bucket + ".example/nothing?Signature=" + urlSignature,
		OSType: "CentOS", OSName: "CentOS 7.9 64位", Format: "RAW"})
	if err == nil || strings.Contains(err.Error(), urlSignature) || !strings.Contains(err.Error(), `importing image "x"`) {
		t.Errorf("got %v, want an error without the signature", err)
	}
	if err := b.left(); err != nil {
		t.Error(err)
	}
	if _, err := b.cloud().Import(t.Context(), ucloud.Import{Name: "x"}); err == nil {
		t.Error("without a description: got no error")
	}
}

func TestFiles(t *testing.T) {
	f := ucloud.Files{Source: func(string) (io.ReadCloser, error) { return os.Open(os.DevNull) }}
	server, err := f.Server(t.Context())
	want := provision.FileServer{URL: "http://10.213.0.1/files", Allow: netip.MustParseAddrPort("10.213.0.1:80"), Disk: true}
	if err != nil || server != want {
		t.Errorf("got %+v, %v, want %+v", server, err, want)
	}
	if _, err := f.URL(t.Context(), "files/x"); err == nil {
		t.Error("without a store: got no error")
	}
	f.Store = func(_ context.Context, path string) (string, error) { return "http://store/" + path, nil }
	if got, err := f.URL(t.Context(), "files/x"); err != nil || got != "http://store/files/x" {
		t.Errorf("got %q, %v", got, err)
	}
	r, err := f.Open("files/x")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// TestNoSecretStays bakes with all output on and greps all that is left of it for all that is secret.
func TestNoSecretStays(t *testing.T) {
	const password = "Correct-Horse-9"
	b := newBench(t, sandbox.Options{})
	b.tune = func(c *ucloud.Config) { c.Client = transport.New(transport.Options{Trace: &b.out}) }
	img := sweepImage(b)
	img.Cloud.SSH.Password = password
	// The second fails after all was said.
	bad := sweepImage(b)
	bad.Name, bad.ImageName, bad.Cloud.SSH.Password = "bad", "bad-1", password
	b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
		if c.Action == "CreateCustomImage" && c.Nth == 2 {
			return sandbox.Fault{Kind: sandbox.FaultRetCode, Code: 8095}
		}
		return sandbox.Fault{}
	}))
	r := b.request(img, bad)
	r.KeepOnError = true
	_, err := provision.Bake(t.Context(), r)
	if err == nil {
		t.Fatal("got no error")
	}
	text := map[string]string{"output": b.out.String(), "error": fmt.Sprintf("%v %+v %#v", err, err, err), "commands": b.park.commands()}
	for _, dir := range []string{b.journal(), filepath.Join(b.dir, "sandbox", "images")} {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			text[path] = string(data)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(text) < 7 || !strings.Contains(text["commands"], "host-agent") || !strings.Contains(text["output"], "POST http://") {
		t.Fatalf("got %d texts, want output with a trace, error, commands, a journal entry, an image and its copy", len(text))
	}
	secrets := []string{password, b.ready.PrivateKey, b.ready.PublicKey, urlSignature, "PRIVATE KEY", " offbake\n", "ssh-ed25519 AAAA"}
	for where, content := range text {
		for _, secret := range secrets {
			if strings.Contains(content, secret) {
				t.Errorf("%q is in %s", secret, where)
			}
		}
	}
	b.fault.Store(nil)
	if _, err := provision.Clean(t.Context(), b.cloud(), b.journal(), b.target()); err != nil {
		t.Error(err)
	}
}
