package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// whence knows where a thing that is missing could come from.
type whence struct {
	*packages
	o       solve.PoolOptions
	allowed *solve.Pool   // without what rpms.exclude names
	every   []*solve.Pool // for each architecture that a platform may have, with everything
}

func newWhence(p *packages, o solve.PoolOptions) whence {
	w := whence{packages: p, o: o, allowed: solve.NewPool(solve.PoolOptions{Repos: o.Repos, Arch: o.Arch, Exclude: o.Exclude})}
	for _, arch := range []string{"x86_64", "aarch64"} {
		w.every = append(w.every, solve.NewPool(solve.PoolOptions{Repos: o.Repos, Arch: arch}))
	}
	return w
}

// means are the packages that a spec means, those too that may not be chosen.
func (w whence) means(spec string) map[*rpm.Package]bool {
	all := map[*rpm.Package]bool{}
	for _, pool := range w.every {
		for _, p := range pool.Find(spec) {
			all[p] = true
		}
	}
	return all
}

// absent are the parts of a dependency that nothing offers, if it is for them that it is not met: of "(a or b)" all or
// none, of others each.
func (w whence) absent(text string) []rpm.Dep {
	all := leaves(text)
	absent := slices.DeleteFunc(slices.Clone(all), w.offered)
	if strings.Contains(text, " or ") && len(absent) < len(all) {
		return nil
	}
	return absent
}

// offered reports whether the base or a package that may be chosen has what dep asks for.
func (w whence) offered(dep rpm.Dep) bool {
	has := func(p *rpm.Package) bool { return meets(p, dep) }
	if slices.ContainsFunc(w.o.Installed, has) {
		return true
	}
	for _, repo := range w.o.Repos {
		if slices.ContainsFunc(repo.Packages, func(p *rpm.Package) bool { return has(p) && w.barred(p) == "" }) {
			return true
		}
	}
	return false
}

// barred says why a package of a repository may not be chosen; "" when it may.
func (w whence) barred(p *rpm.Package) string {
	switch {
	case p.Arch != "noarch" && !slices.Contains(rpm.Archs(w.o.Arch), p.Arch):
		return "is for another architecture"
	case !slices.Contains(w.allowed.Find(p.NEVRA()), p):
		return "is excluded by rpms.exclude"
	case w.o.Hidden != nil && w.o.Hidden(p):
		if stream := w.stream(p); stream != "" {
			return "belongs to " + stream + ", which rpms.modules does not enable"
		}
		return "is hidden by a module that is enabled"
	}
	return ""
}

// near tells what the repositories and the base have of a dependency or a spec, though it does not do.
func (w whence) near(text string) string {
	var parts []string
	means := w.means(text)
	for _, dep := range leaves(text) {
		parts = append(parts, w.nearLeaf(dep, text, means)...)
	}
	return strings.Join(slices.Compact(parts), "; ")
}

func (w whence) nearLeaf(dep rpm.Dep, text string, means map[*rpm.Package]bool) []string {
	var other []string
	for _, r := range w.repos {
		var others []*rpm.Package
		for _, p := range r.loaded.Packages {
			switch {
			case meets(p, dep) || means[p]:
				why := cmp.Or(w.barred(p), "gives way to a repository with a lower priority number")
				return []string{fmt.Sprintf("%s of repository %q %s", p.NEVRA(), r.entry.ID, why)}
			case w.akin(p, dep) || begins(text, p.Name):
				others = append(others, p)
			}
		}
		if len(others) > 0 {
			other = append(other, fmt.Sprintf("repository %q has only %s", r.entry.ID, few(newest(others))))
		}
	}
	for _, p := range w.o.Installed {
		if w.akin(p, dep) {
			other = append(other, "the base has "+p.NEVRA())
		}
	}
	return other
}

// library is the shared library that a dependency is a symbol of, where none of its symbols is offered.
func (w whence) library(text string) (string, bool) {
	name, rest, ok := strings.Cut(text, "(")
	if !ok || !strings.Contains(name, ".so") || w.offered(rpm.Dep{Name: name + "()" + rest[strings.Index(rest, ")")+1:]}) {
		return "", false
	}
	return name, true
}

// akin reports whether p has another version of dep, or the shared library without this symbol.
func (w whence) akin(p *rpm.Package, dep rpm.Dep) bool {
	name, _, symbol := strings.Cut(dep.Name, "(")
	return slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool {
		return d.Name == dep.Name || symbol && strings.Contains(name, ".so") && strings.HasPrefix(d.Name, name+"(")
	})
}

// newest names packages, the newest first.
func newest(packages []*rpm.Package) []string {
	slices.SortStableFunc(packages, func(a, b *rpm.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.EVR.Compare(a.EVR))
	})
	var names []string
	for _, p := range packages {
		names = append(names, p.NEVRA())
	}
	return slices.Compact(names)
}

// begins reports whether a spec is a version of the package called name.
func begins(spec, name string) bool {
	rest, ok := strings.CutPrefix(spec, name)
	return ok && len(rest) > 1 && rest[0] == '-' && strings.ContainsAny(rest[1:2], "0123456789*?[")
}

// meets reports whether p has what dep asks for, by what it provides or by a file that primary metadata lists.
func meets(p *rpm.Package, dep rpm.Dep) bool {
	if slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool { return d.Meets(dep) }) {
		return true
	}
	return strings.HasPrefix(dep.Name, "/") && slices.Contains(p.Files, dep.Name)
}

// leaves are the plain dependencies in a text of rpm's notation: one, or those of a rich dependency.
func leaves(text string) []rpm.Dep {
	rich := strings.HasPrefix(text, "(")
	var all []rpm.Dep
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if rich {
			word = trimParens(word)
			if slices.Contains([]string{"and", "or", "if", "else", "unless", "with", "without"}, word) {
				continue
			}
		}
		dep := rpm.Dep{Name: word}
		if i+2 < len(words) {
			if flags := comparison(words[i+1]); flags != 0 {
				version := words[i+2]
				if rich {
					version = trimParens(version)
				}
				evr := rpm.ParseEVR(version)
				dep.EVR, dep.Flags = &evr, flags
				i += 2
			}
		}
		all = append(all, dep)
	}
	return all
}

// trimParens takes the parentheses of a rich dependency from a word and leaves those in pairs, as of perl(Carp).
func trimParens(word string) string {
	word = strings.TrimLeft(word, "(")
	for strings.HasSuffix(word, ")") && strings.Count(word, ")") > strings.Count(word, "(") {
		word = strings.TrimSuffix(word, ")")
	}
	return word
}

// comparison reads <, <=, =, >= or >; 0 for anything else.
func comparison(word string) rpm.Flags {
	var flags rpm.Flags
	for _, c := range word {
		switch c {
		case '<':
			flags |= rpm.Less
		case '>':
			flags |= rpm.Greater
		case '=':
			flags |= rpm.Equal
		default:
			return 0
		}
	}
	return flags
}
