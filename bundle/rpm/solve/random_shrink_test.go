package solve_test

import (
	"slices"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/rpm"
)

// shrink makes a scenario with one job small, as long as the same kind of finding remains.
func shrink(o *oracle, dir string, s *scenario, f *finding) (*scenario, *finding) {
	told := map[string]string{}
	try := func(c *scenario) bool {
		clear(told)
		for _, p := range slices.Concat(c.Installed, c.offered()) { // one NEVRA is one package
			var b strings.Builder
			writePackages(&b, []*rpm.Package{p})
			if text, known := told[p.NEVRA()]; known && text != b.String() {
				return false
			}
			told[p.NEVRA()] = b.String()
		}
		g, err := judgeScenario(o, dir, c)
		if err != nil || g == nil || g.kind != f.kind {
			return false
		}
		if f.kind == "solvable" && g.ours.solved() != f.ours.solved() || f.kind == "error" && g.detail[:6] != f.detail[:6] {
			return false
		}
		s, f = c, g
		return true
	}
	if c := s.clone(); keepNamed(c, f) {
		try(c)
	}
	// A small scenario is worth some time, not any: the seed repeats it.
	deadline := time.Now().Add(time.Minute)
	for changed := true; changed && time.Now().Before(deadline); {
		changed = false
		for _, step := range []func(*scenario, int) (*scenario, bool){dropPackages, dropRepo, dropExclude, dropSpec, dropWeak,
			dropInstalled, dropOffered, dropDep, simplifyDep, plainVersion} {
			for n := 0; time.Now().Before(deadline); {
				c, more := step(s.clone(), n)
				if !more {
					break
				}
				if c != nil && try(c) {
					changed = true
				} else {
					n++
				}
			}
		}
	}
	return s, f
}

// keepNamed leaves out the packages of which neither answer has any version.
func keepNamed(s *scenario, f *finding) bool {
	named := map[string]bool{}
	for _, p := range s.offered() {
		for _, answer := range slices.Concat(f.ours.install, f.theirs.install) {
			if strings.HasPrefix(answer, p.NEVRA()+" ") {
				named[p.Name] = true
			}
		}
	}
	for r := range s.Repos {
		s.Repos[r].Packages = slices.DeleteFunc(s.Repos[r].Packages, func(p *rpm.Package) bool { return !named[p.Name] })
	}
	return len(named) > 0
}

// dropPackages leaves out a half, a quarter, ... of all offered packages.
func dropPackages(s *scenario, n int) (*scenario, bool) {
	size, i := 2, n
	for i >= size {
		i, size = i-size, 2*size
	}
	total := len(s.offered())
	if size > total {
		return nil, false
	}
	low, high, at := total*i/size, total*(i+1)/size, 0
	for r := range s.Repos {
		s.Repos[r].Packages = slices.DeleteFunc(s.Repos[r].Packages, func(*rpm.Package) bool {
			at++
			return at > low && at <= high
		})
	}
	return s, true
}

func dropRepo(s *scenario, n int) (*scenario, bool) {
	if n >= len(s.Repos) || len(s.Repos) == 1 {
		return nil, false
	}
	s.Repos = slices.Delete(s.Repos, n, n+1)
	return s, true
}

func dropExclude(s *scenario, n int) (*scenario, bool) {
	if n >= len(s.Exclude) {
		return nil, false
	}
	s.Exclude = slices.Delete(s.Exclude, n, n+1)
	return s, true
}

func dropSpec(s *scenario, n int) (*scenario, bool) {
	j := &s.Jobs[0]
	if len(j.Install)+len(j.Upgrade) < 2 {
		return nil, false
	}
	if n < len(j.Install) {
		j.Install = slices.Delete(j.Install, n, n+1)
		return s, true
	}
	if n -= len(j.Install); n < len(j.Upgrade) {
		j.Upgrade = slices.Delete(j.Upgrade, n, n+1)
		return s, true
	}
	return nil, false
}

func dropWeak(s *scenario, n int) (*scenario, bool) {
	if n > 0 || !s.Jobs[0].Weak {
		return nil, false
	}
	s.Jobs[0].Weak = false
	return s, true
}

