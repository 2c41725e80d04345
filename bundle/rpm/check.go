package rpm

import (
	"slices"
	"strconv"
	"strings"
)

// CheckOptions say what is to be installed where.
type CheckOptions struct {
	Installed []*Package // of the host, of ReadInstalled
	Offered   []*Repo    // all that the host may install from
	// Install are specs as Pick takes them. What an installed package matches or provides already is left as it is.
	Install []string
	// Upgrade are names of packages. One that is installed becomes the newest that is offered.
	Upgrade []string
	Arch    string // of the host; "" means x86_64
}

// Transaction is what yum or dnf would do, or why they would refuse.
type Transaction struct {
	Install []*Package // in the order in which they were found to be needed
	Upgrade []Upgrade  // in that order, too
	Remove  []*Package // installed ones that a new package obsoletes
	// Problems are all that keeps the transaction from being done; it can be done when there are none.
	Problems []Problem
}

// Upgrade is an installed package and the one that takes its place.
type Upgrade struct{ From, To *Package }

// maxAttempts bounds the search for a choice of providers that works. One attempt takes a millisecond or two.
const maxAttempts = 256

// Check finds out whether packages can be installed on a host, without changing anything. What is missing comes from
// Offered: for each requirement that nothing installed meets the best package that does, and in place of an installed
// package a newer one of its name only where a requirement, an Upgrade or a conflict asks for it. Then every requirement,
// conflict and obsolete of what comes and of what stays is held against all that would be installed, versions included.
// Where several packages could serve, or where an installed package that would break could be upgraded instead, other
// choices are tried, up to a bound; the problems told are those of the first choice.
//
// Nothing is found wrong that the host has got wrong already. And what only yum and dnf themselves can decide is left to them:
// paths that primary metadata does not list, requirements on rpm itself, rich dependencies that do not parse, conflicts
// of files, disk space, and weak dependencies, which never keep anything from being installed. Paths in /bin, /sbin, /lib
// and /lib64 and the same in /usr count as one. Packages that may be there in several versions, kernels, replace none.
// Nothing installed becomes older, though dnf would do that too, and of "A if B" only A is brought, B never taken away.
func Check(o CheckOptions) *Transaction {
	c := newChecker(o)
	var first *Transaction
	var picks []int
	for range maxAttempts {
		a := c.attempt(picks)
		t := a.run(o)
		if len(t.Problems) == 0 {
			return t
		}
		if first == nil {
			first = t
		}
		if picks = a.choices.next(a.stuck); picks == nil {
			break
		}
	}
	return first
}

// attempt is one way to make the transaction.
type attempt struct {
	*checker
	now  view // what would be installed
	host view // what is

	come    map[*Package]cause
	order   []*Package            // of come
	gone    map[*Package]*Package // installed ones, and what replaces or obsoletes them
	touched map[string]bool       // what packages in gone provide
	missing []Problem             // of what was asked for
	choices choices
	stuck   int // how many choices there were when the first dead end was met; -1 for none
}

// cause is why a package comes: another needs it, or it was asked for.
type cause struct {
	by   *Package
	spec string
}

func (c *checker) attempt(picks []int) *attempt {
	a := &attempt{checker: c, come: map[*Package]cause{}, gone: map[*Package]*Package{}, touched: map[string]bool{},
		choices: choices{picks: picks}, stuck: -1}
	a.now = view{c, a.has}
	a.host = view{c, func(p *Package) bool { return c.onHost[p] }}
	return a
}

// has says whether p would be installed in the end.
func (a *attempt) has(p *Package) bool {
	if a.onHost[p] {
		return a.gone[p] == nil
	}
	_, comes := a.come[p]
	return comes
}

func (a *attempt) run(o CheckOptions) *Transaction {
	for _, spec := range o.Install {
		a.install(spec)
	}
	for _, name := range o.Upgrade {
		for _, p := range a.hostNames[name] {
			if newer := a.newer(p); a.has(p) && len(newer) > 0 && newer[0].Name == name {
				a.bring(newer[0], cause{spec: name})
			}
		}
	}
	// What comes may make more come: until nothing does.
	for more := true; more; {
		before := len(a.order)
		for i := 0; i < len(a.order); i++ {
			a.settle(a.order[i])
		}
		for _, p := range a.installed {
			if a.has(p) {
				a.keep(p)
			}
		}
		more = len(a.order) > before
	}
	return a.transaction()
}

