package solve_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// world is a scenario on disk, and as both solvers see it.
type world struct {
	scenario *scenario
	dir      string
	repos    []*rpm.Repo
	files    map[string][]*rpm.Package // who has a path
	pool     *solve.Pool

	installed *packageSet
	whole     map[*rpm.Package]*rpm.Package // of repos to those of scenario
}

// newWorld writes the repositories of a scenario and reads them back, as any repository is read.
func newWorld(dir string, s *scenario) (*world, error) {
	w := &world{scenario: s, dir: dir, files: map[string][]*rpm.Package{}}
	for _, r := range s.Repos {
		where := filepath.Join(dir, r.ID)
		if err := r.write(where); err != nil {
			return nil, err
		}
		repo, err := rpm.LoadRepo(context.Background(), rpm.RepoOptions{ID: r.ID, Priority: r.Priority}, opener(where))
		if err != nil {
			return nil, err
		}
		for i, p := range r.Packages {
			for _, f := range p.Files {
				w.files[f] = append(w.files[f], repo.Packages[i])
			}
		}
		w.repos = append(w.repos, repo)
	}
	return w, w.open()
}

// open makes the pool.
func (w *world) open() error {
	hidden, err := w.hidden()
	if err != nil {
		return err
	}
	w.pool = solve.NewPool(solve.PoolOptions{Repos: w.repos, Installed: w.scenario.Installed, Exclude: w.scenario.Exclude,
		Hidden: hidden, Files: w.paths})
	return nil
}

// hidden is PoolOptions.Hidden: what the active module streams hide.
func (w *world) hidden() (func(*rpm.Package) bool, error) {
	o := modulemd.Options{Enable: w.scenario.Enable, Platform: "platform:el9"}
	for i, r := range w.scenario.Repos {
		index := modulemd.RepoIndex{Repo: w.repos[i], Hotfixes: r.Hotfixes}
		if r.Modules != "" {
			var err error
			if index.Index, err = modulemd.Parse(strings.NewReader(r.Modules)); err != nil {
				return nil, err
			}
		}
		o.Indexes = append(o.Indexes, index)
	}
	set, err := modulemd.Resolve(o)
	if err != nil {
		return nil, err
	}
	return set.Hidden, nil
}

// paths is PoolOptions.Files.
func (w *world) paths(paths []string) (map[*rpm.Package][]string, error) {
	found := map[*rpm.Package][]string{}
	for _, path := range paths {
		for _, p := range w.files[path] {
			found[p] = append(found[p], path)
		}
	}
	return found, nil
}

func (w *world) request() oracleRequest {
	r := oracleRequest{Installed: oracleInstalls(w.scenario.Installed), Exclude: w.scenario.Exclude, Modules: w.scenario.Enable}
	for _, repo := range w.scenario.Repos {
		r.Repos = append(r.Repos, oracleRepo{ID: repo.ID, Dir: filepath.Join(w.dir, repo.ID), Priority: repo.Priority, Hotfixes: repo.Hotfixes})
	}
	for _, j := range w.scenario.Jobs {
		r.Jobs = append(r.Jobs, oracleJob(j))
	}
	return r
}

// solution is what a solver answers, in a form that compares.
type solution struct {
	install []string // "NEVRA repository"
	remove  []string // NEVRA
	problem string   // not "" when there is no solution
	missing bool

	transaction *solve.Transaction // ours
}

func (s solution) String() string {
	if s.problem != "" {
		return "not solvable: " + s.problem
	}
	return fmt.Sprintf("+[%s] -[%s]", strings.Join(s.install, ", "), strings.Join(s.remove, ", "))
}

func (s solution) solved() bool { return s.problem == "" }

func (s solution) same(o solution) bool {
	return slices.Equal(s.install, o.install) && slices.Equal(s.remove, o.remove)
}

func (a oracleAnswer) solution() solution {
	s := solution{problem: a.Error, missing: a.Missing, remove: slices.Clone(a.Remove)}
	for _, i := range a.Install {
		s.install = append(s.install, i[0]+" "+i[1])
	}
	slices.Sort(s.install)
	slices.Sort(s.remove)
	return s
}

// solveJob is our answer. An error that is none of Solve's is returned as such.
func solveJob(pool *solve.Pool, j scenarioJob) (s solution, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	t, err := pool.Solve(j.job())
	var unsolvable *solve.Error
	if errors.As(err, &unsolvable) {
		s.problem = unsolvable.Error()
		s.missing = slices.ContainsFunc(unsolvable.Problems, func(p solve.Problem) bool { return p.Missing })
		return s, nil
	}
	if err != nil {
		return s, err
	}
	return transactionSolution(t), nil
}

// job is a job as our solver takes it. Dnf lets packages become older when it installs, not when it upgrades.
func (j scenarioJob) job() solve.Job {
	return solve.Job{Install: j.Install, Upgrade: j.Upgrade, Weak: j.Weak, Downgrade: len(j.Install) > 0}
}

