package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

// sprint formats a value in all the ways in which it might end up in a log.
func sprint(v any) string { return fmt.Sprintf("%v %+v %#v %s", v, v, v, v) }

func vars(t testing.TB, m *manifest.Manifest, set ...string) *manifest.Vars {
	t.Helper()
	v, _, err := m.Vars(manifest.VarOptions{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestExpansion(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"no reference", "a $b $(c) $1 $", "a $b $(c) $1 $"},
		{"one", "${x}", "X"},
		{"in text", "a${x}b", "aXb"},
		{"two", "${x}${x}-${long_name_1}", "XX-L"},
		{"escaped", "$${x}", "${x}"},
		{"escaped and not", "$${x}${x}$${", "${x}X${"},
		{"dollar before an escape", "$$${x}", "$${x}"},
		{"dollar before a reference", "$ ${x}", "$ X"},
		{"a value is not expanded again", "${again}", "${x}"},
		{"brace behind", "${x}}", "X}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := parse(t, head+"images: {a: {check: ['"+test.value+"']}}\n")
			img, err := m.Image("a", vars(t, m, "x=X", "long_name_1=L", "again=${x}"))
			if err != nil {
				t.Fatal(err)
			}
			if len(img.Check) != 1 || img.Check[0] != test.want {
				t.Errorf("got %q, want %q", img.Check, test.want)
			}
		})
	}
}

func TestMissingVariableIsAnErrorOfItsPartOnly(t *testing.T) {
	m := parse(t, head+`artifacts: {hashicorp: [{product: consul, version: "${in_inputs}"}]}
mirrors: [{from: "https://a.example/", to: ["${in_mirrors}"]}]
store: {url: "dir:${in_store}"}
cloud: {region: "${in_cloud}"}
images:
  a: {image_name: "${in_a}"}
  b: {}
`)
	const want = "manifest.yaml:%s: variable %s has no value: give it under vars, in a variable file or on the command line"
	for _, test := range []struct {
		set  []string
		errs map[string]string // by part: inputs, store, a, b
	}{
		{
			set:  []string{"in_inputs=1.0.0", "in_mirrors=https://b.example/", "in_store=x", "in_cloud=r", "in_a=a"},
			errs: map[string]string{},
		},
		{
			set:  []string{"in_mirrors=https://b.example/", "in_store=x", "in_cloud=r", "in_a=a"},
			errs: map[string]string{"inputs": fmt.Sprintf(want, "5:52: artifacts.hashicorp[0].version", "in_inputs")},
		},
		{
			set:  []string{"in_inputs=1.0.0", "in_store=x", "in_cloud=r", "in_a=a"},
			errs: map[string]string{"inputs": fmt.Sprintf(want, "6:45: mirrors[0].to[0]", "in_mirrors")},
		},
		{
			set:  []string{"in_inputs=1.0.0", "in_mirrors=https://b.example/", "in_cloud=r", "in_a=a"},
			errs: map[string]string{"store": fmt.Sprintf(want, "7:14: store.url", "in_store")},
		},
		{
			set: []string{"in_inputs=1.0.0", "in_mirrors=https://b.example/", "in_store=x", "in_a=a"},
			errs: map[string]string{
				"a": fmt.Sprintf(want, "8:17: cloud.region", "in_cloud"),
				"b": fmt.Sprintf(want, "8:17: cloud.region", "in_cloud"),
			},
		},
		{
			set:  []string{"in_inputs=1.0.0", "in_mirrors=https://b.example/", "in_store=x", "in_cloud=r"},
			errs: map[string]string{"a": fmt.Sprintf(want, "10:19: images.a.image_name", "in_a")},
		},
	} {
		v := vars(t, m, test.set...)
		got := map[string]string{}
		note := func(part string, err error) {
			if err != nil {
				got[part] = err.Error()
			}
		}
		_, err := m.Inputs(v)
		note("inputs", err)
		_, err = m.Store(v)
		note("store", err)
		_, err = m.Image("a", v)
		note("a", err)
		_, err = m.Image("b", v)
		note("b", err)
		if diff := cmp.Diff(test.errs, got); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", test.set, diff)
		}
	}
}

