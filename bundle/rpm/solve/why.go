package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// How is the way in which a step of a chain brings a package.
type How string

// The values of How.
const (
	Asked       How = "asked for"   // as Spec
	Requires    How = "requires"    // By has the requirement Dep that the package meets
	Recommends  How = "recommends"  // likewise, weakly
	Supplements How = "supplements" // the package has Dep, which By meets, and so comes along
	Conflicts   How = "conflicts"   // By and the package that is replaced exclude each other, by Dep
	Displaces   How = "displaces"   // By takes the place of Old, and the package that is replaced requires Dep of that
	Accompanies How = "accompanies" // By is the package for another architecture, which has to be of the same version
)

// Step is one reason why a package comes: a link of a chain.
type Step struct {
	How     How
	Package *rpm.Package // that comes
	Spec    string       // with Asked
	By      *rpm.Package // with all others
	Old     *rpm.Package // with Displaces: the installed package that By replaces or obsoletes
	Dep     rpm.Dep
	// Installed says that By is on the host and stays.
	Installed bool
}

// Why is why a package of a transaction comes.
type Why struct {
	Item
	Replaces *rpm.Package   // the installed package in whose place it comes; nil for none
	Removes  []*rpm.Package // installed ones of other names that it obsoletes
	Reasons  []Step         // all direct ones, requests first
	// Chains lead from what was asked for, or from what stays on the host, to the package: the shortest for each
	// beginning, shortest first.
	Chains [][]Step
}

// Find gives the packages, installed and offered, that a spec means: as in Job.Install, by name and version, else by what they
// provide, else by one of their files.
func (p *Pool) Find(spec string) []*rpm.Package {
	var out []*rpm.Package
	for _, i := range p.find(spec).pkgs {
		out = append(out, p.pkgs[i].Package)
	}
	return out
}

// Why tells why a package comes in a transaction of this pool: who requires it, and how that goes back to what was asked
// for. A requirement counts that no package meets which was there and stays; for a package that replaces one, that the
// replaced one does not meet, either. It is nil when the package does not come.
func (p *Pool) Why(t *Transaction, of *rpm.Package) *Why {
	g := p.graph(t)
	n, comes := g.items[of]
	if !comes {
		return nil
	}
	w := &Why{Item: *n.item, Replaces: n.replaces, Reasons: slices.Clone(g.reasons(n.id))}
	for _, gone := range t.Remove {
		if p.obsoletes(n.id, g.ids[gone]) {
			w.Removes = append(w.Removes, gone)
		}
	}
	w.Chains = g.chains(of)
	return w
}

// graph is a transaction with its packages as the pool numbers them.
type graph struct {
	*Pool
	t     *Transaction
	ids   map[*rpm.Package]pid
	items map[*rpm.Package]arrival
	stay  []pid // installed packages that stay, in order
	// leave are installed packages that do not, and what takes their place.
	leave map[pid]*rpm.Package
	known map[pid][]Step
}

// arrival is a package that comes.
type arrival struct {
	id       pid
	item     *Item
	replaces *rpm.Package
}

func (p *Pool) graph(t *Transaction) *graph {
	g := &graph{Pool: p, t: t, ids: map[*rpm.Package]pid{}, items: map[*rpm.Package]arrival{}, leave: map[pid]*rpm.Package{},
		known: map[pid][]Step{}}
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		g.ids[p.pkgs[i].Package] = i
	}
	for k := range t.Install {
		g.items[t.Install[k].Package] = arrival{g.ids[t.Install[k].Package], &t.Install[k], nil}
	}
	for k := range t.Upgrade {
		c := &t.Upgrade[k]
		g.items[c.Package] = arrival{g.ids[c.Package], &c.Item, c.From}
		g.leave[g.ids[c.From]] = c.Package
	}
	for _, gone := range t.Remove {
		g.leave[g.ids[gone]] = nil
		for _, a := range g.items {
			if p.obsoletes(a.id, g.ids[gone]) && (g.leave[g.ids[gone]] == nil || a.item.Package.Name < g.leave[g.ids[gone]].Name) {
				g.leave[g.ids[gone]] = a.item.Package
			}
		}
	}
	for i := pid(1); i <= p.host; i++ {
		if _, leaves := g.leave[i]; !leaves {
			g.stay = append(g.stay, i)
		}
	}
	return g
}

// each calls f for all packages that come, in the order of their numbers.
func (g *graph) each(f func(arrival)) {
	var all []arrival
	for _, a := range g.items {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b arrival) int { return cmp.Compare(a.id, b.id) })
	for _, a := range all {
		f(a)
	}
}

// reasons are all direct reasons for a package that comes.
func (g *graph) reasons(i pid) []Step {
	if known, ok := g.known[i]; ok {
		return known
	}
	n := g.items[g.pkgs[i].Package]
	var out []Step
	add := func(s Step) {
		s.Package = n.item.Package
		same := func(o Step) bool {
			return o.How == s.How && o.By == s.By && o.Spec == s.Spec && o.Dep.String() == s.Dep.String()
		}
		if !slices.ContainsFunc(out, same) {
			out = append(out, s)
		}
	}
	if n.item.Reason.Spec != "" {
		add(Step{How: Asked, Spec: n.item.Reason.Spec})
	}
	g.needed(n, add)
	if n.replaces != nil {
		g.forced(n, add)
	}
	g.weaklyNeeded(n, add)
	if by := n.item.Reason.By; len(out) == 0 && by != nil {
		_, comes := g.items[by]
		s := Step{How: Requires, By: by, Dep: n.item.Reason.Dep, Installed: !comes}
		if s.Dep.Name == "" {
			s.How = Accompanies
		}
		add(s)
	}
	g.known[i] = out
	return out
}

