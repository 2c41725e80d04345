package source

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// UnsolvableError says that what the manifest asks for cannot be installed on its base from its repositories, and
// everything that is in the way.
type UnsolvableError struct {
	Repos   []string       // ids of the repositories
	Bare    bool           // the base has no packages at all
	Missing []Missing      // what nothing offers, sorted
	Others  []string       // what else is in the way, a line each
	Lacks   []Distribution // whose standard repositories the manifest lacks, those that it lacks alone
}

// Missing is something that no package offers.
type Missing struct {
	Dep      string   // as "container-selinux >= 2:2.74", or the spec of the manifest
	NeededBy []string // packages; none where the manifest itself asks
	Where    string   // what there is of it, or where it could come from, for people; "" where nothing is known
	Near     bool     // Where says what there is of it, and why that does not do
}

// Error is a line that says how much is missing, then a line for each thing.
func (e *UnsolvableError) Error() string {
	there := []string{"the base image"}
	if e.Bare {
		there = nil
	}
	switch len(e.Repos) {
	case 0:
	case 1:
		there = append(there, "repository "+strconv.Quote(e.Repos[0]))
	default:
		there = append(there, `the repositories "`+strings.Join(e.Repos, `", "`)+`"`)
	}
	var b strings.Builder
	switch len(e.Missing) {
	case 0:
		fmt.Fprintf(&b, "the packages of %s cannot be installed together:", list(there))
	case 1:
		fmt.Fprintf(&b, "1 thing is needed that %s cannot give:", list(there))
	default:
		fmt.Fprintf(&b, "%d things are needed that %s cannot give:", len(e.Missing), list(there))
	}
	for _, m := range e.Missing {
		b.WriteString("\n  " + m.String())
	}
	for _, other := range e.Others {
		b.WriteString("\n  " + other)
	}
	for _, d := range e.Lacks {
		fmt.Fprintf(&b, "\n  %s has such packages in %s, which the manifest lacks", d.Name, list(d.names()))
	}
	return b.String()
}

func (m Missing) String() string {
	text := m.Dep + ", which rpms.install names"
	if len(m.NeededBy) > 0 {
		text = m.Dep + ", needed by " + few(m.NeededBy)
	}
	if m.Where != "" {
		text += ": " + m.Where
	}
	return text
}

// maxRounds bounds how often a job is solved again to find all that is missing.
const maxRounds = 20

// explain finds out all that is missing: what nothing offers is invented, and the job solved again, until nothing is in
// the way or only what inventing does not cure.
func (p *packages) explain(o solve.PoolOptions, job solve.Job, unsolved *solve.Error) error {
	x := explanation{whence: newWhence(p, o), job: job, needed: map[string][]string{}, mended: map[string]bool{}}
	o.Repos = append(slices.Clone(o.Repos), &x.invented)
	var others []string
	for range maxRounds {
		again := false
		others = nil
		for _, problem := range unsolved.Problems {
			took := x.take(problem)
			if again = again || took; !took && problem.Text != "" {
				others = append(others, problem.Text)
			}
		}
		if !again {
			break
		}
		_, err := solve.NewPool(o).Solve(x.job)
		if unsolved = nil; !errors.As(err, &unsolved) {
			if err != nil {
				return err
			}
			others = nil
			break
		}
	}
	return x.result(others)
}

// explanation is what explain knows so far.
type explanation struct {
	whence
	job      solve.Job
	needed   map[string][]string // by what is needed and nothing offers: the packages that need it, "" for the manifest
	others   []string            // lines about packages that may not be chosen
	mended   map[string]bool     // dependencies that the invented packages meet, and packages that they stand for
	invented rpm.Repo
}

