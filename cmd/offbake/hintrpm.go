package main

import (
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/source"
)

// unsolvableHint tells where packages that are missing come from: the standard repositories of the distribution, or the
// base image.
func unsolvableHint(e *source.UnsolvableError) string {
	var hints []string
	for _, d := range e.Lacks {
		var repos []string
		for _, r := range d.Repos {
			text := r.Name
			if r.URL != "" {
				text += " (such as " + r.URL + ")"
			}
			repos = append(repos, text)
		}
		hints = append(hints, "add to artifacts.rpms.repos what "+d.Name+" has: "+strings.Join(repos, ", "))
	}
	// Only what packages need and nothing here tells of could be in the base image.
	ofBase := func(m source.Missing) bool { return len(m.NeededBy) > 0 && !m.Near }
	switch {
	case e.Bare && slices.ContainsFunc(e.Missing, ofBase):
		hints = append(hints, "rpms.base is bare: list what the base image has, which need not be in a repository: offbake base query")
	case len(hints) == 0 && len(e.Missing) > 0:
		hints = append(hints, "name a repository that has it under artifacts.rpms.repos, or another version under artifacts.rpms.install")
	}
	return strings.Join(hints, "; ")
}
