package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// whyOf builds the world of a bundle that holds packages, each "name-version-release.arch requirement…".
func whyOf(base, install []string, packages ...string) *whyWorld {
	read := func(list []string) []*rpm.Package {
		var out []*rpm.Package
		for _, text := range list {
			fields := strings.Fields(text)
			v := packageSet(fields[0])[0]
			p := &rpm.Package{Name: v.name, EVR: v.evr, Arch: v.arch, Href: "Packages/" + fields[0] + ".rpm"}
			p.Provides = []rpm.Dep{{Name: p.Name, EVR: &p.EVR, Flags: rpm.Equal}}
			for _, name := range fields[1:] {
				p.Requires = append(p.Requires, rpm.Dep{Name: name})
			}
			out = append(out, p)
		}
		return out
	}
	w := &whyWorld{in: &manifest.Inputs{Platform: "linux/amd64"}, repo: &rpm.Repo{ID: "b", Packages: read(packages)}, base: read(base)}
	w.in.Artifacts.RPMs.Install, w.in.Artifacts.RPMs.Base = install, "base/x"
	w.pool = solve.NewPool(solve.PoolOptions{Repos: []*rpm.Repo{w.repo}, Installed: w.base})
	return w
}

// TestWhyOfWhatDoesNotCome asks about packages that are in a bundle though its own base needs none of them, and about a
// bundle that cannot be installed.
func TestWhyOfWhatDoesNotCome(t *testing.T) {
	for name, tt := range map[string]struct {
		world  *whyWorld
		solved bool
		want   []string
	}{
		"on a base that has it": {
			world:  whyOf([]string{"lib-1-1.noarch"}, []string{"app"}, "app-1-1.noarch lib", "lib-2-1.noarch"),
			solved: true,
			want: []string{"lib-2-1.noarch", "  does not come when what the manifest installs is installed on base/x",
				"  would replace lib-1-1.noarch of the base", "  nothing that the manifest installs leads to it"},
		},
		"for another base": {
			world:  whyOf([]string{"other-1-1.noarch"}, []string{"app"}, "app-1-1.noarch other", "lib-2-1.noarch", "other-1-1.noarch lib"),
			solved: true,
			want: []string{"lib-2-1.noarch", "  does not come when what the manifest installs is installed on base/x",
				"  nothing that the manifest installs leads to it", "  directly:", "    other-1-1.noarch requires lib"},
		},
		"in a bundle that lacks something": {
			world: whyOf(nil, []string{"app"}, "app-1-1.noarch lib missing", "lib-2-1.noarch"),
			want: []string{"lib-2-1.noarch", "  does not come when what the manifest installs is installed on base/x",
				"  app-1-1.noarch is asked for as app", "    requires lib -> lib-2-1.noarch"},
		},
	} {
		if err := tt.world.solve(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := tt.world.unsolved == nil; got != tt.solved {
			t.Errorf("%s: got solved %v, want %v", name, got, tt.solved)
		}
		got := tt.world.why(tt.world.pool.Find("lib")[len(tt.world.pool.Find("lib"))-1]).lines("base/x")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestWhyOfAProfile has packages that no spec means: the profile of a module did, and only the vendor's metadata had it.
func TestWhyOfAProfile(t *testing.T) {
	w := whyOf(nil, []string{"app"}, "app-1-1.noarch", "tool-1-1.noarch lib", "lib-2-1.noarch")
	w.in.Artifacts.RPMs.Modules = []string{"plain:1", "tools:2/common"}
	if err := w.solve(); err != nil {
		t.Fatal(err)
	}
	want := []string{"lib-2-1.noarch", "  tool-1-1.noarch is asked for as tools:2/common", "    requires lib -> lib-2-1.noarch"}
	if diff := cmp.Diff(want, w.why(w.repo.Packages[2]).lines("bare")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []string{"app-1-1.noarch", "  app-1-1.noarch is asked for as app"}
	if diff := cmp.Diff(want, w.why(w.repo.Packages[0]).lines("bare")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhyTellsAFewWays(t *testing.T) {
	install := []string{"a", "b", "c", "d", "e", "f", "g"}
	packages := []string{"lib-1-1.noarch"}
	for _, name := range install {
		packages = append(packages, name+"-1-1.noarch lib")
	}
	w := whyOf(nil, install, packages...)
	if err := w.solve(); err != nil {
		t.Fatal(err)
	}
	p := w.why(w.repo.Packages[0])
	if len(p.Chains) != 7 || len(p.Reasons) != 7 || p.Chains[0][0].Package != "a-1-1.noarch" {
		t.Errorf("got %d chains and %d reasons, want all 7, a first", len(p.Chains), len(p.Reasons))
	}
	text := strings.Join(p.lines("bare"), "\n")
	if strings.Count(text, "is asked for") != maxChains || !strings.Contains(text, "\n  and 2 more ways\n  directly:\n") || strings.Count(text, "1-1.noarch requires lib") != 7 {
		t.Errorf("got\n%s", text)
	}
}

func TestWhySteps(t *testing.T) {
	for _, tt := range []struct {
		step        whyStep
		short, text string
	}{
		{whyStep{How: "requires", By: "a", Dep: "x >= 1"}, "requires x >= 1", "a requires x >= 1"},
		{whyStep{How: "recommends", By: "a", Dep: "x", Base: true}, "recommends x", "a of the base recommends x"},
		{whyStep{How: "supplements", By: "a", Dep: "x"}, "is supplemented, by x,", "a is supplemented, by x"},
		{whyStep{How: "accompanies", By: "a"}, "needs the same version of", "a needs it in the same version"},
		{whyStep{How: "conflicts", By: "a", Dep: "x < 2"}, "conflicts by x < 2 with the version of the base, hence", "a conflicts by x < 2 with the version of the base"},
		{whyStep{How: "displaces", By: "a", Old: "b", Dep: "b = 1"}, "replaces b of the base, whose b = 1 the version of the base requires, hence",
			"a replaces b of the base, whose b = 1 the version of the base requires"},
	} {
		if got := tt.step.short(); got != tt.short {
			t.Errorf("%s: got %q, want %q", tt.step.How, got, tt.short)
		}
		if got := tt.step.text(); got != tt.text {
			t.Errorf("%s: got %q, want %q", tt.step.How, got, tt.text)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"docker", "docker", 0}, {"dokcer", "docker", 2}, {"dcker", "docker", 1}, {"dockers", "docker", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestEntryOfContainers covers a kind of file that no bundle has yet.
func TestEntryOfContainers(t *testing.T) {
	if got := whyOf(nil, nil).entry(bundle.File{Path: "images/index.json", Kind: manifest.KindContainer}); got != "artifacts.containers asks for it" {
		t.Errorf("got %q", got)
	}
}
