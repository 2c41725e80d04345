package modulemd

import (
	"cmp"
	"slices"
	"strings"
)

// literal is a build that is active, or with a minus is not. Builds are numbered from 1.
type literal int

func (l literal) build() int {
	if l < 0 {
		return int(-l)
	}
	return int(l)
}

// origin is where a clause comes from.
type origin int

const (
	fromPackage   origin = iota // what a build requires, or cannot stand beside
	fromJob                     // a stream is to be active
	fromBest                    // ... in its newest version
	fromConflicts               // learned while searching
)

// clause is a set of literals of which one must hold.
type clause struct {
	lits   []literal
	origin origin
	job    int  // of fromJob and fromBest
	weak   bool // may be given up
	off    bool
	why    []int // the clauses that a learned one follows from

	req *Requirement // of fromPackage: what asks for the other builds, or nil where builds exclude each other
}

// rest is what orders clauses of one first literal: the others, or 0 for none.
func (c clause) rest() []literal {
	if len(c.lits) == 1 {
		return []literal{0}
	}
	return c.lits[1:]
}

// build is a candidate of the search: one Stream under the name that libdnf gives it.
type build struct {
	*Stream
	repo    int
	key     string // "name:stream:context", where context is what the build requires unless it is static
	rank    int    // how well its architecture fits the host (archRank)
	clauses bool   // its clauses are there
}

// job asks for a stream.
type job struct {
	module, stream string
	weak           bool // a default: given up where it does not fit
}

func (j job) id() string { return j.module + ":" + j.stream }

// problem is what is to be solved: libdnf's moduleSolve (ModulePackageContainer.cpp).
type problem struct {
	arch     string  // of the host
	builds   []build // from 1; the last is the platform, where there is one
	platform int     // its number, or 0
	byModule map[string][]int
	jobs     []job
	clauses  []clause
	size     int // literals of clauses
}

// maxLiterals bounds the memory of a search.
const maxLiterals = 8_000_000

// providers are the builds of a module in one of its streams that may become active; nil for streams means any.
func (p *problem) providers(module string, streams []string) []int {
	var found []int
	for _, i := range p.byModule[module] {
		if b := p.builds[i]; b.rank > 0 && (streams == nil || slices.Contains(streams, b.Stream.Stream)) {
			found = append(found, i)
		}
	}
	return found
}

// formulate makes the clauses. best asks for the newest version of a stream; soft lets defaults be given up.
// It returns false where there is too much to search.
func (p *problem) formulate(best, soft bool) bool {
	p.clauses, p.size = nil, 0
	for i := range p.builds {
		p.builds[i].clauses = false
	}
	if p.platform > 0 {
		p.reach(p.platform)
	}
	for _, j := range p.jobs {
		for _, i := range p.providers(j.module, []string{j.stream}) {
			p.reach(i)
		}
	}
	if p.size > maxLiterals {
		return false
	}
	// libsolv's order of clauses is the order of its decisions: later builds first.
	slices.SortStableFunc(p.clauses, func(a, b clause) int {
		return cmp.Or(cmp.Compare(a.lits[0], b.lits[0]), slices.Compare(a.rest(), b.rest()))
	})
	p.clauses = slices.CompactFunc(p.clauses, func(a, b clause) bool { return slices.Equal(a.lits, b.lits) })
	if p.platform > 0 {
		p.clauses = append(p.clauses, clause{lits: []literal{literal(p.platform)}})
	}
	var bests []clause
	for n, j := range p.jobs {
		c := clause{origin: fromJob, job: n, weak: soft && j.weak}
		found := p.providers(j.module, []string{j.stream})
		c.lits = literals(found)
		p.clauses = append(p.clauses, c)
		if newest := p.newest(found); best && len(newest) < len(found) {
			bests = append(bests, clause{origin: fromBest, job: n, weak: c.weak, lits: literals(newest)})
		}
	}
	p.clauses = append(p.clauses, bests...)
	return true
}

func literals(builds []int) []literal {
	lits := make([]literal, len(builds))
	for i, b := range builds {
		lits[i] = literal(b)
	}
	return lits
}

// reach adds the clauses of a build and of all that it may need.
func (p *problem) reach(first int) {
	for work := []int{first}; len(work) > 0 && p.size <= maxLiterals; {
		i := work[0]
		work = work[1:]
		b := &p.builds[i]
		if b.clauses {
			continue
		}
		b.clauses = true
		for n := range b.Requires {
			r := &b.Requires[n]
			have, not := r.split()
			found := p.providers(r.Module, have)
			if !slices.Contains(found, i) {
				p.add(clause{lits: append([]literal{literal(-i)}, literals(found)...), req: r})
				work = append(work, found...)
			}
			for _, stream := range not {
				p.exclude(i, p.providers(r.Module, []string{stream}))
			}
		}
		p.exclude(i, p.providers(b.Name, nil))
	}
}

func (p *problem) add(c clause) {
	p.size += len(c.lits)
	p.clauses = append(p.clauses, c)
}

// exclude lets build i stand beside none of the others.
func (p *problem) exclude(i int, others []int) {
	for _, o := range others {
		if o != i {
			p.add(clause{lits: []literal{literal(-max(i, o)), literal(-min(i, o))}})
		}
	}
}

// split tells the streams to have from those not to have. Nil means any stream. To libdnf a stream with a hyphen anywhere is
// one not to have, and its first character is taken for the hyphen (ModulePackage.cpp, createDependencies); modules are
// built against that.
func (r Requirement) split() (have, not []string) {
	for _, s := range r.Streams {
		if strings.Contains(s, "-") {
			not = append(not, s[1:])
		} else {
			have = append(have, s)
		}
	}
	return have, not
}

// newest leaves of builds the best architecture and of each key the newest version, sorted by key (libsolv's
// policy_filter_unwanted; what that knows about one name does nothing here, since builds do not provide their keys).
func (p *problem) newest(builds []int) []int {
	if len(builds) < 2 {
		return builds
	}
	rank := 0
	for _, i := range builds {
		if b := p.builds[i]; b.rank > 1 || b.Arch == p.arch {
			rank = max(1, min(b.rank, cmp.Or(rank, b.rank)))
		}
	}
	sorted := slices.DeleteFunc(slices.Clone(builds), func(i int) bool { return rank > 0 && p.builds[i].rank > rank })
	slices.SortStableFunc(sorted, func(a, b int) int { return strings.Compare(p.builds[a].key, p.builds[b].key) })
	best := sorted[:1]
	for _, i := range sorted[1:] {
		last := &best[len(best)-1]
		switch {
		case p.builds[i].key != p.builds[*last].key:
			best = append(best, i)
		case p.builds[i].Version > p.builds[*last].Version:
			*last = i
		}
	}
	return best
}
