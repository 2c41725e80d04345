package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// choose finds the packages that make what the manifest asks for installable on its base, and warnings.
func (p *packages) choose(ctx context.Context) ([]choice, []string, error) {
	o := solve.PoolOptions{Arch: rpm.Arch(p.in.Platform), Exclude: p.in.Artifacts.RPMs.Exclude, Files: p.lookup(ctx)}
	from := map[*rpm.Repo]*repository{}
	for _, r := range p.repos {
		o.Repos = append(o.Repos, r.loaded)
		from[r.loaded] = r
	}
	var err error
	if o.Installed, err = Base(p.in); err != nil {
		return nil, nil, err
	}
	job := Job(p.in)
	var warnings []string
	streams, err := p.streams(o.Installed)
	if err != nil {
		return nil, nil, err
	}
	if streams != nil {
		o.Hidden = streams.Hidden
		job.Install = append(job.Install, streams.Install...)
		warnings = append(warnings, streams.Warnings...)
	}
	pool := solve.NewPool(o)
	closure, err := pool.Lock(job)
	var unsolved *solve.Error
	if errors.As(err, &unsolved) {
		return nil, nil, p.explain(o, job, unsolved)
	}
	if err != nil {
		return nil, nil, err
	}
	var choices []choice
	for _, item := range closure.Packages() {
		c, err := from[item.Repo].choose(item.Package)
		if err != nil {
			return nil, nil, err
		}
		choices = append(choices, c)
	}
	return choices, append(p.idle(pool, o.Installed), warnings...), nil
}

// idle warns of specs in rpms.upgrade that mean nothing of the base: no package of it, none that could take the place of one.
func (p *packages) idle(pool *solve.Pool, base []*rpm.Package) []string {
	var warnings []string
	for _, spec := range p.in.Artifacts.RPMs.Upgrade {
		renews := func(pkg *rpm.Package) bool {
			return slices.ContainsFunc(base, func(old *rpm.Package) bool {
				self := rpm.Dep{Name: old.Name, EVR: &old.EVR, Flags: rpm.Equal}
				return pkg.Name == old.Name || slices.ContainsFunc(pkg.Obsoletes, func(d rpm.Dep) bool { return d.Meets(self) })
			})
		}
		if !slices.ContainsFunc(pool.Find(spec), renews) {
			warnings = append(warnings, fmt.Sprintf("rpms.upgrade names %q, which the base does not have: nothing is upgraded", spec))
		}
	}
	return warnings
}

// errReadAnew says that what was being solved is no longer what there is.
var errReadAnew = errors.New("a repository was read from another place")

// lookup finds out which packages have files that primary metadata does not list.
func (p *packages) lookup(ctx context.Context) func([]string) (map[*rpm.Package][]string, error) {
	return func(paths []string) (map[*rpm.Package][]string, error) {
		all := map[*rpm.Package][]string{}
		for _, r := range p.repos {
			found, err := r.loaded.Paths(ctx, r.open, paths)
			if errors.Is(err, rpm.ErrNoFileLists) {
				continue // what it has beyond primary metadata nobody can know
			}
			if err != nil && r.another(ctx) {
				return nil, errReadAnew
			}
			if err != nil {
				return nil, fmt.Errorf("looking files up in repository %q: %w", r.entry.ID, err)
			}
			maps.Copy(all, found)
		}
		return all, nil
	}
}

// Job is the one call of the package manager that a bundle's packages are those of. A package that the base has does not
// become older: yum 3.4 would not do it.
func Job(in *manifest.Inputs) solve.Job {
	rpms := in.Artifacts.RPMs
	return solve.Job{Install: slices.Clone(rpms.Install), Upgrade: slices.Clone(rpms.Upgrade), Weak: rpms.Weak}
}
