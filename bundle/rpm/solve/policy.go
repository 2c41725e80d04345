package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// mode says how far a choice between packages is to go (libsolv policy.c, policy_filter_unwanted).
type mode uint8

const (
	choosing   mode = iota // the best come first, all others go
	narrowing              // the same without putting those that are equally good in order
	recommends             // only by repository, architecture and version
)

// choose keeps the best packages of a list, which it uses up: those of the repositories with the best priority, of the best
// architecture, the newest of each name that none of another name obsoletes, and those that a package recommends that is
// there, if there are any. What is left is ordered: current before outdated, newer in what they provide, installed names,
// suggested ones.
func (s *solver) choose(list []pid, m mode) []pid {
	if len(list) > 1 {
		list = s.bestPriority(list)
	}
	if len(list) > 1 {
		list = s.bestArch(list)
	}
	list = s.bestVersions(list)
	if len(list) < 2 || m == recommends {
		return list
	}
	list = s.recommended(list)
	if len(list) < 2 || m == narrowing {
		return list
	}
	s.oldToBack(list)
	s.byCommonDep(list)
	s.installedToFront(list)
	s.suggestedToFront(list)
	return list
}

// order puts packages that supplement others in order, without leaving any out.
func (s *solver) order(list []pid) {
	s.oldToBack(list)
	s.byCommonDep(list)
	s.suggestedToFront(list)
}

func (s *solver) bestPriority(list []pid) []pid {
	best, found := 0, false
	for _, q := range list {
		if !s.installed(q) && (!found || s.pkgs[q].priority > best) {
			best, found = s.pkgs[q].priority, true
		}
	}
	if !found {
		return list
	}
	return keep(list, func(q pid) bool { return s.installed(q) || s.pkgs[q].priority == best })
}

func (s *solver) bestArch(list []pid) []pid {
	best := rankNone
	for _, q := range list {
		if rank := s.pkgs[q].rank; rank > rankNoarch && (best == rankNone || rank < best) {
			best = rank
		}
	}
	if best == rankNone {
		return list
	}
	return keep(list, func(q pid) bool {
		rank := s.pkgs[q].rank
		return rank == rankNoarch || rank != rankNone && sameClass(rank, best)
	})
}

// bestVersions keeps the newest package of each name, in the order of names, and of these those that no other obsoletes.
func (p *Pool) bestVersions(list []pid) []pid {
	if len(list) < 2 {
		return list
	}
	slices.SortStableFunc(list, p.compareForBest)
	kept := list[:1]
	for _, q := range list[1:] {
		best := &kept[len(kept)-1]
		switch {
		case p.pkgs[*best].name != p.pkgs[q].name:
			kept = append(kept, q)
		case p.compareEVR(*best, q) < 0:
			*best = q
		}
	}
	switch {
	case len(kept) == 2:
		return p.notObsoletedOfTwo(kept)
	case len(kept) > 2:
		return p.notObsoleted(kept)
	}
	return kept
}

func (p *Pool) compareForBest(a, b pid) int {
	x, y := &p.pkgs[a], &p.pkgs[b]
	if x.name != y.name {
		return strings.Compare(x.Name, y.Name)
	}
	if x.rank != y.rank && x.rank > rankNoarch && y.rank > rankNoarch {
		return cmp.Compare(x.rank, y.rank)
	}
	return cmp.Compare(a, b) // installed ones have the lowest numbers
}

// ousts says whether a obsoletes b, which has another name.
func (p *Pool) ousts(a, b pid) bool {
	return len(p.pkgs[a].Obsoletes) > 0 && p.pkgs[a].name != p.pkgs[b].name && p.obsoletes(a, b)
}

func (p *Pool) notObsoletedOfTwo(two []pid) []pid {
	switch first, second := p.ousts(two[0], two[1]), p.ousts(two[1], two[0]); {
	case first == second:
		return two
	case first:
		return two[:1]
	}
	return two[1:]
}

// notObsoleted leaves out what others in the list obsolete, where these are not obsoleted themselves in a circle with it:
// what stays are the sources among the strongly connected components (Tarjan) of who obsoletes whom.
func (p *Pool) notObsoleted(list []pid) []pid {
	c := components{edges: p.obsoletesWithin(list)}
	if c.edges == nil {
		return list
	}
	c.low, c.of, c.next = make([]int, len(list)), make([]int, len(list)), 1
	for i := range list {
		if c.low[i] == 0 {
			c.visit(i)
		}
	}
	fallen := map[int]bool{}
	for a, others := range c.edges {
		for _, b := range others {
			fallen[c.of[b]] = fallen[c.of[b]] || c.of[a] != c.of[b]
		}
	}
	var out []pid
	for i, q := range list {
		if !fallen[c.of[i]] {
			out = append(out, q)
		}
	}
	return out
}

// obsoletesWithin are, for each package in a list, the places of those in it, of other names, that it obsoletes. It is nil
// when there are none.
func (p *Pool) obsoletesWithin(list []pid) [][]int {
	var edges [][]int
	var places map[pid]int
	for a, q := range list {
		for _, obs := range p.list(q).obsoletes {
			for _, o := range p.obsoleted(obs) {
				if places == nil {
					places = make(map[pid]int, len(list))
					for i, q := range list {
						places[q] = i
					}
				}
				if b, here := places[o]; here && p.pkgs[o].name != p.pkgs[q].name {
					if edges == nil {
						edges = make([][]int, len(list))
					}
					edges[a] = append(edges[a], b)
				}
			}
		}
	}
	return edges
}

