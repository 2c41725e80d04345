package solve

import "slices"

// successors are the packages that could take the place of the installed package i: others of its name, then those that
// obsolete it. Of the latter those count alone that provide its name too, if there are any. Without any it leaves out older
// versions, unless the job allows them, and other architectures (libsolv policy.c, policy_findupdatepackages).
func (s *solver) successors(i pid, any bool) []pid {
	var out []pid
	replaced := false
	e := &s.pkgs[i]
	seen := pid(0)
	for pr := range s.providesOf(e.name) {
		q := pr.pkg
		if q == i || q == seen || !s.installed(q) && s.pkgs[q].hidden {
			continue
		}
		seen = q
		switch {
		case !s.sameColor(i, q):
			continue
		case s.pkgs[q].name == e.name:
			if !any && !s.job.downgrade && s.compareEVR(i, q) > 0 {
				continue
			}
		case s.obsoletes(q, i):
			replaced = true
		default:
			continue
		}
		if any || !s.illegalArch(i, q) {
			out = append(out, q)
		}
	}
	if replaced {
		return out
	}
	for _, q := range s.obsoleters(i) {
		if s.sameColor(i, q) && (any || !s.illegalArch(i, q)) {
			out = append(out, q)
		}
	}
	return out
}

// obsoleters are the packages of other names that obsolete the installed package i and could come, or are there.
func (p *Pool) obsoleters(i pid) []pid {
	if list, known := p.updates[i]; known {
		return list
	}
	var out []pid
	for _, q := range p.obsolet[p.pkgs[i].Name] {
		if p.installable(q) && p.pkgs[q].name != p.pkgs[i].name && p.obsoletes(q, i) {
			out = append(out, q)
		}
	}
	if p.updates == nil {
		p.updates = map[pid][]pid{}
	}
	p.updates[i] = out
	return out
}

// addFeatures adds for each installed package the rule that it stays or something takes its place, whatever it is.
func (s *solver) addFeatures() {
	s.feature.from = int32(len(s.rules))
	for i := pid(1); i <= s.host; i++ {
		s.add(i, s.successors(i, true), origin{kind: kindFeature, pkg: i})
	}
	s.feature.to = int32(len(s.rules))
}

// addUpdates adds for each installed package the rule that it stays or gives way to what policy allows. Its feature rule
// goes where it says the same, and is switched off otherwise.
func (s *solver) addUpdates() {
	s.update.from = int32(len(s.rules))
	for i := pid(1); i <= s.host; i++ {
		if s.pkgs[i].hidden { // as it is excluded, it stays
			s.add(i, nil, origin{kind: kindUpdate, pkg: i})
		} else {
			s.add(i, s.updaters(i), origin{kind: kindUpdate, pkg: i})
		}
		update := &s.rules[len(s.rules)-1]
		feature := &s.rules[s.feature.from+i-1]
		if feature.q == 0 {
			s.orphaned = append(s.orphaned, i)
		}
		if sameRule(update, feature) {
			*feature = rule{}
		} else {
			feature.off = true
		}
	}
	s.update.to = int32(len(s.rules))
}

func sameRule(a, b *rule) bool { return a.p == b.p && a.q == b.q && slices.Equal(a.rest, b.rest) }

// updaters are the successors that policy allows. Installonly packages come beside the installed one, not in its place.
func (s *solver) updaters(i pid) []pid {
	all := s.successors(i, false)
	if !slices.ContainsFunc(all, func(q pid) bool { return s.pkgs[q].multi }) {
		return all
	}
	var out []pid
	for _, q := range all {
		same := s.pkgs[q].name == s.pkgs[i].name && s.sameEVR(q, i) && s.pkgs[q].Arch == s.pkgs[i].Arch
		if !s.pkgs[q].multi || same || s.obsoletes(q, i) {
			out = append(out, q)
		}
	}
	if len(out) < len(all) && marked(s.renew, i) {
		if s.special == nil {
			s.special = map[pid][]pid{}
		}
		s.special[i] = all
	}
	return out
}

