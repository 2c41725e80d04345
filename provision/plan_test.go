package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

func TestPreflightRefuses(t *testing.T) {
	b := newBundle(t, clusterFiles())
	for _, tt := range []struct {
		fault  string
		change func(*manifest.Image)
		want   string
	}{
		{"yum_base set", func(i *manifest.Image) { i.Variables["yum_base"] = "https://mirror.example/c7.repo" },
			`image "nomad-client": variable "yum_base" must be empty offline: packages come from the bundle`},
		{"yum_docker set", func(i *manifest.Image) { i.Variables["yum_docker"] = "x" }, `variable "yum_docker" must be empty offline`},
		{"another version", func(i *manifest.Image) { i.Variables["consul_version"] = "1.6.2" },
			`image "nomad-client": recipe "consul" takes "files/consul_1.6.2_linux_amd64" (variable consul_version is "1.6.2"), ` +
				`which the bundle does not hold; it holds consul_1.6.1_linux_amd64, consul_1.6.1_linux_amd64.zip`},
		{"another docker", func(i *manifest.Image) { i.Variables["docker_rpm"] = "http://x/docker-ce-20.10.1-3.x86_64.rpm?sig=1" },
			`recipe "docker" takes "files/docker-ce-20.10.1-3.x86_64.rpm" (variable docker_rpm is ` +
				`"http://x/docker-ce-20.10.1-3.x86_64.rpm?sig=1"), which the bundle does not hold; it holds docker-ce-19.03.15-3.x86_64.rpm`},
		{"another docker, signed", func(i *manifest.Image) { i.Variables["docker_rpm"] = "http://x/docker-ce-20.10.1-3.x86_64.rpm?sig=a/b" },
			`takes "files/docker-ce-20.10.1-3.x86_64.rpm" (variable docker_rpm`},
		{"another docker, for a script", func(i *manifest.Image) {
			i.Recipes, i.Variables["docker_rpm"] = nil, "http://x/docker-ce-20.10.1-3.x86_64.rpm"
		}, `image "nomad-client": "files/docker-ce-20.10.1-3.x86_64.rpm" (variable docker_rpm is`},
		{"script not in the bundle", func(i *manifest.Image) { i.Scripts = []string{"scripts/other.sh"} },
			`image "nomad-client": "scripts/other.sh", which the bundle does not hold; it holds motd.sh`},
		{"name of another image", func(i *manifest.Image) { i.ImageName = "consul-server-1" },
			`image "nomad-client": image_name "consul-server-1" is that of image "consul-server", too`},
		{"unknown recipe", func(i *manifest.Image) { i.Recipes = append(i.Recipes, "vault") }, `recipe "vault": no such recipe; there are consul,`},
		{"value that no environment holds", func(i *manifest.Image) { i.Variables["greeting"] = "a\x00b" }, `variable "greeting" holds a NUL`},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			f := newFake(t, b)
			img := nomadClient()
			tt.change(&img)
			r := f.request(consulServer(), img)
			_, err := provision.Preflight(t.Context(), &r)
			if err == nil || err.Error() != tt.want && !strings.Contains(err.Error(), tt.want) || !provision.IsPlanError(err) {
				t.Errorf("got  %v (a plan error: %v)\nwant %s", err, provision.IsPlanError(err), tt.want)
			}
			if _, bakeErr := provision.Bake(t.Context(), r); fmt.Sprint(bakeErr) != fmt.Sprint(err) {
				t.Errorf("bake: got %v, want what preflight says", bakeErr)
			}
			if len(f.hosts) > 0 || slices.ContainsFunc(f.calls, func(c string) bool { return c != "server" }) {
				t.Errorf("the cloud was asked: %q", f.calls)
			}
			f.checkNothingLeft(t)
		})
	}
}