func (a *attempt) transaction() *Transaction {
	t := &Transaction{Problems: a.problems()}
	old := map[*Package]*Package{}
	for _, p := range a.installed {
		switch by := a.gone[p]; {
		case by == nil:
		case by.Name == p.Name:
			old[by] = p
		default:
			t.Remove = append(t.Remove, p)
		}
	}
	for _, p := range a.order {
		if from := old[p]; from != nil {
			t.Upgrade = append(t.Upgrade, Upgrade{From: from, To: p})
		} else {
			t.Install = append(t.Install, p)
		}
	}
	return t
}

// install makes what was asked for come.
func (a *attempt) install(spec string) {
	want := tree{dep: parseDep(spec)}
	there := func(p *Package) bool { return p.matches(spec) }
	if slices.ContainsFunc(a.installed, there) || a.host.met(want.dep, nil) {
		return
	}
	found := matching(a.offered, spec)
	if len(found) == 0 {
		a.missing = append(a.missing, Problem{Package: spec, Missing: true,
			Text: strconv.Quote(spec) + " is neither on the host nor in the bundle"})
		return
	}
	if !found[0].Package.matches(spec) { // but provides it, and others may as well
		if !a.now.met(want.dep, nil) {
			a.bringOne(a.alternatives(&want), cause{spec: spec})
		}
		return
	}
	for _, c := range found {
		switch rival := a.rival(c.Package); {
		case a.has(c.Package):
		case rival != nil:
			a.missing = append(a.missing, Problem{Package: spec, Text: strconv.Quote(spec) + " means " + c.Package.NEVRA() +
				", beside which " + a.describe(rival) + " would have to come"})
		case a.acceptable(c.Package):
			a.bring(c.Package, cause{spec: spec})
		}
	}
}

// bringOne takes the best of what could mend something, and remembers that there are others.
func (a *attempt) bringOne(options []*Package, why cause) {
	if len(options) == 0 {
		if a.stuck < 0 {
			a.stuck = len(a.choices.sizes)
		}
		return
	}
	a.bring(options[a.choices.pick(len(options))], why)
}

// bring adds a package, in the place of what it replaces and obsoletes.
func (a *attempt) bring(p *Package, why cause) {
	a.come[p] = why
	a.order = append(a.order, p)
	for _, old := range a.hostNames[p.Name] {
		if replaces(p, old) {
			a.leave(old, p)
		}
	}
	for _, d := range p.Obsoletes {
		for _, old := range a.hostNames[d.Name] {
			if obsoletes(p, old) {
				a.leave(old, p)
			}
		}
	}
}

func (a *attempt) leave(old, by *Package) {
	if a.gone[old] != nil {
		return
	}
	a.gone[old] = by
	for _, d := range old.Provides {
		a.touched[place(d.Name)] = true
	}
	for _, f := range old.Files {
		a.touched[place(f)] = true
	}
}

// settle brings what a package that comes requires, and upgrades what it conflicts with.
func (a *attempt) settle(p *Package) {
	for _, d := range p.Requires {
		if t := a.tree(d); t != nil && !a.now.holds(t, nil) {
			a.bringOne(a.alternatives(t), cause{by: p})
		}
	}
	for _, d := range p.Conflicts {
		for _, q := range a.now.against(p, d) {
			a.bringOne(a.newer(q), cause{by: p})
		}
	}
}

// keep mends what a package that stays has lost by what comes.
func (a *attempt) keep(p *Package) {
	for _, d := range p.Requires {
		if t := a.broken(d); t != nil {
			a.bringOne(append(a.newer(p), a.alternatives(t)...), cause{by: p})
			if !a.has(p) {
				return
			}
		}
	}
	if len(a.enemies(p)) > 0 {
		a.bringOne(a.newer(p), cause{by: p})
	}
}

// broken is the tree of a requirement of an installed package that was met and would not be any more, nil otherwise.
func (a *attempt) broken(d Dep) *tree {
	if !strings.HasPrefix(d.Name, "(") && !a.touched[place(d.Name)] {
		return nil
	}
	t := a.tree(d)
	if t == nil || a.now.holds(t, nil) || !a.host.holds(t, nil) {
		return nil
	}
	return t
}

// enemies are the packages that come and that the installed p does not go with: it conflicts with them, obsoletes them, or
// is the same package for another architecture in another version.
func (a *attempt) enemies(p *Package) []*Package {
	var out []*Package
	for _, d := range p.Conflicts {
		for _, q := range a.now.against(p, d) {
			if !a.onHost[q] {
				out = append(out, q)
			}
		}
	}
	for _, q := range a.order {
		if obsoletes(p, q) || q.Name == p.Name && !replaces(q, p) && !installOnly(q) && q.EVR.Compare(p.EVR) != 0 {
			out = append(out, q)
		}
	}
	return out
}
