package solve

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// teller makes a sentence of a proof. It follows the proof as a person would: from what was asked for over what that
// requires to where it cannot go on; what has to stay on the host comes last.
type teller struct {
	*solver
	clauses  []clause
	versions map[nameID]int // how many packages of a name the proof is about
	told     int            // branches that were gone into
	depth    int            // of branches within branches
}

// tale is what is told of one contradiction.
type tale struct {
	Problem
	kind  kind // of the rule that broke in the end
	lacks pid  // the package whose requirement nothing meets; 0 where it is another matter
	// root is the package that was asked for, or is replaced, at the beginning of what led there; why is how it comes.
	root    pid
	rootWhy string
}

// branch is what follows under the choices that were made.
type branch struct {
	value map[pid]int8
	why   map[pid]int // the clause that forced a package in or out, or that left the choice
}

func newBranch() branch { return branch{map[pid]int8{}, map[pid]int{}} }

func (b branch) with(l lit, why int) branch {
	out := branch{maps.Clone(b.value), maps.Clone(b.why)}
	out.set(l, why)
	return out
}

func (b branch) set(l lit, why int) { b.value[max(l, -l)], b.why[max(l, -l)] = sign(l), why }

func (s *solver) newTeller(c conflict) *teller {
	t := &teller{solver: s, clauses: s.core(c), versions: map[nameID]int{}}
	seen := map[pid]bool{}
	for _, x := range t.clauses {
		for _, l := range x.lits {
			if v := max(l, -l); !seen[v] {
				seen[v] = true
				t.versions[s.pkgs[v].name]++
			}
		}
	}
	return t
}

// tell follows the proof to the rule that breaks. Where several packages could do it goes into some of them.
func (t *teller) tell(b branch) tale {
	for {
		if i := t.broken(b); i >= 0 {
			return t.sentence(b, i)
		}
		i, l := t.next(b)
		if i >= 0 && urgency(t.clauses[i].kind, l) <= lastPressing {
			b.set(l, i)
			continue
		}
		if c := t.choice(b); c >= 0 {
			return t.branches(b, c)
		}
		if i < 0 { // no proof after all
			return tale{Problem: Problem{Text: "what is asked for excludes itself"}}
		}
		b.set(l, i)
	}
}

// broken is a clause that cannot hold any more, -1 when there is none.
func (t *teller) broken(b branch) int {
	best := -1
	for i := range t.clauses {
		holds := slices.ContainsFunc(t.clauses[i].lits, func(l lit) bool { return valueOf(b.value, l) >= 0 })
		if !holds && (best < 0 || keenness(t.clauses[i].kind) > keenness(t.clauses[best].kind)) {
			best = i
		}
	}
	return best
}

// next is a clause that has only one literal left, and that literal: what brings a package before what keeps one out, and
// requests before the host.
func (t *teller) next(b branch) (int, lit) {
	best, rank, by := -1, 0, lit(0)
	for i := range t.clauses {
		free, first := 0, lit(0)
		for _, l := range t.clauses[i].lits {
			switch v := valueOf(b.value, l); {
			case v > 0:
				free = 2
			case v == 0:
				free, first = free+1, l
			}
		}
		if free != 1 {
			continue
		}
		if r := urgency(t.clauses[i].kind, first); best < 0 || r < rank {
			best, rank, by = i, r, first
		}
	}
	return best, by
}

// lastPressing is the last urgency of what is told before a choice is gone into. After it comes what is known of packages of
// themselves: it is told where the way leads to them.
const lastPressing = 2

// urgency orders the steps of a tale.
func urgency(k kind, l lit) int {
	switch {
	case l > 0 && k == kindJob:
		return 0
	case l > 0 && k != kindUpdate && k != kindFeature:
		return 1
	case k == kindSameName || k == kindConflicts || k == kindObsoletes:
		return 2
	case k == kindUninstallable || k == kindArch:
		return 3
	case l < 0 && k == kindNothingProvides:
		return 4
	case l < 0:
		return 5
	}
	return 6
}

// choice is the clause to branch by, -1 for none: a request first, then what a package that comes requires. What there
// might be in place of an installed package is no choice: it is to stay.
func (t *teller) choice(b branch) int {
	best, rank := -1, 0
	for i, c := range t.clauses {
		if c.kind == kindUpdate || c.kind == kindFeature {
			continue
		}
		free := 0
		settled := slices.ContainsFunc(c.lits, func(l lit) bool {
			v := valueOf(b.value, l)
			if v == 0 && l > 0 {
				free++
			}
			return v > 0 || v == 0 && l < 0
		})
		if settled || free == 0 {
			continue
		}
		if r := 1000*urgency(c.kind, 1) + free; best < 0 || r < rank {
			best, rank = i, r
		}
	}
	return best
}

// The branches that are gone into, of one choice and in all. The others lead nowhere either, but to tell that of each
// would help nobody.
const (
	maxBranches = 3
	maxTold     = 6
)

// branches tells of a choice that each way is barred: the first ways by what bars them, the others by their number.
func (t *teller) branches(b branch, i int) tale {
	var open []lit
	for _, l := range t.clauses[i].lits {
		if valueOf(b.value, l) == 0 {
			open = append(open, l)
		}
	}
	slices.SortStableFunc(open, t.prefer)
	t.depth++
	defer func() { t.depth-- }()
	var tales []tale
	left := 0
	for k, l := range open {
		if k > 0 && (k > maxBranches-t.depth || t.told >= maxTold) {
			left++
			continue
		}
		t.told++
		next := t.tell(b.with(l, i))
		if slices.ContainsFunc(tales, func(x tale) bool { return x.kind == next.kind && x.Dep == next.Dep || x.Text == next.Text }) {
			left++
			continue
		}
		tales = append(tales, next)
	}
	out := tales[0]
	var texts []string // each sentence once: the ways may have much in common
	for _, x := range tales {
		for text := range strings.SplitSeq(x.Text, "; ") {
			if !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
	}
	out.Text = strings.Join(texts, "; ")
	if left > 0 {
		out.Text += "; " + count(left, "other package that could do is no better", "other packages that could do are no better")
	}
	return out
}

// prefer orders the ways of a choice: what is installed, the better repository, the newer version, the name.
func (t *teller) prefer(a, b lit) int {
	if a < 0 || b < 0 {
		return cmp.Compare(b, a)
	}
	x, y := &t.pkgs[a], &t.pkgs[b]
	host := func(i pid) int {
		if t.installed(i) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(host(a), host(b)), cmp.Compare(y.priority, x.priority), strings.Compare(x.Name, y.Name), t.compareEVR(b, a), cmp.Compare(a, b))
}
