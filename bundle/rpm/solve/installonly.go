package solve

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
)

// installOnly is what packages provide of which versions may stand side by side: dnf's default for installonlypkgs.
func installOnly() []string {
	return []string{"kernel", "kernel-PAE", "installonlypkg(kernel)", "installonlypkg(kernel-module)",
		"installonlypkg(vm)", "multiversion(kernel)"}
}

// maxInstallOnly is how many versions of an installonly package may be there: dnf's default for installonly_limit.
const maxInstallOnly = 3

func (p *Pool) markInstallOnly() {
	for _, name := range installOnly() {
		for _, i := range p.providers(p.depOf(rpm.Dep{Name: name})) {
			p.pkgs[i].multi = true
		}
	}
}

// tooMany extends the plan where a new version of an installonly package makes more of them than there may be: the oldest
// are to go, and other packages that need these may go with them (libdnf goal/Goal.cpp, limitInstallonlyPackages). It says
// whether it did.
func (s *solver) tooMany() bool {
	more := false
	for _, name := range installOnly() {
		var there []pid
		for _, q := range s.providers(s.depOf(rpm.Dep{Name: name})) {
			if s.there(q) {
				there = append(there, q)
			}
		}
		if len(there) <= maxInstallOnly || !slices.ContainsFunc(there, func(q pid) bool { return !s.installed(q) }) {
			continue
		}
		for len(there) > 0 {
			first := s.pkgs[there[0]].name
			group := keep(slices.Clone(there), func(q pid) bool { return s.pkgs[q].name == first })
			there = keep(there, func(q pid) bool { return s.pkgs[q].name != first })
			if len(group) > maxInstallOnly {
				s.limit(group)
				more = true
			}
		}
	}
	return more
}

// limit asks for the newest packages of a group to stay, new ones before all, and for the others to go.
func (s *solver) limit(group []pid) {
	slices.SortStableFunc(group, func(a, b pid) int {
		switch {
		case s.installed(a) != s.installed(b):
			return indicator(s.installed(a)) - indicator(s.installed(b))
		case !s.installed(a): // libdnf does not order new ones by version
			return cmp.Compare(a, b)
		}
		return cmp.Or(s.compareEVR(b, a), cmp.Compare(b, a))
	})
	s.job.mayErase = true
	for k, q := range group {
		w := want{pkgs: []pid{q}, gone: k >= maxInstallOnly}
		if w.gone {
			w.pkgs = append(w.pkgs, s.namesakes(q)...)
		}
		s.job.wanted = append(s.job.wanted, w)
	}
}

// overLimit is the problem that more versions of installonly packages are asked for than there may be.
func (s *solver) overLimit() []Problem {
	var out []Problem
	for _, w := range s.job.wanted {
		if q := &s.pkgs[w.pkgs[0]]; w.gone {
			out = append(out, Problem{Package: q.NEVRA(), Text: fmt.Sprintf("%s cannot be left out, and would be one of more than %d versions of %s",
				q.NEVRA(), maxInstallOnly, q.Name)})
		}
	}
	return out
}

// namesakes are the offered packages that would take the place of q though it is to go: others of its name that nothing asks
// for.
func (s *solver) namesakes(q pid) []pid {
	if !s.installed(q) {
		return nil
	}
	var out []pid
	for _, o := range s.named(s.pkgs[q].name) {
		asked := slices.ContainsFunc(s.job.wanted, func(w want) bool { return !w.gone && slices.Contains(w.pkgs, o) })
		if !s.installed(o) && !asked && s.sameColor(o, q) {
			out = append(out, o)
		}
	}
	return out
}

// sacrifice switches off the rule of an installed package that is in the way, where packages may be erased: one that
// something could update before others. It says whether there was one.
func (s *solver) sacrifice(blame []int32) bool {
	if !s.job.mayErase {
		return false
	}
	updatable, last := int32(0), int32(0)
	for _, i := range blame {
		if !s.update.has(i) || s.pkgs[i-s.update.from+1].hidden {
			continue
		}
		if s.rules[s.feature.from+i-s.update.from].p != 0 {
			updatable = max(updatable, i)
			continue
		}
		last = max(last, i)
		if r := &s.rules[i]; r.q == 0 { // nothing can take its place
			updatable, last = 0, i
			break
		}
	}
	i := cmp.Or(updatable, last)
	if i == 0 {
		return false
	}
	s.rules[i].off = true
	return true
}
