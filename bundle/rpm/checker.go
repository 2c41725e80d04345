package rpm

import (
	"cmp"
	"slices"
	"strings"
)

// checker is what all attempts share: the packages, by name and by what they provide.
type checker struct {
	installed []*Package
	onHost    map[*Package]bool
	hostNames map[string][]*Package // installed, by name
	offered   []Choice              // best first, of the host's architecture and of none
	rank      map[*Package]int      // of offered
	names     map[string][]*Package // offered, by name, the newest first
	obsoleted map[string][]*Package // offered, by the names that they obsolete, best first
	provides  map[string][]provide  // by place
	trees     map[string]*tree      // of rich dependencies; nil for those that do not parse
}

// provide is one thing that a package provides. A path has no version.
type provide struct {
	pkg *Package
	dep Dep
}

func newChecker(o CheckOptions) *checker {
	c := &checker{installed: o.Installed, onHost: map[*Package]bool{}, hostNames: map[string][]*Package{},
		offered: candidates(o.Offered, PickOptions{Arch: o.Arch}), rank: map[*Package]int{}, names: map[string][]*Package{},
		obsoleted: map[string][]*Package{}, provides: map[string][]provide{}, trees: map[string]*tree{}}
	for _, p := range c.installed {
		c.onHost[p] = true
		c.hostNames[p.Name] = append(c.hostNames[p.Name], p)
	}
	all := slices.Clone(c.installed)
	for i, choice := range c.offered {
		c.rank[choice.Package] = i
		c.names[choice.Package.Name] = append(c.names[choice.Package.Name], choice.Package)
		for _, d := range choice.Package.Obsoletes {
			c.obsoleted[d.Name] = append(c.obsoleted[d.Name], choice.Package)
		}
		all = append(all, choice.Package)
	}
	for _, list := range c.names {
		slices.SortStableFunc(list, func(a, b *Package) int { return b.EVR.Compare(a.EVR) })
	}
	wanted := map[string]bool{}
	for _, spec := range o.Install {
		wanted[place(spec)] = true
	}
	for _, p := range all {
		c.wants(p.Requires, wanted)
		c.wants(p.Conflicts, wanted)
	}
	for _, p := range all {
		for _, d := range p.Provides {
			d.Name = place(d.Name)
			c.provides[d.Name] = append(c.provides[d.Name], provide{p, d})
		}
		for _, f := range p.Files {
			if f = place(f); wanted[f] {
				c.provides[f] = append(c.provides[f], provide{p, Dep{Name: f}})
			}
		}
	}
	return c
}

// wants adds the paths that dependencies name.
func (c *checker) wants(deps []Dep, to map[string]bool) {
	for _, d := range deps {
		if !strings.HasPrefix(d.Name, "/") && !strings.HasPrefix(d.Name, "(") {
			continue
		}
		for _, leaf := range c.tree(d).leaves() {
			to[place(leaf.dep.Name)] = true
		}
	}
}

// place is a name as provides is sorted by: the folders that are one with those in /usr go by their short names.
func place(name string) string {
	rest, found := strings.CutPrefix(name, "/usr/")
	if !found {
		return name
	}
	if dir, _, _ := strings.Cut(rest, "/"); dir == "bin" || dir == "sbin" || dir == "lib" || dir == "lib64" {
		return name[len("/usr"):]
	}
	return name
}

// tree is a dependency in its parts, nil when it does not parse.
func (c *checker) tree(d Dep) *tree {
	if !strings.HasPrefix(d.Name, "(") {
		return &tree{dep: d}
	}
	t, known := c.trees[d.Name]
	if !known {
		var err error
		if t, err = parseRich(d); err != nil {
			t = nil
		}
		c.trees[d.Name] = t
	}
	return t
}

// replaces says whether p would take the place of the installed old.
func replaces(p, old *Package) bool {
	return p.Name == old.Name && !installOnly(p) && (p.Arch == old.Arch || p.Arch == "noarch" || old.Arch == "noarch")
}

