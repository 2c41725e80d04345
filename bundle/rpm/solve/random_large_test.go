package solve_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// distribution draws a repository like that of a distribution: some hundred packages in several versions, most of which need
// older ones below them by name, soname, file or rich dependency; language packs, alternatives, renamed packages, weak
// dependencies, and a host that was installed from the older versions.
func (g *generator) distribution(names int) *scenario {
	repo := scenarioRepo{ID: "r0", Priority: 99}
	older := scenarioRepo{ID: "r0", Priority: 99}
	for i := range names {
		versions := 1 + g.r.IntN(4)
		arch := pick(g, []string{"x86_64", "x86_64", "x86_64", "noarch"})
		both := arch == "x86_64" && g.r.IntN(5) == 0
		for v := range versions {
			p := g.layered(i, v, arch)
			repo.Packages = append(repo.Packages, p)
			if v == 0 {
				older.Packages = append(older.Packages, p)
			}
			if both {
				repo.Packages = append(repo.Packages, g.narrow(p))
			}
		}
	}
	s := &scenario{Repos: []scenarioRepo{repo}}
	if g.r.IntN(2) == 0 {
		s.Installed = g.host(older, names)
	}
	for range 40 {
		j := scenarioJob{Weak: g.r.IntN(2) == 0}
		for range 1 + g.r.IntN(3) {
			j.Install = append(j.Install, g.want(names))
		}
		if len(s.Installed) > 0 && g.r.IntN(2) == 0 {
			j.Upgrade = []string{pick(g, []string{"*", pick(g, s.Installed).Name})}
			if g.r.IntN(2) == 0 {
				j.Install = nil
			}
		}
		s.Jobs = append(s.Jobs, j)
	}
	return s
}

func (g *generator) want(names int) string {
	i := g.r.IntN(names)
	return pick(g, []string{fmt.Sprintf("p%d", i), fmt.Sprintf("p%d", i), fmt.Sprintf("p%d", i), fmt.Sprintf("service%d", i%9),
		fmt.Sprintf("/usr/bin/tool%d", i), fmt.Sprintf("p%d.x86_64", i), fmt.Sprintf("p%d-1*", i), fmt.Sprintf("lib%d.so.1()(64bit)", i)})
}

// layered is version v of the package i, which mostly needs packages of lower numbers.
func (g *generator) layered(i, v int, arch string) *rpm.Package {
	name := fmt.Sprintf("p%d", i)
	p := newPackage(name, rpm.EVR{Version: fmt.Sprintf("%d.%d", 1+v/2, v), Release: fmt.Sprintf("%d.el9", 1+g.r.IntN(2))}, arch)
	if arch == "x86_64" {
		p.Provides = append(p.Provides, rpm.Dep{Name: name + "(x86-64)", EVR: &p.EVR, Flags: rpm.Equal},
			rpm.Dep{Name: fmt.Sprintf("lib%d.so.%d()(64bit)", i, 1+v/3)})
	}
	if g.r.IntN(6) == 0 {
		p.Provides = append(p.Provides, parseDep(fmt.Sprintf("service%d = %d", i%9, 1+v)))
	}
	if g.r.IntN(4) == 0 {
		p.Files = append(p.Files, fmt.Sprintf("/usr/bin/tool%d", i))
	}
	for n := 0; n < 6 && i > 0 && g.r.IntN(4) > 0; n++ {
		p.Requires = append(p.Requires, g.need(g.below(i)))
	}
	for n := 0; n < 2 && i > 0 && g.r.IntN(4) == 0; n++ {
		p.Recommends = append(p.Recommends, g.need(g.r.IntN(i+10)))
	}
	if g.r.IntN(12) == 0 {
		p.Suggests = append(p.Suggests, parseDep(fmt.Sprintf("p%d", g.r.IntN(i+10))))
	}
	if g.r.IntN(8) == 0 {
		a, b := g.below(i+1), g.below(i+1)
		p.Supplements = append(p.Supplements, parseDep(pick(g, []string{fmt.Sprintf("(p%d and p%d)", a, b), fmt.Sprintf("p%d", a),
			fmt.Sprintf("((p%d or p%d) and service%d)", a, b, i%9)})))
	}
	if g.r.IntN(15) == 0 {
		x := g.below(i + 10)
		p.Conflicts = append(p.Conflicts, parseDep(pick(g, []string{fmt.Sprintf("p%d < 1.2", x), fmt.Sprintf("service%d", i%9),
			fmt.Sprintf("(p%d unless p%d)", x, g.below(i+1))})))
	}
	if g.r.IntN(15) == 0 && v > 0 {
		old := g.below(i + 5)
		p.Obsoletes = append(p.Obsoletes, parseDep(fmt.Sprintf("p%d < 2", old)))
		if g.r.IntN(2) == 0 {
			p.Provides = append(p.Provides, parseDep(fmt.Sprintf("p%d = 2", old)))
		}
	}
	return p
}

