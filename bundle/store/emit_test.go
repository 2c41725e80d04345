package store_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
)

func TestEmit(t *testing.T) {
	files := map[string][]byte{
		"files/docker-ce-19.03.15-3.el7.x86_64.rpm": []byte("a"), "files/docker-ce-cli-19.03.15-3.el7.x86_64.rpm": []byte("b"),
		"files/docker-ce-selinux.rpm": nil, "files/cfssl_linux-amd64": nil, "rpms/repodata/repomd.xml": nil, "rpms/Packages/wget-1.14-18.el7.x86_64.rpm": nil,
		"rpms/keys/RPM-GPG-KEY-CentOS-7": nil, "rpms/keys/docker": nil,
	}
	s := newSample(t, files)
	srv := newService(t, serve.StoreOptions{Public: true})
	st := srv.open(t, store.Options{})
	push(t, st, s.Bundle)
	base := srv.URL + "/some/prefix/test/1.2.3"

	text, err := store.Emit(t.Context(), store.EmitPacker, st, s.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	var vars map[string]string
	if err := json.Unmarshal(text, &vars); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"file_server": base + "/files", "cfssl_tool_server": base + "/files", "yum_base": "", "yum_docker": "",
		"docker_rpm": base + "/files/docker-ce-19.03.15-3.el7.x86_64.rpm", "docker_cli_rpm": base + "/files/docker-ce-cli-19.03.15-3.el7.x86_64.rpm",
	}, vars); diff != "" {
		t.Errorf("packer (-want +got):\n%s", diff)
	}

	text, err = store.Emit(t.Context(), store.EmitYum, st, s.Bundle)
	// Nobody signed wget: it alone is taken without a check.
	want := "[offbake]\nname=offbake bundle\nbaseurl=" + base + "/rpms/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=0\ngpgkey=" + base +
		"/rpms/keys/RPM-GPG-KEY-CentOS-7\n       " + base + "/rpms/keys/docker\nexclude=wget\nskip_if_unavailable=0\nmodule_hotfixes=1\n" +
		"\n[offbake-unsigned]\nname=offbake bundle, packages without signature\nbaseurl=" + base +
		"/rpms/\nenabled=1\ngpgcheck=0\nrepo_gpgcheck=0\nincludepkgs=wget\nskip_if_unavailable=0\nmodule_hotfixes=1\n"
	if diff := cmp.Diff(want, string(text)); err != nil || diff != "" {
		t.Errorf("yum: %v (-want +got):\n%s", err, diff)
	}

	if _, err := store.Emit(t.Context(), "ansible", st, s.Bundle); err == nil {
		t.Error("an unknown kind is emitted")
	}
	files["rpms/Packages/libstdc++.rpm"] = nil
	if _, err := store.Emit(t.Context(), store.EmitYum, st, newSample(t, files).Bundle); err == nil {
		t.Error("yum would ask for libstdc++.rpm, which the store has under another name")
	}
	files["files/docker-ce-20.10.0.rpm"] = nil
	if _, err := store.Emit(t.Context(), store.EmitPacker, st, newSample(t, files).Bundle); err == nil {
		t.Error("one of two docker-ce packages was chosen")
	}
}

func TestEmitNeedsPublic(t *testing.T) {
	s := newSample(t, smallFiles())
	private := newService(t, serve.StoreOptions{}).open(t, store.Options{})
	push(t, private, s.Bundle)
	folder, err := store.Open("dir:"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{store.EmitPacker, store.EmitTerraform, store.EmitYum} {
		var hidden *store.PrivateError
		if text, err := store.Emit(t.Context(), kind, private, s.Bundle); !errors.As(err, &hidden) || text != nil {
			t.Errorf("%s: got %q, %v; want *PrivateError", kind, text, err)
		}
		if _, err := store.Emit(t.Context(), kind, folder, s.Bundle); kind != store.EmitTerraform && !errors.Is(err, store.ErrNoURL) {
			t.Errorf("%s: got %v, want ErrNoURL", kind, err)
		}
	}
}

// terraformFiles is a bundle's part for Terraform, and what is not for it.
func terraformFiles() map[string][]byte {
	const null = "terraform/registry.terraform.io/hashicorp/null/"
	return map[string][]byte{
		null + "terraform-provider-null_2.1.2_linux_amd64.zip": nil, null + "terraform-provider-null_2.1.0_linux_amd64.zip": nil,
		null + "index.json": []byte("{}"), null + "2.1.2.json": []byte("{}"),
		"terraform/example.com/acme/cloud/terraform-provider-cloud_0.1.0_linux_amd64.zip": nil,
		"terraform/README.zip": nil, "files/terraform_0.12.0_linux_amd64.zip": nil,
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// What Terraform can use depends on the address: a mirror over https, files fetched over http, or a folder as it is.
// The goldens were loaded with the configuration loader of Terraform 1.5.7.
func TestEmitTerraform(t *testing.T) {
	s := newSample(t, terraformFiles())
	plain := newService(t, serve.StoreOptions{Public: true})
	tls := httptest.NewTLSServer(newService(t, serve.StoreOptions{Public: true}).Config.Handler)
	defer tls.Close()
	dir := filepath.Join(t.TempDir(), `a "b" c`)
	folder, err := store.Open("dir:"+dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	overTLS, err := store.Open("ufile://bkt/some/prefix", store.Options{Endpoint: tls.URL, PublicKey: testKey.Public,
		PrivateKey: testKey.Private, Client: tls.Client()})
	if err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]store.Store{"https": overTLS, "http": plain.open(t, store.Options{}), "folder": folder} {
		push(t, st, s.Bundle)
		text, err := store.Emit(t.Context(), store.EmitTerraform, st, s.Bundle)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := strings.NewReplacer(tls.URL, "https://STORE", plain.URL, "http://STORE", filepath.Dir(dir), "/srv").Replace(string(text))
		golden := filepath.Join("testdata", "terraform-"+name+".tfrc")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if diff := cmp.Diff(string(want), got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestEmitTerraformRefuses(t *testing.T) {
	none := newSample(t, smallFiles())
	odd := newSample(t, map[string][]byte{"terraform/example.com/a/b/terraform-provider-b_1.0.0+x_linux_amd64.zip": nil})
	srv := httptest.NewTLSServer(newService(t, serve.StoreOptions{Public: true}).Config.Handler)
	defer srv.Close()
	st, err := store.Open("ufile://bkt/p", store.Options{Endpoint: srv.URL, PublicKey: testKey.Public, PrivateKey: testKey.Private, Client: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	for fault, b := range map[string]*sample{"no providers": none, "another name in the store": odd} {
		push(t, st, b.Bundle)
		if text, err := store.Emit(t.Context(), store.EmitTerraform, st, b.Bundle); err == nil {
			t.Errorf("%s: got %s", fault, text)
		}
		if err := st.Delete(t.Context(), "test/1.2.3/bundle.json"); err != nil {
			t.Fatal(err)
		}
	}
}
