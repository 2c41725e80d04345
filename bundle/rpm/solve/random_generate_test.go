package solve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
)

// generator makes random worlds. Its zero probabilities make dull ones; newGenerator draws them, so that worlds differ in kind.
type generator struct {
	r        *rand.Rand
	names    []string
	versions []string

	maxVersions                                  int // of one name in one repository
	requires, conflicts, obsoletes, provides     float64
	weak, files, rich, versioned, multilib, odd  float64
	installed, broken, vague, excludes, repeated float64
	depth, repos                                 int
}

// newGenerator draws the kind of a world from a seed.
func newGenerator(seed uint64) *generator {
	r := rand.New(rand.NewPCG(seed, 0x0ff))
	g := &generator{r: r, maxVersions: 1 + r.IntN(4), depth: 1 + r.IntN(3), repos: 1}
	all := []string{"a", "b", "c", "d", "e", "f", "g", "h", "a-libs", "b-1", "lib+c", "kernel", "kernel-core", "i", "j", "k", "l", "m", "n"}
	g.names = all[:4+r.IntN(len(all)-3)]
	g.versions = []string{"1", "2", "3"}
	if r.IntN(2) == 0 {
		g.versions = []string{"1", "2", "2~rc1", "2^git", "10", "1.5", "1:1", "0:3"}
	}
	draw := func(often int, limit float64) float64 {
		if r.IntN(often) > 0 {
			return 0
		}
		return r.Float64() * limit
	}
	g.requires, g.conflicts, g.obsoletes, g.provides = 0.1+0.65*r.Float64(), draw(2, 0.35), draw(3, 0.25), draw(1, 0.6)
	g.weak, g.files, g.rich, g.versioned = draw(2, 0.5), draw(3, 0.3), draw(2, 0.8), r.Float64()
	g.multilib, g.odd = draw(3, 0.8), draw(8, 0.5)
	g.installed, g.broken, g.vague = draw(2, 0.8), draw(5, 1), draw(3, 0.4)
	g.excludes, g.repeated = draw(5, 0.3), draw(3, 0.5)
	if r.IntN(3) == 0 {
		g.repos = 2 + r.IntN(2)
	}
	return g
}

func (g *generator) chance(p float64) bool { return g.r.Float64() < p }

func pick[T any](g *generator, list []T) T { return list[g.r.IntN(len(list))] }

func (g *generator) evr() rpm.EVR {
	e := rpm.ParseEVR(pick(g, g.versions))
	e.Release = "1"
	if g.r.IntN(6) == 0 {
		e.Release = "2"
	}
	return e
}

// simple is a plain dependency on a package, something provided, or a file.
func (g *generator) simple() rpm.Dep {
	switch {
	case g.chance(g.files / 2):
		return rpm.Dep{Name: g.path()}
	case g.r.IntN(4) == 0:
		return g.maybeVersioned(fmt.Sprintf("v%d", g.r.IntN(4)))
	case g.multilib > 0 && g.r.IntN(6) == 0:
		return g.maybeVersioned(pick(g, g.names) + pick(g, []string{"(x86-64)", "(x86-32)"}))
	}
	return g.maybeVersioned(pick(g, g.names))
}

func (g *generator) maybeVersioned(name string) rpm.Dep {
	if !g.chance(g.versioned) {
		return rpm.Dep{Name: name}
	}
	evr := g.evr()
	if g.r.IntN(3) > 0 {
		evr.Release = ""
	}
	flags := []rpm.Flags{rpm.Equal, rpm.Greater | rpm.Equal, rpm.Greater | rpm.Equal, rpm.Less, rpm.Less | rpm.Equal, rpm.Greater}
	return rpm.Dep{Name: name, EVR: &evr, Flags: pick(g, flags)}
}

func (g *generator) path() string {
	return pick(g, []string{"/usr/bin/x", "/usr/sbin/y", "/etc/z", "/usr/share/w/w", "/opt/v"})
}

// dep is a plain or a rich dependency.
func (g *generator) dep(conflict bool) rpm.Dep {
	if !g.chance(g.rich) {
		return g.simple()
	}
	return rpm.Dep{Name: g.richText(g.depth, conflict)}
}