// components finds strongly connected components.
type components struct {
	edges [][]int
	low   []int // by node; 0 before it is visited
	of    []int // by node, its component, which goes by the number of its root
	stack []int
	next  int
}

func (c *components) visit(node int) {
	mine := c.next
	c.low[node] = mine
	c.next++
	start := len(c.stack)
	c.stack = append(c.stack, node)
	for _, other := range c.edges[node] {
		if c.low[other] == 0 {
			c.visit(other)
		}
		if c.of[other] == 0 {
			c.low[node] = min(c.low[node], c.low[other])
		}
	}
	if c.low[node] == mine {
		for _, member := range c.stack[start:] {
			c.of[member] = mine
		}
		c.stack = c.stack[:start]
	}
}

// recommended keeps what packages that are there recommend, or what supplements them, besides installed packages; all if
// there is no such package.
func (s *solver) recommended(list []pid) []pid {
	fresh := 0
	for _, q := range list {
		if !s.installed(q) {
			fresh++
		}
	}
	if fresh < 2 {
		return list
	}
	s.wish()
	wanted := func(q pid) bool { return s.wishes.recommended[q] || s.supplements(q) }
	if !slices.ContainsFunc(list, func(q pid) bool { return !s.installed(q) && wanted(q) }) {
		return list
	}
	return keep(list, func(q pid) bool { return s.installed(q) || wanted(q) })
}

// toBack moves the packages of which bad says so to the end, the first of them last.
func toBack(list []pid, bad func(pid) bool) {
	for i, n := 0, len(list); i < n; {
		q := list[i]
		if !bad(q) {
			i++
			continue
		}
		copy(list[i:], list[i+1:])
		list[len(list)-1] = q
		n--
	}
}

// oldToBack moves packages to the end of which there is a better one: of the same name and architecture, newer, or of a
// repository that goes before.
func (s *solver) oldToBack(list []pid) {
	toBack(list, func(q pid) bool {
		if s.installed(q) {
			return false
		}
		e := &s.pkgs[q]
		return slices.ContainsFunc(s.named(e.name), func(o pid) bool {
			other := &s.pkgs[o]
			if o == q || other.Arch != e.Arch {
				return false
			}
			if other.priority != e.priority {
				return other.priority > e.priority
			}
			return s.compareEVR(o, q) > 0
		})
	})
}

// installedToFront moves packages to the front of whose name one is installed.
func (s *solver) installedToFront(list []pid) {
	if s.host == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b pid) int { return cmp.Compare(s.strange(a), s.strange(b)) })
}

func (s *solver) strange(q pid) int {
	if s.installed(q) || slices.ContainsFunc(s.named(s.pkgs[q].name), s.installed) {
		return 0
	}
	return 1
}

func (s *solver) suggestedToFront(list []pid) {
	s.wish()
	toBack(list, func(q pid) bool { return !s.installed(q) && !s.wishes.suggested[q] && !s.enhances(q) })
}

// common is a provide that packages of a choice may have in common.
type common struct {
	at    int // place in the list
	name  string
	evr   rpm.EVR
	below bool // it stands for all that is older
}

// byCommonDep puts packages after others that provide the same in a newer version.
func (s *solver) byCommonDep(list []pid) {
	var all []common
	for i, q := range list {
		for _, d := range s.provided(q) {
			switch flags := d.Flags & senseMask; {
			case d.EVR == nil || flags&rpm.Greater != 0:
			case flags == rpm.Equal && d.EVR.Release == "" && isHash(d.EVR.Version):
			default:
				all = append(all, common{at: i, name: d.Name, evr: normalEVR(*d.EVR), below: flags == rpm.Less})
			}
		}
	}
	if len(all) < 2 {
		return
	}
	slices.SortStableFunc(all, func(a, b common) int {
		return cmp.Or(strings.Compare(a.name, b.name), compareCommon(a, b))
	})
	badness := make([]int, len(list))
	bad, worst := 0, 0
	for i, c := range all {
		if i == 0 || all[i-1].name != c.name {
			bad = 0
		} else if all[i-1].at != c.at && compareCommon(all[i-1], c) == -1 {
			bad++
		}
		badness[c.at] += bad
		worst = max(worst, bad)
	}
	if worst == 0 {
		return
	}
	places := make(map[pid]int, len(list))
	for i, q := range list {
		if !s.installed(q) {
			places[q] = badness[i]
		}
	}
	slices.SortStableFunc(list, func(a, b pid) int { return cmp.Compare(places[a], places[b]) })
}

// provided is all that a package provides, its own name included.
func (p *Pool) provided(q pid) []rpm.Dep {
	e := &p.pkgs[q]
	if e.providesItself() {
		return e.Provides
	}
	return append(slices.Clip(e.Provides), rpm.Dep{Name: e.Name, EVR: &e.EVR, Flags: rpm.Equal})
}

// compareCommon puts the newer version first. Where only one has a release it is 2 or -2: neither is worse.
func compareCommon(a, b common) int {
	if a.evr == b.evr && a.below == b.below {
		return 0
	}
	c := b.evr.Compare(a.evr)
	if c == 0 {
		switch {
		case b.evr.Release == "" && a.evr.Release != "":
			return -2
		case b.evr.Release != "" && a.evr.Release == "":
			return 2
		}
	}
	if c == 0 && a.below != b.below {
		if a.below {
			return 1
		}
		return -1
	}
	return max(-1, min(1, c))
}

// isHash says whether a version is a checksum or the like, of which newer and older mean nothing.
func isHash(version string) bool {
	return len(version) >= 4 && strings.Trim(version, "0123456789abcdef") == ""
}
