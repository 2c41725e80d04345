package solve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// explain makes problems of the conflicts that a search has met: what a person has to know to change the request, the
// repositories or the host. Each conflict gives one problem, but for requirements that nothing meets: of those all are
// told that what was asked for has, however many the search has met. What several conflicts say alike is told once.
func (s *solver) explain() []Problem {
	var out []Problem
	lacks := newLacks()
	for _, c := range s.problems {
		t := s.newTeller(c)
		switch tale := t.tell(newBranch()); {
		case tale.lacks != 0:
			lacks.add(tale.Problem)
			s.missingBelow(tale.root, tale.rootWhy, lacks)
		case !slices.ContainsFunc(out, func(p Problem) bool { return p.Text == tale.Text }):
			out = append(out, tale.Problem)
		}
	}
	return append(lacks.problems(), out...)
}

// unmatched is the problem of a spec that nothing matches.
func (p *Pool) unmatched(spec string) Problem {
	text := fmt.Sprintf("%q matches nothing that is installed or offered", spec) + thereIs(p.nearSpec(spec))
	return Problem{Package: spec, Missing: true, Text: text}
}

// nearSpec lists packages of the name that a spec begins with, newest first: those of a version that it does not mean.
func (p *Pool) nearSpec(spec string) []string {
	var near []pid
	longest := 0
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		name := p.pkgs[i].Name
		rest, found := strings.CutPrefix(spec, name)
		if !found || len(name) < longest || rest != "" && rest[0] != '-' && rest[0] != '.' && rest[0] != ' ' {
			continue
		}
		if len(name) > longest {
			longest, near = len(name), nil
		}
		near = append(near, i)
	}
	return p.labels(near)
}

// labels name packages, newest first, each once: where they are installed, excluded, or of which repository.
func (p *Pool) labels(list []pid) []string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b pid) int {
		return cmp.Or(strings.Compare(p.pkgs[a].Name, p.pkgs[b].Name), p.compareEVR(b, a), strings.Compare(p.pkgs[a].Arch, p.pkgs[b].Arch))
	})
	var out []string
	for _, i := range list {
		if s := p.label(i); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// label names a package and what keeps it from being taken.
func (p *Pool) label(i pid) string {
	e := &p.pkgs[i]
	switch {
	case p.installed(i):
		return "installed " + e.NEVRA()
	case p.installable(i):
		return e.NEVRA()
	}
	return e.NEVRA() + ", which " + p.barred(i)
}

// barred says what keeps a package from coming.
func (p *Pool) barred(i pid) string {
	e := &p.pkgs[i]
	switch {
	case e.rank == rankNone:
		return "is for another architecture"
	case p.o.Hidden != nil && p.o.Hidden(e.Package):
		return "is hidden by the choice of modules"
	}
	return "is excluded"
}

// subject is a package with why it would come.
func (p *Pool) subject(i pid, why string) string {
	switch {
	case p.installed(i):
		return "installed " + p.pkgs[i].NEVRA()
	case why == "":
		return p.pkgs[i].NEVRA()
	}
	return p.pkgs[i].NEVRA() + " (" + why + ")"
}

// thereIs ends a sentence with what there is in place of what was meant.
func thereIs(labels []string) string {
	switch len(labels) {
	case 0:
		return ""
	case 1:
		return "; there is only " + labels[0]
	}
	return "; there are " + some(labels)
}

// maxSome is how many of a list a sentence names.
const maxSome = 3

// some is the beginning of a list, and how many more there are.
func some(list []string) string {
	if len(list) <= maxSome+1 {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:maxSome], ", ") + " and " + count(len(list)-maxSome, "other", "others")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
