package solve_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// This file says, apart from the solver and from dnf, what a package set must fulfil.

// condition is a parsed dependency.
type condition struct {
	op       string // "" for a plain one
	dep      rpm.Dep
	operands []condition // for if and unless: what, when, and maybe else
}

// parseCondition reads a rich dependency.
func parseCondition(d rpm.Dep) condition {
	if !strings.HasPrefix(d.Name, "(") {
		return condition{dep: d}
	}
	c, rest := parseParenthesis(d.Name)
	if rest != "" {
		panic(fmt.Sprintf("got %q after %q", rest, d.Name))
	}
	return c
}

func parseParenthesis(s string) (condition, string) {
	var c condition
	first, rest := parseOperand(s[1:])
	c.operands = append(c.operands, first)
	for !strings.HasPrefix(rest, ")") {
		op, after, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		if op != "else" {
			c.op = op
		}
		var next condition
		next, rest = parseOperand(after)
		c.operands = append(c.operands, next)
	}
	return c, rest[1:]
}

// parseOperand reads a parenthesis or a plain dependency, whose name may have balanced parentheses in it.
func parseOperand(s string) (condition, string) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "(") {
		return parseParenthesis(s)
	}
	open, end := 0, len(s)
	for i, r := range s {
		if r == '(' {
			open++
		} else if r == ')' {
			open--
		}
		if open < 0 {
			end = i
			break
		}
	}
	words := strings.Fields(s[:end])
	n := 1
	if len(words) > 2 && strings.Trim(words[1], "<>=") == "" {
		n = 3
	}
	text := strings.Join(words[:n], " ")
	after := strings.TrimLeft(s, " ")
	for _, w := range words[:n] {
		after = strings.TrimLeft(strings.TrimLeft(after, " ")[len(w):], " ")
	}
	return condition{dep: parseDep(text)}, after
}

// provides says whether a package meets a plain dependency.
func provides(p *rpm.Package, d rpm.Dep) bool {
	return slices.ContainsFunc(p.Provides, func(have rpm.Dep) bool { return meets(have, d) }) || slices.Contains(p.Files, d.Name)
}

// meets is rpm's comparison, but dnf's where only one side has a release: a provide "v = 2" meets "v > 2-1", for it
// means all releases of 2 (libsolv pool_match_flags_evr).
func meets(have, want rpm.Dep) bool {
	if have.Name == want.Name && have.EVR != nil && want.EVR != nil && have.EVR.Compare(*want.EVR) == 0 {
		if have.EVR.Release == "" && want.EVR.Release != "" && have.Flags&rpm.Equal != 0 ||
			have.EVR.Release != "" && want.EVR.Release == "" && want.Flags&rpm.Equal != 0 {
			return true
		}
	}
	return have.Meets(want)
}

// by says whether a single package meets a condition of "with" and its operands.
func (c condition) by(p *rpm.Package) bool {
	switch c.op {
	case "":
		return provides(p, c.dep)
	case "without":
		return c.operands[0].by(p) && !c.operands[1].by(p)
	case "or":
		return slices.ContainsFunc(c.operands, func(o condition) bool { return o.by(p) })
	}
	return !slices.ContainsFunc(c.operands, func(o condition) bool { return !o.by(p) })
}

// packageSet is packages by what they provide, files included.
type packageSet struct {
	list []*rpm.Package
	by   map[string][]provided
}

type provided struct {
	p *rpm.Package
	d rpm.Dep // by name alone for a file
}

func newPackageSet(list []*rpm.Package) *packageSet {
	s := &packageSet{list: list, by: map[string][]provided{}}
	for _, p := range list {
		for _, d := range p.Provides {
			s.by[d.Name] = append(s.by[d.Name], provided{p, d})
		}
		for _, f := range p.Files {
			s.by[f] = append(s.by[f], provided{p, rpm.Dep{Name: f}})
		}
	}
	return s
}

