// Package solve finds the transaction that dnf would make of a request: which packages come, which installed ones they
// replace or obsolete, or why it cannot be done.
//
// It is a solver of our own for what rpm and dnf mean by provides, requires, conflicts, obsoletes, rich and weak
// dependencies, architectures and versions. Where several solutions exist it chooses as dnf 4 does. It reads nothing:
// packages come in as values of package rpm, files beyond primary metadata through PoolOptions.Files.
package solve

import (
	"github.com/offbake/offbake/bundle/rpm"
)

// PoolOptions say what there is.
type PoolOptions struct {
	Repos     []*rpm.Repo    // the earlier goes first among those of one priority
	Installed []*rpm.Package // of the host, of rpm.ReadInstalled; none for an empty root
	Arch      string         // of the host; "" means x86_64
	Exclude   []string       // specs of packages that count as not offered; installed ones stay as they are
	// Hidden says which packages count as not offered for another reason, such as the modular filter; nil hides none.
	Hidden func(*rpm.Package) bool
	// Files looks paths up that primary metadata does not list, in the file lists of the repositories: which packages
	// have them. It is asked only when a package that a job may bring names such a path, once for all such paths that
	// dependencies name, and again for one in a spec. Nil means that there are no file lists.
	Files func(paths []string) (map[*rpm.Package][]string, error)
}

// Pool is everything that a transaction is made of. It serves any number of calls of Solve, one at a time.
type Pool struct {
	o PoolOptions
	pooled
}

// Job is one call of the package manager.
type Job struct {
	// Install are specs as dnf takes them: name, name.arch, name-version, name-version-release,
	// name-epoch:version-release, epoch:name-version-release, each with or without .arch and with glob characters; else
	// something that a package provides, "webserver" or "webserver = 2.4", or the path of one of its files.
	Install []string
	Upgrade []string // specs of packages; those that are installed become the newest that fits, others mean nothing
	Weak    bool     // weak dependencies come, too
	// Downgrade lets an installed package become older where nothing else works, as dnf does and yum 3.4 does not.
	Downgrade bool
}

// Transaction is what the package manager would do. All lists are sorted by name, then version.
type Transaction struct {
	Install []Item
	Upgrade []Change // an installed package gives way to another version of itself, older ones included
	// Remove are installed ones that a new package obsoletes, and old versions of an installonly package of which there
	// would be more than three, with what needs these.
	Remove []*rpm.Package
}

// Item is a package that comes, and why.
type Item struct {
	Package *rpm.Package
	Repo    *rpm.Repo
	Reason  Reason
}

// Reason is why a package comes: Spec was asked for, or By has the dependency Dep that it meets. Weak says that By only
// recommends or supplements it. Where an installed package cannot stay as it is, By is that one and Dep empty.
type Reason struct {
	Spec string
	By   *rpm.Package
	Dep  rpm.Dep
	Weak bool
}

// Change is an installed package and what takes its place.
type Change struct {
	From *rpm.Package
	Item
}

// Problem is one thing that keeps a job from being done.
type Problem struct {
	Package string   // who requires, conflicts or obsoletes: its NEVRA, or the spec that nothing matches
	Dep     string   // the dependency in rpm's notation, "" where it is none
	Missing bool     // Package is a spec that nothing matches, neither installed nor offered
	Also    []string // further packages that have Dep, or another symbol of the same library, where nothing meets it
	Text    string   // all of it for people, one line: who needs what, what is installed, what is offered
}

func (p Problem) String() string { return p.Text }

// Error says that a job cannot be done, and everything that is in the way.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	text := "cannot be installed: "
	for i, p := range e.Problems {
		if i > 0 {
			text += "; "
		}
		text += p.Text
	}
	return text
}

// Apply is the package set of the host after the transaction.
func (t *Transaction) Apply(installed []*rpm.Package) []*rpm.Package {
	gone := map[*rpm.Package]bool{}
	for _, p := range t.Remove {
		gone[p] = true
	}
	var after []*rpm.Package
	for _, c := range t.Upgrade {
		gone[c.From] = true
		after = append(after, c.Package)
	}
	for _, i := range t.Install {
		after = append(after, i.Package)
	}
	for _, p := range installed {
		if !gone[p] {
			after = append(after, p)
		}
	}
	return after
}
