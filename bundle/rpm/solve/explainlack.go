package solve

import (
	"cmp"
	"slices"
	"strings"
)

// lacks gathers requirements that nothing meets. Those that only differ in a symbol version or in the word for an
// architecture are one: "libc.so.6(GLIBC_2.14)(64bit)" says no more than "libc.so.6()(64bit)".
type lacks struct {
	told []lackOf
	at   map[string]int // by stem
}

type lackOf struct {
	Problem
	others []string // further packages that need it, in whatever version
	alike  bool     // all of them by the same text
}

func newLacks() *lacks { return &lacks{at: map[string]int{}} }

func (l *lacks) add(p Problem) {
	at, known := l.at[stem(p.Dep)]
	if !known {
		l.at[stem(p.Dep)] = len(l.told)
		l.told = append(l.told, lackOf{Problem: p, alike: true})
		return
	}
	x := &l.told[at]
	x.alike = x.alike && x.Dep == p.Dep
	if x.Package == p.Package || slices.Contains(x.others, p.Package) {
		return
	}
	x.others = append(x.others, p.Package)
	if x.Dep == p.Dep || strings.Contains(stem(p.Dep), ".so") {
		x.Also = append(x.Also, p.Package)
	}
}

// maxLacks bounds how many are told one by one: more of them come of a whole repository that is missing.
const maxLacks = 15

func (l *lacks) problems() []Problem {
	var out []Problem
	for i, x := range l.told {
		if i == maxLacks && len(l.told) > maxLacks+1 {
			var rest []string
			for _, y := range l.told[i:] {
				rest = append(rest, y.Dep)
			}
			x.Also = nil
			x.Text = "nothing provides " + count(len(rest), "other requirement", "other requirements") + ": " + some(rest)
			return append(out, x.Problem)
		}
		if n := len(x.others); n > 0 {
			what := "it"
			if !x.alike {
				what = stem(x.Dep)
			}
			x.Text += "; " + count(n, "more package needs ", "more packages need ") + what + ": " + some(x.others)
		}
		out = append(out, x.Problem)
	}
	return out
}

// stem is the name of a dependency without what is in parentheses after it; of names that are nothing but a function of
// another, such as "pkgconfig(zlib)", all of it.
func stem(dep string) string {
	name, _, _ := strings.Cut(dep, " ")
	base, rest, found := strings.Cut(name, "(")
	if found && base != "" && (strings.Contains(base, ".so") || isa(rest)) {
		return base
	}
	return name
}

// isa says whether text is the rest of a name with the word for an architecture, "x86-64)".
func isa(rest string) bool {
	return slices.Contains([]string{"x86-64)", "x86-32)", "aarch-64)", "armv7hl-32)", "ppc-64)", "s390-64)"}, rest)
}

// missingBelow goes from a package over what it requires, as long as one name alone can meet that, and adds all
// requirements that nothing meets.
func (s *solver) missingBelow(root pid, why string, to *lacks) {
	type step struct {
		pkg pid
		why []string
	}
	seen := map[pid]bool{root: true}
	for open := []step{{root, []string{why}}}; len(open) > 0; open = open[1:] {
		at := open[0]
		for _, req := range s.lacking(at.pkg) {
			to.add(s.lack(at.pkg, req, reasons(at.why)))
		}
		for _, req := range s.list(at.pkg).requires {
			if s.deps[req].rich.complex() {
				continue
			}
			next := s.only(s.providers(req))
			if next != 0 && !seen[next] {
				seen[next] = true
				open = append(open, step{next, slices.Concat([]string{"for " + s.pkgs[at.pkg].Name}, at.why)})
			}
		}
	}
}

// only is the newest of packages that could come and have one name, 0 where one is installed or another name would do.
func (s *solver) only(who []pid) pid {
	best := pid(0)
	for _, q := range who {
		switch {
		case s.installed(q):
			return 0
		case !s.installable(q):
		case best == 0:
			best = q
		case s.pkgs[q].name != s.pkgs[best].name:
			return 0
		case s.pkgs[q].priority > s.pkgs[best].priority || s.pkgs[q].priority == s.pkgs[best].priority && s.compareEVR(q, best) > 0:
			best = q
		}
	}
	return best
}

// lacking are the requirements of a package that nothing meets, installed or offered: names of packages first, then
// paths, then libraries, whose packages are harder to guess.
func (p *Pool) lacking(i pid) []depID {
	var out []depID
	for _, req := range p.list(i).requires {
		if d := &p.deps[req]; len(p.providers(req)) == 0 && !d.always && !d.rich.complex() {
			out = append(out, req)
		}
	}
	class := func(id depID) int {
		switch name := p.deps[id].dep.Name; {
		case strings.Contains(name, ".so") || strings.Contains(name, "("):
			return 2
		case strings.HasPrefix(name, "/"):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b depID) int { return cmp.Compare(class(a), class(b)) })
	return out
}

// lack tells that nothing meets a requirement.
func (p *Pool) lack(i pid, req depID, why string) Problem {
	d := p.deps[req].dep
	text := "nothing provides " + d.String() + " needed by " + p.subject(i, why) + thereIs(p.labels(p.providersOf(d.Name)))
	return Problem{Package: p.pkgs[i].NEVRA(), Dep: d.String(), Text: text}
}

// providersOf are the packages that provide a name in whatever version.
func (p *Pool) providersOf(name string) []pid {
	id, ok := p.names[name]
	if !ok {
		return nil
	}
	var out []pid
	for pr := range p.providesOf(id) {
		out = append(out, pr.pkg)
	}
	return out
}