func dropInstalled(s *scenario, n int) (*scenario, bool) {
	if n >= len(s.Installed) {
		return nil, false
	}
	s.Installed = slices.Delete(s.Installed, n, n+1)
	return s, true
}

func dropOffered(s *scenario, n int) (*scenario, bool) {
	for r := range s.Repos {
		if n < len(s.Repos[r].Packages) {
			s.Repos[r].Packages = slices.Delete(s.Repos[r].Packages, n, n+1)
			return s, true
		}
		n -= len(s.Repos[r].Packages)
	}
	return nil, false
}

// alike makes all packages of p's NEVRA like p.
func alike(s *scenario, p *rpm.Package) {
	for _, list := range append([][]*rpm.Package{s.Installed}, s.lists()...) {
		for i, q := range list {
			if q != p && q.NEVRA() == p.NEVRA() {
				c := *p
				list[i] = &c
			}
		}
	}
}

func (s *scenario) lists() [][]*rpm.Package {
	var lists [][]*rpm.Package
	for _, r := range s.Repos {
		lists = append(lists, r.Packages)
	}
	return lists
}

// depAt calls f with the nth dependency of all packages and the list that it is in; files count, too, with a nil list.
func depAt(s *scenario, n int, f func(p *rpm.Package, list *[]rpm.Dep, i int)) bool {
	for _, p := range slices.Concat(s.Installed, s.offered()) {
		for _, kind := range depKinds(p) {
			if n < len(*kind.list) {
				f(p, kind.list, n)
				return true
			}
			n -= len(*kind.list)
		}
		if n < len(p.Files) {
			f(p, nil, n)
			return true
		}
		n -= len(p.Files)
	}
	return false
}

func dropDep(s *scenario, n int) (out *scenario, more bool) {
	more = depAt(s, n, func(p *rpm.Package, list *[]rpm.Dep, i int) {
		switch {
		case list == nil:
			p.Files = slices.Delete(p.Files, i, i+1)
			alike(s, p)
		case (*list)[i].String() == nameEVR(p).String():
			return
		default:
			*list = slices.Delete(*list, i, i+1)
			alike(s, p)
		}
		out = s
	})
	return out, more
}

// simplifyDep puts an operand of a rich dependency in its place, or takes the version off. Each has four chances.
func simplifyDep(s *scenario, n int) (out *scenario, more bool) {
	more = depAt(s, n/4, func(p *rpm.Package, list *[]rpm.Dep, i int) {
		if list == nil || (*list)[i].String() == nameEVR(p).String() {
			return
		}
		d := &(*list)[i]
		if !strings.HasPrefix(d.Name, "(") {
			if n%4 == 0 && d.EVR != nil {
				*d = rpm.Dep{Name: d.Name}
				alike(s, p)
				out = s
			}
			return
		}
		c := parseCondition(*d)
		if n%4 == 3 && len(c.operands) > 2 {
			c.operands = c.operands[:2]
			*d = rpm.Dep{Name: c.text()}
			alike(s, p)
			out = s
		} else if n%4 < len(c.operands) {
			*d = parseDep(c.operands[n%4].text())
			alike(s, p)
			out = s
		}
	})
	return out, more
}

// text is a condition in rpm's notation.
func (c condition) text() string {
	if c.op == "" {
		return c.dep.String()
	}
	text := "(" + c.operands[0].text()
	for i, o := range c.operands[1:] {
		if op := c.op; i == 1 && (op == "if" || op == "unless") {
			text += " else " + o.text()
		} else {
			text += " " + op + " " + o.text()
		}
	}
	return text + ")"
}

// plainVersion makes the nth package's version 1-1.
func plainVersion(s *scenario, n int) (*scenario, bool) {
	all := slices.Concat(s.Installed, s.offered())
	if n >= len(all) {
		return nil, false
	}
	p := all[n]
	if e := p.EVR; e.Version == "1" && e.Release == "1" && (e.Epoch == "" || e.Epoch == "0") {
		return nil, true
	}
	old := nameEVR(p).String()
	p.EVR = rpm.EVR{Version: "1", Release: "1"}
	for i, d := range p.Provides {
		if d.String() == old {
			p.Provides[i] = nameEVR(p)
		}
	}
	return s, true
}
