package solve

import (
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// nameID numbers names: of packages, and of all that packages provide.
type nameID = int32

// named is what the pool knows of a name.
type named struct {
	pkgs     []pid     // packages of that name
	provides []provide // packages that provide it, in the order of their numbers
}

// provide is a package and the way in which it provides a name.
type provide struct {
	pkg pid
	dep *rpm.Dep
}

// depID numbers dependencies that are written alike. 0 is none.
type depID = int32

type depKey struct {
	name  string
	evr   rpm.EVR
	flags rpm.Flags
}

// dep is a dependency and who meets it.
type dep struct {
	dep   rpm.Dep
	rich  *rich // nil for a plain one
	known bool  // who and always are found out
	who   []pid // in the order of their numbers
	// always says that the package manager itself meets it: rpmlib(...) where no package does.
	always bool
}

func (p *Pool) nameOf(s string) nameID {
	id, ok := p.names[s]
	if !ok {
		id = nameID(len(p.byName))
		p.names[s] = id
		p.byName = append(p.byName, named{})
	}
	return id
}

// indexProvides goes over all provides twice: to count them for each name, and to put them in place.
func (p *Pool) indexProvides() {
	var ids []nameID
	provides := make([]int32, 0, cap(p.byName))
	pkgs := make([]int32, 0, cap(p.byName))
	count := func(counts []int32, id nameID) []int32 {
		for int(id) >= len(counts) {
			counts = append(counts, 0)
		}
		counts[id]++
		return counts
	}
	total := 0
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		e := &p.pkgs[i]
		e.name = p.nameOf(e.Name)
		if !p.indexed(i) {
			continue
		}
		pkgs = count(pkgs, e.name)
		for _, d := range e.Provides {
			id := p.nameOf(d.Name)
			ids = append(ids, id)
			provides = count(provides, id)
		}
		if !e.providesItself() {
			provides = count(provides, e.name)
			total++
		}
	}
	p.allot(provides, len(ids)+total, pkgs)
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		e := &p.pkgs[i]
		if !p.indexed(i) {
			continue
		}
		for k := range e.Provides {
			n := &p.byName[ids[0]]
			n.provides = append(n.provides, provide{i, &e.Provides[k]})
			ids = ids[1:]
		}
		n := &p.byName[e.name]
		n.pkgs = append(n.pkgs, i)
		if !e.providesItself() {
			n.provides = append(n.provides, provide{i, &rpm.Dep{Name: e.Name, EVR: &e.EVR, Flags: rpm.Equal}})
		}
	}
}

// allot gives each name the room that it needs, of one piece.
func (p *Pool) allot(provides []int32, total int, pkgs []int32) {
	all := make([]provide, total)
	for id, n := range provides {
		p.byName[id].provides, all = all[:0:n], all[n:]
	}
	everyone := make([]pid, len(p.pkgs))
	for id, n := range pkgs {
		p.byName[id].pkgs, everyone = everyone[:0:n], everyone[n:]
	}
}

// providesItself says whether the package's own name is among its provides, as rpm sees to it. Old and handmade
// metadata may lack it; libsolv adds it.
func (e *entry) providesItself() bool {
	for i := len(e.Provides) - 1; i >= 0; i-- {
		d := &e.Provides[i]
		if d.Name == e.Name && d.EVR != nil && d.Flags&senseMask == rpm.Equal && sameEVR(*d.EVR, e.EVR) {
			return true
		}
	}
	return false
}

// depOf numbers a dependency. It is 0 for a rich one that does not parse: nobody knows what it says.
func (p *Pool) depOf(d rpm.Dep) depID {
	key := depKey{name: d.Name}
	if d.EVR != nil && d.Flags&senseMask != 0 {
		key.evr, key.flags = normalEVR(*d.EVR), d.Flags&senseMask
	}
	id, ok := p.depIDs[key]
	if ok {
		return id
	}
	plain := rpm.Dep{Name: d.Name, Flags: key.flags}
	if key.flags != 0 {
		plain.EVR = d.EVR
	}
	var tree *rich
	if key.flags == 0 && strings.HasPrefix(d.Name, "(") {
		var err error
		if tree, err = p.parseRich(d.Name); err != nil {
			p.depIDs[key] = 0
			return 0
		}
	}
	id = depID(len(p.deps))
	p.deps = append(p.deps, dep{dep: plain, rich: tree})
	p.depIDs[key] = id
	return id
}

// providers are the packages that meet a dependency. Of a rich one they are those that may have to do with it.
func (p *Pool) providers(id depID) []pid {
	if id == 0 {
		return nil
	}
	if d := &p.deps[id]; d.known {
		return d.who
	}
	var who []pid
	always := false
	if tree := p.deps[id].rich; tree != nil {
		who = p.richProviders(tree)
	} else {
		who, always = p.plainProviders(p.deps[id].dep)
	}
	d := &p.deps[id]
	d.known, d.who, d.always = true, who, always
	return who
}

func (p *Pool) plainProviders(d rpm.Dep) (who []pid, always bool) {
	if id, ok := p.names[d.Name]; ok {
		for _, pr := range p.byName[id].provides {
			if (len(who) == 0 || who[len(who)-1] != pr.pkg) && meets(*pr.dep, d) {
				who = append(who, pr.pkg)
			}
		}
	}
	if strings.HasPrefix(d.Name, "/") {
		who = union(who, p.owners(d.Name))
	}
	return who, len(who) == 0 && d.EVR != nil && strings.HasPrefix(d.Name, "rpmlib(")
}

// union merges two sorted lists.
func union(a, b []pid) []pid {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]pid, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// filter are the packages of list that are in other, or that are not.
func filter(list, other []pid, in bool) []pid {
	var out []pid
	for _, q := range list {
		if _, found := slices.BinarySearch(other, q); found == in {
			out = append(out, q)
		}
	}
	return out
}
