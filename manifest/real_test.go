package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/manifest"
)

// TestTheRealManifest holds the manifest at the top of the repository to what its images take.
func TestTheRealManifest(t *testing.T) {
	m, err := manifest.Load("../manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v, warnings, err := m.Vars(manifest.VarOptions{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got %q, %v, want neither warning nor error", warnings, err)
	}
	in, err := m.Inputs(v)
	if err != nil {
		t.Fatal(err)
	}
	if w := in.Warnings(); len(w) > 0 {
		t.Errorf("warnings: got %q, want none", w)
	}
	for _, file := range m.LocalFiles() {
		if info, err := os.Stat(filepath.Join("..", file)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("local file %s: %v", file, err)
		}
	}
	if _, err := in.Digest(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"consul_1.6.1_linux_amd64.zip", "consul_1.6.1_linux_amd64", "nomad_0.9.4_linux_amd64.zip", "nomad_0.9.4_linux_amd64",
		"cfssl_linux-amd64", "cfssl-certinfo_linux-amd64", "cfssljson_linux-amd64", "terraform-provider-consul_v2.6.0_x4", "terraform-provider-nomad_v1.4.2_x4",
		"terraform-provider-null_v2.1.2_x4", "terraform-provider-template_v2.1.2_x4", "terraform-provider-ucloud_v1.15.1_x4",
		"terraform-provider-external_v1.2.0_x4", "terraform-provider-local_v1.4.0_x4"} {
		if !slices.Contains(in.Paths(), "files/"+path) {
			t.Errorf("files/%s is not in the bundle", path)
		}
	}
	for _, pkg := range []string{"sed", "unzip", "vim", "wget", "yum-utils", "device-mapper-persistent-data", "lvm2", "docker-ce", "docker-ce-cli"} {
		if err := in.Check([]manifest.Need{{Package: pkg}}); err != nil {
			t.Error(err)
		}
	}
	want := map[string]string{
		"consul-server": "yum consul consul-server",
		"nomad-server":  "yum consul nomad consul-agent nomad-server",
		"nomad-client":  "yum consul nomad docker consul-agent nomad-client terraform-plugins",
	}
	if got := m.ImageNames(); !slices.Equal(got, []string{"consul-server", "nomad-server", "nomad-client"}) {
		t.Errorf("images: got %q", got)
	}
	for name, recipes := range want {
		img, err := m.Image(name, v)
		if err != nil {
			t.Error(err)
		} else if got := strings.Join(img.Recipes, " "); got != recipes {
			t.Errorf("%s: got recipes %s, want %s", name, got, recipes)
		}
	}
	if store, err := m.Store(v); err != nil || store.URL != "ufile://bundles/offbake" {
		t.Errorf("store: got %v, %v", store, err)
	}
}

// TestExampleVarFiles holds the examples to the manifest: each is complete for its image, none has a secret.
func TestExampleVarFiles(t *testing.T) {
	m, err := manifest.Load("../manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.ImageNames() {
		// A copy, as users are told to make: a checkout's own mode would warn.
		text, err := os.ReadFile("../examples/vars/" + name + "-vars.json")
		if err != nil {
			t.Fatal(err)
		}
		v, warnings, err := m.Vars(manifest.VarOptions{Files: []string{name + "=" + varFile(t, "v.json", string(text))}})
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: got %q, %v, want neither warning nor error", name, warnings, err)
		}
		if s := v.Secrets(); len(s) > 0 {
			t.Errorf("%s: %d secrets in an example", name, len(s))
		}
		img, err := m.Image(name, v)
		if err != nil {
			t.Error(err)
			continue
		}
		if img.Base.ID == "" || img.Cloud.Region == "" || img.Cloud.Zone == "" || img.Cloud.Project == "" || !img.Cloud.SSH.PrivateIP {
			t.Errorf("%s: got base %q in %q %q of %q, private %t, want all of them from the file", name, img.Base.ID, img.Cloud.Region, img.Cloud.Zone,
				img.Cloud.Project, img.Cloud.SSH.PrivateIP)
		}
	}
}

func TestTextsThatAreNoManifest(t *testing.T) {
	for _, test := range []struct{ name, src, want string }{
		{"empty", "", "m:1:1: the file is empty"},
		{"no UTF-8", head + "vars: {a: \"\xff\"}\n", "m:5: want text in UTF-8 without tabs, control and invisible characters"},
		{"NUL", head + "\x00", "m:5: want text in UTF-8 without tabs, control and invisible characters"},
		{"escape sequence in a comment", head + "# \x1b[2J\n", "m:5: want text in UTF-8 without tabs, control and invisible characters"},
		{"text that turns around", head + "# \u202e\n", "m:5: want text in UTF-8 without tabs, control and invisible characters"},
		{"too large", strings.Repeat("#\n", 1<<20), "m:1: got 2097152 bytes, want at most 262144"},
	} {
		m, err := manifest.Parse("m", []byte(test.src))
		var e *manifest.Error
		if !errors.As(err, &e) || m != nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	if _, err := manifest.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v, want os.ErrNotExist", err)
	}
}
