package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// whyWorld is what a bundle tells of its packages: everything comes from inside of it.
type whyWorld struct {
	bundle   *bundle.Bundle
	manifest *manifest.Manifest
	in       *manifest.Inputs
	repo     *rpm.Repo // nil when the bundle has no packages
	base     []*rpm.Package
	pool     *solve.Pool

	transaction *solve.Transaction // what comes on the base; nil when that cannot be solved
	everything  *solve.Transaction // as if all packages of the bundle came
	unsolved    *solve.Error
	// profiles are specs of packages that only a profile in rpms.modules can have asked for, and these profiles.
	profiles map[string]string
}

func (a *app) whyWorld(ctx context.Context, b *bundle.Bundle) (*whyWorld, error) {
	w := &whyWorld{bundle: b}
	var err error
	if w.manifest, err = a.manifestOf(b); err != nil {
		return nil, err
	}
	vars, err := a.variables(w.manifest, b.Index().Variables)
	if err != nil {
		return nil, err
	}
	if w.in, err = w.manifest.Made(vars); err != nil {
		return nil, err
	}
	if w.repo, err = bundleRepo(ctx, b); err != nil {
		return nil, err
	}
	o := solve.PoolOptions{Arch: rpm.Arch(w.in.Platform)}
	if w.repo != nil {
		if w.base, err = bundleBase(b, w.in); err != nil {
			return nil, err
		}
		o.Repos, o.Installed = []*rpm.Repo{w.repo}, w.base
		o.Files = func(paths []string) (map[*rpm.Package][]string, error) { return w.repo.Paths(ctx, opener(b), paths) }
	}
	w.pool = solve.NewPool(o)
	return w, nil
}

