package solve

import "slices"

// learn makes a rule of a conflict: what the decisions of a level, taken together, must not be again. It goes back to the
// level at which the new rule forces its first literal (the first unique implication point).
func (s *solver) learn(level, conflict int32) (int32, int32) {
	var first lit
	var others, ground []lit // literals of lower levels, and of level 1
	var proof []int32
	back, open, at := int32(1), 0, len(s.queue)
	for i := conflict; ; i = s.why[at] {
		proof = append(proof, i)
		s.rules[i].each(func(l lit) bool {
			if s.isTrue(l) || s.seen[max(l, -l)] {
				return true
			}
			s.seen[max(l, -l)] = true
			switch d := s.levelOf(l); d {
			case 1:
				ground = append(ground, l)
			case level:
				open++
			default:
				others = append(others, l)
				back = max(back, d)
			}
			return true
		})
		at--
		for !s.seen[max(s.queue[at], -s.queue[at])] {
			at--
		}
		first = -s.queue[at]
		s.seen[max(first, -first)] = false
		if open--; open == 0 {
			break
		}
	}
	for _, l := range others {
		s.seen[max(l, -l)] = false
	}
	proof = s.ground(ground, proof)
	s.revert(back)
	i := s.add(first, others, origin{kind: kindLearnt})
	s.proofs = append(s.proofs, proof)
	if r := &s.rules[i]; r.q != 0 {
		s.watchHighest(r)
		s.watchRule(i)
	} else {
		s.asserts = append(s.asserts, i)
	}
	return back, i
}

// ground adds to a proof the rules that forced decisions of level 1, which are marked as seen.
func (s *solver) ground(open []lit, proof []int32) []int32 {
	if len(open) == 0 {
		return proof
	}
	end := len(s.queue)
	for k, l := range s.queue {
		if s.levelOf(l) > 1 {
			end = k
			break
		}
	}
	for at := end - 1; at >= 0; at-- {
		v := max(s.queue[at], -s.queue[at])
		if !s.seen[v] {
			continue
		}
		s.seen[v] = false
		if why := s.why[at]; why > 0 {
			proof = append(proof, why)
			s.rules[why].each(func(l lit) bool {
				if !s.isTrue(l) {
					s.seen[max(l, -l)] = true
				}
				return true
			})
		}
	}
	return proof
}

// watchHighest watches, besides the first literal, the one that was decided last: it is the first to be taken back.
func (s *solver) watchHighest(r *rule) {
	if r.rest == nil {
		return
	}
	best := int32(0)
	for _, l := range r.rest {
		if d := s.levelOf(l); d > best {
			r.watch[1], best = l, d
		}
	}
}

// switchLearnt switches learnt rules off that were learnt from a rule that is off, and all others on.
func (s *solver) switchLearnt() {
	for i := s.learnt; i < int32(len(s.rules)); i++ {
		s.rules[i].off = slices.ContainsFunc(s.proofs[i-s.learnt], func(w int32) bool { return s.rules[w].off })
	}
}

// unsolvable deals with a rule that cannot be kept whatever is decided. Choice rules give way; else what was asked for is
// in the way: the problem is noted, its rules are switched off, and the search begins anew, for there may be more
// problems. It gives the level: 0, or -1 when there is nothing to switch off.
func (s *solver) unsolvable(i int32) int32 {
	proof := []int32{i}
	involved := map[pid]bool{}
	note := func(l lit) bool {
		involved[max(l, -l)] = true
		return true
	}
	s.rules[i].each(note)
	for at := len(s.queue) - 1; at >= 0; at-- {
		if l := s.queue[at]; involved[max(l, -l)] && s.why[at] > 0 {
			proof = append(proof, s.why[at])
			s.rules[s.why[at]].each(note)
		}
	}
	return s.giveWay(s.original(proof))
}

// original are the rules that a proof rests on, with those in place of learnt ones that these were learnt from.
func (s *solver) original(proof []int32) []int32 {
	var out []int32
	seen := map[int32]bool{}
	var walk func([]int32)
	walk = func(rules []int32) {
		for _, i := range rules {
			if seen[i] {
				continue
			}
			seen[i] = true
			if i >= s.learnt {
				walk(s.proofs[i-s.learnt])
			} else {
				out = append(out, i)
			}
		}
	}
	walk(proof)
	return out
}

// giveWay switches off rules so that a contradiction is gone.
func (s *solver) giveWay(proof []int32) int32 {
	last := int32(0)
	for _, i := range proof {
		if s.choices.has(i) {
			last = max(last, i)
		}
	}
	if last > 0 {
		s.dropChoice(last)
		s.reset()
		return 0
	}
	c := conflict{proof: proof}
	for _, i := range proof {
		if i < s.laws.to {
			continue
		}
		if lead := s.leader(i); !slices.Contains(c.blame, lead) {
			c.blame = append(c.blame, lead)
		}
	}
	if s.sacrifice(c.blame) {
		s.reset()
		return 0
	}
	s.problems = append(s.problems, c)
	if len(c.blame) == 0 {
		return -1
	}
	for _, i := range c.blame {
		s.switchOff(i)
	}
	s.reset()
	return 0
}

// leader is the first of the rules that are switched off together: those of one wish, and those about the architecture of
// one name.
func (s *solver) leader(i int32) int32 {
	switch {
	case s.jobs.has(i):
		for i > s.jobs.from && s.jobOf[i-1-s.jobs.from] == s.jobOf[i-s.jobs.from] {
			i--
		}
	case s.arches.has(i):
		for i > s.arches.from && s.sameName(i-1, i) {
			i--
		}
	}
	return i
}

func (s *solver) sameName(i, k int32) bool {
	return s.pkgs[-s.rules[i].p].name == s.pkgs[-s.rules[k].p].name
}

func (s *solver) switchOff(i int32) {
	s.rules[i].off = true
	for k := i + 1; s.jobs.has(k) && s.leader(k) == i || s.arches.has(k) && s.leader(k) == i; k++ {
		s.rules[k].off = true
	}
}

// decideAsserted decides what assertions say, at level 1. Where two contradict each other it is a problem, as in
// unsolvable. It gives the level, -1 when there is no way.
func (s *solver) decideAsserted() int32 {
	for {
		s.queue, s.why, s.done = s.queue[:0], s.why[:0], 0
		i, against, switched := s.assertAll()
		if i == 0 {
			return 1
		}
		for _, l := range s.queue {
			s.decided[max(l, -l)] = 0
		}
		if switched {
			continue
		}
		proof := []int32{i}
		if against >= s.laws.to { // all that want a say about this package, and are no laws
			for k := s.laws.to; k < s.learnt; k++ {
				if r := &s.rules[k]; !r.off && r.q == 0 && r.p != 0 && k != i && max(r.p, -r.p) == max(s.rules[i].p, -s.rules[i].p) {
					proof = append(proof, k)
				}
			}
		} else {
			proof = append(proof, against)
		}
		if s.giveWay(s.original(proof)) < 0 {
			return -1
		}
	}
}

// assertAll decides assertions in their order. i is one that contradicts the rule against; switched says that it was a
// learnt one, which is off now.
func (s *solver) assertAll() (i, against int32, switched bool) {
	for _, i := range s.asserts {
		r := &s.rules[i]
		if r.off || r.p == 0 {
			continue
		}
		if !s.isFalse(r.p) {
			if !s.isTrue(r.p) {
				s.set(r.p, 1, i)
			}
			continue
		}
		if i >= s.learnt {
			r.off = true
			continue
		}
		return i, s.why[slices.Index(s.queue, -r.p)], false
	}
	return 0, 0, false
}
