package solve

import (
	"iter"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// nameID numbers names: of packages, and of all that packages provide.
type nameID = int32

// named is what the pool knows of a name.
type named struct {
	pkgs        []pid // packages of that name
	first, last int32 // in Pool.provisions, of the packages that provide it, in the order of their numbers
}

// provide is a package and the way in which it provides a name.
type provide struct {
	pkg  pid
	dep  *rpm.Dep
	next int32 // of the same name
}

// providesOf gives the packages that provide a name, each as often as it does.
func (p *Pool) providesOf(name nameID) iter.Seq[provide] {
	return func(yield func(provide) bool) {
		for at := p.byName[name].first; at != 0; at = p.provisions[at].next {
			if !yield(p.provisions[at]) {
				return
			}
		}
	}
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

// indexProvides lists for each name the packages that have it and those that provide it.
func (p *Pool) indexProvides() {
	count := 1
	for i := range p.pkgs[1:] {
		count += len(p.pkgs[i+1].Provides) + 1
	}
	p.provisions = make([]provide, 1, count)
	p.names = make(map[string]nameID, count/2)
	p.byName = make([]named, 1, count/2+1)
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		e := &p.pkgs[i]
		e.name = p.nameOf(e.Name)
		if !p.indexed(i) {
			continue
		}
		n := &p.byName[e.name]
		n.pkgs = append(n.pkgs, i)
		for k := range e.Provides {
			p.provide(i, &e.Provides[k])
		}
		if !e.providesItself() {
			p.provide(i, &rpm.Dep{Name: e.Name, EVR: &e.EVR, Flags: rpm.Equal})
		}
	}
}

func (p *Pool) provide(i pid, d *rpm.Dep) {
	id := p.nameOf(d.Name)
	at := int32(len(p.provisions))
	p.provisions = append(p.provisions, provide{pkg: i, dep: d})
	if n := &p.byName[id]; n.first == 0 {
		n.first, n.last = at, at
	} else {
		p.provisions[n.last].next, n.last = at, at
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
		for pr := range p.providesOf(id) {
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