// bundleBase reads the package set of the base that a bundle carries.
func bundleBase(b *bundle.Bundle, in *manifest.Inputs) ([]*rpm.Package, error) {
	name := in.Artifacts.RPMs.Base
	if name == "" || name == manifest.BareBase {
		return nil, nil
	}
	f, err := b.OpenAt(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	installed, err := source.ReadBase(name, f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	return installed, nil
}

// meant are the packages of the bundle, and its other files, that were asked about.
func (w *whyWorld) meant(asked string) (packages []*rpm.Package, files []bundle.File) {
	asked = strings.TrimPrefix(asked, "./")
	for _, f := range w.bundle.Index().Files {
		if matched, _ := path.Match(asked, f.Path); !matched && asked != f.Path && asked != path.Base(f.Path) {
			continue
		}
		if p := w.packageAt(cmp.Or(f.Origin, f.Path), f.Path); p != nil {
			packages = append(packages, p)
		} else {
			files = append(files, f)
		}
	}
	for _, p := range w.pool.Find(asked) {
		if w.offered(p) {
			packages = append(packages, p)
		}
	}
	slices.SortFunc(packages, func(a, b *rpm.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.EVR.Compare(b.EVR), strings.Compare(a.Arch, b.Arch))
	})
	return slices.Compact(packages), files
}

func (w *whyWorld) offered(p *rpm.Package) bool {
	return w.repo != nil && slices.Contains(w.repo.Packages, p)
}

// packageAt is the package whose file is at one of some paths in the bundle, nil for none.
func (w *whyWorld) packageAt(paths ...string) *rpm.Package {
	if w.repo == nil {
		return nil
	}
	i := slices.IndexFunc(w.repo.Packages, func(p *rpm.Package) bool { return slices.Contains(paths, rpmsDir+p.Href) })
	if i < 0 {
		return nil
	}
	return w.repo.Packages[i]
}

// solve finds what comes on the base. That nothing can is no error: reasons are then taken from all packages.
func (w *whyWorld) solve() error {
	job := source.Job(w.in)
	if err := w.solveJob(job); err != nil {
		return err
	}
	w.assume(job)
	if w.addProfiles(&job); len(w.profiles) == 0 {
		return nil
	}
	if err := w.solveJob(job); err != nil {
		return err
	}
	w.assume(job)
	return nil
}

func (w *whyWorld) solveJob(job solve.Job) (err error) {
	w.unsolved = nil
	if w.transaction, err = w.pool.Solve(job); err != nil && !errors.As(err, &w.unsolved) {
		return err
	}
	return nil
}

// addProfiles asks for the packages that nothing leads to, where rpms.modules names profiles. What is in a profile the bundle
// does not tell: that was in the metadata of the vendor's repository.
func (w *whyWorld) addProfiles(job *solve.Job) {
	var names []string
	for _, m := range w.in.Artifacts.RPMs.Modules {
		if strings.Contains(m, "/") {
			names = append(names, m)
		}
	}
	if len(names) == 0 || w.transaction == nil {
		return
	}
	w.profiles = map[string]string{}
	for _, p := range w.repo.Packages {
		if w.pool.Why(w.transaction, p) == nil && len(w.pool.Why(w.everything, p).Reasons) == 0 {
			job.Install = append(job.Install, p.NEVRA())
			w.profiles[p.NEVRA()] = strings.Join(names, " or ")
		}
	}
}

// assume makes the transaction in which everything in the bundle comes.
func (w *whyWorld) assume(job solve.Job) {
	w.everything = &solve.Transaction{}
	specs := map[*rpm.Package]string{}
	for _, spec := range slices.Concat(job.Install, job.Upgrade) {
		for _, p := range w.pool.Find(spec) {
			specs[p] = cmp.Or(specs[p], spec)
		}
	}
	for _, p := range w.repo.Packages {
		item := solve.Item{Package: p, Repo: w.repo, Reason: solve.Reason{Spec: specs[p]}}
		if i := slices.IndexFunc(w.base, func(q *rpm.Package) bool { return q.Name == p.Name && q.Arch == p.Arch }); i >= 0 {
			w.everything.Upgrade = append(w.everything.Upgrade, solve.Change{From: w.base[i], Item: item})
		} else {
			w.everything.Install = append(w.everything.Install, item)
		}
	}
}

func (w *whyWorld) why(p *rpm.Package) whyPackage {
	out := whyPackage{Package: p.NEVRA(), Path: rpmsDir + p.Href, Removes: []string{}, Reasons: []whyStep{}, Chains: [][]whyStep{}}
	var found *solve.Why
	if w.transaction != nil {
		found = w.pool.Why(w.transaction, p)
	}
	if out.Installed = found != nil; !out.Installed {
		found = w.pool.Why(w.everything, p)
	}
	if found.Replaces != nil {
		out.Replaces = found.Replaces.NEVRA()
	}
	for _, gone := range found.Removes {
		out.Removes = append(out.Removes, gone.NEVRA())
	}
	out.Reasons = append(out.Reasons, w.steps(found.Reasons)...)
	for _, chain := range found.Chains {
		out.Chains = append(out.Chains, w.steps(chain))
	}
	return out
}

func (w *whyWorld) steps(steps []solve.Step) []whyStep {
	var out []whyStep
	for _, s := range steps {
		step := whyStep{How: string(s.How), Package: s.Package.NEVRA(), Spec: s.Spec, Base: s.Installed}
		if profile := w.profiles[s.Spec]; profile != "" {
			step.Spec = profile
		}
		if s.Dep.Name != "" {
			step.Dep = s.Dep.String()
		}
		if s.By != nil {
			step.By = s.By.NEVRA()
		}
		if s.Old != nil {
			step.Old = s.Old.NEVRA()
		}
		out = append(out, step)
	}
	return out
}

// maxNear is how many names are told that are spelled nearly as what is not there.
const maxNear = 5

// absent tells that nothing in the bundle is what was asked about.
func (w *whyWorld) absent(asked, name string) error {
	e := &absentError{asked: asked, bundle: name}
	for _, p := range w.pool.Find(asked) {
		e.base = append(e.base, p.NEVRA())
	}
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	add := func(name string) {
		far := distance(strings.ToLower(asked), strings.ToLower(name))
		if len(asked) > 2 && strings.Contains(name, asked) {
			far = 0
		}
		if far <= len(asked)/3 && !slices.ContainsFunc(all, func(c candidate) bool { return c.name == name }) {
			all = append(all, candidate{name, far})
		}
	}
	if w.repo != nil {
		for _, p := range w.repo.Packages {
			add(p.Name)
		}
	}
	for _, f := range w.bundle.Index().Files {
		if f.Kind != manifest.KindRPM && f.Kind != manifest.KindRepodata {
			add(path.Base(f.Path))
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name)) })
	for _, c := range all[:min(len(all), maxNear)] {
		e.near = append(e.near, c.name)
	}
	return e
}

// distance is how many letters have to be put in, left out or changed to make one word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
