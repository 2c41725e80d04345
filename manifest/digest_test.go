package manifest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/manifest"
)

const digested = head + `vars: {v: 1.6.1, other: x}
mirrors: [{from: "https://a.example/", to: ["https://b.example/"]}]
artifacts:
  hashicorp: [{product: consul, version: "${v}", key: keys/consul.asc}]
  rpms:
    repos: [{id: base, baseurl: "https://a.example/", gpgkey: keys/rpm.asc}]
    base: base/x.rpmqa
    install: [wget, unzip]
  files: [{url: "https://a.example/x", path: x}]
store: {url: "dir:store"}
cloud: {region: r}
images:
  a: {recipes: [yum], scripts: [scripts/a.sh]}
`

// digest writes the manifest with its files into a folder of its own and returns the inputs' digest.
func digest(t testing.TB, src string, local map[string]string, set ...string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"keys/consul.asc": "consul", "keys/rpm.asc": "rpm", "base/x.rpmqa": "base", "manifest.yaml": src}
	for name, text := range local {
		files[name] = text
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manifest.Load(filepath.Join(dir, "manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Dir != dir {
		t.Errorf("folder: got %q, want %q", m.Dir, dir)
	}
	in, err := m.Inputs(vars(t, m, set...))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := in.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestDigestIsPinned(t *testing.T) {
	// A digest lies in every lock and bundle: when this changes, all of them become invalid.
	const want = "821c2d5b7eab53274a5872376070edd0bd61ec357f3fa76ea585252a37ada2e7"
	if got := digest(t, digested, nil); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDigestKeeps(t *testing.T) {
	base := digest(t, digested, nil)
	for name, edit := range map[string][2]string{
		"mirrors":          {"https://b.example/", "https://c.example/"},
		"no mirrors":       {`mirrors: [{from: "https://a.example/", to: ["https://b.example/"]}]`, ""},
		"store":            {"dir:store", "dir:other"},
		"cloud":            {"region: r", "region: s"},
		"images":           {"recipes: [yum]", "recipes: []"},
		"unused variables": {"other: x", "other: y"},
		"comments, form":   {"artifacts:", "# a comment\nartifacts:  # another"},
		"defaults spelled": {`gpgkey: keys/rpm.asc}`, `gpgkey: "keys/rpm.asc", gpgcheck: true, repo_gpgcheck: false, priority: 99}`},
		"empty lists":      {"    install: [wget, unzip]", "    install: [wget, unzip]\n    upgrade: []\n    weak: false\n    unsigned: []"},
		"value for value":  {`"${v}"`, `1.6.1`},
	} {
		if edited := strings.Replace(digested, edit[0], edit[1], 1); edited == digested {
			t.Fatalf("%s: the edit changes nothing", name)
		} else if got := digest(t, edited, nil); got != base {
			t.Errorf("%s: the digest changed", name)
		}
	}
	if got := digest(t, digested, nil, "other=z"); got != base {
		t.Error("a variable that the inputs do not use: the digest changed")
	}
	if got := digest(t, digested, map[string]string{"scripts/a.sh": "x"}); got != base {
		t.Error("content of a script: the digest changed")
	}
}

func TestDigestChanges(t *testing.T) {
	seen := map[string]string{digest(t, digested, nil): "the manifest as it was"}
	note := func(name, sum string) {
		t.Helper()
		if other, ok := seen[sum]; ok {
			t.Errorf("%s: the digest is that of %s", name, other)
		}
		seen[sum] = name
	}
	for name, edit := range map[string][2]string{
		"name":      {"name: n", "name: o"},
		"version":   {"version: 1.0.0", "version: 1.0.1"},
		"platform":  {"linux/amd64", "linux/arm64"},
		"product":   {"product: consul", "product: vault"},
		"default":   {"v: 1.6.1", "v: 1.6.2"},
		"key path":  {"key: keys/consul.asc", "key: keys/rpm.asc"},
		"no key":    {", key: keys/consul.asc", ""},
		"base":      {"base: base/x.rpmqa", "base: bare"},
		"package":   {"wget, unzip", "wget"},
		"upgrade":   {"[wget, unzip]", "[wget, unzip]\n    upgrade: [unzip]"},
		"unsigned":  {"[wget, unzip]", "[wget, unzip]\n    unsigned: [unzip]"},
		"asc":       {"gpgkey: keys/rpm.asc", "gpgkey: keys/rpm.asc, repo_gpgcheck: true"},
		"mode":      {"path: x}", "path: x, mode: \"0755\"}"},
		"pin":       {"path: x}", "path: x, sha256: " + hex64 + "}"},
		"container": {"store:", "  containers: [docker.io/library/redis:5]\nstore:"},
	} {
		if edited := strings.Replace(digested, edit[0], edit[1], 1); edited == digested {
			t.Fatalf("%s: the edit changes nothing", name)
		} else {
			note(name, digest(t, edited, nil))
		}
	}
	note("value of a variable", digest(t, digested, nil, "v=1.6.3"))
	note("content of a key", digest(t, digested, map[string]string{"keys/rpm.asc": "another"}))
	note("content of the base", digest(t, digested, map[string]string{"base/x.rpmqa": "another"}))
}

func TestDigestNeedsItsFiles(t *testing.T) {
	m := parse(t, digested)
	if m.Dir != "." {
		t.Errorf("folder: got %q, want .", m.Dir)
	}
	in, err := m.Inputs(vars(t, m))
	if err != nil {
		t.Fatal(err)
	}
	in.Dir = t.TempDir()
	if sum, err := in.Digest(); !errors.Is(err, fs.ErrNotExist) || sum != "" || !strings.Contains(err.Error(), `"base/x.rpmqa"`) {
		t.Errorf("got %q, %v, want the missing file named", sum, err)
	}
}
