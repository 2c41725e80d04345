package manifest_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

func inputs() *manifest.Inputs {
	return &manifest.Inputs{
		Name: "n", Version: "1.0.0", Platform: "linux/amd64",
		Artifacts: manifest.Artifacts{
			HashiCorp: []manifest.HashiCorp{{Product: "consul", Version: "1.6.1"}},
			Providers: []manifest.Provider{
				{Source: "hashicorp/null", Version: "2.1.2", Protocols: []int{5, 4}},
				{Source: "registry.example/acme/widget", Version: "1.0.0"},
			},
			RPMs:  manifest.RPMs{Install: []string{"docker-ce-cli-19.03.15", "wget"}},
			Files: []manifest.File{{Path: "cfssl_linux-amd64"}, {Path: "dir/x"}},
		},
	}
}

func TestPaths(t *testing.T) {
	want := []string{
		"files/cfssl_linux-amd64",
		"files/consul_1.6.1_linux_amd64",
		"files/consul_1.6.1_linux_amd64.zip",
		"files/dir/x",
		"files/terraform-provider-null_v2.1.2_x4",
		"files/terraform-provider-widget_v1.0.0_x5",
	}
	if got := inputs().Paths(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	in := inputs()
	met := []manifest.Need{
		{Image: "a", Recipe: "consul", Variable: "consul_version", Path: "files/consul_1.6.1_linux_amd64"},
		{Image: "a", Recipe: "yum", Package: "wget"},
	}
	if err := in.Check(met); err != nil {
		t.Errorf("all needs met: got %v", err)
	}
	if err := in.Check(nil); err != nil {
		t.Errorf("no needs: got %v", err)
	}
	missing := []manifest.Need{
		{Image: "a", Recipe: "consul", Variable: "consul_version", Path: "files/consul_1.7.0_linux_amd64"},
		{Image: "b", Recipe: "docker", Package: "docker-ce"},
		{Image: "b", Recipe: "docker", Variable: "docker_rpm", Package: "docker-ce-cl"},
		{Image: "b", Recipe: "nomad", Path: "cfssl_linux-amd64"},
	}
	err := in.Check(append(slices.Clone(missing[:2]), append(met, missing[2:]...)...))
	var e *manifest.MissingError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *manifest.MissingError", err)
	}
	if diff := cmp.Diff(missing, e.Needs); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	const want = `image "a": recipe "consul" takes "files/consul_1.7.0_linux_amd64", which artifacts does not give (variable consul_version)
image "b": recipe "docker" takes package "docker-ce", which artifacts.rpms.install does not list
image "b": recipe "docker" takes package "docker-ce-cl", which artifacts.rpms.install does not list (variable docker_rpm)
image "b": recipe "nomad" takes "cfssl_linux-amd64", which artifacts does not give`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestPackageSpecs(t *testing.T) {
	for _, test := range []struct {
		spec, name string
		want       bool
	}{
		{"wget", "wget", true},
		{"wget", "wge", false},
		{"wget2", "wget", false},
		{"docker-ce-19.03.15", "docker-ce", true},
		{"docker-ce-19.03.15-3.el7", "docker-ce", true},
		{"docker-ce-3:19.03.15-3.el7", "docker-ce", true},
		{"3:docker-ce-19.03.15-3.el7", "docker-ce", true},
		{"docker-ce-19.03.15-3.el7.x86_64", "docker-ce", true},
		{"docker-ce.x86_64", "docker-ce", true},
		{"docker-ce-19.03.*", "docker-ce", true},
		{"docker-ce-*", "docker-ce", true},
		{"docker-ce-cli-19.03.15", "docker-ce", false},
		{"docker-ce-cli-19.03.15-3.el7", "docker-ce", false},
		{"docker-ce-cli", "docker-ce", false},
		{"docker-ce-cli-19.03.15", "docker-ce-cli", true},
		{"docker-ce-rootless-extras-20.10.12", "docker-ce", false},
		{"java-1.8.0-openjdk", "java", false},
		{"java-1.8.0-openjdk-1.8.0.412", "java-1.8.0-openjdk", true},
		{"device-mapper-persistent-data", "device-mapper", false},
		{"perl-libs-5.16.3", "perl", false},
		{"x:wget", "wget", false},
	} {
		in := manifest.Inputs{Artifacts: manifest.Artifacts{RPMs: manifest.RPMs{Install: []string{test.spec}}}}
		got := in.Check([]manifest.Need{{Package: test.name}}) == nil
		if got != test.want {
			t.Errorf("%s lists %s: got %t, want %t", test.spec, test.name, got, test.want)
		}
	}
}

func TestProviderNames(t *testing.T) {
	for _, test := range []struct {
		p    manifest.Provider
		want string
	}{
		{manifest.Provider{Source: "hashicorp/null", Version: "2.1.2"}, "terraform-provider-null_v2.1.2_x5"},
		{manifest.Provider{Source: "hashicorp/null", Version: "2.1.2", Protocols: []int{6}}, "terraform-provider-null_v2.1.2_x6"},
		{manifest.Provider{Source: "r.example:8/acme/widget", Version: "1.0.0-b+c", Protocols: []int{6, 5}}, "terraform-provider-widget_v1.0.0-b+c_x5"},
	} {
		if got := test.p.Flat(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.p.Source, got, test.want)
		}
	}
}
