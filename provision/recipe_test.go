package provision_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

func TestRecipesAreThoseOfTheImages(t *testing.T) {
	want := []string{"consul", "consul-agent", "consul-server", "docker", "nomad", "nomad-client", "nomad-server",
		"terraform-plugins", "yum"}
	if diff := cmp.Diff(want, provision.Recipes()); diff != "" {
		t.Errorf("recipes (-want +got):\n%s", diff)
	}
}

// Every shell file of the package must pass two strict readers. dash is the sh of the smallest hosts.
func TestShellFilesAreClean(t *testing.T) {
	var files []string
	for _, pattern := range []string{"recipes/*.sh", "recipes/*/*.sh", "steps/*.sh", "testdata/stubs/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: found %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		if out, err := exec.Command("dash", "-n", f).CombinedOutput(); err != nil {
			t.Errorf("dash -n %s: %v\n%s", f, err, out)
		}
	}
	if out, err := exec.Command("shellcheck", append([]string{"-s", "sh"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

func TestNeedsFillInVariables(t *testing.T) {
	img := nomadClient()
	img.Variables["tf_plugin_ucloud_version"] = "" // left out on purpose
	got, err := provision.Needs(img)
	if err != nil {
		t.Fatal(err)
	}
	var paths, packages []string
	for _, n := range got {
		if n.Image != "nomad-client" || n.Recipe == "" {
			t.Errorf("need %+v: got no image or recipe", n)
		}
		if n.Path != "" {
			paths = append(paths, n.Path)
		} else {
			packages = append(packages, n.Package)
		}
	}
	wantPaths := []string{
		"files/consul_1.6.1_linux_amd64",
		"files/nomad_0.9.4_linux_amd64",
		"files/cfssl_linux-amd64", "files/cfssl-certinfo_linux-amd64", "files/cfssljson_linux-amd64",
		"files/terraform-provider-consul_v2.6.0_x4", "files/terraform-provider-nomad_v1.4.2_x4",
		"files/terraform-provider-null_v2.1.2_x4", "files/terraform-provider-template_v2.1.3_x4",
		"files/terraform-provider-external_v1.2.0_x4", "files/terraform-provider-local_v1.4.0_x4",
	}
	wantPackages := []string{"yum-utils", "device-mapper-persistent-data", "lvm2", "wget", "sed", "unzip", "vim",
		"docker-ce", "docker-ce-cli"}
	if diff := cmp.Diff(wantPaths, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantPackages, packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	i := slices.IndexFunc(got, func(n manifest.Need) bool { return n.Path == wantPaths[0] })
	want := manifest.Need{Image: "nomad-client", Recipe: "consul", Variable: "consul_version", Path: wantPaths[0]}
	if got[i] != want {
		t.Errorf("got %+v, want %+v", got[i], want)
	}
}

func TestNeedsRefuses(t *testing.T) {
	for _, tt := range []struct {
		fault  string
		change func(*manifest.Image)
		want   string
	}{
		{"unknown recipe", func(i *manifest.Image) { i.Recipes = []string{"yum", "consol"} }, `recipe "consol": no such recipe`},
		{"recipe that is a part of another", func(i *manifest.Image) { i.Recipes = []string{"checks/consul"} }, "no such recipe"},
		{"recipe twice", func(i *manifest.Image) { i.Recipes = []string{"yum", "yum"} }, `recipe "yum": is there twice`},
		{"configuration before its service", func(i *manifest.Image) { i.Recipes = []string{"consul-server", "consul"} },
			`recipe "consul-server": recipe "consul" must stand before it`},
		{"version not set", func(i *manifest.Image) { delete(i.Variables, "consul_version") }, `variable "consul_version" is not set`},
		{"version empty", func(i *manifest.Image) { i.Variables["consul_version"] = "" }, `variable "consul_version" is empty`},
		{"plugin version not set", func(i *manifest.Image) { delete(i.Variables, "tf_plugin_null_version") },
			`recipe "terraform-plugins": variable "tf_plugin_null_version" is not set`},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			img := nomadClient()
			tt.change(&img)
			needs, err := provision.Needs(img)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `image "nomad-client"`) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if !provision.IsPlanError(err) || needs != nil {
				t.Errorf("got %d needs and IsPlanError %v, want none and true", len(needs), provision.IsPlanError(err))
			}
		})
	}
}

func TestNeedsTellsAllAtOnce(t *testing.T) {
	img := nomadClient()
	delete(img.Variables, "consul_version")
	delete(img.Variables, "nomad_version")
	img.Recipes = append(img.Recipes, "nonsense")
	_, err := provision.Needs(img)
	for _, want := range []string{"consul_version", "nomad_version", "nonsense"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
	var v *provision.VariableError
	if !errors.As(err, &v) || v.Recipe == "" {
		t.Errorf("got %v, want a *VariableError with its recipe", err)
	}
}
