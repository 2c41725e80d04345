package solve

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Plan is what a host is to go through, under a name for people.
type Plan struct {
	Name  string
	Calls []Call
}

// Call is one call of yum or dnf, as a recipe or a script makes it.
type Call struct {
	By      string   // who makes it, for people: `recipe "docker"`
	Install []string // specs, as in Job
	Files   []File   // packages given by the path of their file
	Upgrade []string // specs, as in Job; those that `rpm -q` does not know are left out
	Weak    bool     // as in Job
	// Absent leaves out what an installed package provides by that name, as `rpm -q --whatprovides` tells.
	Absent bool
	// Lenient leaves out specs that nothing matches; Outcome.Unmatched tells them.
	Lenient bool
}

// File is the file of a package.
type File struct {
	Path    string // its last part is that of the package's location in the repositories
	Package string // the package's name, which counts where the repositories have no such location
}

// Outcome is what became of a call.
type Outcome struct {
	Call        Call
	Transaction *Transaction // nil where the call cannot be made
	Unmatched   []string
	Problems    []Problem      // those that an earlier call met left out
	Installed   []*rpm.Package // what the host has afterwards; a call with problems changes nothing
}

// Replay makes the calls of a host in order, each on what those before it have left, beginning with o.Installed. A call
// that cannot be done keeps none from being tried after it: all problems come at once. The error is o.Files'.
func Replay(o PoolOptions, calls []Call) ([]Outcome, error) {
	r := replay{PoolOptions: o, told: map[string]bool{}}
	var out []Outcome
	for _, c := range calls {
		outcome, err := r.call(c)
		if err != nil {
			return nil, err
		}
		out = append(out, outcome)
	}
	return out, nil
}

type replay struct {
	PoolOptions                 // Installed moves on
	told        map[string]bool // texts of problems
}

func (r *replay) call(c Call) (Outcome, error) {
	out := Outcome{Call: c}
	job := r.job(c)
	failed := false
	for {
		t, err := r.solve(job)
		var unsolved *Error
		if err != nil && !errors.As(err, &unsolved) {
			return out, err
		}
		if err == nil {
			held, err := r.held(t, job.Upgrade)
			if err != nil {
				return out, err
			}
			if r.tell(&out, held); !failed && len(held) == 0 {
				out.Transaction = t
				r.Installed = t.Apply(r.Installed)
			}
			break
		}
		again := false
		for _, p := range unsolved.Problems {
			// Without the specs that nothing matches, what else is in the way comes to light.
			if n := len(job.Install); p.Missing {
				job.Install = slices.DeleteFunc(job.Install, func(spec string) bool { return spec == p.Package })
				again = again || len(job.Install) < n
			}
			failed = failed || !p.Missing || !c.Lenient
		}
		if r.tell(&out, unsolved.Problems); !again {
			break
		}
	}
	out.Installed = r.Installed
	return out, nil
}

// tell adds problems to those of a call.
func (r *replay) tell(out *Outcome, problems []Problem) {
	for _, p := range problems {
		if p.Missing && out.Call.Lenient {
			out.Unmatched = append(out.Unmatched, p.Package)
		} else if !r.told[p.Text] {
			r.told[p.Text] = true
			out.Problems = append(out.Problems, p)
		}
	}
}

// held are the problems of upgrades that were asked for and that the transaction does not make. dnf passes over what
// cannot be upgraded, yum 3.4 fails; whoever asks for an upgrade wants to know.
func (r *replay) held(t *Transaction, specs []string) ([]Problem, error) {
	var out []Problem
	for _, p := range r.Installed {
		stays := !slices.Contains(t.Remove, p) && !slices.ContainsFunc(t.Upgrade, func(c Change) bool { return c.From == p })
		asked := slices.ContainsFunc(specs, func(spec string) bool { return labelled(p, spec) })
		newest := r.newest(p)
		if !stays || !asked || newest == nil {
			continue
		}
		_, err := r.solve(Job{Install: []string{exactly(newest)}})
		var unsolved *Error
		if err != nil && !errors.As(err, &unsolved) {
			return nil, err
		}
		if unsolved == nil {
			continue
		}
		for _, problem := range unsolved.Problems {
			problem.Text = strings.ReplaceAll(problem.Text, " (for "+exactly(newest)+")", "") // that is who it is
			out = append(out, problem)
		}
	}
	return out, nil
}

// newest is the newest package that is offered of the name and architecture of the installed p, nil unless it is newer.
func (r *replay) newest(p *rpm.Package) *rpm.Package {
	best := p
	for _, repo := range r.Repos {
		for _, q := range repo.Packages {
			same := q.Name == p.Name && (q.Arch == p.Arch || q.Arch == "noarch" || p.Arch == "noarch" && q.Arch == r.Arch)
			if same && q.EVR.Compare(best.EVR) > 0 && (r.Hidden == nil || !r.Hidden(q)) {
				best = q
			}
		}
	}
	if best == p {
		return nil
	}
	return best
}

// solve is Pool.Solve on what is installed by now.
func (r *replay) solve(j Job) (*Transaction, error) {
	if len(j.Install)+len(j.Upgrade) == 0 {
		return &Transaction{}, nil
	}
	return NewPool(r.PoolOptions).Solve(j)
}

// job is what a call asks for that is not there already.
func (r *replay) job(c Call) Job {
	j := Job{Weak: c.Weak}
	for _, f := range c.Files {
		spec := r.file(f)
		if !slices.ContainsFunc(r.Installed, func(p *rpm.Package) bool { return exactly(p) == spec }) {
			j.Install = append(j.Install, spec)
		}
	}
	for _, spec := range c.Install {
		if !c.Absent || !r.provided(spec) {
			j.Install = append(j.Install, spec)
		}
	}
	for _, spec := range c.Upgrade {
		if slices.ContainsFunc(r.Installed, func(p *rpm.Package) bool { return labelled(p, spec) }) {
			j.Upgrade = append(j.Upgrade, spec)
		}
	}
	return j
}

// file is a spec for the package that a file holds.
func (r *replay) file(f File) string {
	for _, repo := range r.Repos {
		for _, p := range repo.Packages {
			if path.Base(p.Href) == path.Base(f.Path) {
				return exactly(p)
			}
		}
	}
	return f.Package
}

// exactly is the spec that means p and no other.
func exactly(p *rpm.Package) string { return p.NEVRA() }

// provided is `rpm -q --whatprovides` of a name or a path.
func (r *replay) provided(name string) bool {
	return slices.ContainsFunc(r.Installed, func(p *rpm.Package) bool {
		return slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool { return d.Name == name }) || slices.Contains(p.Files, name)
	})
}

// labelled is `rpm -q`: by name, name-version or name-version-release, each with or without .arch.
func labelled(p *rpm.Package, label string) bool {
	for _, form := range []string{p.Name, p.Name + "-" + p.EVR.Version, p.Name + "-" + p.EVR.Version + "-" + p.EVR.Release} {
		if label == form || label == form+"."+p.Arch {
			return true
		}
	}
	return false
}
