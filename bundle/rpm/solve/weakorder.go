package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// usage is how often a repository's dependencies name something. dnf keeps repositories in a cache that is ordered by it, what
// is named most often first, and so it meets a package's recommendations in this order (libsolv repo_write.c). It matters
// where one of them makes another needless.
type usage struct {
	names map[string]int // plain names, of packages and of dependencies; each dependency with a version counts once
	deps  map[depID]int  // dependencies with a version, and rich ones
	first map[depID]int  // for these, their order in the metadata
}

// recommendations are what a package recommends, in the order in which dnf looks at it.
func (p *Pool) recommendations(i pid) []depID {
	l := p.list(i)
	if len(l.recommends) < 2 || p.installed(i) {
		return l.recommends
	}
	if !l.sorted {
		l.sorted = true
		u := p.usageOf(p.pkgs[i].repo)
		slices.SortStableFunc(l.recommends, func(a, b depID) int {
			x, y := p.plain(a), p.plain(b)
			switch {
			case x != y:
				return indicator(y) - indicator(x)
			case x:
				m, n := p.deps[a].dep.Name, p.deps[b].dep.Name
				return cmp.Or(cmp.Compare(u.names[n], u.names[m]), strings.Compare(m, n))
			}
			return cmp.Or(cmp.Compare(u.deps[b], u.deps[a]), cmp.Compare(u.first[a], u.first[b]))
		})
	}
	return l.recommends
}

// plain says whether a dependency is a name alone.
func (p *Pool) plain(id depID) bool { return p.deps[id].rich == nil && p.deps[id].dep.EVR == nil }

// usageOf counts, once for each repository.
func (p *Pool) usageOf(repo *rpm.Repo) *usage {
	if u := p.usages[repo]; u != nil {
		return u
	}
	u := &usage{names: map[string]int{}, deps: map[depID]int{}, first: map[depID]int{}}
	if p.usages == nil {
		p.usages = map[*rpm.Repo]*usage{}
	}
	p.usages[repo] = u
	for _, q := range repo.Packages {
		u.names[q.Name]++
		for _, list := range [][]rpm.Dep{q.Provides, q.Requires, q.Conflicts, q.Obsoletes, q.Suggests, q.Enhances, q.Recommends, q.Supplements} {
			for _, id := range p.depsOf(list) {
				p.count(u, id)
			}
		}
	}
	for id := range u.deps {
		p.countParts(u, id)
	}
	return u
}

func (p *Pool) count(u *usage, id depID) {
	if p.plain(id) {
		u.names[p.deps[id].dep.Name]++
		return
	}
	if u.deps[id]++; u.deps[id] == 1 {
		u.first[id] = len(u.first)
	}
}

// countParts counts the names in a dependency with a version or in a rich one.
func (p *Pool) countParts(u *usage, id depID) {
	tree := p.deps[id].rich
	if tree == nil {
		u.names[p.deps[id].dep.Name]++
		return
	}
	for _, leaf := range tree.leaves(nil) {
		if p.plain(leaf) || u.deps[leaf] == 0 {
			u.names[p.deps[leaf].dep.Name]++
		}
	}
}
