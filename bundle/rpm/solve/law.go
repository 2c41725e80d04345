package solve

import (
	"cmp"
	"slices"
)

// kind says what a rule comes from.
type kind uint8

const (
	kindNone kind = iota
	kindUninstallable
	kindNothingProvides // a requirement that no package meets
	kindRequires
	kindConflicts
	kindObsoletes
	kindSameName // there is only one package of a name
	kindFeature  // an installed package stays or gives way to any other version
	kindUpdate   // an installed package stays or gives way as policy allows
	kindJob      // what was asked for
	kindArch     // another architecture would be better
	kindYumObsoletes
	kindChoice
	kindLearnt
)

// law is a rule that follows from packages alone: at least one of its literals holds. It is the same in every Solve.
type law struct {
	p, q lit   // the first two literals, ascending; q is 0 for an assertion
	rest []lit // all after p, where there are more than two; never to be modified
	origin
}

// origin is why there is a rule: the package pkg, its dependency dep, and where two packages exclude each other the other.
type origin struct {
	kind  kind
	pkg   pid
	other pid
	dep   depID
}

// compareLaws orders rules by their literals; it is 0 for rules that say the same.
func compareLaws(a, b *law) int {
	if c := cmp.Compare(a.p, b.p); c != 0 {
		return c
	}
	if c := cmp.Compare(a.q, b.q); c != 0 {
		return c
	}
	return slices.Compare(a.rest, b.rest)
}

// drafter makes the rules of one package.
type drafter struct {
	*Pool
	n    pid
	host bool // n is installed: what is broken already is not to be mended
}

// lawsOf makes the rules of a package, once: what it needs and what it cannot stand beside (libsolv rules.c,
// solver_addpkgrulesforsolvable). The package's reach is made along with them.
func (p *Pool) lawsOf(n pid) {
	if p.pkgs[n].lawful {
		return
	}
	p.pkgs[n].lawful = true
	d := drafter{Pool: p, n: n, host: p.installed(n)}
	lists := p.list(n)
	if !d.host && !p.installable(n) {
		d.assert(origin{kind: kindUninstallable, pkg: n})
	}
	for _, req := range lists.requires {
		d.require(req)
	}
	for _, con := range lists.conflicts {
		d.conflict(con)
	}
	d.obsolete()
	d.sameName()
	for _, weak := range [][]depID{lists.recommends, lists.suggests} {
		for _, id := range weak {
			d.reaches(id)
		}
	}
	e := &p.pkgs[n]
	slices.SortFunc(e.laws, func(a, b int32) int { return compareLaws(&p.laws[a], &p.laws[b]) })
	slices.Sort(e.reach)
	e.reach = slices.Compact(e.reach)
}

// reaches notes the packages that a weak dependency may bring. Of a rich one these are all that it names: libsolv leaves out
// conditions, and may let them come without looking at what they need.
func (d drafter) reaches(id depID) {
	e := &d.pkgs[d.n]
	if tree := d.deps[id].rich; tree.complex() {
		for _, leaf := range tree.leaves(nil) {
			e.reach = append(e.reach, d.providers(leaf)...)
		}
		return
	}
	e.reach = append(e.reach, d.providers(id)...)
}

func (d drafter) require(req depID) {
	if d.deps[req].rich.complex() {
		d.block(req, kindRequires, d.normalize(d.deps[req].rich, false))
		return
	}
	who := d.providers(req)
	switch {
	case d.deps[req].always || slices.Contains(who, d.n):
		return
	case d.host && !slices.ContainsFunc(who, d.installed): // broken already
		return
	case len(who) == 0:
		d.assert(origin{kind: kindNothingProvides, pkg: d.n, dep: req})
		return
	}
	d.add(append([]lit{-d.n}, who...), origin{kind: kindRequires, pkg: d.n, dep: req})
}

func (d drafter) conflict(con depID) {
	if d.deps[con].rich.complex() {
		d.block(con, kindConflicts, d.normalize(d.deps[con].rich, true).invert())
		return
	}
	for _, q := range d.providers(con) {
		if q != d.n && !(d.host && d.installed(q)) {
			d.exclude(q, origin{kind: kindConflicts, pkg: d.n, other: q, dep: con})
		}
	}
}

func (d drafter) obsolete() {
	for _, obs := range d.list(d.n).obsoletes {
		for _, q := range d.obsoleted(obs) {
			if q != d.n && !(d.host && d.installed(q)) {
				d.exclude(q, origin{kind: kindObsoletes, pkg: d.n, other: q, dep: obs})
			}
		}
	}
}

// sameName keeps the package from standing beside another of its name and color, unless both are installonly and differ.
// The same version for a better architecture is reached with it: see addArches.
func (d drafter) sameName() {
	e := &d.pkgs[d.n]
	for _, q := range d.named(e.name) {
		if rank := d.pkgs[q].rank; rank > rankNoarch && rank < e.rank && d.sameEVR(q, d.n) {
			e.reach = append(e.reach, q)
		}
	}
	if d.host {
		return
	}
	for _, q := range d.named(e.name) {
		if q == d.n || !d.sameColor(q, d.n) {
			continue
		}
		same := d.sameEVR(q, d.n) && d.pkgs[q].Arch == e.Arch
		if e.multi && !same && (!d.installed(q) || d.pkgs[q].multi) {
			continue
		}
		d.exclude(q, origin{kind: kindSameName, pkg: d.n, other: q})
	}
}

// block adds a rule for each block of a rich dependency.
func (d drafter) block(id depID, k kind, n normal) {
	switch {
	case n.truth == always:
		return
	case n.truth == never && !d.host:
		if k == kindRequires {
			k = kindNothingProvides
		}
		d.assert(origin{kind: k, pkg: d.n, dep: id})
	}
	for _, block := range n.blocks {
		if d.host && !slices.ContainsFunc(block, func(l lit) bool { return (l > 0) == d.installed(max(l, -l)) }) {
			continue // broken already
		}
		if slices.Contains(block, d.n) {
			continue
		}
		if len(block) == 1 && block[0] == -d.n && k == kindConflicts {
			continue // with itself
		}
		lits := union(block, []lit{-d.n})
		d.add(slices.Clone(lits), origin{kind: k, pkg: d.n, dep: id})
	}
}

func (d drafter) assert(o origin) { d.add([]lit{-d.n}, o) }

func (d drafter) exclude(q pid, o origin) { d.add([]lit{min(-d.n, -q), max(-d.n, -q)}, o) }

// add keeps a rule of sorted literals and notes whom it may bring.
func (d drafter) add(lits []lit, o origin) {
	e := &d.pkgs[d.n]
	l := law{p: lits[0], origin: o}
	if len(lits) > 1 {
		l.q = lits[1]
	}
	if len(lits) > 2 {
		l.rest = lits[1:]
	}
	e.laws = append(e.laws, int32(len(d.laws)))
	d.laws = append(d.laws, l)
	for _, x := range lits {
		if x > 0 {
			e.reach = append(e.reach, x)
		}
	}
}
