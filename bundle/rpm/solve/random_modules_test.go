package solve_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// modular draws a world as RHEL 8 and its kin have it: a repository of plain packages, and one of modules in several streams,
// each with packages in several versions, some under names that plain packages have, too.
func (g *generator) modular() *scenario {
	g.names = g.names[:min(len(g.names), 8)]
	archs := map[string][]string{}
	for _, n := range g.names {
		archs[n] = g.archs()
	}
	base := scenarioRepo{ID: "baseos", Priority: 99, Packages: g.packages(archs)}
	app := scenarioRepo{ID: "appstream", Priority: 99, Packages: g.packages(archs)}
	var yaml strings.Builder
	s := &scenario{}
	for m := range 1 + g.r.IntN(4) {
		streams := 1 + g.r.IntN(3)
		name := fmt.Sprintf("m%d", m)
		for n := range streams {
			stream := fmt.Sprint(n + 1)
			for version := range 1 + g.r.IntN(2) {
				fmt.Fprintf(&yaml, "---\ndocument: modulemd\nversion: 2\ndata:\n  name: %s\n  stream: %q\n  version: %d\n  context: c%s%d\n"+
					"  arch: x86_64\n  summary: s\n  description: d\n  license:\n    module: [MIT]\n"+
					"  dependencies:\n  - requires:\n      platform: [el9]\n", name, stream, version+1, stream, version)
				if m > 0 && g.r.IntN(3) == 0 {
					fmt.Fprintf(&yaml, "      m%d: [%q]\n", g.r.IntN(m), pick(g, []string{"1", "2"}))
				}
				yaml.WriteString("  artifacts:\n    rpms:\n")
				for _, p := range g.streamPackages(name, stream, version) {
					app.Packages = append(app.Packages, p)
					fmt.Fprintf(&yaml, "    - %s-0:%s-%s.%s\n", p.Name, p.EVR.Version, p.EVR.Release, p.Arch)
				}
			}
		}
		if g.r.IntN(3) > 0 {
			fmt.Fprintf(&yaml, "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: %s\n  stream: \"1\"\n", name)
		}
		if g.r.IntN(3) == 0 {
			s.Enable = append(s.Enable, fmt.Sprintf("%s:%d", name, 1+g.r.IntN(streams)))
		}
	}
	g.r.Shuffle(len(app.Packages), func(i, j int) { app.Packages[i], app.Packages[j] = app.Packages[j], app.Packages[i] })
	app.Modules = yaml.String()
	s.Repos = []scenarioRepo{base, app}
	g.install(s, archs)
	for range *jobsFlag {
		s.Jobs = append(s.Jobs, g.job(s))
	}
	return s
}

// streamPackages are those of one build of a stream: of the module's own name, and others.
func (g *generator) streamPackages(module, stream string, version int) []*rpm.Package {
	names := []string{module}
	for _, n := range g.names {
		if g.r.IntN(6) == 0 {
			names = append(names, n)
		}
	}
	var out []*rpm.Package
	for _, n := range names {
		evr := rpm.EVR{Version: stream, Release: fmt.Sprintf("%d.module+%s", version+1, module)}
		out = append(out, g.pkg(n, evr, pick(g, []string{"x86_64", "x86_64", "noarch"})))
	}
	return out
}

// TestRandomModules does in random worlds with modules what TestRandom does.
func TestRandomModules(t *testing.T) {
	seed, cases := firstSeed(), *casesFlag
	if cases == 0 {
		cases = inCI(60)
	}
	run := newRandomRun(t)
	for n := range uint64(cases) {
		g := newGenerator(seed + n)
		if err := run.world(t, filepath.Join(t.TempDir(), fmt.Sprint(n)), g.modular(), seed+n); err != nil {
			t.Fatalf("seed %d: %v", seed+n, err)
		}
	}
	run.report(t, seed, cases)
	if run.refused == 0 && cases > 50 || run.refused > cases/2 {
		t.Errorf("got %d of %d worlds whose streams dnf cannot enable, want some and not most", run.refused, cases)
	}
}

// hasModules says that a refusal of dnf or of ours may be about streams.
func (s *scenario) hasModules() bool {
	return slices.ContainsFunc(s.Repos, func(r scenarioRepo) bool { return r.Modules != "" })
}