// aim finds out which installed packages Job.Upgrade is about, and by what they may be replaced (libsolv solver.c,
// add_update_target).
func (s *solver) aim() {
	if s.host == 0 || len(s.job.upgrade) == 0 {
		return
	}
	s.targets = map[pid][]pid{}
	for _, q := range s.job.upgrade {
		s.aimAt(q)
	}
	for i := range s.targets {
		slices.Sort(s.targets[i])
		s.targets[i] = slices.Compact(s.targets[i])
		if s.renew == nil {
			s.renew = make([]bool, s.host+1)
		}
		s.renew[i] = true
	}
}

func (s *solver) aimAt(q pid) {
	if s.installed(q) {
		for _, i := range s.named(s.pkgs[q].name) {
			if s.installed(i) {
				s.targets[i] = append(s.targets[i], q)
			}
		}
		return
	}
	var about []pid
	identical := pid(0)
	for _, i := range s.named(s.pkgs[q].name) {
		if s.installed(i) {
			about = append(about, i)
			if s.identical(q, i) {
				identical = i
			}
		}
	}
	for _, obs := range s.list(q).obsoletes {
		for _, i := range s.obsoleted(obs) {
			if s.installed(i) && s.pkgs[i].name != s.pkgs[q].name {
				about = append(about, i)
			}
		}
	}
	for _, i := range about {
		s.targets[i] = append(s.targets[i], q)
		if identical != 0 {
			s.targets[i] = append(s.targets[i], identical)
		}
	}
}

// identical says whether two packages are one and the same, as far as can be told.
func (p *Pool) identical(a, b pid) bool {
	return p.pkgs[a].name == p.pkgs[b].name && p.pkgs[a].Arch == p.pkgs[b].Arch && p.sameEVR(a, b)
}

// yield switches off the update rules of installed packages that what was asked for replaces, and the rules about the
// architecture of what was asked for (libsolv rules.c, solver_disablepolicyrules).
func (s *solver) yield() {
	for _, w := range s.job.wanted {
		if w.gone {
			if q := w.pkgs[0]; s.installed(q) {
				s.noUpdateFor(q)
			}
			continue
		}
		for _, q := range w.pkgs {
			for i := s.arches.from; i < s.arches.to; i++ {
				if s.rules[i].p == -q {
					s.yieldArch(s.pkgs[q].name)
					break
				}
			}
		}
		for _, i := range s.replacedByAll(w.pkgs) {
			s.noUpdateFor(i)
		}
	}
}

func (s *solver) noUpdateFor(i pid) {
	s.noUpdate[i] = true
	s.rules[s.update.from+i-1].off = true
	s.rules[s.feature.from+i-1].off = true
}

func (s *solver) yieldArch(name nameID) {
	for i := s.arches.from; i < s.arches.to; i++ {
		if s.pkgs[-s.rules[i].p].name == name {
			s.rules[i].off = true
		}
	}
}

// replacedByAll are the installed packages that each of some packages would replace or obsolete, none when one of them is
// installed.
func (s *solver) replacedByAll(pkgs []pid) []pid {
	if s.host == 0 || slices.ContainsFunc(pkgs, s.installed) {
		return nil
	}
	var common []pid
	for k, q := range pkgs {
		about := s.replaced(q)
		if k > 0 {
			about = keep(common, func(i pid) bool { return slices.Contains(about, i) })
		}
		if common = about; len(common) == 0 {
			return nil
		}
	}
	return common
}

// replaced are the installed packages in whose place a package would come.
func (p *Pool) replaced(q pid) []pid {
	var out []pid
	if !p.pkgs[q].multi {
		for _, i := range p.named(p.pkgs[q].name) {
			if p.installed(i) && p.sameColor(i, q) {
				out = append(out, i)
			}
		}
	}
	for _, obs := range p.list(q).obsoletes {
		for _, i := range p.obsoleted(obs) {
			if p.installed(i) && !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	return out
}