// obsoletes says whether p makes another package go. Obsoletes are about names of packages, not about what they provide.
func obsoletes(p, other *Package) bool {
	self := Dep{Name: other.Name, EVR: &other.EVR, Flags: Equal}
	return p.Name != other.Name && slices.ContainsFunc(p.Obsoletes, self.Meets)
}

// installOnly says whether versions of a package stand side by side: kernels and their modules, by the names that yum 3.4
// and dnf know and by the provides that packagers use for it.
func installOnly(p *Package) bool {
	switch p.Name {
	case "kernel", "kernel-core", "kernel-modules", "kernel-devel", "kernel-debug", "kernel-PAE", "gpg-pubkey":
		return true
	}
	return slices.ContainsFunc(p.Provides, func(d Dep) bool {
		return strings.HasPrefix(d.Name, "installonlypkg(") || d.Name == "multiversion(kernel)"
	})
}

// acceptable says whether an offered package can come beside what comes already, and is no step back from what is
// installed.
func (a *attempt) acceptable(p *Package) bool {
	if a.has(p) || a.rival(p) != nil {
		return false
	}
	return !slices.ContainsFunc(a.hostNames[p.Name], func(old *Package) bool {
		c := p.EVR.Compare(old.EVR)
		return replaces(p, old) && c <= 0 || old.Arch == p.Arch && c == 0
	})
}

// rival is a package of p's name that comes, and of which there can be only one.
func (a *attempt) rival(p *Package) *Package {
	for _, q := range a.names[p.Name] {
		if _, comes := a.come[q]; comes && q != p && !installOnly(p) {
			return q
		}
	}
	return nil
}

// newer are the offered packages that could take the place of the installed p: those of its name, the newest first, then
// those that obsolete it.
func (a *attempt) newer(p *Package) []*Package {
	if !a.onHost[p] {
		return nil
	}
	var out []*Package
	for _, q := range a.names[p.Name] {
		if replaces(q, p) && a.acceptable(q) {
			out = append(out, q)
		}
	}
	for _, q := range a.obsoleted[p.Name] {
		if obsoletes(q, p) && a.acceptable(q) && !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	return out
}

// alternatives are the offered packages any of which meets a requirement, or a part of it where it takes several, the
// best first: newest before older ones of the name, names that are installed or come before others, then in the order
// of Pick.
func (a *attempt) alternatives(t *tree) []*Package {
	var out []*Package
	for _, p := range a.now.meeting(t) {
		if !a.onHost[p] && a.acceptable(p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	older := map[*Package]int{}
	count := map[string]int{}
	slices.SortFunc(out, func(p, q *Package) int { return cmp.Compare(a.rank[p], a.rank[q]) })
	for _, p := range out {
		older[p] = count[p.Name]
		count[p.Name]++
	}
	strange := func(p *Package) int {
		if len(a.hostNames[p.Name]) > 0 {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(p, q *Package) int {
		return cmp.Or(cmp.Compare(older[p], older[q]), cmp.Compare(strange(p), strange(q)))
	})
	return out
}

// choices are the decisions of one attempt: which of several options was taken.
type choices struct {
	picks []int // those that are given, and then 0
	sizes []int // how many options each had
}

func (c *choices) pick(n int) int {
	if n == 1 {
		return 0
	}
	i := len(c.sizes)
	c.sizes = append(c.sizes, n)
	if i == len(c.picks) {
		c.picks = append(c.picks, 0)
	}
	return c.picks[i]
}

// next are the decisions to try next, nil after the last. Those after the first dead end, when there was one, did not
// bring it about.
func (c *choices) next(stuck int) []int {
	n := len(c.sizes)
	if stuck >= 0 {
		n = stuck
	}
	for i := n - 1; i >= 0; i-- {
		if c.picks[i]+1 < c.sizes[i] {
			picks := slices.Clone(c.picks[:i+1])
			picks[i]++
			return picks
		}
	}
	return nil
}