// below is a number under i, nearer ones and the lowest more often.
func (g *generator) below(i int) int {
	if g.r.IntN(3) == 0 {
		return g.r.IntN(min(i, 12))
	}
	return max(0, i-1-g.r.IntN(min(i, 30)))
}

// need is a requirement on package x in one of the forms that distributions have.
func (g *generator) need(x int) rpm.Dep {
	y := g.r.IntN(x + 1)
	return parseDep(pick(g, []string{
		fmt.Sprintf("p%d", x), fmt.Sprintf("p%d >= 1.0", x), fmt.Sprintf("p%d", x), fmt.Sprintf("lib%d.so.1()(64bit)", x),
		fmt.Sprintf("lib%d.so.1()(64bit)", x), fmt.Sprintf("p%d(x86-64) >= 1.1", x), fmt.Sprintf("/usr/bin/tool%d", x),
		fmt.Sprintf("service%d", x%9), fmt.Sprintf("service%d >= 2", x%9), fmt.Sprintf("(p%d or p%d)", x, y),
		fmt.Sprintf("(p%d >= 1.1 with p%d < 2.4)", x, x), fmt.Sprintf("(p%d if p%d)", x, y), fmt.Sprintf("(p%d if p%d else p%d)", x, y, y/2),
		fmt.Sprintf("(service%d without p%d)", x%9, y), fmt.Sprintf("((p%d if p%d) and p%d)", x, y, y/3), fmt.Sprintf("p%d < 2.3", x),
	}))
}

// narrow is the 32-bit twin of a package.
func (g *generator) narrow(p *rpm.Package) *rpm.Package {
	q := newPackage(p.Name, p.EVR, "i686")
	q.Provides = append(q.Provides, rpm.Dep{Name: p.Name + "(x86-32)", EVR: &q.EVR, Flags: rpm.Equal})
	for _, d := range p.Requires {
		if g.r.IntN(2) == 0 {
			q.Requires = append(q.Requires, d)
		}
	}
	return q
}

// host is what a machine has on which some of the older packages were installed.
func (g *generator) host(older scenarioRepo, names int) []*rpm.Package {
	w := &world{scenario: &scenario{Repos: []scenarioRepo{older}}}
	w.repos = []*rpm.Repo{{ID: older.ID, Packages: older.Packages}}
	w.open()
	var installed []*rpm.Package
	for range 10 {
		s, err := solveJob(w.pool, scenarioJob{Install: []string{fmt.Sprintf("p%d", g.r.IntN(names))}})
		if err == nil && s.solved() {
			installed = s.transaction.Apply(installed)
			w.scenario.Installed = installed
			w.open()
		}
	}
	return installed
}

// TestRandomLarge does in large random worlds what TestRandom does in small ones.
func TestRandomLarge(t *testing.T) {
	seed, cases := firstSeed(), *casesFlag
	if cases == 0 {
		cases = inCI(4)
	}
	if whole() {
		cases *= 20
	}
	run, dir := newRandomRun(t), t.TempDir()
	for n := range uint64(cases) {
		g := newGenerator(seed + n)
		if err := run.world(t, filepath.Join(dir, fmt.Sprint(n)), g.distribution(60+g.r.IntN(300)), seed+n); err != nil {
			t.Fatalf("seed %d: %v", seed+n, err)
		}
	}
	run.report(t, seed, cases)
}