func TestInputsRecordWhatTheyUsed(t *testing.T) {
	m := parse(t, head+`vars: {unused: x, in_store: x, consul_version: 1.6.1}
artifacts: {hashicorp: [{product: consul, version: "${consul_version}"}]}
mirrors: [{from: "https://a.example/", to: ["https://${mirror}/"]}]
store: {url: "dir:${in_store}"}
`)
	in, err := m.Inputs(vars(t, m, "mirror=b.example", "image_id=x"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"consul_version": "1.6.1"}, in.Variables); diff != "" {
		t.Errorf("a mirror leaves no trace (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]manifest.Mirror{{From: "https://a.example/", To: []string{"https://b.example/"}}}, in.Mirrors); diff != "" {
		t.Errorf("mirrors (-want +got):\n%s", diff)
	}
}

func TestValuesAreCheckedAfterExpansion(t *testing.T) {
	for _, test := range []struct{ name, src, set, want string }{
		{"user info", "artifacts: {files: [{url: '${u}', path: x}]}", "u=https://user:hunter2@a.example/x", "artifacts.files[0].url: want no user or password in a URL"},
		{"path", "artifacts: {files: [{url: 'https://a.example/x', path: '${u}'}]}", "u=../x", "artifacts.files[0].path: want a relative path without . and .. and double slashes"},
		{"empty version", "artifacts: {hashicorp: [{product: consul, version: '${u}'}]}", "u=", "artifacts.hashicorp[0].version: want a version like 1.2.3, 1.2.3-rc.1 or 1.2.3+ent"},
		{"priority", "artifacts: {rpms: {base: bare, install: [x], repos: [{id: a, baseurl: 'https://a.example/', gpgcheck: false, priority: '${u}'}]}}", "u=007",
			"artifacts.rpms.repos[0].priority: want a whole number from 1 to 99"},
		{"line break", "name2: x\nartifacts: {rpms: {base: bare, install: ['${u}'], repos: [{id: a, baseurl: 'https://a.example/', gpgcheck: false}]}}", "u=a\nb",
			"artifacts.rpms.install[0]: want a package name, or name-version, without spaces"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := parse(t, head+strings.TrimPrefix(test.src, "name2: x\n")+"\n")
			_, err := m.Inputs(vars(t, m, test.set))
			if err == nil || !strings.HasSuffix(err.Error(), ": "+test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestImage(t *testing.T) {
	m := parse(t, head+`vars: {use_ssh_private_ip: "true", ssh_port: "2222", region: cn-bj2, consul_version: 1.6.1}
cloud:
  region: "${region}"
  boot_disk: {type: cloud_ssd, size: 20}
  eip: {bandwidth: 10}
  ssh: {user: root, password: "${ssh_password}", private_ip: "${use_ssh_private_ip}", port: "${ssh_port}"}
images:
  web:
    image_name: web-${consul_version}
    base: {name: "CentOS 7.*"}
    boot_disk: {size: 40}
    ssh: {port: 22}
  db: {}
`)
	v, _, err := m.Vars(manifest.VarOptions{
		Files: []string{varFile(t, "all.json", `{"ssh_password": "hunter2"}`), "web=" + varFile(t, "web.json", `{"region": "cn-sh2", "image_id": "uimage-web", "consul_version": "1.7.0"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	web, err := m.Image("web", v)
	if err != nil {
		t.Fatal(err)
	}
	want := manifest.Image{
		Name: "web", ImageName: "web-1.7.0", Base: manifest.Base{ID: "uimage-web"},
		Cloud: manifest.Cloud{
			Region: "cn-sh2", ChargeType: "Dynamic", BootDisk: manifest.BootDisk{Type: "cloud_ssd", Size: 40}, EIP: manifest.EIP{Bandwidth: 10},
			SSH: manifest.SSH{User: "root", Password: "hunter2", PrivateIP: true, Port: 22},
		},
		Variables: map[string]string{"use_ssh_private_ip": "true", "ssh_port": "2222", "region": "cn-sh2", "consul_version": "1.7.0", "image_id": "uimage-web", "ssh_password": "hunter2"},
	}
	if diff := cmp.Diff(want, web); diff != "" {
		t.Errorf("web (-want +got):\n%s", diff)
	}
	cloud, err := m.Cloud(v)
	if want := (manifest.SSH{User: "root", Password: "hunter2", PrivateIP: true, Port: 2222}); err != nil || cloud.Region != "cn-bj2" ||
		cloud.SSH != want || cloud.ChargeType != "Dynamic" {
		t.Errorf("cloud: got %+v, %v, want nothing of the images in it", cloud, err)
	}
	db, err := m.Image("db", v)
	if err != nil {
		t.Fatal(err)
	}
	if db.ImageName != "db" || db.Base != (manifest.Base{}) || db.Cloud.Region != "cn-bj2" || db.Cloud.SSH.Port != 2222 || db.Cloud.BootDisk.Size != 20 {
		t.Errorf("db: got %+v, want the cloud's own keys and the image's own name", db.Name)
	}
	if _, err := m.Image("wbe", v); err == nil || err.Error() != `image "wbe": the manifest has no such image` {
		t.Errorf("got %v, want that there is no such image", err)
	}
	_, err = m.Image("db", vars(t, m, "ssh_password=x", "image_id=a b"))
	if err == nil || err.Error() != `image "db": variable image_id: want a word without spaces and quotes` {
		t.Errorf("got %v, want the id refused", err)
	}
}

func TestOverrideTakesStoreAndCloudOnly(t *testing.T) {
	m := parse(t, head+`vars: {v: bundle}
store: {url: "dir:bundle"}
cloud: {region: bundle, zone: bundle}
images: {a: {image_name: "${v}"}}
`)
	o, err := manifest.Parse("site.yaml", []byte(strings.Replace(head, "1.0.0", "9.0.0", 1)+`vars: {v: site}
store: {url: "dir:site"}
cloud: {region: "${region}"}
images: {a: {image_name: site}, b: {}}
`))
	if err != nil {
		t.Fatal(err)
	}
	both := m.Override(o)
	v := vars(t, both, "region=here")
	store, err := both.Store(v)
	if err != nil || store.URL != "dir:site" {
		t.Errorf("store: got %v, %v, want the site's", store, err)
	}
	img, err := both.Image("a", v)
	if err != nil || img.ImageName != "bundle" || img.Cloud.Region != "here" || img.Cloud.Zone != "" {
		t.Errorf("image: got %q in %q %q, %v, want the bundle's in the site's cloud", img.ImageName, img.Cloud.Region, img.Cloud.Zone, err)
	}
	if in, err := both.Inputs(v); err != nil || in.Version != "1.0.0" {
		t.Errorf("inputs: got %v, %v, want the bundle's", in, err)
	}
	if got := both.ImageNames(); len(got) != 1 {
		t.Errorf("images: got %q, want the bundle's", got)
	}
	if _, err := both.Image("a", vars(t, both)); err == nil || !strings.HasPrefix(err.Error(), "site.yaml:7:17: cloud.region: ") {
		t.Errorf("missing variable: got %v, want it placed in site.yaml", err)
	}
	if store, err := m.Override(parse(t, head)).Store(v); err != nil || store.URL != "dir:bundle" {
		t.Errorf("a site without a store: got %v, %v, want the bundle's", store, err)
	}
	if store, err := m.Store(v); err != nil || store.URL != "dir:bundle" {
		t.Errorf("m itself changed: got %v, %v", store, err)
	}
}
