package provision_test

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

const installScript = `#!/bin/bash
yum install -y wget lvm2 && yum -y install "${DOCKER_RPM}" unzip # docker-ce
for name in a b; do yum install -y $name; done
sudo dnf --quiet install epel-release >/dev/null
yum remove -y vim
echo install
`

// transactionsOf writes a manifest of these images beside its scripts and returns their transactions.
func transactionsOf(t *testing.T, files []string, scripts map[string]string, images ...manifest.Image) []solve.Plan {
	t.Helper()
	m, vars := manifestOf(t, scripts, images...)
	plans, err := provision.Transactions(m, vars, files)
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func manifestOf(t *testing.T, scripts map[string]string, images ...manifest.Image) (*manifest.Manifest, *manifest.Vars) {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("schema: offbake/v1\nname: x\nversion: 1.0.0\nplatform: linux/amd64\nvars:\n")
	for _, name := range slices.Sorted(maps.Keys(images[0].Variables)) {
		if !manifest.Secret(name) {
			fmt.Fprintf(&b, "  %s: %q\n", name, images[0].Variables[name])
		}
	}
	b.WriteString("artifacts:\n  rpms:\n    repos: [{id: a, baseurl: \"http://a.example/\", gpgcheck: false}]\n    base: bare\n" +
		"    install: [docker-ce]\n    upgrade: [audit-libs, absent-libs]\nimages:\n")
	for _, img := range images {
		fmt.Fprintf(&b, "  %s:\n    base: {name: \"*\"}\n    recipes: [%s]\n    scripts: [%s]\n", img.Name,
			strings.Join(img.Recipes, ", "), strings.Join(img.Scripts, ", "))
	}
	for name, text := range scripts {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manifest.Parse(filepath.Join(dir, "manifest.yaml"), []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	vars, _, err := m.Vars(manifest.VarOptions{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	return m, vars
}

func TestTransactions(t *testing.T) {
	files := []string{"files/docker-ce-19.03.15-3.x86_64.rpm", "files/docker-ce-cli-1-1.x86_64.rpm", "files/docker-ce-cli-2-1.x86_64.rpm"}
	chosen := image("chosen", "docker")
	chosen.Scripts = []string{"scripts/large.sh"}
	plain := image("plain", "yum", "consul")
	plain.Scripts = []string{"scripts/more.sh"}
	got := transactionsOf(t, files, map[string]string{"scripts/more.sh": installScript,
		"scripts/large.sh": "yum install -y wget\n" + strings.Repeat("#", 1<<20)}, plain, chosen, image("bare", "nomad"))
	docker := solve.File{Path: files[0], Package: "docker-ce"}
	script := func(c solve.Call) solve.Call { c.By = `script "scripts/more.sh"`; return c }
	want := []solve.Plan{
		{Name: "plain", Calls: []solve.Call{
			{By: `recipe "yum"`, Upgrade: []string{"audit-libs"}},
			{By: `recipe "yum"`, Upgrade: []string{"absent-libs"}},
			{By: `recipe "yum"`, Absent: true, Install: []string{"yum-utils", "device-mapper-persistent-data", "lvm2", "wget"}},
			{By: `recipe "consul"`, Absent: true, Install: []string{"sed", "unzip", "vim"}},
			script(solve.Call{Install: []string{"wget", "lvm2"}}),
			script(solve.Call{Install: []string{"unzip"}, Files: []solve.File{docker}}),
			script(solve.Call{Install: []string{"epel-release"}}),
		}},
		{Name: "chosen", Calls: []solve.Call{
			// Of the two files of docker-ce-cli none is the one.
			{By: `recipe "docker"`, Files: []solve.File{docker}},
			{By: `recipe "docker"`, Absent: true, Install: []string{"docker-ce", "docker-ce-cli"}},
		}},
		{Name: "bare"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTransactionsWithAVariable(t *testing.T) {
	files := []string{"files/docker-ce-1-1.x86_64.rpm", "files/docker-ce-2-1.x86_64.rpm"}
	for value, want := range map[string]string{
		"http://f.example/a/docker-ce-2-1.x86_64.rpm?Signature=a/b": files[1],
		"": "",
	} {
		img := image("docker", "docker")
		img.Variables["docker_rpm"] = value
		calls := transactionsOf(t, files, nil, img)[0].Calls
		if want == "" && len(calls) != 1 || want != "" && (len(calls) != 2 || calls[0].Files[0].Path != want) {
			t.Errorf("docker_rpm %q: got %+v, want file %q", value, calls, want)
		}
	}
}

// TestTransactionsRefuseWhatABakeRefuses names a file that the bundle will not have, in every image.
func TestTransactionsRefuseWhatABakeRefuses(t *testing.T) {
	img, other := image("docker", "docker"), image("plain")
	img.Variables["docker_cli_rpm"] = "http://f.example/docker-ce-cli-3-1.x86_64.rpm"
	m, vars := manifestOf(t, nil, img, other)
	plans, err := provision.Transactions(m, vars, []string{"files/docker-ce-cli-1-1.x86_64.rpm", "files/docker-ce-1-1.x86_64.rpm"})
	const want = `image "docker": recipe "docker" takes "files/docker-ce-cli-3-1.x86_64.rpm" (variable docker_cli_rpm is ` +
		`"http://f.example/docker-ce-cli-3-1.x86_64.rpm"), which the bundle does not hold; it holds docker-ce-cli-1-1.x86_64.rpm`
	if err == nil || !provision.IsPlanError(err) || plans != nil || !strings.HasPrefix(err.Error(), want+"\n") ||
		!strings.Contains(err.Error(), `image "plain": `) {
		t.Errorf("got %v, %v\nwant %s", plans, err, want)
	}
}

// TestTransactionsTellWhatScriptsForesee has scripts that install dd: whether its absence has to be told.
func TestTransactionsTellWhatScriptsForesee(t *testing.T) {
	for script, strict := range map[string]bool{
		"set -e; yum -y install dd":                                                     true,
		"#!/bin/bash\n# yum\nset -eux\nyum install -y dd\n":                             true,
		"sudo -E LANG=C dnf -q install dd >/dev/null 2>&1\n":                            true,
		"yum -y \\\n  install dd # || true\n":                                           true,
		"yum makecache &&\n  yum install -y dd && systemctl enable dd\n":                true,
		"yes | yum install dd":                                                          true,
		"if true; then\n  echo a\nelse\n  echo b\nfi\nyum install dd":                   true,
		"case $x in\na) echo;;\n(b) (echo);;\nesac\nyum install dd":                     true,
		"foo() {\n  echo\n}\n{ foo; }\n(foo)\nfor a in b; do foo; done; yum install dd": true,
		"cd / || exit 1\n[ -e /x ] || { echo x; exit 1; }\nyum install dd":              true,
		"echo 'a; b' \"$(ls)\" >&2\nyum install dd":                                     true,
		"yum install -x ee -y dd":                                                       true,

		"yum install dd || true":                                                     false,
		"yum install dd &&\n echo ok || true":                                        false,
		"yum install dd && { echo ok; } || true":                                     false,
		"yum install dd | tee log":                                                   false,
		"yum install dd & wait":                                                      false,
		"! yum install dd":                                                           false,
		"rpm -q dd ||\nyum install dd":                                               false,
		"[ -e /x ] && yum install dd":                                                false,
		"[[ -e /x && -e /y ]] &&\n\n  yum install dd":                                false,
		"yum list installed dd && yum install dd":                                    false,
		"if yum install dd; then echo; fi":                                           false,
		"if [ -e /x ]\nthen yum install dd\nfi":                                      false,
		"case $x in\na) yum install dd;;\nb) if x; then y; fi\nyum install dd\nesac": false,
		"for x in a; do\nyum install dd\ndone":                                       false,
		"while foo; do yum install dd; done":                                         false,
		"until yum install dd; do sleep 1; done":                                     false,
		"(yum install dd)":                                                           false,
		"{ yum install dd; } || true":                                                false,
		"get() {\n yum install dd\n}":                                                false,
		"function get {\n yum install dd\n}":                                         false,
		"set +e\nyum install dd":                                                     false,
		"[ -e /x ] && exit\nyum install dd":                                          false,
		"if x; then exit 0; fi\nyum install dd":                                      false,
		"cat <<EOF\nyum install dd\nEOF\n":                                           false,
		"echo '\nyum install dd\n'":                                                  false,
		"echo yum install dd":                                                        false,
		"x=`\nyum install dd`\nyum install dd":                                       false,
		"rpm -i /x.rpm\nyum install dd":                                              false,
		"cp x /etc/yum.repos.d/\nyum install dd":                                     false,
		"yum install /x.rpm dd":                                                      false,
		"yum install $MORE dd":                                                       false,
		"yum install --skip-broken dd":                                               false,
		"dnf install --setopt=strict=0 dd":                                           false,
		"#!/usr/bin/python3\nyum install dd":                                         false,
	} {
		img := image("plain")
		img.Scripts = []string{"scripts/x.sh"}
		calls := transactionsOf(t, nil, map[string]string{"scripts/x.sh": script}, img)[0].Calls
		if len(calls) == 0 {
			t.Errorf("%q: got no call", script)
		}
		for _, c := range calls {
			if !slices.Equal(c.Install, []string{"dd"}) || c.Lenient == strict {
				t.Errorf("%q: got %+v, want dd installed, strict %t", script, c, strict)
			}
		}
	}
}

// TestTransactionsAreWhatRecipesDo bakes images of all recipes and compares what they ask of yum with what Transactions says,
// on a base that has nothing and on one that has some of it.
func TestTransactionsAreWhatRecipesDo(t *testing.T) {
	files := clusterFiles()
	files["files/docker-ce-cli-19.03.15-3.x86_64.rpm"] = "cli"
	files["scripts/more.sh"] = "#!/bin/sh\nset -e\nyum install -y wget lvm2\nyum install -y \"$DOCKER_CLI_RPM\" unzip\n"
	rest := image("rest", slices.DeleteFunc(provision.Recipes(), func(s string) bool { return slices.Contains(nomadClient().Recipes, s) })...)
	rest.Recipes = append([]string{"yum", "consul", "nomad"}, rest.Recipes...)
	for _, img := range []manifest.Image{nomadClient(), rest} {
		for _, there := range []string{"audit-libs", "audit-libs\nsed\nlvm2\ndocker-ce-cli"} {
			img.Scripts = []string{"scripts/more.sh"}
			t.Run(fmt.Sprintf("%s %d", img.Name, len(there)), func(t *testing.T) {
				t.Parallel()
				b := newBundle(t, files)
				c := newTrees(t, b)
				c.base = func(string) {
					c.write("stub/installed", there+"\n", 0o644)
					c.write("stub/offers", "yum-utils\nsed\n"+c.read("stub/offers"), 0o644)
				}
				c.made = func(string, provision.Capture) {}
				_, err := provision.Bake(t.Context(), provision.Request{Bundle: b, Images: []manifest.Image{img}, Cloud: c, Files: c,
					Offline: true, Journal: t.TempDir(), Upgrade: []string{"audit-libs", "absent-libs"}})
				if err != nil {
					t.Fatal(err)
				}
				plan := transactionsOf(t, slices.Collect(maps.Keys(files)), map[string]string{"scripts/more.sh": files["scripts/more.sh"]}, img)[0]
				if diff := cmp.Diff(asked(plan.Calls, strings.Fields(there)), heard(c.read("stub/log"))); diff != "" {
					t.Errorf("yum (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// heard are the calls that the stand-in for yum has noted that change what is installed.
func heard(log string) (out []string) {
	for line := range strings.Lines(log) {
		words := strings.Fields(line)
		for i, word := range words { // a file is staged, or at the file server
			if strings.HasSuffix(word, ".rpm") {
				words[i] = path.Base(word)
			}
		}
		if slices.Contains(words, "install") || slices.Contains(words, "upgrade") {
			slices.Sort(words)
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// asked are calls in the form of heard, on a host where no package requires or provides another.
func asked(calls []solve.Call, there []string) (out []string) {
	for _, c := range calls {
		words := []string{"yum", "-y", "install"}
		if c.Upgrade != nil {
			words[2] = "upgrade"
			c.Upgrade = slices.DeleteFunc(slices.Clone(c.Upgrade), func(s string) bool { return !slices.Contains(there, s) })
		}
		for _, f := range c.Files {
			there = append(there, f.Package)
			words = append(words, path.Base(f.Path))
		}
		for _, name := range c.Install {
			if !c.Absent || !slices.Contains(there, name) {
				there = append(there, name)
				words = append(words, name)
			}
		}
		if words = append(words, c.Upgrade...); len(words) > 3 {
			slices.Sort(words)
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}
