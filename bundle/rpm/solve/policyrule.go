package solve

import "slices"

// addArches adds rules about packages of an inferior architecture, where their name is there in a better one: they come only
// beside the same version for the better one. Where an installed package is of the inferior architecture alone others of it
// are fine (libsolv rules.c, solver_addinfarchrules).
func (s *solver) addArches() {
	s.arches.from = int32(len(s.rules))
	for i := pid(1); i < pid(len(s.pkgs)); i++ {
		if !s.added[i] {
			continue
		}
		group := s.named(s.pkgs[i].name)
		if len(group) < 2 || !s.leads(i, group) {
			continue
		}
		best := s.bestRank(group)
		if best == rankNone {
			continue
		}
		kept := s.keptRanks(group, best)
		for _, q := range group {
			rank := s.pkgs[q].rank
			if !s.added[q] || rank == rankNoarch || sameClass(rank, best) {
				continue
			}
			if !s.installed(q) && slices.ContainsFunc(kept, func(k archRank) bool { return k == rank || k != rankNone && sameClass(k, rank) }) {
				continue
			}
			beside := s.better(q, group, best)
			if s.installed(q) && !slices.ContainsFunc(beside, s.installed) {
				continue
			}
			s.add(-q, beside, origin{kind: kindArch, pkg: q})
		}
	}
	s.arches.to = int32(len(s.rules))
}

// bestRank is the best architecture that a group of packages of one name is offered for, rankNone where that is none.
func (s *solver) bestRank(group []pid) archRank {
	best := rankNone
	for _, q := range group {
		rank := s.pkgs[q].rank
		if s.added[q] && !s.installed(q) && rank > rankNoarch && (best == rankNone || rank < best) {
			best = rank
		}
	}
	return best
}

// keptRanks are the inferior architectures of installed packages of a group that have no twin for a better one.
func (s *solver) keptRanks(group []pid, best archRank) []archRank {
	var kept []archRank
	for _, q := range group {
		rank := s.pkgs[q].rank
		if !s.added[q] || !s.installed(q) || rank == rankNoarch || rank != rankNone && sameClass(rank, best) {
			continue
		}
		if rank == rankNone || len(s.better(q, group, best)) == 0 {
			kept = append(kept, rank)
		}
	}
	return kept
}

// better are the packages of a group in the version of q, for the best architecture or for all.
func (s *solver) better(q pid, group []pid, best archRank) []pid {
	var out []pid
	for _, o := range group {
		rank := s.pkgs[o].rank
		if o != q && s.sameEVR(o, q) && s.pkgs[o].Arch != s.pkgs[q].Arch && rank != rankNone && (rank == rankNoarch || sameClass(rank, best)) {
			out = append(out, o)
		}
	}
	return out
}

// leads says whether i is the first of a group that is reached.
func (s *solver) leads(i pid, group []pid) bool {
	for _, q := range group {
		if s.added[q] {
			return q == i
		}
	}
	return false
}

// split is an obsolete that packages of several names have in common, about an installed one.
type split struct {
	obs    depID
	groups [][]pid // by name
}

// addYumObsoletes adds rules for the case that packages of several names obsolete an installed one, as yum had it when a
// package is split up: if one of them comes, so does one of each other name (libsolv rules.c, solver_addyumobsrules).
func (s *solver) addYumObsoletes() {
	s.yumobs.from = int32(len(s.rules))
	for _, sp := range s.parts {
		for i, group := range sp.groups {
			for _, q := range group {
				if s.installed(q) {
					continue
				}
				for k, other := range sp.groups {
					if k != i {
						s.add(-q, other, origin{kind: kindYumObsoletes, pkg: q, dep: sp.obs})
					}
				}
			}
		}
	}
	s.yumobs.to = int32(len(s.rules))
}

// findSplits finds the obsoletes that several packages have in common.
func (s *solver) findSplits() {
	var all []depID
	for i := pid(1); i <= s.host; i++ {
		ours := func(o pid) bool { return s.installed(o) && s.sameColor(i, o) }
		for _, q := range s.obsoleters(i) {
			for _, obs := range s.list(q).obsoletes {
				if !slices.Contains(all, obs) && slices.ContainsFunc(s.obsoleted(obs), ours) {
					all = append(all, obs)
				}
			}
		}
	}
	for _, obs := range all {
		if groups := s.splits(obs); groups != nil {
			s.parts = append(s.parts, split{obs, groups})
		}
	}
}

// splits are the packages that have an obsolete in common that is about an installed package, by their names. Less than two
// groups are none.
func (s *solver) splits(obs depID) [][]pid {
	var all []pid
	for _, i := range s.obsoleted(obs) {
		if !s.installed(i) {
			continue
		}
		for _, q := range slices.Concat(s.obsoleters(i), s.byName[s.pkgs[i].name].pkgs) {
			if s.sameColor(i, q) && !slices.Contains(all, q) && slices.Contains(s.list(q).obsoletes, obs) {
				all = append(all, q)
			}
		}
	}
	var groups [][]pid
	for _, best := range s.bestVersions(slices.Clone(all)) {
		var group []pid
		for _, q := range all {
			if s.pkgs[q].name == s.pkgs[best].name {
				group = append(group, q)
			}
		}
		groups = append(groups, group)
	}
	if len(groups) < 2 {
		return nil
	}
	return groups
}

