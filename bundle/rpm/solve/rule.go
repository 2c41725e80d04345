package solve

// rule is a law, or a rule of one job, in the course of one Solve.
type rule struct {
	p, q lit   // the first two literals; p is 0 where there is no rule, q where it is an assertion
	rest []lit // all after p where there are more than two; never to be modified
	origin
	off bool

	watch [2]lit   // none of an assertion
	next  [2]int32 // the rule after this one in the list of each watched literal
}

// tail are the literals after the first.
func (r *rule) tail(room *[1]lit) []lit {
	switch {
	case r.rest != nil:
		return r.rest
	case r.q != 0:
		room[0] = r.q
		return room[:]
	}
	return nil
}

// each calls f for every literal until it returns false, and says whether it went through.
func (r *rule) each(f func(lit) bool) bool {
	var room [1]lit
	if r.p == 0 || !f(r.p) {
		return r.p == 0
	}
	for _, l := range r.tail(&room) {
		if !f(l) {
			return false
		}
	}
	return true
}

// has says whether l is one of the literals.
func (r *rule) has(l lit) bool { return !r.each(func(x lit) bool { return x != l }) }

// negative says whether the rule has no literal of a package that would come: it only keeps packages apart.
func (r *rule) negative() bool { return r.rest == nil && r.q <= 0 }

// span is a range of rules, by their numbers.
type span struct{ from, to int32 }

func (s span) has(r int32) bool { return s.from <= r && r < s.to }

// add appends a rule of a first literal and others, and gives its number.
func (s *solver) add(p lit, others []lit, o origin) int32 {
	r := rule{p: p, origin: o}
	switch len(others) {
	case 0:
	case 1:
		r.q = others[0]
	default:
		r.q, r.rest = others[0], others
	}
	if r.q != 0 {
		r.watch = [2]lit{r.p, r.q}
	}
	s.rules = append(s.rules, r)
	return int32(len(s.rules) - 1)
}

func (s *solver) isTrue(l lit) bool {
	if l > 0 {
		return s.decided[l] > 0
	}
	return s.decided[-l] < 0
}

func (s *solver) isFalse(l lit) bool {
	if l > 0 {
		return s.decided[l] < 0
	}
	return s.decided[-l] > 0
}

// levelOf is the level at which a literal was decided, 0 when it was not.
func (s *solver) levelOf(l lit) int32 {
	d := s.decided[max(l, -l)]
	return max(d, -d)
}
