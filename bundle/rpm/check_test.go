package rpm_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

func installed(t testing.TB, path string) []*rpm.Package {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	packages, err := rpm.ReadInstalled(f)
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// machines are the listings by the names that testdata/check/dnf.json.gz has for them.
func machines(t testing.TB) map[string][]*rpm.Package {
	return map[string][]*rpm.Package{
		"plain":   installed(t, "../../examples/base/centos-7.5.rpmqa.gz"),
		"httpd24": installed(t, "testdata/check/centos7-httpd24.rpmqa.gz"),
		"many":    installed(t, "testdata/check/centos7-many.rpmqa.gz"),
	}
}

func dockerRepo(t testing.TB) *rpm.Repo {
	t.Helper()
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "docker"}, folder("testdata/docker-el7"))
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// TestCheckAgreesWithDnf asks for packages of docker-ce's closure on three real machines: the transactions are dnf's.
func TestCheckAgreesWithDnf(t *testing.T) {
	f, err := os.Open("testdata/check/dnf.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]map[string]map[string][]string // by job, machine and name
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	repo, hosts := dockerRepo(t), machines(t)
	asked, refused := 0, 0
	for job, byMachine := range answers {
		for machine, byName := range byMachine {
			for i, name := range slices.Sorted(maps.Keys(byName)) {
				want := byName[name]
				if i%3 > 0 && want != nil && name != "docker-ce" { // a third says as much as all
					continue
				}
				o := rpm.CheckOptions{Installed: hosts[machine], Offered: []*rpm.Repo{repo}, Install: []string{name}}
				if job == "upgrade" {
					o.Install, o.Upgrade = nil, o.Install
				}
				asked++
				tr := rpm.Check(o)
				if want == nil {
					refused++
					if len(tr.Problems) == 0 {
						t.Errorf("%s %s on %s: got no problem, which dnf has", job, name, machine)
					}
					continue
				}
				if diff := cmp.Diff(want, comes(tr)); diff != "" || len(tr.Problems) > 0 {
					t.Errorf("%s %s on %s: %v (-dnf +got):\n%s", job, name, machine, tr.Problems, diff)
				}
			}
		}
	}
	if asked < 200 || refused < 25 {
		t.Errorf("asked %d times, refused %d times, want the answers to be worth their name", asked, refused)
	}
}

// comes is what a transaction brings, sorted, with epochs of 0 as dnf writes them.
func comes(tr *rpm.Transaction) []string {
	out := []string{}
	add := func(p *rpm.Package) {
		evr := p.EVR.String()
		if !strings.Contains(evr, ":") {
			evr = "0:" + evr
		}
		out = append(out, p.Name+"-"+evr+"."+p.Arch)
	}
	for _, p := range tr.Install {
		add(p)
	}
	for _, u := range tr.Upgrade {
		add(u.To)
	}
	slices.Sort(out)
	return out
}

// TestCheckRefusesTheWrongBase has the machine on which audit-libs-devel is in the way of docker-ce.
func TestCheckRefusesTheWrongBase(t *testing.T) {
	tr := rpm.Check(rpm.CheckOptions{Installed: installed(t, "testdata/check/centos7-many.rpmqa.gz"),
		Offered: []*rpm.Repo{dockerRepo(t)}, Install: []string{"docker-ce", "docker-ce-cli", "sed"}})
	want := []rpm.Problem{{Package: "audit-libs-devel-2.8.4-4.el7.x86_64", Dep: "audit-libs(x86-64) = 2.8.4-4.el7",
		Text: "audit-libs-devel-2.8.4-4.el7.x86_64 of the host requires audit-libs(x86-64) = 2.8.4-4.el7, but " +
			"audit-libs-2.8.5-4.el7.x86_64 of the bundle (for audit-libs-python, for docker-ce) would replace " +
			"audit-libs-2.8.4-4.el7.x86_64; the bundle has no audit-libs-devel"}}
	if diff := cmp.Diff(want, tr.Problems); diff != "" {
		t.Error(diff)
	}
}

// packages reads one package a line: its NEVRA, then clauses as "requires a, b >= 2", with semicolons between them.
func packages(t testing.TB, lines ...string) []*rpm.Package {
	t.Helper()
	var out []*rpm.Package
	for _, line := range lines {
		nevra, rest, _ := strings.Cut(line, " ")
		p := pkg(nevra)
		for clause := range strings.SplitSeq(rest, ";") {
			kind, list, _ := strings.Cut(strings.TrimSpace(clause), " ")
			for text := range strings.SplitSeq(list, ",") {
				text = strings.TrimSpace(text)
				switch kind {
				case "":
				case "requires":
					p.Requires = append(p.Requires, dep(text))
				case "provides":
					p.Provides = append(p.Provides, dep(text))
				case "conflicts":
					p.Conflicts = append(p.Conflicts, dep(text))
				case "obsoletes":
					p.Obsoletes = append(p.Obsoletes, dep(text))
				case "has":
					p.Files = append(p.Files, text)
				default:
					t.Fatalf("%s: unknown clause %q", nevra, kind)
				}
			}
		}
		out = append(out, p)
	}
	return out
}

func dep(s string) rpm.Dep {
	fields := strings.Fields(s)
	if strings.HasPrefix(s, "(") || len(fields) != 3 {
		return rpm.Dep{Name: s}
	}
	flags := rpm.Flags(0)
	for c, f := range map[string]rpm.Flags{"<": rpm.Less, ">": rpm.Greater, "=": rpm.Equal} {
		if strings.Contains(fields[1], c) {
			flags |= f
		}
	}
	evr := rpm.ParseEVR(fields[2])
	return rpm.Dep{Name: fields[0], EVR: &evr, Flags: flags}
}

// does tells a transaction in short: what comes, what goes, and what is wrong.
func does(tr *rpm.Transaction) []string {
	out := []string{}
	for _, p := range tr.Install {
		out = append(out, "+"+p.NEVRA())
	}
	for _, u := range tr.Upgrade {
		out = append(out, u.From.NEVRA()+" > "+u.To.NEVRA())
	}
	for _, p := range tr.Remove {
		out = append(out, "-"+p.NEVRA())
	}
	for _, p := range tr.Problems {
		out = append(out, p.String())
	}
	return out
}
