package solve

import "slices"

// solver is one Solve: the rules of a job and the search for packages that keep them all. Its memory serves the next one.
//
// The search is that of libsolv 0.7 (solver.c, solver_run_sat): assertions first, then the job, the installed packages, what
// these need, weak dependencies, and at the end a try to do with fewer. What the rules force follows each decision at
// once; a conflict is learnt from.
type solver struct {
	*Pool
	job plan

	rules   []rule // the first is none
	asserts []int32
	laws    span
	feature span // one for each installed package, as update
	update  span
	jobs    span
	arches  span
	yumobs  span
	choices span
	learnt  int32 // the first learnt rule; others follow

	jobOf    []int32   // for each rule in jobs, the wish that it is of
	choiceOf []int32   // for each rule in choices, the rule that it narrows
	proofs   [][]int32 // for each learnt rule, what it was learnt from

	added    []bool // packages with rules
	noUpdate []bool // installed packages that a job replaces
	renew    []bool // installed packages that are to be updated; nil for none
	targets  map[pid][]pid
	special  map[pid][]pid // installed installonly packages and what would update them
	orphaned []pid
	parts    []split

	decided []int32 // by package: at which level it was decided to be there, with a minus not to be; 0 for not yet
	queue   []lit   // decisions in their order
	why     []int32 // for each, the rule that forced it; with a minus the rule that left a choice; 0 for neither
	weak    map[int32]wish
	done    int    // decisions that were propagated
	seen    []bool // scratch marks, by package; all false between uses
	heads   []int32
	forks   []fork
	wishes  wishes

	hostAt     pid // the installed package to go on with
	future     bool
	problems   []conflict
	candidates []lit
}

// conflict is a proof that rules cannot be kept together: those of the job or of installed packages that would have to go,
// and all rules that the contradiction follows from, learnt ones resolved.
type conflict struct {
	blame []int32 // rules outside laws; one for each wish, installed package or name
	proof []int32
}

// wish is why a weak decision was made: by has the weak dependency dep.
type wish struct {
	by  pid
	dep depID
}

// solver gives the pool's solver, empty.
func (p *Pool) newSolver(j plan) *solver {
	s := p.idle
	p.idle = nil
	n := len(p.pkgs)
	if s == nil {
		s = &solver{Pool: p, added: make([]bool, n), decided: make([]int32, n), heads: make([]int32, 2*n),
			seen: make([]bool, n), noUpdate: make([]bool, p.host+1), candidates: make([]lit, 0, n)}
	}
	*s = solver{Pool: p, job: j, rules: append(s.rules[:0], rule{}), asserts: s.asserts[:0], jobOf: s.jobOf[:0],
		choiceOf: s.choiceOf[:0], proofs: s.proofs[:0], added: s.added, noUpdate: s.noUpdate, orphaned: s.orphaned[:0],
		decided: s.decided, queue: s.queue[:0], why: s.why[:0], heads: s.heads, seen: s.seen, forks: s.forks[:0],
		candidates: s.candidates[:0]}
	clear(s.added)
	clear(s.noUpdate)
	clear(s.decided)
	clear(s.heads)
	s.wishes.stale = true
	return s
}

// release keeps the memory for the next Solve.
func (s *solver) release() { s.Pool.idle = s }

// run searches. There are problems when there is no solution.
func (s *solver) run() {
	level, base := int32(0), int32(1)
	for {
		if level <= 0 {
			if level < 0 {
				return
			}
			if level = s.decideAsserted(); level < 0 {
				return
			}
			if r := s.propagate(level); r != 0 {
				level = s.unsolvable(r)
				continue
			}
			base = level + 1
		}
		before := level
		if level < base {
			s.future = s.host > 0
			level = s.resolveJobs(level)
			s.future = false
			if level < before {
				continue
			}
			base = level + 1
		}
		if level < base && s.host > 0 {
			before = level
			if level = s.resolveInstalled(level); level < before {
				continue
			}
			base = level + 1
		}
		base = min(base, level)
		before = level
		if level = s.resolveDependencies(level); level < before {
			continue
		}
		var again bool
		if level, again = s.finish(level); !again {
			return
		}
	}
}

// finish does what comes when all rules are kept: weak dependencies, packages without successor, and a solution with less.
// again says that something changed.
func (s *solver) finish(level int32) (_ int32, again bool) {
	if s.job.weak {
		if level, again = s.resolveWeak(level); again {
			return level, true
		}
	}
	if level, again = s.resolveOrphaned(level); again {
		return level, true
	}
	for i := pid(1); i <= s.host; i++ {
		if s.decided[i] != 0 {
			continue
		}
		before := level
		if level = s.decide(level, -i, 0); level < before {
			return level, true
		}
	}
	if s.dropBrokenChoices() {
		s.reset()
		return 0, true
	}
	return s.minimize(level)
}

// undecided are the literals of a rule that could still make it hold, none when it holds already or must not be looked
// at: a package that it is about is not there.
func (s *solver) undecided(r *rule, to []lit) []lit {
	to = to[:0]
	open := r.each(func(l lit) bool {
		if s.isTrue(l) || l < 0 && s.decided[-l] == 0 {
			return false
		}
		if l > 0 && s.decided[l] == 0 {
			to = append(to, l)
		}
		return true
	})
	if !open {
		return to[:0]
	}
	return to
}

// marked is for marks that may be nil.
func marked(marks []bool, i pid) bool { return marks != nil && marks[i] }

// keep retains the elements for which f says so.
func keep(list []pid, f func(pid) bool) []pid {
	return slices.DeleteFunc(list, func(q pid) bool { return !f(q) })
}
