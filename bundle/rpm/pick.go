package rpm

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// PickOptions say what is wanted of repositories.
type PickOptions struct {
	// Specs name packages as yum and dnf take them: name, name.arch, name-version, name-version-release,
	// name-epoch:version-release, epoch:name-version-release, each with or without .arch and with glob characters; else
	// something that a package provides, "webserver" or "webserver = 2.4", or the path of one of its files.
	Specs   []string
	Exclude []string // specs of packages that do not exist for this pick
	Arch    string   // "" means x86_64; noarch counts always, other architectures never
}

// Choice is the package that a spec led to.
type Choice struct {
	Spec    string
	Package *Package
	Repo    *Repo
}

// Pick finds the package that each spec means: of the repository with the lowest priority number, the newest version. A
// spec with glob characters may match several names and then gives one choice for each, by name. Nothing is resolved:
// dependencies are not looked at. When specs match nothing the error is an *UnmatchedError that names them all.
func Pick(repos []*Repo, opts PickOptions) ([]Choice, error) {
	for _, pattern := range slices.Concat(opts.Specs, opts.Exclude) {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return nil, fmt.Errorf("reading package spec %q: %w", pattern, cmp.Or(err, errors.New("empty")))
		}
	}
	all := candidates(repos, opts)
	var choices []Choice
	unmatched := &UnmatchedError{}
	for _, spec := range opts.Specs {
		found := matching(all, spec)
		if len(found) == 0 {
			unmatched.Specs = append(unmatched.Specs, Unmatched{Spec: spec, Exist: existing(all, spec)})
		}
		choices = append(choices, found...)
	}
	if len(unmatched.Specs) > 0 {
		return nil, unmatched
	}
	return choices, nil
}

// UnmatchedError lists the specs that no package matches.
type UnmatchedError struct {
	Specs []Unmatched
}

// Unmatched is a spec without a package, and what exists of the name that it seems to mean, newest first.
type Unmatched struct {
	Spec  string
	Exist []string
}

func (e *UnmatchedError) Error() string {
	var parts []string
	for _, u := range e.Specs {
		if len(u.Exist) == 0 {
			parts = append(parts, fmt.Sprintf("%q (no package of that name)", u.Spec))
		} else {
			parts = append(parts, fmt.Sprintf("%q (there are %s)", u.Spec, strings.Join(u.Exist, ", ")))
		}
	}
	return "no package matches " + strings.Join(parts, ", ")
}

// candidates are all packages that a pick may give, best first: by priority, then the newest, the wanted architecture
// before noarch. What is still equal stays in the order of repositories.
func candidates(repos []*Repo, opts PickOptions) []Choice {
	arch := cmp.Or(opts.Arch, "x86_64")
	var all []Choice
	for _, repo := range repos {
		for _, p := range repo.Packages {
			if (p.Arch == arch || p.Arch == "noarch") && !slices.ContainsFunc(opts.Exclude, p.matches) {
				all = append(all, Choice{Package: p, Repo: repo})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Choice) int {
		return cmp.Or(
			cmp.Compare(a.Repo.Priority, b.Repo.Priority),
			strings.Compare(a.Package.Name, b.Package.Name),
			b.Package.EVR.Compare(a.Package.EVR),
			cmp.Compare(rank(a.Package, arch), rank(b.Package, arch)))
	})
	return all
}

func rank(p *Package, arch string) int {
	if p.Arch == arch {
		return 0
	}
	return 1
}

// matching is what spec gives: one choice per name for packages of that name, else the first that provides it.
func matching(all []Choice, spec string) []Choice {
	best := map[string]bool{}
	var found []Choice
	for _, c := range all {
		if !best[c.Package.Name] && c.Package.matches(spec) {
			best[c.Package.Name] = true
			found = append(found, Choice{Spec: spec, Package: c.Package, Repo: c.Repo})
		}
	}
	if len(found) > 0 {
		slices.SortFunc(found, func(a, b Choice) int { return strings.Compare(a.Package.Name, b.Package.Name) })
		return found
	}
	want := parseDep(spec)
	for _, c := range all {
		if c.Package.provides(want) {
			return []Choice{{Spec: spec, Package: c.Package, Repo: c.Repo}}
		}
	}
	return nil
}

// matches says whether spec is one of the ways to name p.
func (p *Package) matches(spec string) bool {
	if !strings.ContainsAny(spec, "*?[") {
		bare := spec
		if epoch, rest, found := strings.Cut(spec, ":"); found && strings.Trim(epoch, "0123456789") == "" {
			bare = rest
		}
		if !strings.HasPrefix(bare, p.Name) { // cheap, and true of nearly all packages
			return false
		}
	}
	for _, form := range p.forms() {
		if ok, _ := path.Match(spec, form); ok {
			return true
		}
		if ok, _ := path.Match(spec, form+"."+p.Arch); ok {
			return true
		}
	}
	return false
}

// forms are the ways to name p without its architecture.
func (p *Package) forms() []string {
	v, vr := p.EVR.Version, p.EVR.Version+"-"+p.EVR.Release
	epoch := cmp.Or(strings.TrimLeft(p.EVR.Epoch, "0"), "0") + ":"
	return []string{
		p.Name,
		p.Name + "-" + v,
		p.Name + "-" + vr,
		p.Name + "-" + epoch + v,
		p.Name + "-" + epoch + vr,
		epoch + p.Name + "-" + v,
		epoch + p.Name + "-" + vr,
	}
}

// existing lists the packages of the name that spec begins with.
func existing(all []Choice, spec string) []string {
	var versions []string
	for _, c := range all {
		rest, found := strings.CutPrefix(spec, c.Package.Name)
		if found && (rest == "" || rest[0] == '.' || len(rest) > 1 && rest[0] == '-' && (isDigit(rest[1]) || rest[1] == '*')) {
			versions = append(versions, c.Package.NEVRA())
		}
	}
	return slices.Compact(versions)
}
