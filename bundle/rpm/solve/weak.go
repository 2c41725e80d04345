package solve

import (
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
)

// resolveWeak brings what packages that come recommend, and what supplements them (libsolv solver.c, resolve_weak).
func (s *solver) resolveWeak(level int32) (_ int32, again bool) {
	recommended, supplementing := s.weakCandidates()
	recommended, supplementing = s.weakFilter(recommended, supplementing)
	all := recommended
	for _, q := range supplementing {
		if !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	if len(all) == 0 {
		return level, false
	}
	if len(all) == 1 {
		s.noteWeak(all[0], s.weakCause(all[0]))
		return s.decide(level, all[0], 0), true
	}
	best := s.choose(slices.Clone(all), recommends)
	supplementing = keep(supplementing, func(q pid) bool { return slices.Contains(best, q) })
	if len(supplementing) > 1 {
		s.order(supplementing)
	}
	count := len(s.queue)
	for _, q := range supplementing {
		if s.decided[q] != 0 {
			continue
		}
		before := level
		s.noteWeak(q, s.weakCause(q))
		if level = s.decide(level, q, 0); level <= before {
			return level, true
		}
	}
	if len(s.queue) < count {
		return level, true
	}
	return s.takeRecommended(level, best, count), true
}

// takeRecommended decides what the first count decisions recommend, out of best.
func (s *solver) takeRecommended(level int32, best []pid, count int) int32 {
	good := make([]bool, len(s.pkgs))
	for _, q := range best {
		good[q] = true
	}
	for k := 0; k < count; k++ {
		by := s.queue[k]
		if by < 0 || s.installed(by) {
			continue
		}
		for _, id := range s.recommendations(by) {
			options := s.wanted(id, good)
			if len(options) == 0 {
				continue
			}
			if len(options) > 1 {
				options = s.choose(options, choosing)
			}
			w := wish{by, id}
			if len(options) > 1 {
				s.fork(level, options, 0, w)
			}
			before := level
			s.noteWeak(options[0], w)
			level = s.decide(level, options[0], 0)
			if level <= before || len(s.queue) < count {
				return level
			}
		}
	}
	return level
}

// wanted are the undecided packages that a recommendation means, only good ones where that is given; none when one of them
// is there.
func (s *solver) wanted(id depID, good []bool) []pid {
	var out []pid
	if !s.deps[id].rich.complex() {
		for _, q := range s.providers(id) {
			if s.decided[q] > 0 {
				return nil
			}
			if s.decided[q] == 0 && (good == nil || good[q]) {
				out = append(out, q)
			}
		}
		return out
	}
	for _, block := range s.normalize(s.deps[id].rich, false).blocks {
		if slices.ContainsFunc(block, func(l lit) bool { return l < 0 && s.decided[-l] <= 0 || l > 0 && s.decided[l] > 0 }) {
			continue
		}
		for _, l := range block {
			if l > 0 && s.decided[l] == 0 && (good == nil || good[l]) && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// weakCandidates are the packages that those which come recommend, and those that supplement what is there.
func (s *solver) weakCandidates() (recommended, supplementing []pid) {
	unwanted := s.declined()
	for i := pid(1); i < pid(len(s.pkgs)); i++ {
		switch {
		case s.decided[i] > 0 && !s.installed(i):
			for _, id := range s.recommendations(i) {
				for _, q := range s.wanted(id, nil) {
					if !slices.Contains(recommended, q) {
						recommended = append(recommended, q)
					}
				}
			}
		case s.decided[i] == 0 && s.installable(i) && s.supplements(i) && !unwanted[i]:
			supplementing = append(supplementing, i)
		}
	}
	return keep(recommended, func(q pid) bool { return !unwanted[q] }), supplementing
}

// weakFilter leaves out what installed packages obsolete, and supplements that turn on installed packages alone or that would
// come beside another version or architecture of theirs.
func (s *solver) weakFilter(recommended, supplementing []pid) (_, _ []pid) {
	if len(recommended)+len(supplementing) == 0 {
		return nil, nil
	}
	gone := map[pid]bool{}
	for i := pid(1); i <= s.host; i++ {
		if s.decided[i] > 0 {
			for _, obs := range s.list(i).obsoletes {
				for _, q := range s.obsoleted(obs) {
					gone[q] = true
				}
			}
		}
	}
	recommended = keep(recommended, func(q pid) bool { return !gone[q] })
	supplementing = keep(supplementing, func(q pid) bool {
		if gone[q] || !slices.ContainsFunc(s.list(q).supplements, func(id depID) bool { return s.freshly(s.deps[id].rich, id) == byNew }) {
			return false
		}
		return !slices.ContainsFunc(s.named(s.pkgs[q].name), func(o pid) bool {
			return s.there(o) && (s.pkgs[q].multi || s.pkgs[o].Arch != s.pkgs[q].Arch)
		})
	})
	return recommended, supplementing
}

// fresh says whether packages that are there meet a dependency, and whether one that comes is among them.
type fresh uint8

const (
	unmet fresh = iota
	met
	byNew
)

// freshly follows libsolv's solver_dep_fulfilled_alreadyinstalled.
func (s *solver) freshly(t *rich, id depID) fresh {
	if t == nil || t.op == "" || t.op == "with" || t.op == "without" || t.op == "else" {
		who := []pid(nil)
		if t == nil {
			who = s.providers(id)
		} else {
			who = s.richProviders(t)
		}
		how := unmet
		for _, q := range who {
			if s.decided[q] > 0 {
				if !s.installed(q) {
					return byNew
				}
				how = met
			}
		}
		return how
	}
	left := func() fresh { return s.freshly(t.left, t.left.leaf) }
	if t.op == "and" || t.op == "or" {
		a, b := left(), s.freshly(t.right, t.right.leaf)
		switch {
		case a == unmet && b == unmet, t.op == "and" && (a == unmet || b == unmet):
			return unmet
		}
		return max(a, b)
	}
	condition, other := t.otherwise()
	if other != nil {
		holds := s.freshly(condition, condition.leaf)
		branch := other
		if (holds != unmet) == (t.op == "if") {
			branch = t.left
		}
		how := s.freshly(branch, branch.leaf)
		if how != unmet && holds == byNew {
			return byNew
		}
		return how
	}
	a, b := left(), s.freshly(condition, condition.leaf)
	switch {
	case t.op == "if" && a == unmet && b != unmet, t.op == "unless" && (a == unmet || b != unmet):
		return unmet
	case a == byNew:
		return byNew
	}
	return met
}

// noteWeak remembers why a weak decision is made.
func (s *solver) noteWeak(q pid, w wish) {
	if s.weak == nil {
		s.weak = map[pid]wish{}
	}
	s.weak[q] = w
}

// weakCause finds a reason for a weak decision.
func (s *solver) weakCause(q pid) wish {
	for _, by := range s.queue {
		if by < 0 {
			continue
		}
		for _, id := range s.list(by).recommends {
			if slices.Contains(s.providers(id), q) {
				return wish{by, id}
			}
		}
	}
	for _, id := range s.list(q).supplements {
		if !s.fulfilled(id) {
			continue
		}
		for _, by := range s.providers(id) {
			if s.there(by) {
				return wish{by, id}
			}
		}
		return wish{0, id}
	}
	return wish{}
}

// declined are the packages that no weak dependency is to bring, for the host has been doing without: what an installed
// package recommends though nothing installed meets that, and what supplements an installed package (libdnf goal/Goal.cpp,
// exclude_from_weak_autodetect; rich dependencies are left aside there).
func (p *Pool) declined() []bool {
	if p.unwanted != nil {
		return p.unwanted
	}
	p.unwanted = make([]bool, len(p.pkgs))
	for i := pid(1); i <= p.host; i++ {
		for _, id := range p.list(i).recommends {
			if p.deps[id].rich != nil {
				continue
			}
			who := p.meeting(rpm.Dep{Name: p.deps[id].dep.Name})
			if !slices.ContainsFunc(who, p.installed) {
				for _, q := range who {
					p.unwanted[q] = true
				}
			}
		}
	}
	for _, q := range p.weakly {
		if p.installed(q) || !p.considered(q) || slices.ContainsFunc(p.named(p.pkgs[q].name), p.installed) {
			continue
		}
		for _, id := range p.list(q).supplements {
			if p.deps[id].rich == nil && slices.ContainsFunc(p.providers(id), p.installed) {
				p.unwanted[q] = true
			}
		}
	}
	return p.unwanted
}
