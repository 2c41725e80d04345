package solve

import (
	"cmp"
	"slices"
)

// clause is a rule of a proof: one of its literals has to hold.
type clause struct {
	lits []lit
	origin
	spec string // of a job
}

// coreWork bounds what is spent on making one proof small, in literals looked at: some hundredths of a second.
const coreWork = 20_000_000

// core are the clauses of a conflict with all left out without which they still contradict each other, so that what is
// told of them is to the point. Requests are kept before packages on the host, and what is missing before what is in the
// way, since that is more easily mended. A proof that is too hard to make smaller is left as it is.
func (s *solver) core(c conflict) []clause {
	var all []clause
	for _, i := range c.proof {
		r := &s.rules[i]
		x := clause{origin: r.origin}
		if s.jobs.has(i) {
			x.spec = s.job.wanted[s.jobOf[i-s.jobs.from]].spec
		}
		r.each(func(l lit) bool {
			x.lits = append(x.lits, l)
			return true
		})
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b clause) int {
		return cmp.Or(cmp.Compare(keenness(b.kind), keenness(a.kind)), slices.Compare(a.lits, b.lits), cmp.Compare(a.spec, b.spec))
	})
	work := coreWork
	if satisfiable(all, &work) {
		return all // the proof is no proof: tell what there is
	}
	for i := len(all) - 1; i >= 0 && work > 0; i-- {
		if rest := slices.Concat(all[:i], all[i+1:]); !satisfiable(rest, &work) {
			all = rest
		}
	}
	return all
}

// keenness is how much a rule belongs into what is told.
func keenness(k kind) int {
	switch k {
	case kindJob:
		return 9
	case kindNothingProvides, kindUninstallable:
		return 8
	case kindRequires:
		return 7
	case kindConflicts, kindObsoletes:
		return 6
	case kindSameName:
		return 5
	case kindUpdate, kindFeature:
		return 4
	}
	return 0
}

// satisfiable says whether clauses can hold together. When work runs out it says yes.
func satisfiable(clauses []clause, work *int) bool {
	t := trial{clauses: clauses, value: map[pid]int8{}, work: work}
	return t.search()
}

// trial is a search for values of a few clauses, by propagation and choice.
type trial struct {
	clauses []clause
	value   map[pid]int8 // 1 there, -1 not there
	trail   []pid
	work    *int
}

func (t *trial) search() bool {
	before := len(t.trail)
	open, ok := t.propagate()
	if !ok {
		t.undo(before)
		return false
	}
	if open == 0 || *t.work <= 0 {
		return true
	}
	for _, l := range []lit{open, -open} {
		mark := len(t.trail)
		t.assume(l)
		if t.search() {
			return true
		}
		t.undo(mark)
	}
	t.undo(before)
	return false
}

// propagate makes what follows hold. open is a literal to choose by, 0 when all clauses hold.
func (t *trial) propagate() (open lit, ok bool) {
	for again := true; again; {
		again, open = false, 0
		for i := range t.clauses {
			holds, free, first := t.look(&t.clauses[i])
			switch {
			case holds:
			case free == 0:
				return 0, false
			case free == 1:
				t.assume(first)
				again = true
			default:
				open = first
			}
		}
	}
	return open, true
}

// look says whether a clause holds, else how many of its literals are free, and the first of these.
func (t *trial) look(c *clause) (holds bool, free int, first lit) {
	*t.work -= len(c.lits)
	for _, l := range c.lits {
		switch v := valueOf(t.value, l); {
		case v > 0:
			return true, 0, 0
		case v == 0:
			if free++; free == 1 {
				first = l
			}
		}
	}
	return false, free, first
}

func (t *trial) assume(l lit) {
	t.value[max(l, -l)] = sign(l)
	t.trail = append(t.trail, max(l, -l))
}

func (t *trial) undo(to int) {
	for _, v := range t.trail[to:] {
		delete(t.value, v)
	}
	t.trail = t.trail[:to]
}

// valueOf is 1 when a literal holds, -1 when it does not, 0 when that is open.
func valueOf(value map[pid]int8, l lit) int8 {
	if l < 0 {
		return -value[-l]
	}
	return value[l]
}

func sign(l lit) int8 {
	if l < 0 {
		return -1
	}
	return 1
}
