package solve

import (
	"cmp"
	"slices"
)

// plan is a Job in terms of the pool.
type plan struct {
	wanted    []want
	upgrade   []pid // what Job.Upgrade means: installed packages and what may take their place
	upgradeOf map[pid]string
	weak      bool
	downgrade bool
	mayErase  bool // installed packages that are in the way may go
}

// want is something that was asked for: one of these packages.
type want struct {
	spec string
	pkgs []pid // in the order of their numbers
	gone bool  // none of them is to be there, rather
}

// build makes all rules of a job (libsolv solver.c, solver_solve).
func (s *solver) build() {
	s.aim()
	s.reachAll()
	s.laws.from = 1
	s.gather()
	s.laws.to = int32(len(s.rules))
	s.addFeatures()
	s.addUpdates()
	s.jobs.from = int32(len(s.rules))
	for i, w := range s.job.wanted {
		if !w.gone {
			s.add(w.pkgs[0], w.pkgs[1:], origin{kind: kindJob})
			s.jobOf = append(s.jobOf, int32(i))
			continue
		}
		for _, q := range w.pkgs {
			s.add(-q, nil, origin{kind: kindJob})
			s.jobOf = append(s.jobOf, int32(i))
		}
	}
	s.jobs.to = int32(len(s.rules))
	s.addArches()
	s.addYumObsoletes()
	s.addChoices()
	s.learnt = int32(len(s.rules))
	s.watchAll()
	for i := int32(1); i < s.learnt; i++ {
		if r := &s.rules[i]; r.p != 0 && r.q == 0 {
			s.asserts = append(s.asserts, i)
		}
	}
	s.yield()
}

// reachAll marks all packages that may have to do with the job, and makes their laws.
func (s *solver) reachAll() {
	for i := pid(1); i <= s.host; i++ {
		s.reachFrom(i)
	}
	for i := pid(1); i <= s.host; i++ {
		for _, q := range s.successors(i, true) {
			s.reachFrom(q)
		}
	}
	s.findSplits()
	for _, sp := range s.parts { // libsolv forgets these, and may let them come without what they need
		for _, group := range sp.groups {
			for _, q := range group {
				s.reachFrom(q)
			}
		}
	}
	for _, w := range s.job.wanted {
		for _, q := range w.pkgs {
			s.reachFrom(q)
		}
	}
	for more := true; more; {
		more = false
		for _, q := range s.weakly {
			if !s.added[q] && (s.installed(q) || s.installable(q)) && s.mayHelp(q) {
				s.reachFrom(q)
				more = true
			}
		}
	}
}

func (s *solver) reachFrom(i pid) {
	if s.added[i] {
		return
	}
	s.added[i] = true
	open := []pid{i}
	for len(open) > 0 {
		n := open[len(open)-1]
		open = open[:len(open)-1]
		s.lawsOf(n)
		for _, q := range s.pkgs[n].reach {
			if !s.added[q] {
				s.added[q] = true
				open = append(open, q)
			}
		}
	}
}

// mayHelp says whether a package may supplement or enhance one that is reached.
func (s *solver) mayHelp(q pid) bool {
	l := s.list(q)
	return slices.ContainsFunc(l.supplements, s.possible) || slices.ContainsFunc(l.enhances, s.possible)
}

// possible says whether packages that are reached may meet a dependency.
func (s *solver) possible(id depID) bool { return s.possibleRich(s.deps[id].rich, id) }

func (s *solver) possibleRich(t *rich, id depID) bool {
	who := []pid(nil)
	switch {
	case t == nil:
		who = s.providers(id)
	case t.op == "if" || t.op == "unless":
		return true
	case t.op == "and":
		return s.possibleRich(t.left, t.left.leaf) && s.possibleRich(t.right, t.right.leaf)
	case t.op == "or":
		return s.possibleRich(t.left, t.left.leaf) || s.possibleRich(t.right, t.right.leaf)
	default:
		who = s.richProviders(t)
	}
	return slices.ContainsFunc(who, func(q pid) bool { return s.added[q] })
}

// gather puts the laws of all marked packages in libsolv's order: by their literals, so that those of the last package in
// the pool come first. It decides which of several open requirements is looked at first. Laws that say the same are one.
func (s *solver) gather() {
	first := make([]int32, len(s.pkgs)) // a list for each package that a law is about first
	var next, laws []int32
	next, laws = append(next, 0), append(laws, 0)
	for i := pid(1); i < pid(len(s.pkgs)); i++ {
		if !s.added[i] {
			continue
		}
		for _, l := range s.pkgs[i].laws {
			about := -s.Pool.laws[l].p
			next, laws = append(next, first[about]), append(laws, l)
			first[about] = int32(len(laws) - 1)
		}
	}
	if need := len(laws) + 64; cap(s.rules) < need {
		s.rules = append(make([]rule, 0, need+need/4), s.rules...)
	}
	var some []int32
	for i := len(first) - 1; i > 0; i-- {
		some = some[:0]
		for at := first[i]; at != 0; at = next[at] {
			some = append(some, laws[at])
		}
		slices.SortFunc(some, func(a, b int32) int {
			return cmp.Or(compareLaws(&s.Pool.laws[a], &s.Pool.laws[b]), cmp.Compare(a, b))
		})
		for k, id := range some {
			l := &s.Pool.laws[id]
			if k > 0 && compareLaws(l, &s.Pool.laws[some[k-1]]) == 0 {
				continue
			}
			r := rule{p: l.p, q: l.q, rest: l.rest, origin: l.origin}
			if r.q != 0 {
				r.watch = [2]lit{r.p, r.q}
			}
			s.rules = append(s.rules, r)
		}
	}
}