// needed adds who requires what n alone meets, of what comes and of what stays.
func (g *graph) needed(n arrival, add func(Step)) {
	was := g.ids[n.replaces] // 0 for none
	g.each(func(by arrival) {
		for _, req := range g.list(by.id).requires {
			if by.id != n.id && g.counts(req, n.id) && !slices.Contains(g.providers(req), was) {
				add(Step{How: Requires, By: by.item.Package, Dep: g.deps[req].dep})
			}
		}
	})
	for _, by := range g.stay {
		for _, req := range g.list(by).requires {
			if g.counts(req, n.id) && !slices.Contains(g.providers(req), was) {
				add(Step{How: Requires, By: g.pkgs[by].Package, Dep: g.deps[req].dep, Installed: true})
			}
		}
	}
}

// counts says whether a package meets a requirement and nothing that stays does. Of a rich one it is enough that the package
// has to do with it.
func (g *graph) counts(req depID, i pid) bool {
	who := g.providers(req)
	return slices.Contains(who, i) && !slices.ContainsFunc(who, func(q pid) bool {
		_, stays := slices.BinarySearch(g.stay, q)
		return stays
	})
}

// forced adds what keeps the package that n replaces from staying as it was.
func (g *graph) forced(n arrival, add func(Step)) {
	was := g.ids[n.replaces]
	for _, req := range g.list(was).requires { // what it required of packages that leave
		who := g.providers(req)
		if slices.ContainsFunc(who, func(q pid) bool { return q != was && g.after(q) }) {
			continue
		}
		for _, q := range who {
			if by := g.leave[q]; q != was && by != nil && by != n.item.Package {
				add(Step{How: Displaces, By: by, Old: g.pkgs[q].Package, Dep: g.deps[req].dep})
			}
		}
	}
	g.each(func(by arrival) {
		switch {
		case by.id == n.id:
		case by.item.Package.Name == n.item.Package.Name && !g.pkgs[by.id].multi:
			if by.item.Reason.Spec != "" || by.replaces == nil {
				add(Step{How: Accompanies, By: by.item.Package})
			}
		default:
			for _, con := range g.list(by.id).conflicts {
				if !g.deps[con].rich.complex() && slices.Contains(g.providers(con), was) {
					add(Step{How: Conflicts, By: by.item.Package, Dep: g.deps[con].dep})
				}
			}
			for _, con := range g.list(was).conflicts {
				if !g.deps[con].rich.complex() && slices.Contains(g.providers(con), by.id) {
					add(Step{How: Conflicts, By: by.item.Package, Dep: g.deps[con].dep})
				}
			}
		}
	})
}

// after says whether a package is there in the end.
func (g *graph) after(i pid) bool {
	if g.installed(i) {
		_, leaves := g.leave[i]
		return !leaves
	}
	_, comes := g.items[g.pkgs[i].Package]
	return comes
}

// weaklyNeeded adds weak dependencies where that is how n came.
func (g *graph) weaklyNeeded(n arrival, add func(Step)) {
	if !n.item.Reason.Weak {
		return
	}
	there := func(i pid) (*rpm.Package, bool) { return g.pkgs[i].Package, g.installed(i) }
	for i := pid(1); i < pid(len(g.pkgs)); i++ {
		if i == n.id || !g.after(i) {
			continue
		}
		for _, rec := range g.list(i).recommends {
			if slices.Contains(g.providers(rec), n.id) {
				by, host := there(i)
				add(Step{How: Recommends, By: by, Dep: g.deps[rec].dep, Installed: host})
			}
		}
	}
	for _, sup := range g.list(n.id).supplements {
		for _, i := range g.providers(sup) {
			if i != n.id && g.after(i) {
				by, host := there(i)
				add(Step{How: Supplements, By: by, Dep: g.deps[sup].dep, Installed: host})
			}
		}
	}
}

// chains goes back from a package over all reasons, the nearest first, and keeps the way from each beginning that it meets.
func (g *graph) chains(of *rpm.Package) [][]Step {
	type way struct {
		pkg  *rpm.Package
		then []Step // from there on
	}
	var out [][]Step
	begun := map[string]bool{}
	seen := map[*rpm.Package]bool{of: true}
	for open := []way{{pkg: of}}; len(open) > 0; open = open[1:] {
		at := open[0]
		for _, s := range g.reasons(g.ids[at.pkg]) {
			chain := append([]Step{s}, at.then...)
			switch {
			case s.How == Asked || s.Installed:
				if key := beginning(s); !begun[key] {
					begun[key] = true
					out = append(out, chain)
				}
			case !seen[s.By]:
				seen[s.By] = true
				open = append(open, way{s.By, chain})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b []Step) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(beginning(a[0]), beginning(b[0])))
	})
	return out
}

func beginning(s Step) string {
	if s.How == Asked {
		return "0" + s.Package.NEVRA()
	}
	return "1" + s.By.NEVRA()
}