func TestPreflightVerifiesWhatItBakesFrom(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	r := f.request(consulServer())
	altered := errors.New("altered")
	r.Verify = func(context.Context) error { return altered }
	if _, err := provision.Bake(t.Context(), r); !errors.Is(err, altered) {
		t.Errorf("got %v, want what Verify says", err)
	}
	if slices.Contains(f.calls, "create consul-server") {
		t.Errorf("a host was made: %q", f.calls)
	}
	calls := 0
	r.Verify = func(context.Context) error { calls++; return nil }
	for range 2 { // the second has nothing to make
		if _, err := provision.Bake(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("got %d calls of Verify, want 1", calls)
	}
}

func TestPreflightTellsAllAtOnce(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	one, two := consulServer(), nomadServer()
	one.Variables["yum_base"] = "x"
	two.Variables["nomad_version"] = "1.0.0"
	two.Scripts = []string{"scripts/none.sh"}
	r := f.request(one, two)
	_, err := provision.Preflight(t.Context(), &r)
	for _, want := range []string{"yum_base", "nomad_1.0.0_linux_amd64", "scripts/none.sh"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
	var need *provision.NeedError
	if !errors.As(err, &need) {
		t.Errorf("got %v, want a *NeedError in it", err)
	}
}

func TestPlanIsReadable(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	r := f.request(withScript(consulServer()))
	p, err := provision.Preflight(t.Context(), &r)
	if err != nil {
		t.Fatal(err)
	}
	want := "consul-server: consul-server-1 from CentOS 7, recipes yum consul consul-server, then scripts/motd.sh; 7 files, "
	if lines := p.Lines(); len(lines) != 1 || !strings.HasPrefix(lines[0], want) {
		t.Errorf("got %q, want it to begin with %q", lines, want)
	}
	r = f.request(withScript(image("mine")))
	if p, err := provision.Preflight(t.Context(), &r); err != nil || !strings.HasPrefix(p.Lines()[0], "mine: mine-1 from CentOS 7, scripts/motd.sh; ") {
		t.Errorf("without recipes: got %v, %v", p, err)
	}
	if err := p.Explain(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	script := clusterFiles()["scripts/motd.sh"]
	for _, line := range []string{`  running script "scripts/motd.sh"  sha256:` + digest(script), "  call create", "  price 0.35 an hour",
		"  take rpms/keys/docker.asc  sha256:" + digest("key") + "  3 bytes"} {
		if !slices.Contains(p.Lines(), line) {
			t.Errorf("got %q, want %q in it", p.Lines(), line)
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"bundle":"` + f.bundle.Identity() + `"`, `"offline":true`, `"scripts":["scripts/motd.sh"]`, `"inputs":"`} {
		if !strings.Contains(string(data), field) {
			t.Errorf("got %s, want %s in it", data, field)
		}
	}
	for _, secret := range []string{sshPassword, apiKey} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the plan holds a secret: %s", data)
		}
	}
}

// TestInputAddress changes one input at a time: the address must change with those that decide what the image holds and
// with no other.
func TestInputAddress(t *testing.T) {
	address := func(files map[string]string, change func(*manifest.Image, *provision.Request)) string {
		t.Helper()
		f := newFake(t, newBundle(t, files))
		img := withScript(nomadClient())
		r := f.request()
		if change != nil {
			change(&img, &r)
		}
		r.Images = []manifest.Image{img}
		p, err := provision.Preflight(t.Context(), &r)
		if err != nil {
			t.Fatal(err)
		}
		return p.Images[0].Inputs
	}
	first := address(clusterFiles(), nil)
	otherBundle := clusterFiles()
	otherBundle["rpms/Packages/docker-ce.rpm"] = "another"
	if address(otherBundle, nil) == first {
		t.Error("another bundle: got the same address")
	}
	for _, tt := range []struct {
		input  string
		counts bool
		change func(*manifest.Image, *provision.Request)
	}{
		{"nothing", false, func(*manifest.Image, *provision.Request) {}},
		{"a variable", true, func(i *manifest.Image, _ *provision.Request) { i.Variables["greeting"] = "hello" }},
		{"a check", true, func(i *manifest.Image, _ *provision.Request) { i.Check = []string{"true"} }},
		{"the scripts", true, func(i *manifest.Image, _ *provision.Request) { i.Scripts = nil }},
		{"the recipes", true, func(i *manifest.Image, _ *provision.Request) { i.Recipes = i.Recipes[:6] }},
		{"what is upgraded", true, func(_ *manifest.Image, r *provision.Request) { r.Upgrade = []string{"audit-libs"} }},
		{"the seal", true, func(_ *manifest.Image, r *provision.Request) { r.Offline = false }},
		{"a secret", false, func(i *manifest.Image, _ *provision.Request) { i.Variables["ssh_password"] = "another" }},
		{"the file server", false, func(i *manifest.Image, _ *provision.Request) { i.Variables["file_server"] = "http://elsewhere" }},
		{"where the docker file lies", false, func(i *manifest.Image, _ *provision.Request) {
			i.Variables["docker_rpm"] = "http://elsewhere/docker-ce-19.03.15-3.x86_64.rpm"
		}},
		{"the way of transfer", false, func(_ *manifest.Image, r *provision.Request) { r.Transfer = provision.BySSH }},
	} {
		if got := address(clusterFiles(), tt.change); (got != first) != tt.counts {
			t.Errorf("%s: address changed %v, want %v", tt.input, got != first, tt.counts)
		}
	}
}

func TestOnlineKeepsTheUsersSources(t *testing.T) {
	f := newFake(t, newBundle(t, clusterFiles()))
	img := nomadClient()
	img.Variables["yum_base"] = "http://mirror.example/c7.repo"
	img.Variables["docker_rpm"] = "http://mirror.example/docker-ce-20.rpm"
	r := f.request(img)
	r.Offline = false
	p, err := provision.Preflight(t.Context(), &r)
	if err != nil || p.Offline {
		t.Errorf("got %v, offline %v, want a plan with the network open", err, p.Offline)
	}
}
