package source_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// modulesYAML has the two versions of wget in two streams of a module; the older one is the default.
const modulesYAML = `---
document: modulemd-defaults
version: 1
data:
  module: tools
  stream: "1.14"
...
---
document: modulemd
version: 2
data:
  name: tools
  stream: "1.14"
  version: 1
  context: aaaaaaaa
  arch: x86_64
  summary: Tools
  description: Tools
  license: {module: [MIT]}
  profiles:
    client: {rpms: [unzip]}
  artifacts: {rpms: ["wget-0:1.14-1.noarch"]}
...
---
document: modulemd
version: 2
data:
  name: tools
  stream: "1.20"
  version: 1
  context: bbbbbbbb
  arch: x86_64
  summary: Tools
  description: Tools
  license: {module: [MIT]}
  artifacts: {rpms: ["wget-0:1.20-1.noarch"]}
...
`

// modular is a repository with modules, as modifyrepo_c makes it.
func modular(t *testing.T) string {
	t.Helper()
	built, err := buildRPMs()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(built.signed)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "modules.yaml")
	if err := os.WriteFile(file, []byte(modulesYAML), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("modifyrepo_c", "--mdtype=modules", file, filepath.Join(dir, "repodata")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return "{id: base, baseurl: \"file://" + dir + "\", gpgkey: keys/rpm.asc}"
}

func TestResolveModules(t *testing.T) {
	repo := modular(t)
	for _, row := range []struct{ name, install, modules, want string }{
		{"the default stream", "wget", "", "wget-1.14-1.noarch"},
		{"another stream", "wget", `"tools:1.20"`, "wget-1.20-1.noarch"},
		{"a profile", "", `"tools:1.14/client"`, "unzip-6.0-1.x86_64"},
		{"a profile of the default stream beside a package of it", "wget", "tools/client", "unzip-6.0-1.x86_64 wget-1.14-1.noarch"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, _ := newRPMWorld(t, good)
			res, err := w.resolve(t, rpms(repo, row.install)+"    modules: ["+row.modules+"]\n")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range res.Rows {
				names = append(names, r.Name)
			}
			if got := strings.Join(names, " "); got != row.want || len(res.Warnings) != 0 {
				t.Errorf("got %s and warnings %q, want %s", got, res.Warnings, row.want)
			}
		})
	}
}

func TestResolveRefusesModules(t *testing.T) {
	w, _ := newRPMWorld(t, good)
	repo := modular(t)
	_, err := w.resolve(t, rpms(repo, "wget")+"    modules: [\"tools:2\", nodejs]\n")
	var spec *modulemd.SpecError
	if !errors.As(err, &spec) || spec.Spec != "tools:2" || !strings.Contains(err.Error(), "tools:1.14, tools:1.20") || !strings.Contains(err.Error(), `"nodejs"`) {
		t.Errorf("got %v, want what is wrong with both", err)
	}
	_, err = w.resolve(t, rpms(repo, "wget-1.20"))
	const want = `locking "rpms": 1 thing is needed that repository "base" cannot give:
  wget-1.20, which rpms.install names: wget-1.20-1.noarch of repository "base" belongs to tools:1.20, which rpms.modules does not enable`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}