// take notes a problem that is something missing, and mends it. It reports whether there is anything new to try.
func (x *explanation) take(problem solve.Problem) bool {
	if problem.Missing {
		without := func(specs []string) []string {
			return slices.DeleteFunc(slices.Clone(specs), func(s string) bool { return s == problem.Package })
		}
		before := len(x.job.Install) + len(x.job.Upgrade)
		x.job.Install, x.job.Upgrade = without(x.job.Install), without(x.job.Upgrade)
		x.needed[problem.Package] = append(x.needed[problem.Package], "")
		return len(x.job.Install)+len(x.job.Upgrade) < before
	}
	if problem.Dep == "" {
		return x.takeBarred(problem)
	}
	absent := x.absent(problem.Dep)
	if len(absent) == 0 {
		return false
	}
	x.needed[problem.Dep] = slices.Concat(x.needed[problem.Dep], []string{problem.Package}, problem.Also)
	if x.mended[problem.Dep] {
		return false
	}
	x.mended[problem.Dep] = true
	var stub rpm.Package
	for _, dep := range absent {
		stub.Provides = append(stub.Provides, rpm.Dep{Name: dep.Name})
	}
	x.invent(stub)
	return true
}

// takeBarred notes that a package which is there may not be chosen, and puts one like it in its place.
func (x *explanation) takeBarred(problem solve.Problem) bool {
	for _, r := range x.repos {
		for _, p := range r.loaded.Packages {
			why := ""
			if p.NEVRA() == problem.Package {
				why = x.barred(p)
			}
			if why == "" || x.mended[problem.Package] {
				continue
			}
			x.mended[problem.Package] = true
			text := strings.TrimSuffix(problem.Text, " is excluded")
			if text == problem.Text {
				text = fmt.Sprintf("%s of %s", problem.Package, r.entry.ID)
			}
			x.others = append(x.others, text+" "+why)
			x.invent(rpm.Package{Provides: p.Provides, Requires: p.Requires, Conflicts: p.Conflicts, Files: p.Files})
			return true
		}
	}
	return false
}

func (x *explanation) invent(stub rpm.Package) {
	stub.Name = fmt.Sprintf("invented-%d", len(x.invented.Packages))
	stub.EVR, stub.Arch = rpm.EVR{Version: "1", Release: "1"}, "noarch"
	x.invented.Packages = append(x.invented.Packages, &stub)
}

func (x *explanation) result(others []string) error {
	e := &UnsolvableError{Others: slices.Sorted(slices.Values(append(x.others, others...))), Bare: len(x.o.Installed) == 0}
	for _, r := range x.repos {
		e.Repos = append(e.Repos, r.entry.ID)
	}
	tags, symbols := map[string]bool{}, map[string]string{}
	for _, dep := range slices.Sorted(maps.Keys(x.needed)) {
		if name, ok := x.library(dep); ok { // that it is missing says it all, not each of its symbols
			symbols[name] = cmp.Or(symbols[name], dep)
			x.needed[name] = append(x.needed[name], x.needed[dep]...)
			delete(x.needed, dep)
		}
	}
	for _, dep := range slices.Sorted(maps.Keys(x.needed)) {
		by := slices.Compact(slices.Sorted(slices.Values(x.needed[dep])))
		m := Missing{Dep: dep, NeededBy: slices.DeleteFunc(by, func(name string) bool { return name == "" }), Where: x.near(cmp.Or(symbols[dep], dep))}
		if m.Near = m.Where != ""; !m.Near {
			tag := x.tag(m.NeededBy)
			tags[tag] = true
			m.Where = usual(tag, dep)
		}
		e.Missing = append(e.Missing, m)
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		if d, ok := distribution(tag); ok {
			d.Repos = slices.DeleteFunc(d.Repos, func(r Standard) bool { return slices.ContainsFunc(x.repos, r.is) })
			if len(d.Repos) > 0 {
				e.Lacks = append(e.Lacks, d)
			}
		}
	}
	return e
}

// list writes words as people do: "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// few is list of at most four, and how many there are beside them.
func few(words []string) string {
	const most = 4
	if len(words) <= most {
		return list(words)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most-1], ", "), len(words)-most+1)
}
