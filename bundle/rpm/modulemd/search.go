package modulemd

import (
	"slices"
)

// search finds the builds that become active: a search by decisions, propagation and learning that decides in the order in
// which libsolv 0.7.23 does (solver.c), since the order is what tells one solution from another, and which default gives
// way. What libsolv knows beyond that has no part here: nothing is recommended, obsoleted or updated, and all candidates of
// one decision exclude each other.
type search struct {
	*problem
	level   []int // of each build: when it was decided, negative for not active, 0 for undecided
	trail   []literal
	reason  []int             // of each literal of trail: a clause, or -1
	next    int               // the first literal of trail that is not propagated
	watches [][2]literal      // of each clause: two literals, the first to become false is looked at
	watched map[literal][]int // by literal: the clauses that watch it, those to look at first last
	learned int               // clauses from here on are learned
	failed  [][]int           // what could not be done: sets of clauses that exclude each other
	steps   int
}

// maxSteps bounds the decisions of a search.
const maxSteps = 200_000

// solve returns the active builds, or the sets of clauses that cannot hold together. Jobs of such a set are given up, so that
// all that is wrong is found at once; then the builds mean nothing.
func (p *problem) solve() (active []int, failed [][]int, ok bool) {
	s := &search{problem: p, level: make([]int, len(p.builds)), learned: len(p.clauses), watched: make(map[literal][]int)}
	s.watches = make([][2]literal, len(p.clauses))
	for i := len(p.clauses) - 1; i >= 0; i-- {
		if lits := p.clauses[i].lits; len(lits) > 1 {
			s.watch(i, lits[0], lits[1])
		}
	}
	if !s.run() {
		return nil, s.failed, false
	}
	for _, l := range s.trail {
		if l > 0 && int(l) != p.platform {
			active = append(active, int(l))
		}
	}
	return active, s.failed, len(s.failed) == 0
}

func (s *search) watch(c int, a, b literal) {
	s.watches[c] = [2]literal{a, b}
	s.watched[a] = append(s.watched[a], c)
	s.watched[b] = append(s.watched[b], c)
}

// run returns false when the search was given up.
func (s *search) run() bool {
	for level := 0; ; {
		if s.steps > maxSteps {
			return false
		}
		if level == 0 {
			if level = s.assert(); level == 0 {
				continue
			}
			if c := s.propagate(level); c >= 0 {
				level = s.unsolvable(c)
				continue
			}
		}
		before := level
		if level = s.decideJobs(level); level < before {
			continue
		}
		before = level
		if level = s.decideRequirements(level); level < before {
			continue
		}
		return true
	}
}

func (s *search) holds(l literal) bool {
	level := s.level[l.build()]
	return level > 0 == (l > 0) && level != 0
}

// depth is the level at which a literal was decided, 0 for none.
func (s *search) depth(l literal) int { return max(s.level[l.build()], -s.level[l.build()]) }

func (s *search) fails(l literal) bool { return s.holds(-l) }

func (s *search) set(l literal, level, reason int) {
	if l < 0 {
		s.level[-l] = -level
	} else {
		s.level[l] = level
	}
	s.trail = append(s.trail, l)
	s.reason = append(s.reason, reason)
}

// reset undoes everything, and lets count of what was learned what still follows.
func (s *search) reset() {
	s.steps++
	s.revert(-1)
	all := s.clauses
	for i := s.learned; i < len(all); i++ {
		all[i].off = slices.ContainsFunc(all[i].why, func(c int) bool { return all[c].off })
	}
}

// revert undoes what was decided above a level.
func (s *search) revert(level int) {
	for len(s.trail) > 0 {
		last := len(s.trail) - 1
		if s.depth(s.trail[last]) <= level {
			break
		}
		s.level[s.trail[last].build()] = 0
		s.trail, s.reason = s.trail[:last], s.reason[:last]
		s.next = last
	}
	s.next = min(s.next, len(s.trail))
}

// assert decides what clauses of one literal say, those that may be given up last. It returns 1, or 0 after it gave some up.
func (s *search) assert() int {
	for _, weak := range []bool{false, true} {
		for i := range s.clauses {
			c := &s.clauses[i]
			if c.off || c.weak != weak || len(c.lits) > 1 {
				continue
			}
			if len(c.lits) == 0 { // a stream that nothing has
				return s.giveUp(i, []int{i})
			}
			switch l := c.lits[0]; {
			case s.holds(l):
			case !s.fails(l):
				s.set(l, 1, i)
			case c.origin == fromConflicts:
				c.off = true
			default:
				return s.giveUp(i, []int{i, s.reason[slices.Index(s.trail, -l)]})
			}
		}
	}
	return 1
}

// giveUp turns off clause c where it is weak, else all jobs of a set that excludes itself, which it notes.
func (s *search) giveUp(c int, set []int) int {
	if s.clauses[c].weak {
		s.turnOff(c)
	} else {
		s.fail(set)
	}
	s.reset()
	return 0
}

// turnOff gives up what a clause stands for: a whole job, also where only its newest version does not fit.
func (s *search) turnOff(c int) {
	given := s.clauses[c]
	for i := range s.clauses[:s.learned] {
		if o := &s.clauses[i]; i == c || o.origin != fromPackage && o.job == given.job {
			o.off = true
		}
	}
}

func (s *search) fail(set []int) {
	s.failed = append(s.failed, set)
	for _, c := range set {
		if o := s.clauses[c].origin; o == fromJob || o == fromBest {
			s.turnOff(c)
		}
	}
}

// propagate draws all conclusions. It returns a clause that fails, or -1. Which of several fails first decides what is learned
// and given up; so clauses are looked at in libsolv's order: those that came to watch a literal last first.
func (s *search) propagate(level int) int {
	for s.next < len(s.trail) {
		gone := -s.trail[s.next]
		s.next++
		list, failed, moved := s.watched[gone], -1, false
		for at := len(list) - 1; at >= 0 && failed < 0; at-- {
			c := list[at]
			if s.clauses[c].off {
				continue
			}
			w := &s.watches[c]
			if w[0] != gone {
				w[0], w[1] = w[1], w[0]
			}
			switch next := s.instead(c, w[1], gone); {
			case s.holds(w[1]):
			case next != 0:
				w[0] = next
				s.watched[next] = append(s.watched[next], c)
				list[at], moved = -1, true
			case s.fails(w[1]):
				failed = c
			default:
				s.set(w[1], level, c)
			}
		}
		if moved {
			s.watched[gone] = slices.DeleteFunc(list, func(c int) bool { return c < 0 })
		}
		if failed >= 0 {
			return failed
		}
	}
	return -1
}

// instead finds a literal of clause c to watch in place of one that is gone; 0 where there is none.
func (s *search) instead(c int, other, gone literal) literal {
	for _, l := range s.clauses[c].lits {
		if l != other && l != gone && !s.fails(l) {
			return l
		}
	}
	return 0
}

// choose makes a decision and draws its conclusions, learning from those that fail. It returns the level that came of it.
func (s *search) choose(level int, l literal) int {
	s.steps++
	level++
	s.set(l, level, -1)
	for {
		c := s.propagate(level)
		if c < 0 {
			return level
		}
		if level == 1 {
			return s.unsolvable(c)
		}
		level = s.learn(level, c)
	}
}
