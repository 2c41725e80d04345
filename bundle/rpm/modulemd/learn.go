package modulemd

import (
	"cmp"
	"slices"
)

// learn finds what clause c, which fails, says about earlier decisions, goes back to the one that it bears on, and returns its
// level. What was decided at level 1 follows from the clauses alone: it is left out of what is learned.
func (s *search) learn(level, c int) int {
	found := clause{origin: fromConflicts}
	seen := make(map[int]bool)
	back, here, ground := 1, 0, 0
	look := func(c int) {
		found.why = append(found.why, c)
		for _, l := range s.clauses[c].lits {
			b := l.build()
			if s.holds(l) || seen[b] {
				continue
			}
			seen[b] = true
			switch at := s.depth(l); at {
			case 1:
				ground++
			case level:
				here++
			default:
				found.lits = append(found.lits, l)
				back = max(back, at)
			}
		}
	}
	look(c)
	var turn literal // what c would have prevented: the last single decision behind it
	for i := len(s.trail) - 1; i >= 0 && (here > 0 || ground > 0); i-- {
		l := s.trail[i]
		at := s.depth(l)
		if !seen[l.build()] || at != level && at != 1 {
			continue
		}
		if at == 1 {
			ground--
			if s.reason[i] >= 0 {
				look(s.reason[i])
			}
			continue
		}
		if here--; here == 0 {
			turn = -l
			continue
		}
		look(s.reason[i])
	}
	found.lits = append([]literal{turn}, found.lits...)
	s.revert(back)
	s.keep(found, back)
	return back
}

// keep adds a learned clause, and decides what follows from it.
func (s *search) keep(found clause, level int) {
	n := len(s.clauses)
	s.clauses, s.watches = append(s.clauses, found), append(s.watches, [2]literal{})
	if rest := found.lits[1:]; len(rest) > 0 {
		last := slices.MaxFunc(rest, func(a, b literal) int { return cmp.Compare(s.depth(a), s.depth(b)) })
		s.watch(n, found.lits[0], last)
	}
	s.set(found.lits[0], level, n)
}

// unsolvable finds the clauses behind clause c, which fails without any decision. The last of them that may be given up is;
// else all of their jobs. It returns 0: the search begins again.
func (s *search) unsolvable(c int) int {
	set := make(map[int]bool)
	involved := make(map[int]bool)
	look := func(c int) {
		s.explain(c, set)
		for _, l := range s.clauses[c].lits {
			if !s.holds(l) {
				involved[l.build()] = true
			}
		}
	}
	look(c)
	for i := len(s.trail) - 1; i >= 0; i-- {
		if involved[s.trail[i].build()] && s.reason[i] >= 0 {
			look(s.reason[i])
		}
	}
	var all []int
	weakest := -1
	for c := range set {
		all = append(all, c)
		if s.clauses[c].weak {
			weakest = max(weakest, c)
		}
	}
	slices.Sort(all)
	if weakest >= 0 {
		return s.giveUp(weakest, nil)
	}
	s.fail(all)
	s.reset()
	return 0
}

// explain puts clause c into set, or what it was learned from.
func (s *search) explain(c int, set map[int]bool) {
	for work := []int{c}; len(work) > 0; work = work[1:] {
		c := work[0]
		if set[c] {
			continue
		}
		if c < s.learned {
			set[c] = true
			continue
		}
		work = append(work, s.clauses[c].why...)
	}
}
