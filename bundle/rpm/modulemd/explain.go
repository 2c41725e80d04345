package modulemd

import (
	"slices"
	"strings"
)

// explainSet says why a set of clauses cannot hold together, in one line: what is required first, then what excludes it.
func (r *resolver) explainSet(set []int) string {
	var needs, clashes, newest []string
	for _, i := range set {
		c := r.clauses[i]
		switch {
		case c.origin == fromPackage && c.req != nil:
			needs = append(needs, r.explainRequirement(c))
		case c.origin == fromPackage && len(c.lits) > 1:
			clashes = append(clashes, r.explainConflict(c))
		case c.origin == fromBest:
			newest = append(newest, r.jobs[c.job].id())
		case c.origin == fromJob && len(c.lits) == 0:
			needs = append(needs, r.jobs[c.job].id()+" has no build for "+r.arch)
		}
	}
	slices.Sort(needs)
	slices.Sort(clashes)
	lines := slices.Compact(append(needs, clashes...))
	if len(newest) > 0 {
		slices.Sort(newest)
		lines = append(lines, "the newest build of "+strings.Join(slices.Compact(newest), " and of ")+" is wanted")
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
