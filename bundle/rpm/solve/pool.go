package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// pid is the number of a package in its pool, from 1; those installed come first, by name, then the repositories by priority.
// Where dnf and libsolv leave a choice to chance they go by such numbers, so their order matters.
type pid = int32

// entry is a package of a pool.
type entry struct {
	*rpm.Package
	repo     *rpm.Repo // nil for an installed one
	name     nameID
	rank     archRank
	priority int  // higher wins
	hidden   bool // excluded or filtered: known, but it cannot come
	multi    bool // installonly: versions of it stand side by side

	listed bool // the lists below are made
	lists  depLists
	laws   []int32 // its own rules in Pool.laws; see lawsOf
	reach  []pid   // packages that may come because this one does
	lawful bool    // laws and reach are made
}

// depLists are a package's dependencies as the pool numbers them, each once.
type depLists struct {
	requires, conflicts, obsoletes, recommends, suggests, supplements, enhances []depID

	sorted bool // recommends are in the order of Pool.recommendations
}

// pooled is what a Pool keeps from one call of Solve to the next.
type pooled struct {
	pkgs  []entry // by pid; the first is none
	host  pid     // the last of the installed packages
	ranks map[string]archRank

	names      map[string]nameID
	byName     []named
	provisions []provide // the first is none
	depIDs     map[depKey]depID
	deps       []dep
	files      *fileIndex
	laws       []law
	weakly     []pid // packages that supplement or enhance others
	obsolet    map[string][]pid
	updates    map[pid][]pid // installed packages and what obsoletes them, by policy

	unwanted []bool               // packages that come by no weak dependency; made with the first job that wants these
	usages   map[*rpm.Repo]*usage // made with the first job that wants weak dependencies
	idle     *solver              // its memory serves the next Solve
	err      error                // what makes the pool useless: see Solve
}

// NewPool indexes packages.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{o: o}
	p.ranks = archRanks(cmp.Or(o.Arch, "x86_64"))
	count := len(o.Installed) + 1
	for _, r := range o.Repos {
		count += len(r.Packages)
	}
	p.pkgs = make([]entry, 1, count)
	p.depIDs, p.deps = map[depKey]depID{}, make([]dep, 1)
	for _, q := range byName(o.Installed) {
		p.pkgs = append(p.pkgs, entry{Package: q, rank: p.ranks[q.Arch], priority: -rpm.DefaultPriority})
	}
	p.host = pid(len(p.pkgs) - 1)
	for _, r := range byPriority(o.Repos) {
		priority := -cmp.Or(r.Priority, rpm.DefaultPriority)
		for _, q := range r.Packages {
			if q.Arch == "src" || q.Arch == "nosrc" {
				continue
			}
			hidden := o.Hidden != nil && o.Hidden(q)
			p.pkgs = append(p.pkgs, entry{Package: q, repo: r, rank: p.ranks[q.Arch], priority: priority, hidden: hidden})
		}
	}
	p.index()
	p.exclude()
	p.markInstallOnly()
	return p
}

// byPriority is the order in which dnf reads repositories (dnf repodict.py, items).
func byPriority(repos []*rpm.Repo) []*rpm.Repo {
	repos = slices.Clone(repos)
	slices.SortStableFunc(repos, func(a, b *rpm.Repo) int {
		return cmp.Compare(cmp.Or(a.Priority, rpm.DefaultPriority), cmp.Or(b.Priority, rpm.DefaultPriority))
	})
	return repos
}

// byName is the order in which libsolv reads installed packages (ext/repo_rpmdb.c). Keys that rpm keeps like packages are
// none.
func byName(installed []*rpm.Package) []*rpm.Package {
	installed = slices.DeleteFunc(slices.Clone(installed), func(q *rpm.Package) bool { return q.Name == "gpg-pubkey" })
	slices.SortStableFunc(installed, func(a, b *rpm.Package) int { return strings.Compare(a.Name, b.Name) })
	return installed
}

// index makes the lists of who is named and who provides what.
func (p *Pool) index() {
	p.indexProvides()
	p.obsolet = map[string][]pid{}
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		e := &p.pkgs[i]
		for _, d := range e.Obsoletes {
			if list := p.obsolet[d.Name]; len(list) == 0 || list[len(list)-1] != i {
				p.obsolet[d.Name] = append(list, i)
			}
		}
		if len(e.Supplements)+len(e.Enhances) > 0 {
			p.weakly = append(p.weakly, i)
		}
	}
}

// exclude hides what PoolOptions.Exclude names. As for dnf an installed package that it names stays as it is.
func (p *Pool) exclude() {
	for _, spec := range p.o.Exclude {
		for _, i := range p.matchNEVRA(spec).pkgs {
			p.pkgs[i].hidden = true
		}
	}
}

func (p *Pool) installed(i pid) bool { return i <= p.host }

// installable says whether a package could come: its architecture is one of the host's, and nothing hides it.
func (p *Pool) installable(i pid) bool { return p.pkgs[i].rank != 0 && !p.pkgs[i].hidden }

// indexed says whether a package counts where providers are looked up. Hidden ones do, so that messages can name them;
// installed ones do in any case.
func (p *Pool) indexed(i pid) bool { return p.installed(i) || p.pkgs[i].rank != 0 }

// named are all packages of a name that count, in the order of their numbers.
func (p *Pool) named(name nameID) []pid { return p.byName[name].pkgs }

func (p *Pool) compareEVR(a, b pid) int { return comparePackages(p.pkgs[a].EVR, p.pkgs[b].EVR) }

func (p *Pool) sameEVR(a, b pid) bool { return sameEVR(p.pkgs[a].EVR, p.pkgs[b].EVR) }

// list numbers the dependencies of a package.
func (p *Pool) list(i pid) *depLists {
	e := &p.pkgs[i]
	if !e.listed {
		e.listed = true
		q := e.Package
		l := depLists{requires: p.depsOf(q.Requires), conflicts: p.depsOf(q.Conflicts), obsoletes: p.depsOf(q.Obsoletes),
			recommends: p.depsOf(q.Recommends), suggests: p.depsOf(q.Suggests), supplements: p.depsOf(q.Supplements),
			enhances: p.depsOf(q.Enhances)}
		p.pkgs[i].lists = l
	}
	return &p.pkgs[i].lists
}

// depsOf numbers dependencies, leaving out repetitions and rich ones that do not parse.
func (p *Pool) depsOf(deps []rpm.Dep) []depID {
	if len(deps) == 0 {
		return nil
	}
	out := make([]depID, 0, len(deps))
	for _, d := range deps {
		if id := p.depOf(d); id != 0 && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// obsoleted are the packages that an entry of a package's obsoletes is about: by their names and versions, never by what
// they provide, and never the package itself.
func (p *Pool) obsoleted(obs depID) []pid {
	d := p.deps[obs].dep
	if p.deps[obs].rich != nil || strings.HasPrefix(d.Name, "(") {
		return nil
	}
	var out []pid
	for _, q := range p.providers(obs) {
		if e := &p.pkgs[q]; e.Name == d.Name && obsoletesEVR(e.EVR, d) {
			out = append(out, q)
		}
	}
	return out
}

// obsoletes says whether package i obsoletes package q.
func (p *Pool) obsoletes(i, q pid) bool {
	return slices.ContainsFunc(p.list(i).obsoletes, func(obs depID) bool { return slices.Contains(p.obsoleted(obs), q) })
}