// richText is a rich dependency as rpm lets a package have it: "if" outside of "or", "unless" in its place in
// conflicts, only "or" and their kind within "with" and "without"; with g.odd, as no package has it.
func (g *generator) richText(depth int, conflict bool) string {
	operand := func() string {
		if depth > 1 && g.r.IntN(3) == 0 {
			return g.richText(depth-1, conflict)
		}
		return g.simple().String()
	}
	operators := []string{"or", "or", "and", "with", "without", "if", "if", "if else"}
	if conflict {
		operators = []string{"or", "and", "with", "without", "unless", "unless else"}
	}
	if g.chance(g.odd) {
		operators = []string{"or", "and", "with", "without", "if", "if else", "unless", "unless else"}
	} else if depth < g.depth { // within another
		operators = []string{"or", "and"}
	}
	switch op := pick(g, operators); op {
	case "with", "without":
		return fmt.Sprintf("(%s %s %s)", g.simple(), op, g.simple())
	case "if else", "unless else":
		return fmt.Sprintf("(%s %s %s else %s)", operand(), op[:len(op)-5], operand(), operand())
	case "and", "or":
		text := operand() + " " + op + " " + operand()
		if g.r.IntN(4) == 0 {
			text += " " + op + " " + operand()
		}
		return "(" + text + ")"
	default:
		return fmt.Sprintf("(%s %s %s)", operand(), op, operand())
	}
}

func (g *generator) pkg(name string, evr rpm.EVR, arch string) *rpm.Package {
	p := newPackage(name, evr, arch)
	switch arch {
	case "x86_64":
		p.Provides = append(p.Provides, rpm.Dep{Name: name + "(x86-64)", EVR: &p.EVR, Flags: rpm.Equal})
	case "i686":
		p.Provides = append(p.Provides, rpm.Dep{Name: name + "(x86-32)", EVR: &p.EVR, Flags: rpm.Equal})
	}
	some := func(p float64, list *[]rpm.Dep, make func() rpm.Dep) {
		for n := 0; n < 4 && g.chance(p); n++ {
			*list = append(*list, make())
		}
	}
	some(g.provides, &p.Provides, func() rpm.Dep {
		name := fmt.Sprintf("v%d", g.r.IntN(4))
		if g.r.IntN(4) == 0 {
			name = pick(g, g.names)
		}
		d := g.maybeVersioned(name)
		if d.EVR != nil && g.r.IntN(12) > 0 {
			d.Flags = rpm.Equal
		}
		return d
	})
	any, conflict := func() rpm.Dep { return g.dep(false) }, func() rpm.Dep { return g.dep(true) }
	some(g.requires, &p.Requires, any)
	some(g.conflicts, &p.Conflicts, conflict)
	some(g.obsoletes, &p.Obsoletes, func() rpm.Dep { return g.maybeVersioned(pick(g, g.names)) })
	some(g.weak, &p.Recommends, any)
	some(g.weak/2, &p.Suggests, any)
	some(g.weak/2, &p.Supplements, any)
	some(g.weak/3, &p.Enhances, any)
	for n := 0; n < 2 && g.chance(g.files); n++ {
		if f := g.path(); !slices.Contains(p.Files, f) {
			p.Files = append(p.Files, f)
		}
	}
	return p
}

// archs are those of one name: most have one.
func (g *generator) archs() []string {
	switch {
	case g.chance(g.multilib):
		return [][]string{{"x86_64", "i686"}, {"i686", "x86_64"}, {"i686"}, {"noarch", "x86_64"}}[g.r.IntN(4)]
	case g.r.IntN(3) == 0:
		return []string{"noarch"}
	}
	return []string{"x86_64"}
}

