package solve

// Watched literals: of each rule with two literals or more two are watched, and the rule is looked at when one of these
// becomes false. The rules that watch a literal are a list through rule.next; new ones go to its front.

// head is where the list of rules that watch l begins.
func (s *solver) head(l lit) *int32 { return &s.heads[int(l)+len(s.pkgs)] }

func (s *solver) watchAll() {
	for i := int32(len(s.rules)) - 1; i > 0; i-- {
		if s.rules[i].q != 0 {
			s.watchRule(i)
		}
	}
}

func (s *solver) watchRule(i int32) {
	r := &s.rules[i]
	for k, l := range r.watch {
		h := s.head(l)
		r.next[k], *h = *h, i
	}
}

// propagate makes the decisions that follow from those made so far, at a level. It gives the rule that cannot be kept,
// 0 when all is well.
func (s *solver) propagate(level int32) int32 {
	for s.done < len(s.queue) {
		l := -s.queue[s.done]
		s.done++
		for at := s.head(l); *at != 0; {
			i := *at
			r := &s.rules[i]
			side := 0
			if r.watch[0] != l {
				side = 1
			}
			other := r.watch[1-side]
			if r.off || s.isTrue(other) {
				at = &r.next[side]
				continue
			}
			if r.rest != nil {
				if moved := s.otherWatch(r, other); moved != 0 {
					*at = r.next[side]
					h := s.head(moved)
					r.watch[side], r.next[side], *h = moved, *h, i
					continue
				}
			}
			if s.isFalse(other) {
				return i
			}
			s.set(other, level, i)
			at = &r.next[side]
		}
	}
	return 0
}

// otherWatch is a literal that is not false and not the other watched one, 0 when there is none.
func (s *solver) otherWatch(r *rule, other lit) lit {
	if r.p != other && !s.isFalse(r.p) {
		return r.p
	}
	for _, l := range r.rest {
		if l != other && !s.isFalse(l) {
			return l
		}
	}
	return 0
}

// set notes a decision.
func (s *solver) set(l lit, level, why int32) {
	if l > 0 {
		s.decided[l] = level
	} else {
		s.decided[-l] = -level
	}
	s.queue = append(s.queue, l)
	s.why = append(s.why, why)
}

// decide makes a free decision at a new level, for the sake of a rule, and learns from conflicts until there are none. It
// gives the level that is left: higher than before, or lower where the decision was taken back, or 0 to begin anew, or -1
// when nothing helps.
func (s *solver) decide(level int32, l lit, because int32) int32 {
	level++
	s.set(l, level, -because)
	return s.settle(level)
}

func (s *solver) settle(level int32) int32 {
	for {
		r := s.propagate(level)
		if r == 0 {
			return level
		}
		if level == 1 {
			return s.unsolvable(r)
		}
		var i int32
		level, i = s.learn(level, r)
		s.set(s.rules[i].p, level, i)
	}
}

// revert takes back all decisions above a level.
func (s *solver) revert(level int32) {
	n := len(s.queue)
	for n > 0 && s.levelOf(s.queue[n-1]) > level {
		n--
		l := s.queue[n]
		s.decided[max(l, -l)] = 0
	}
	s.cut(n)
	for k := len(s.forks); k > 0 && s.forks[k-1].level >= level; k-- {
		s.forks = s.forks[:k-1]
	}
}

func (s *solver) cut(n int) {
	if n == len(s.queue) {
		return
	}
	s.queue, s.why = s.queue[:n], s.why[:n]
	s.done = n
	if s.wishes.seen > n {
		s.wishes.stale = true
	}
}

// reset takes back all decisions, after rules were switched off.
func (s *solver) reset() {
	for _, l := range s.queue {
		s.decided[max(l, -l)] = 0
	}
	s.queue, s.why, s.forks = s.queue[:0], s.why[:0], s.forks[:0]
	s.done = 0
	s.wishes.stale = true
	s.switchLearnt()
}
