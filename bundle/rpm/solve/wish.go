package solve

import "slices"

// wishes are what the packages that are decided to be there recommend and suggest. It is known up to the decision seen.
type wishes struct {
	stale                  bool // decisions were taken back
	seen                   int
	recommended, suggested []bool
	// Rich dependencies that turn on packages not decided yet.
	openRecommends, openSuggests []openWish
}

// openWish is a rich dependency that is to be looked at again when a package is there.
type openWish struct {
	on  pid
	dep depID
}

// wish brings the wishes up to the latest decision.
func (s *solver) wish() {
	w := &s.wishes
	if w.stale {
		n := len(s.pkgs)
		if w.recommended == nil {
			w.recommended, w.suggested = make([]bool, n), make([]bool, n)
		}
		clear(w.recommended)
		clear(w.suggested)
		*w = wishes{recommended: w.recommended, suggested: w.suggested}
	}
	for w.seen < len(s.queue) {
		q := s.queue[w.seen]
		w.seen++
		if q < 0 {
			continue
		}
		w.openRecommends = s.again(q, w.recommended, w.openRecommends)
		w.openSuggests = s.again(q, w.suggested, w.openSuggests)
		l := s.list(q)
		for _, id := range l.recommends {
			w.openRecommends = s.markWish(id, w.recommended, w.openRecommends)
		}
		for _, id := range l.suggests {
			w.openSuggests = s.markWish(id, w.suggested, w.openSuggests)
		}
	}
}

// again looks at the dependencies that turn on q.
func (s *solver) again(q pid, marks []bool, open []openWish) []openWish {
	var due []depID
	open = slices.DeleteFunc(open, func(o openWish) bool {
		if o.on == q && s.decided[q] > 0 {
			due = append(due, o.dep)
			return true
		}
		return false
	})
	for _, id := range due {
		open = s.markWish(id, marks, open)
	}
	return open
}

// markWish marks the packages that a weak dependency means.
func (s *solver) markWish(id depID, marks []bool, open []openWish) []openWish {
	if !s.deps[id].rich.complex() {
		for _, q := range s.providers(id) {
			marks[q] = true
		}
		return open
	}
	for _, block := range s.normalize(s.deps[id].rich, false).blocks {
		var wait []pid
		void := true // without positive literals, or it cannot hold
		for i, l := range block {
			if l > 0 {
				void = false
				if wait == nil {
					for _, q := range block[i:] {
						marks[q] = true
					}
				}
				break
			}
			if s.decided[-l] < 0 {
				break
			}
			if s.decided[-l] == 0 {
				wait = append(wait, -l)
			}
		}
		if void {
			continue
		}
		for _, q := range wait {
			if o := (openWish{q, id}); !slices.Contains(open, o) {
				open = append(open, o)
			}
		}
	}
	return open
}

// fulfilled says whether the packages that are there meet a dependency.
func (s *solver) fulfilled(id depID) bool { return s.fulfilledRich(s.deps[id].rich, id) }

func (s *solver) fulfilledRich(t *rich, id depID) bool {
	if t == nil {
		return slices.ContainsFunc(s.providers(id), s.there)
	}
	left := func() bool { return s.fulfilledRich(t.left, t.left.leaf) }
	switch t.op {
	case "":
		return slices.ContainsFunc(s.providers(t.leaf), s.there)
	case "and":
		return left() && s.fulfilledRich(t.right, t.right.leaf)
	case "or":
		return left() || s.fulfilledRich(t.right, t.right.leaf)
	case "if", "unless":
		condition, other := t.otherwise()
		holds := s.fulfilledRich(condition, condition.leaf)
		switch {
		case other == nil && t.op == "if":
			return left() || !holds
		case other == nil:
			return left() && !holds
		case holds == (t.op == "if"):
			return left()
		}
		return s.fulfilledRich(other, other.leaf)
	}
	return slices.ContainsFunc(s.richProviders(t), s.there)
}

func (s *solver) there(q pid) bool { return s.decided[q] > 0 }

// supplements says whether a package supplements one that is there.
func (s *solver) supplements(q pid) bool {
	return len(s.pkgs[q].Supplements) > 0 && slices.ContainsFunc(s.list(q).supplements, s.fulfilled)
}

// enhances says whether a package enhances one that is there.
func (s *solver) enhances(q pid) bool {
	return len(s.pkgs[q].Enhances) > 0 && slices.ContainsFunc(s.list(q).enhances, s.fulfilled)
}
