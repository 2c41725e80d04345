package modulemd

import (
	"fmt"
	"slices"
	"strings"
)

// explainSet says why a set of clauses cannot hold together, in one line.
func (r *resolver) explainSet(set []int) string {
	var lines []string
	say := func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for _, i := range set {
		c := r.clauses[i]
		switch {
		case c.origin == fromBest:
			j := r.jobs[c.job]
			say("%s:%s in its newest version", j.module, j.stream)
		case c.origin == fromJob && len(c.lits) == 0:
			j := r.jobs[c.job]
			say("%s:%s has no build for %s", j.module, j.stream, r.arch)
		case c.origin != fromPackage || c.lits[0] > 0:
		case c.req != nil:
			say("%s", r.explainRequirement(c))
		default:
			say("%s", r.explainConflict(c))
		}
	}
	if len(lines) == 0 {
		for _, i := range set {
			if c := r.clauses[i]; c.origin == fromJob {
				say("%s:%s", r.jobs[c.job].module, r.jobs[c.job].stream)
			}
		}
		return strings.Join(lines, " and ") + " exclude each other"
	}
	return strings.Join(lines, ", ")
}

// explainRequirement is for a clause of a build and what could meet its requirement.
func (r *resolver) explainRequirement(c clause) string {
	b := r.builds[c.lits[0].build()]
	module, text := c.req.Module, b.ID()+" requires "+c.req.Module
	if want, _ := c.req.split(); len(want) > 0 {
		text = b.ID() + " requires " + strings.Join(prefixed(module+":", want), " or ")
	}
	if len(c.lits) > 1 {
		return text
	}
	switch have := r.streamsOf(module); {
	case r.problem.platform > 0 && r.builds[r.problem.platform].Name == module:
		return text + ", but the system is " + r.platform
	case module == "platform":
		return text + ", but the platform is not known"
	case len(have) == 0:
		return text + ", which no repository has"
	default:
		return text + ", of which the repositories have only " + strings.Join(prefixed(module+":", have), ", ")
	}
}

// explainConflict is for a clause of two builds that exclude each other.
func (r *resolver) explainConflict(c clause) string {
	a, b := r.builds[c.lits[1].build()], r.builds[c.lits[0].build()]
	switch {
	case a.Name != b.Name:
		return a.ID() + " and " + b.ID() + " exclude each other"
	case a.Stream.Stream != b.Stream.Stream:
		return "a module has one active stream, but both " + a.ID() + " and " + b.ID() + " are needed"
	}
	return "two builds of " + a.ID() + " are needed"
}
