package assemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/bundle/source"
)

// ReplayError is a bundle that would not install: what its images ask of yum or dnf, or all that the manifest asks for at
// once, cannot be done on the base set with what is in the bundle. There is at least one problem.
type ReplayError struct {
	Base     string // rpms.base of the manifest
	Problems []ReplayProblem
}

// ReplayProblem is one thing that is in the way of an image, or of all packages together.
type ReplayProblem struct {
	Image string // "" for all that artifacts.rpms asks for
	By    string // the recipe or script that installs, as solve.Call has it
	solve.Problem
}

// Error has a line for each problem.
func (e *ReplayError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		what := fmt.Sprintf("image %q", p.Image)
		if p.Image == "" {
			what = "everything"
		}
		lines[i] = fmt.Sprintf("installing %s on base %q: %s: %s", what, e.Base, p.By, p.Text)
	}
	return strings.Join(lines, "\n")
}

// Rehearsal is what a rehearsal needs of the bundle that is about to be signed.
type Rehearsal struct {
	Plans []solve.Plan
	Files []bundle.File // that will be in the index, sorted by path
	// Open reads a file by its path in the bundle. It serves until the rehearsal returns.
	Open func(path string) (io.ReadCloser, error)
}

// replay makes every transaction that bakes of the images will make, and the one that the packages were locked for, on the
// base set and with the repository as it is written in the bundle. Nothing of what was locked is believed: it has to be in
// this bundle, and in its metadata.
func (b *builder) replay(ctx context.Context) error {
	files := b.sorted()
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	if b.o.Transactions != nil {
		var err error
		if b.plans, err = b.o.Transactions(paths); err != nil {
			return err
		}
	}
	rpms := b.o.Inputs.Artifacts.RPMs
	if rpms.Base == "" || !slices.Contains(paths, "rpms/repodata/repomd.xml") {
		b.plans = nil // no packages, and no word on what a base has
		return nil
	}
	installed, err := source.Base(b.o.Inputs)
	if err != nil {
		return err
	}
	open := func(_ context.Context, href string) (io.ReadCloser, error) { return b.openContent("rpms/" + href) }
	repo, err := rpm.LoadRepo(ctx, rpm.RepoOptions{ID: "the bundle"}, open)
	if err != nil {
		return fmt.Errorf("reading the bundle's own metadata: %w", err)
	}
	pool := solve.PoolOptions{Repos: []*rpm.Repo{repo}, Installed: installed, Arch: rpm.Arch(b.o.Inputs.Platform),
		Files: func(paths []string) (map[*rpm.Package][]string, error) { return repo.Paths(ctx, open, paths) }}
	e := &ReplayError{Base: rpms.Base}
	for _, plan := range b.plans {
		problems, err := b.replayPlan(ctx, pool, plan)
		if err != nil {
			return err
		}
		e.Problems = append(e.Problems, problems...)
	}
	problems, err := b.replayJob(pool)
	if err != nil {
		return err
	}
	for _, p := range problems { // what an image has met is told of that
		if !slices.ContainsFunc(e.Problems, func(q ReplayProblem) bool { return q.Text == p.Text }) {
			e.Problems = append(e.Problems, p)
		}
	}
	if len(e.Problems) > 0 {
		return e
	}
	return nil
}

// replayJob is the replay of all that the manifest asks for, at once. It needs no image: a bundle is also for hosts that
// nobody bakes.
func (b *builder) replayJob(pool solve.PoolOptions) ([]ReplayProblem, error) {
	t, err := solve.NewPool(pool).Solve(b.job)
	var unsolved *solve.Error
	if err != nil && !errors.As(err, &unsolved) {
		return nil, err
	}
	const by = "artifacts.rpms"
	var problems []ReplayProblem
	if unsolved != nil {
		for _, p := range unsolved.Problems {
			problems = append(problems, ReplayProblem{By: by, Problem: p})
		}
		return problems, nil
	}
	for _, c := range rpm.FileConflicts(b.headers(t.Apply(pool.Installed))) {
		problems = append(problems, ReplayProblem{By: by, Problem: conflictOfFiles(c)})
	}
	return problems, nil
}

// replayPlan is the replay of one image. Beside what the solver tells it finds files of the bundle's packages that are in
// each other's way. The files of the base are not known as exactly.
func (b *builder) replayPlan(ctx context.Context, pool solve.PoolOptions, plan solve.Plan) ([]ReplayProblem, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	outcomes, err := solve.Replay(pool, plan.Calls)
	if err != nil {
		return nil, fmt.Errorf("replaying image %q: %w", plan.Name, err)
	}
	var problems []ReplayProblem
	clashes := map[string]bool{}
	for i, o := range outcomes {
		for _, name := range o.Unmatched {
			if slices.Contains(o.Call.Install, name) {
				b.o.Progress.Line("warning: image %q: %s installs %q, which neither the base nor the bundle has", plan.Name, o.Call.By, name)
			}
		}
		unmatched := func(name string) bool { return slices.Contains(o.Unmatched, name) }
		plan.Calls[i].Install = slices.DeleteFunc(slices.Clone(o.Call.Install), unmatched) // what a rehearsal is to try
		for _, p := range o.Problems {
			problems = append(problems, ReplayProblem{plan.Name, o.Call.By, p})
		}
		if o.Transaction == nil || len(o.Transaction.Install)+len(o.Transaction.Upgrade) == 0 {
			continue
		}
		for _, c := range rpm.FileConflicts(b.headers(o.Installed)) {
			if text := c.String(); !clashes[text] {
				clashes[text] = true
				problems = append(problems, ReplayProblem{plan.Name, o.Call.By, conflictOfFiles(c)})
			}
		}
	}
	return problems, nil
}

func conflictOfFiles(c rpm.FileConflict) solve.Problem {
	return solve.Problem{Package: c.Packages[0].NEVRA(), Text: "conflict of files: " + c.String()}
}

// headers are those of the packages that are the bundle's.
func (b *builder) headers(packages []*rpm.Package) []*rpm.Header {
	var out []*rpm.Header
	for _, p := range packages {
		if checked, ours := b.packages["rpms/"+p.Href]; ours && p.Href != "" {
			out = append(out, checked.header)
		}
	}
	return out
}

// rehearse lets the caller try the bundle before it is signed.
func (b *builder) rehearse(ctx context.Context) error {
	if b.o.Rehearse == nil {
		return nil
	}
	return b.o.Rehearse(ctx, Rehearsal{Plans: b.plans, Files: b.sorted(), Open: b.openContent})
}

// openContent reads a file that is to be in the bundle.
func (b *builder) openContent(name string) (io.ReadCloser, error) {
	c, known := b.contents[name]
	switch {
	case !known:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case c.File != nil: // its offset is the writer's
		info, err := c.File.Stat()
		if err != nil {
			return nil, err
		}
		return io.NopCloser(io.NewSectionReader(c.File, 0, info.Size())), nil
	case c.Path != "":
		return os.Open(c.Path)
	}
	return io.NopCloser(bytes.NewReader(c.Data)), nil
}
