package solve

import (
	"errors"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Closure is what a repository of its own has to hold so that a job can be done from it alone.
type Closure struct {
	*Transaction
	// Named are packages that do not come but have to be offered: dnf takes a package for one that it obsoletes only where
	// the old one is offered under the name that was asked for, a pattern only means packages that are offered, and a
	// package may stand beside an installed one of a better architecture only where it is offered for that, too.
	Named []Item
}

// maxLockRounds bounds the search for a closure that repeats itself; two rounds are what nearly all take.
const maxLockRounds = 10

// Lock finds a transaction for a job that comes out again when the job is done with nothing offered but the packages of its
// closure, all in one repository. It is the transaction of Solve, unless that has packages that it owes to what else was
// offered, such as one from a repository of better priority where another one is needed in any case; they are left out.
func (p *Pool) Lock(j Job) (Closure, error) {
	t, err := p.Solve(j)
	if err != nil {
		return Closure{}, err
	}
	c := Closure{Transaction: t}
	seen := map[string]bool{}
	for range maxLockRounds {
		next, err := p.alone(c, j)
		if err != nil {
			return Closure{}, err
		}
		if next.same(c) {
			return next, nil
		}
		if key := next.key(); seen[key] {
			break
		} else {
			seen[key] = true
		}
		c = next
	}
	c.Named = p.unchosen(c.Transaction, j)
	return c, nil
}

// alone does a job with only the packages of a closure, and with those that have to be named where that differs without them.
func (p *Pool) alone(c Closure, j Job) (Closure, error) {
	named := p.unchosen(c.Transaction, j)
	best := c // where nothing else works
	found := false
	for _, named := range [][]Item{nil, named, slices.Concat(named, p.twins(c.items(), named))} {
		offered := slices.Concat(c.items(), named)
		t, err := p.only(offered).Solve(j)
		var unsolvable *Error
		if errors.As(err, &unsolvable) {
			continue
		}
		if err != nil {
			return Closure{}, err
		}
		p.origins(t, offered)
		next := Closure{Transaction: t, Named: named}
		if next.same(c) {
			return next, nil
		}
		if !found {
			best, found = Closure{Transaction: t}, true
		}
	}
	return best, nil
}

// twins are the offered packages of the same name and version as items, for other architectures.
func (p *Pool) twins(items, named []Item) []Item {
	known := map[string]bool{}
	for _, i := range slices.Concat(items, named) {
		known[i.Package.NEVRA()] = true
	}
	var out []Item
	for _, i := range items {
		for _, q := range p.named(p.names[i.Package.Name]) {
			e := p.pkgs[q]
			if !p.installed(q) && p.installable(q) && sameEVR(e.EVR, i.Package.EVR) && !known[e.NEVRA()] {
				known[e.NEVRA()] = true
				out = append(out, Item{Package: e.Package, Repo: e.repo})
			}
		}
	}
	return out
}

// only is a pool with the same host to which nothing but items is offered, in the order of a repository that holds them.
func (p *Pool) only(items []Item) *Pool {
	repo := &rpm.Repo{ID: "closure", Priority: rpm.DefaultPriority}
	for _, i := range items {
		repo.Packages = append(repo.Packages, i.Package)
	}
	slices.SortFunc(repo.Packages, func(a, b *rpm.Package) int { return strings.Compare(fileName(a), fileName(b)) })
	o := p.o
	o.Repos, o.Exclude, o.Hidden = []*rpm.Repo{repo}, nil, nil
	return NewPool(o)
}

// fileName is that of a package's file, by which a repository is sorted.
func fileName(q *rpm.Package) string {
	return q.Name + "-" + q.EVR.Version + "-" + q.EVR.Release + "." + q.Arch + ".rpm"
}

// origins puts the repositories that items are of into a transaction made of them.
func (p *Pool) origins(t *Transaction, items []Item) {
	from := map[*rpm.Package]*rpm.Repo{}
	for _, i := range items {
		from[i.Package] = i.Repo
	}
	for i := range t.Install {
		t.Install[i].Repo = from[t.Install[i].Package]
	}
	for i := range t.Upgrade {
		t.Upgrade[i].Repo = from[t.Upgrade[i].Package]
	}
}

// unchosen are the offered packages that the specs of a job mean by name but that do not come, for another one that is
// there obsoletes them or they are installed in some version.
func (p *Pool) unchosen(t *Transaction, j Job) []Item {
	after := t.Apply(p.o.Installed)
	gives := func(i pid) bool {
		return slices.ContainsFunc(after, func(q *rpm.Package) bool {
			return q.Name == p.pkgs[i].Name && !slices.ContainsFunc(t.Install, func(n Item) bool { return n.Package == q }) ||
				q.Name != p.pkgs[i].Name && slices.ContainsFunc(q.Obsoletes, func(d rpm.Dep) bool {
					return d.Name == p.pkgs[i].Name && obsoletesEVR(p.pkgs[i].EVR, d)
				})
		})
	}
	var out []Item
	known := map[string]bool{}
	for _, q := range after {
		known[q.NEVRA()] = slices.ContainsFunc(Closure{Transaction: t}.items(), func(i Item) bool { return i.Package == q })
	}
	for _, spec := range j.Install {
		for _, i := range p.find(spec).pkgs {
			q := p.pkgs[i]
			if p.installed(i) || !p.installable(i) || known[q.NEVRA()] || !gives(i) {
				continue
			}
			known[q.NEVRA()] = true
			out = append(out, Item{Package: q.Package, Repo: q.repo, Reason: Reason{Spec: spec}})
		}
	}
	slices.SortFunc(out, func(a, b Item) int { return comparePackage(a.Package, b.Package) })
	return out
}

// Packages are all that the repository has to hold: those that come, and those that only have to be offered.
func (c Closure) Packages() []Item { return slices.Concat(c.items(), c.Named) }

// items are the packages that come.
func (c Closure) items() []Item {
	items := slices.Clone(c.Install)
	for _, u := range c.Upgrade {
		items = append(items, u.Item)
	}
	return items
}

// key is the set of packages that come and go.
func (c Closure) key() string {
	var names []string
	for _, i := range c.items() {
		names = append(names, "+"+i.Package.NEVRA())
	}
	for _, u := range c.Upgrade {
		names = append(names, "-"+u.From.NEVRA())
	}
	for _, r := range c.Remove {
		names = append(names, "-"+r.NEVRA())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (c Closure) same(o Closure) bool { return c.key() == o.key() }