func transactionSolution(t *solve.Transaction) solution {
	s := solution{transaction: t}
	for _, i := range newItems(t) {
		s.install = append(s.install, i.Package.NEVRA()+" "+i.Repo.ID)
	}
	for _, c := range t.Upgrade {
		s.remove = append(s.remove, c.From.NEVRA())
	}
	for _, p := range t.Remove {
		s.remove = append(s.remove, p.NEVRA())
	}
	slices.Sort(s.install)
	slices.Sort(s.remove)
	// One package may replace two of another architecture.
	s.install, s.remove = slices.Compact(s.install), slices.Compact(s.remove)
	return s
}

func newItems(t *solve.Transaction) []solve.Item {
	items := slices.Clone(t.Install)
	for _, c := range t.Upgrade {
		items = append(items, c.Item)
	}
	return items
}

// full is packages with all their files, which primary metadata does not list.
func (w *world) full(packages []*rpm.Package) []*rpm.Package {
	if w.whole == nil {
		w.whole = map[*rpm.Package]*rpm.Package{}
		for i, r := range w.repos {
			for j, p := range r.Packages {
				w.whole[p] = w.scenario.Repos[i].Packages[j]
			}
		}
	}
	var out []*rpm.Package
	for _, p := range packages {
		if q := w.whole[p]; q != nil {
			p = q
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (w *world) before() *packageSet {
	if w.installed == nil {
		w.installed = newPackageSet(w.scenario.Installed)
	}
	return w.installed
}

// check judges our transaction by what a package set must fulfil; "" when it is fine.
func (w *world) check(t *solve.Transaction) string {
	return invalid(w.before(), w.full(t.Apply(w.scenario.Installed)))
}

// checkTheirs judges dnf's transaction in the same way.
func (w *world) checkTheirs(s solution) string {
	var after []*rpm.Package
	for _, p := range w.scenario.Installed {
		if !slices.Contains(s.remove, p.NEVRA()) {
			after = append(after, p)
		}
	}
	for _, r := range w.scenario.Repos {
		for _, p := range r.Packages {
			if slices.Contains(s.install, p.NEVRA()+" "+r.ID) {
				after = append(after, p)
			}
		}
	}
	return invalid(w.before(), after)
}

// onLocked is what dnf does with the packages alone that Lock gives for a job: its answer, and whether it is exactly them.
func (w *world) onLocked(o *oracle, j scenarioJob) (theirs, ours solution, exact bool, err error) {
	closure, err := w.pool.Lock(j.job())
	if err != nil {
		return solution{}, solution{}, false, err
	}
	ours = transactionSolution(closure.Transaction)
	if text := w.check(closure.Transaction); text != "" {
		return solution{problem: text}, ours, false, nil
	}
	for i, have := range ours.install {
		nevra, _, _ := strings.Cut(have, " ")
		ours.install[i] = nevra + " locked"
	}
	var packages []*rpm.Package
	for _, i := range slices.Concat(newItems(closure.Transaction), closure.Named) {
		packages = append(packages, i.Package)
	}
	packages = w.full(packages)
	file := func(p *rpm.Package) string {
		return p.Name + "-" + p.EVR.Version + "-" + p.EVR.Release + "." + p.Arch + ".rpm"
	}
	slices.SortFunc(packages, func(a, b *rpm.Package) int { return strings.Compare(file(a), file(b)) })
	s := &scenario{Installed: w.scenario.Installed, Jobs: []scenarioJob{j},
		Repos: []scenarioRepo{{ID: "locked", Priority: 99, Packages: packages, Hotfixes: true}}}
	theirs, err = s.alone(o, filepath.Join(w.dir, "locked"))
	return theirs, ours, err == nil && theirs.solved() && theirs.same(ours), err
}

// wrongOnLocked says whether what dnf makes of locked packages is nothing that may be installed.
func (w *world) wrongOnLocked(theirs solution) bool {
	if !theirs.solved() {
		return false
	}
	var after []*rpm.Package
	for _, p := range w.scenario.Installed {
		if !slices.Contains(theirs.remove, p.NEVRA()) {
			after = append(after, p)
		}
	}
	for _, i := range theirs.install {
		nevra, _, _ := strings.Cut(i, " ")
		offered := w.scenario.offered()
		if at := slices.IndexFunc(offered, func(p *rpm.Package) bool { return p.NEVRA() == nevra }); at >= 0 {
			after = append(after, offered[at])
		}
	}
	return invalid(w.before(), after) != ""
}

// alone is dnf's answer to the only job of a scenario whose only repository is written below dir.
func (s *scenario) alone(o *oracle, dir string) (solution, error) {
	if err := os.RemoveAll(dir); err != nil {
		return solution{}, err
	}
	if err := s.Repos[0].write(filepath.Join(dir, s.Repos[0].ID)); err != nil {
		return solution{}, err
	}
	reply, err := o.ask((&world{scenario: s, dir: dir}).request())
	if err != nil {
		return solution{}, err
	}
	return reply.Answers[0].solution(), nil
}
