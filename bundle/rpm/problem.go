package rpm

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that keeps packages from being installed.
type Problem struct {
	Package string // who requires, conflicts or obsoletes: its NEVRA, or the spec that nothing matches
	Dep     string // the dependency in rpm's notation, "" where it is none
	Missing bool   // Package is a spec that nothing matches, neither installed nor offered
	Text    string // all of it for people, one line: who needs what, what the host has, what the bundle has
}

func (p Problem) String() string { return p.Text }

// problems holds everything that would be installed against everything else.
func (a *attempt) problems() []Problem {
	out := slices.Clone(a.missing)
	add := func(p *Package, d Dep, text string) {
		problem := Problem{Package: p.NEVRA(), Dep: d.String(), Text: text}
		if !slices.Contains(out, problem) {
			out = append(out, problem)
		}
	}
	for _, p := range a.order {
		for _, d := range p.Requires {
			if t := a.tree(d); t != nil && !a.now.holds(t, nil) {
				add(p, d, a.describe(p)+" requires "+d.String()+", "+a.known(t))
			}
		}
		for _, d := range p.Conflicts {
			for _, q := range a.now.against(p, d) {
				add(p, d, a.describe(p)+" conflicts with "+d.String()+", and "+a.describe(q)+" is that")
			}
		}
		for _, q := range a.order {
			if obsoletes(p, q) {
				add(p, Dep{Name: q.Name}, a.describe(p)+" obsoletes "+a.describe(q))
			}
		}
	}
	for _, p := range a.installed {
		if a.has(p) {
			a.unsettled(p, add)
		}
	}
	return out
}

// unsettled tells what an installed package that stays does not go with.
func (a *attempt) unsettled(p *Package, add func(*Package, Dep, string)) {
	for _, d := range p.Requires {
		if t := a.broken(d); t != nil {
			add(p, d, a.describe(p)+" requires "+d.String()+", "+a.loss(t)+a.successor(p))
		}
	}
	for _, d := range p.Conflicts {
		for _, q := range a.now.against(p, d) {
			if !a.onHost[q] {
				add(p, d, a.describe(p)+" conflicts with "+d.String()+", and "+a.describe(q)+" is that"+a.successor(p))
			}
		}
	}
	for _, q := range a.enemies(p) {
		switch {
		case obsoletes(p, q):
			add(p, Dep{Name: q.Name}, a.describe(p)+" obsoletes "+a.describe(q)+a.successor(p))
		case q.Name == p.Name:
			add(p, Dep{Name: q.Name}, a.describe(p)+" and "+a.describe(q)+" can only be there in one version"+a.successor(p))
		}
	}
}

// describe names a package, whose it is, and what it comes for: the package that requires it, and what was asked for.
func (a *attempt) describe(p *Package) string {
	if a.onHost[p] {
		return p.NEVRA() + " of the host"
	}
	var parts []string
	switch by := a.come[p].by; {
	case by == nil:
	case a.onHost[by] && by.Name == p.Name:
		parts = append(parts, "in place of "+by.NEVRA())
	default:
		parts = append(parts, "for "+by.Name)
	}
	if root := a.asked(p); root != "" && root != p.Name && !slices.Contains(parts, "for "+root) {
		parts = append(parts, "for "+root)
	}
	if len(parts) == 0 {
		return p.NEVRA() + " of the bundle"
	}
	return p.NEVRA() + " of the bundle (" + strings.Join(parts, ", ") + ")"
}

// asked is the spec at the root of why p comes, "" where it is an installed package that needs it.
func (a *attempt) asked(p *Package) string {
	why := a.come[p]
	for why.by != nil {
		why = a.come[why.by]
	}
	return why.spec
}

// loss tells which packages of the host met a requirement, and what takes their place.
func (a *attempt) loss(t *tree) string {
	var parts []string
	for _, p := range a.host.meeting(t) {
		if by := a.gone[p]; by != nil {
			parts = append(parts, fmt.Sprintf("but %s would replace %s", a.describe(by), p.NEVRA()))
		}
	}
	if len(parts) == 0 {
		return a.known(t)
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), " and ")
}

// successor tells what the bundle has in place of an installed package: nothing that would do.
func (a *attempt) successor(p *Package) string {
	var versions []string
	for _, q := range a.names[p.Name] {
		versions = append(versions, q.NEVRA())
	}
	if len(versions) == 0 {
		return "; the bundle has no " + p.Name
	}
	return "; the bundle has " + strings.Join(versions, ", ")
}

// known tells what the host and the bundle have of what a requirement names.
func (a *attempt) known(t *tree) string {
	var host, bundle []string
	for _, leaf := range t.leaves() {
		for _, p := range a.provides[place(leaf.dep.Name)] {
			list := &bundle
			if a.onHost[p.pkg] {
				list = &host
			}
			if s := p.pkg.NEVRA(); !slices.Contains(*list, s) {
				*list = append(*list, s)
			}
		}
	}
	switch {
	case len(host) == 0 && len(bundle) == 0:
		return "which neither the host nor the bundle has"
	case len(bundle) == 0:
		return "where the host has " + strings.Join(host, ", ") + " and the bundle nothing"
	case len(host) == 0:
		return "where the host has nothing and the bundle " + strings.Join(bundle, ", ")
	}
	return "where the host has " + strings.Join(host, ", ") + " and the bundle " + strings.Join(bundle, ", ")
}