// in says whether a set without one package, which may be nil, meets a condition.
func (c condition) in(set *packageSet, without *rpm.Package) bool {
	holds := func(o condition) bool { return o.in(set, without) }
	switch c.op {
	case "":
		return slices.ContainsFunc(set.by[c.dep.Name], func(h provided) bool { return h.p != without && meets(h.d, c.dep) })
	case "with", "without":
		return slices.ContainsFunc(set.list, func(p *rpm.Package) bool { return p != without && c.by(p) })
	case "or":
		return slices.ContainsFunc(c.operands, holds)
	case "and":
		return !slices.ContainsFunc(c.operands, func(o condition) bool { return !holds(o) })
	case "if", "unless":
		if holds(c.operands[1]) == (c.op == "if") {
			return holds(c.operands[0])
		}
		if len(c.operands) == 3 {
			return holds(c.operands[2])
		}
		return c.op == "if"
	}
	panic(c.op)
}

// turns says whether one more package may make a condition untrue: where p itself is what it looks at, it does not tell
// without p what it told with it.
func (c condition) turns() bool {
	return c.op == "if" || c.op == "unless" || slices.ContainsFunc(c.operands, condition.turns)
}

// contradicts says whether a conflict of p is there; a package does not conflict with itself.
func contradicts(c condition, p *rpm.Package, set *packageSet) bool {
	return c.in(set, nil) && c.in(set, p)
}

// removes says whether p obsoletes q.
func removes(p, q *rpm.Package) bool {
	return p.Name != q.Name && slices.ContainsFunc(p.Obsoletes, func(d rpm.Dep) bool { return meets(nameEVR(q), d) })
}

// twins says whether two packages of one name cannot be together: those of the same architecture, or where one has none.
func twins(p, q *rpm.Package) bool {
	if p == q || p.Name != q.Name || p.Arch != q.Arch && p.Arch != "noarch" && q.Arch != "noarch" {
		return false
	}
	return !installOnly(p) || !installOnly(q) || p.EVR.Compare(q.EVR) == 0 && p.Arch == q.Arch
}

func installOnly(p *rpm.Package) bool { return p.Name == "kernel" || p.Name == "kernel-core" }

// problem is what is wrong with p in a set; "" when nothing is.
func problem(p *rpm.Package, set *packageSet) string {
	for _, d := range p.Requires {
		if !strings.HasPrefix(d.Name, "rpmlib(") && !parseCondition(d).in(set, nil) {
			return p.NEVRA() + " requires " + d.String()
		}
	}
	for _, d := range p.Conflicts {
		if contradicts(parseCondition(d), p, set) {
			return p.NEVRA() + " conflicts with " + d.String()
		}
	}
	for _, q := range set.list {
		switch {
		case p != q && removes(p, q):
			return p.NEVRA() + " obsoletes " + q.NEVRA()
		case twins(p, q):
			return p.NEVRA() + " beside " + q.NEVRA()
		}
	}
	return ""
}

// brokenPackage is one that has no place in a set, nil when all have.
func brokenPackage(set []*rpm.Package) *rpm.Package {
	all := newPackageSet(set)
	for _, p := range set {
		if problem(p, all) != "" {
			return p
		}
	}
	return nil
}

// invalid says what is wrong with a package set that a transaction leaves; "" when nothing is. What was wrong with an
// installed package before may stay so.
func invalid(before *packageSet, left []*rpm.Package) string {
	after := newPackageSet(left)
	for _, p := range left {
		if !slices.Contains(before.list, p) {
			if text := problem(p, after); text != "" {
				return text
			}
			continue
		}
		for _, d := range p.Requires {
			if c := parseCondition(d); c.in(before, nil) && !c.in(after, nil) {
				return p.NEVRA() + " stays and requires " + d.String()
			}
		}
		for _, d := range p.Conflicts {
			c := parseCondition(d)
			if contradicts(c, p, after) && !contradicts(c, p, before) && !(c.turns() && c.in(before, nil)) {
				return p.NEVRA() + " stays and conflicts with " + d.String()
			}
		}
	}
	return ""
}