// packages are those of a repository: names in several versions and architectures.
func (g *generator) packages(archs map[string][]string) []*rpm.Package {
	var out []*rpm.Package
	for _, name := range g.names {
		known := map[string]bool{}
		for range g.r.IntN(g.maxVersions + 1) {
			evr := g.evr()
			if known[evr.String()] {
				continue
			}
			known[evr.String()] = true
			for _, arch := range archs[name] {
				if g.r.IntN(8) > 0 {
					out = append(out, g.pkg(name, evr, arch))
				}
			}
		}
	}
	g.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// scenario draws a whole world with its jobs.
func (g *generator) scenario(jobs int) *scenario {
	archs := map[string][]string{}
	for _, n := range g.names {
		archs[n] = g.archs()
	}
	s := &scenario{}
	for i := range g.repos {
		repo := scenarioRepo{ID: fmt.Sprintf("r%d", i), Priority: 99, Packages: g.packages(archs)}
		if g.repos > 1 {
			repo.Priority = pick(g, []int{99, 99, 50, 10})
			for _, p := range s.offered() { // a package may be in several repositories
				if i > 0 && g.chance(g.repeated/3) && !slices.ContainsFunc(repo.Packages, func(q *rpm.Package) bool { return q.NEVRA() == p.NEVRA() }) {
					repo.Packages = append(repo.Packages, p)
				}
			}
		}
		s.Repos = append(s.Repos, repo)
	}
	if len(s.offered()) == 0 {
		s.Repos[0].Packages = append(s.Repos[0].Packages, g.pkg("a", g.evr(), "noarch"))
	}
	g.install(s, archs)
	if g.chance(g.excludes) {
		s.Exclude = append(s.Exclude, g.spec(s))
	}
	for range jobs {
		s.Jobs = append(s.Jobs, g.job(s))
	}
	return s
}

// install draws the installed packages, mostly a set that holds together.
func (g *generator) install(s *scenario, archs map[string][]string) {
	for _, name := range g.names {
		if !g.chance(g.installed) {
			continue
		}
		evr := g.evr()
		for i, arch := range archs[name] {
			if i > 0 && g.r.IntN(2) == 0 || i > 0 && slices.Contains(archs[name], "noarch") {
				continue
			}
			p := g.pkg(name, evr, arch)
			for _, offered := range s.offered() { // one NEVRA is one package
				if offered.NEVRA() == p.NEVRA() {
					p = offered
				}
			}
			s.Installed = append(s.Installed, p)
		}
	}
	if g.r.Float64() < g.broken {
		return
	}
	for {
		bad := brokenPackage(s.Installed)
		if bad == nil {
			return
		}
		s.Installed = slices.DeleteFunc(slices.Clone(s.Installed), func(p *rpm.Package) bool { return p == bad })
	}
}

func (s *scenario) offered() []*rpm.Package {
	var all []*rpm.Package
	for _, r := range s.Repos {
		all = append(all, r.Packages...)
	}
	return all
}

func (g *generator) job(s *scenario) scenarioJob {
	j := scenarioJob{Weak: g.weak > 0 && g.r.IntN(2) == 0}
	if len(s.Installed) > 0 && g.r.IntN(4) == 0 {
		for range 1 + g.r.IntN(2) {
			name := pick(g, s.Installed).Name
			j.Upgrade = append(j.Upgrade, pick(g, []string{name, name, name, "*", g.spec(s)}))
		}
		if g.r.IntN(4) > 0 {
			return j
		}
	}
	j.Install = append(j.Install, g.spec(s))
	for g.r.IntN(4) == 0 {
		j.Install = append(j.Install, g.spec(s))
	}
	return j
}

// spec is what a user might ask for.
func (g *generator) spec(s *scenario) string {
	p := pick(g, s.offered())
	if !g.chance(g.vague) {
		return p.Name
	}
	e := p.EVR
	epoch := e.Epoch
	if epoch == "" {
		epoch = "0"
	}
	return pick(g, []string{
		p.Name + "." + p.Arch, p.Name + "-" + e.Version, p.Name + "-" + e.Version + "-" + e.Release, p.NEVRA(),
		p.Name + "-" + epoch + ":" + e.Version + "-" + e.Release, p.Name + "-" + epoch + ":" + e.Version + "-" + e.Release + "." + p.Arch,
		p.Name[:1] + "*", "?", p.Name + "-*", p.Name + "*." + p.Arch, "*" + p.Name[len(p.Name)-1:], "[a-c]",
		g.simple().String(), g.simple().String(), g.path(), "/usr/*bin/*", "nosuch", "v*", pick(g, g.names), pick(g, g.names),
		p.Name + " = " + e.Version, p.Name + " >= " + e.String(), p.Name + "-" + e.Version + "-*", "*", p.Name + "-" + pick(g, g.versions),
	})
}
