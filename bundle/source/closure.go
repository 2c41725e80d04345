package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

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
	warnings := p.idle(o.Installed)
	streams, err := p.streams(o.Installed)
	if err != nil {
		return nil, nil, err
	}
	if streams != nil {
		o.Hidden = streams.Hidden
		job.Install = append(job.Install, streams.Install...)
		warnings = append(warnings, streams.Warnings...)
	}
	closure, err := solve.NewPool(o).Lock(job)
	var unsolved *solve.Error
	if errors.As(err, &unsolved) {
		return nil, nil, p.explain(o, job, unsolved)
	}
	if err != nil {
		return nil, nil, err
	}
	var choices []choice
	for _, item := range closure.Packages() {
		choices = append(choices, choice{item.Package, from[item.Repo]})
	}
	return choices, warnings, nil
}

// idle warns of names in rpms.upgrade that the base does not have.
func (p *packages) idle(base []*rpm.Package) []string {
	var warnings []string
	for _, spec := range p.in.Artifacts.RPMs.Upgrade {
		if !slices.ContainsFunc(base, func(pkg *rpm.Package) bool { return named(pkg, spec) }) {
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

// named reports whether spec is one of the ways to name p: name, name-version, name-version-release, the latter two with
// an epoch, each with or without .arch and with glob characters.
func named(p *rpm.Package, spec string) bool {
	epoch := strings.TrimLeft(p.EVR.Epoch, "0") + ":"
	if epoch == ":" {
		epoch = "0:"
	}
	v, vr := p.EVR.Version, p.EVR.Version+"-"+p.EVR.Release
	for _, form := range []string{"", "-" + v, "-" + vr, "-" + epoch + v, "-" + epoch + vr} {
		for _, arch := range []string{"", "." + p.Arch} {
			if ok, _ := path.Match(strings.TrimPrefix(spec, epoch), p.Name+form+arch); ok {
				return true
			}
		}
	}
	return false
}