// addChoices adds rules that narrow a requirement to packages that are installed or would update installed ones, where
// others meet it as well. They give way where that cannot be (libsolv rules.c, solver_addchoicerules).
func (s *solver) addChoices() {
	s.choices.from = int32(len(s.rules))
	s.choices.to = s.choices.from
	if s.host == 0 {
		return
	}
	barred := map[pid]bool{}
	for i := s.arches.from; i < s.arches.to; i++ {
		if s.rules[i].q == 0 {
			barred[-s.rules[i].p] = true
		}
	}
	var last []lit
	for i := s.laws.from; i < s.laws.to; i++ {
		if s.rules[i].negative() {
			continue
		}
		lits := s.narrowed(i, barred)
		if lits == nil || slices.Equal(lits, last) {
			continue
		}
		s.add(lits[0], lits[1:], origin{kind: kindChoice, pkg: s.rules[i].pkg, dep: s.rules[i].dep})
		s.choiceOf = append(s.choiceOf, i)
		last = lits
	}
	s.choices.to = int32(len(s.rules))
}

// pair is a package that meets a requirement and the installed one in whose place it would come, or itself.
type pair struct{ installed, comes pid }

// narrowed are the literals of the choice rule for a requirement, nil where it needs none.
func (s *solver) narrowed(i int32, barred map[pid]bool) []lit {
	r := &s.rules[i]
	var pairs []pair
	stranger, settled := false, false // a package that has to do with none installed; a requirement of one that stays
	r.each(func(l lit) bool {
		switch {
		case l < 0:
			settled = settled || s.installed(-l) && !marked(s.renew, -l)
		case s.installed(l):
			pairs = append(pairs, pair{l, l})
		default:
			old := s.predecessor(l)
			switch {
			case old == 0:
				stranger = true
			case !barred[l] && !s.illegal(old, l):
				pairs = append(pairs, pair{old, l})
			}
		}
		return true
	})
	if !stranger || len(pairs) == 0 {
		return nil
	}
	if !settled {
		pairs = slices.DeleteFunc(pairs, func(p pair) bool { return marked(s.renew, p.installed) && s.outgrown(p.installed, r) })
	}
	if len(pairs) == 0 || !slices.ContainsFunc(pairs, func(p pair) bool { return s.mayLeave(p.installed, r) }) {
		return nil
	}
	lits := []lit{r.p}
	r.each(func(l lit) bool {
		if l < 0 && l != r.p {
			lits = append(lits, l)
		}
		return true
	})
	for _, p := range pairs {
		lits = append(lits, p.comes)
	}
	return lits
}

// illegal says whether policy forbids to replace the installed package i by q.
func (s *solver) illegal(i, q pid) bool {
	return !s.job.downgrade && s.pkgs[i].name == s.pkgs[q].name && s.compareEVR(i, q) > 0 || s.illegalArch(i, q)
}

// predecessor is an installed package in whose place q would come, 0 for none.
func (s *solver) predecessor(q pid) pid {
	for _, i := range s.named(s.pkgs[q].name) {
		if s.installed(i) && s.sameColor(i, q) {
			return i
		}
	}
	for _, obs := range s.list(q).obsoletes {
		for _, i := range s.obsoleted(obs) {
			if s.installed(i) {
				return i
			}
		}
	}
	return 0
}

// updateRule is the rule of what may take the place of an installed package.
func (s *solver) updateRule(i pid) *rule {
	if r := &s.rules[s.update.from+i-1]; r.p != 0 {
		return r
	}
	return &s.rules[s.feature.from+i-1]
}

// mayLeave says whether what takes the place of an installed package may fail to meet a requirement.
func (s *solver) mayLeave(i pid, r *rule) bool {
	u := s.updateRule(i)
	return u.p != 0 && !u.each(func(l lit) bool { return r.has(l) })
}

// outgrown says whether the best of what would take the place of an installed package does not meet a requirement.
func (s *solver) outgrown(i pid, r *rule) bool {
	u := s.updateRule(i)
	if u.p == 0 {
		return false
	}
	var all []pid
	u.each(func(l lit) bool {
		all = append(all, l)
		return true
	})
	if len(all) > 1 && slices.ContainsFunc(all, func(q pid) bool { return !r.has(q) }) {
		all = s.choose(all, choosing)
	}
	return !slices.ContainsFunc(all, func(q pid) bool { return r.has(q) })
}

// dropChoice switches off a choice rule that cannot be kept, and all others that keep out the packages that it keeps out.
func (s *solver) dropChoice(i int32) {
	r := &s.rules[i]
	r.off = true
	var out []pid
	s.rules[s.choiceOf[i-s.choices.from]].each(func(l lit) bool {
		if l > 0 && !r.has(l) {
			out = append(out, l)
		}
		return true
	})
	for k := s.choices.from; k < s.choices.to; k++ {
		of := &s.rules[s.choiceOf[k-s.choices.from]]
		if !s.rules[k].off && slices.ContainsFunc(out, func(l lit) bool { return of.has(l) }) {
			s.rules[k].off = true
		}
	}
}

// dropBrokenChoices switches off choice rules that were of no use: a package that they keep out came all the same.
func (s *solver) dropBrokenChoices() bool {
	dropped := false
	for k := s.choices.from; k < s.choices.to; k++ {
		r := &s.rules[k]
		of := &s.rules[s.choiceOf[k-s.choices.from]]
		if r.off || of.off {
			continue
		}
		if !of.each(func(l lit) bool { return l < 0 || s.decided[l] <= 0 || r.has(l) }) {
			s.dropChoice(k)
			dropped = true
		}
	}
	return dropped
}
