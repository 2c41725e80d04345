package solve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Solve finds the transaction of a job. The error is an *Error when there is none. Any other error, what PoolOptions.Files
// met or a rich dependency beyond all measure, is the pool's: every later call gives it, too.
func (p *Pool) Solve(j Job) (*Transaction, error) {
	plan, problems := p.plan(j)
	if p.err != nil {
		return nil, p.err
	}
	s := p.newSolver(plan)
	defer func() { s.release() }()
	s.build()
	if p.err != nil {
		return nil, p.err
	}
	if s.run(); p.err != nil {
		return nil, p.err
	}
	if len(s.problems) > 0 {
		problems = append(problems, s.explain()...)
	}
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	if s.tooMany() {
		plan = s.job
		s.release()
		s = p.newSolver(plan)
		s.build()
		if s.run(); len(s.problems) > 0 {
			return nil, &Error{Problems: s.overLimit()}
		}
	}
	return s.transaction(), nil
}

// plan finds the packages that a job is about, and what of it is nowhere to be found.
func (p *Pool) plan(j Job) (plan, []Problem) {
	out := plan{weak: j.Weak, downgrade: j.Downgrade}
	var missing []Problem
	for _, spec := range j.Install {
		wants := p.wants(spec)
		if len(wants) == 0 {
			missing = append(missing, p.unmatched(spec))
		}
		out.wanted = append(out.wanted, wants...)
	}
	out.upgradeOf = map[pid]string{}
	for _, spec := range j.Upgrade {
		for _, q := range p.renews(spec) {
			out.upgrade = append(out.upgrade, q)
			if out.upgradeOf[q] == "" {
				out.upgradeOf[q] = spec
			}
		}
	}
	return out, missing
}

// transaction is what the decisions come to.
func (s *solver) transaction() *Transaction {
	t := &Transaction{}
	taken := map[pid]pid{} // the installed package in whose place one comes
	for i := pid(1); i <= s.host; i++ {
		if s.decided[i] > 0 {
			continue
		}
		if q := s.heir(i, taken); q != 0 {
			taken[q] = i
		} else {
			t.Remove = append(t.Remove, s.pkgs[i].Package)
		}
	}
	for _, q := range s.queue {
		if q <= 0 || s.installed(q) {
			continue
		}
		item := Item{Package: s.pkgs[q].Package, Repo: s.pkgs[q].repo, Reason: s.reason(q)}
		if i := taken[q]; i != 0 {
			t.Upgrade = append(t.Upgrade, Change{From: s.pkgs[i].Package, Item: item})
		} else {
			t.Install = append(t.Install, item)
		}
	}
	slices.SortFunc(t.Install, func(a, b Item) int { return comparePackage(a.Package, b.Package) })
	slices.SortFunc(t.Upgrade, func(a, b Change) int { return comparePackage(a.Package, b.Package) })
	slices.SortFunc(t.Remove, comparePackage)
	return t
}

func comparePackage(a, b *rpm.Package) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), comparePackages(a.EVR, b.EVR), strings.Compare(a.Arch, b.Arch))
}

// heir is the package of the same name that comes in the place of the installed i and of no other one, 0 for none.
func (s *solver) heir(i pid, taken map[pid]pid) pid {
	heir := pid(0)
	for _, q := range s.named(s.pkgs[i].name) {
		if s.installed(q) || s.decided[q] <= 0 || taken[q] != 0 || !s.sameColor(q, i) {
			continue
		}
		if s.pkgs[q].multi && !s.identical(q, i) {
			continue
		}
		if heir == 0 || s.pkgs[q].Arch == s.pkgs[i].Arch {
			heir = q
		}
	}
	return heir
}

// reason finds out why a package comes.
func (s *solver) reason(q pid) Reason {
	for _, w := range s.job.wanted {
		if w.spec != "" && slices.Contains(w.pkgs, q) {
			return Reason{Spec: w.spec}
		}
	}
	if spec := s.job.upgradeOf[q]; spec != "" && len(s.replaced(q)) > 0 {
		return Reason{Spec: spec}
	}
	why := int32(0)
	for k, l := range s.queue {
		if l == q {
			why = max(s.why[k], -s.why[k])
		}
	}
	if w, weak := s.weak[q]; weak && why == 0 {
		r := Reason{Weak: true, Dep: s.deps[w.dep].dep}
		if w.by != 0 {
			r.By = s.pkgs[w.by].Package
		}
		return r
	}
	if why >= s.learnt || why > 0 && s.rules[why].kind != kindRequires && s.rules[why].kind != kindUpdate {
		why = s.requirer(q, why)
	}
	r := &s.rules[why]
	if r.pkg == 0 {
		return Reason{}
	}
	return Reason{By: s.pkgs[r.pkg].Package, Dep: s.deps[r.dep].dep}
}

// requirer is a rule by which a package that is there needs q, else the one that is known.
func (s *solver) requirer(q pid, known int32) int32 {
	for i := s.laws.from; i < s.laws.to; i++ {
		r := &s.rules[i]
		if r.kind == kindRequires && r.pkg != q && s.there(r.pkg) && r.has(q) {
			return i
		}
	}
	if known >= s.learnt {
		return 0
	}
	return known
}
