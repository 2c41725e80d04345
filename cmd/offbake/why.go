package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) whyCmd() *cobra.Command {
	var allowUnsigned bool
	cmd := &cobra.Command{
		Use:   "why PACKAGE BUNDLE",
		Short: "Tell why a package, or another file, is in a bundle",
		Long: `Tells for each package that PACKAGE means what asks for it: the chains of requirements that lead to it from what the
manifest installs, the shortest first, and every package that requires it. For a package that takes the place of one of the
base it tells which that is, and what forces the change. PACKAGE is a name, a name and version as "docker-ce-19.03.15" or
in full, a pattern, something that packages provide, or the path of a file of theirs; or the path of any file in the bundle,
of which it tells the manifest's entry.

The manifest's request is solved again, with the bundle's own metadata, on the base that the bundle carries in base/. When PACKAGE is
not in the bundle the exit status is 1, and what is spelled nearly so is named.` + "\n" + exitStatus,
		Example: "  offbake why policycoreutils-python nomad-cluster-1.0.0.tar --pubkey offbake.pub\n" +
			"  offbake why --json /usr/bin/docker nomad-cluster-1.0.0.tar | jq -r '.packages[].chains[0][].package'",
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.why(cmd.Context(), args[0], args[1], allowUnsigned)
			if err != nil {
				return err
			}
			return a.result(r, r.lines()...)
		},
	}
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed it")
	return cmd
}

type whyResult struct {
	Schema  string `json:"schema"`
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Asked   string `json:"asked"` // PACKAGE as it was typed
	Base    string `json:"base"`  // rpms.base of the manifest; empty without packages
	// Solved says that what the manifest installs can be installed on its base.
	Solved   bool         `json:"solved"`
	Packages []whyPackage `json:"packages"`
	Files    []whyFile    `json:"files"`
}

// whyPackage is a package of the bundle.
type whyPackage struct {
	Package string `json:"package"`
	Path    string `json:"path"`
	// Installed says that it comes when what the manifest installs is installed on its base. Others are there for what
	// they may be needed for elsewhere; their reasons are taken from all packages of the bundle.
	Installed bool        `json:"installed"`
	Replaces  string      `json:"replaces,omitempty"`
	Removes   []string    `json:"removes"`
	Reasons   []whyStep   `json:"reasons"`
	Chains    [][]whyStep `json:"chains"`
}

// whyStep is what brings Package.
type whyStep struct {
	How     string `json:"how"`
	Package string `json:"package"`
	Spec    string `json:"spec,omitempty"`
	By      string `json:"by,omitempty"`
	Base    bool   `json:"base,omitempty"` // By is on the base, and stays
	Dep     string `json:"dep,omitempty"`
	Old     string `json:"old,omitempty"`
}

// whyFile is a file that is no package.
type whyFile struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Origin string `json:"origin,omitempty"`
}

func (a *app) why(ctx context.Context, asked, name string, allowUnsigned bool) (r whyResult, err error) {
	b, _, err := a.openTrusted(name, allowUnsigned)
	if err != nil {
		return whyResult{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	w, err := a.whyWorld(ctx, b)
	if err != nil {
		return whyResult{}, fmt.Errorf("reading %q: %w", name, err)
	}
	x := b.Index()
	r = whyResult{Schema: "offbake/why/1", Name: x.Name, Version: x.Version, SHA256: b.Identity(), Asked: asked,
		Base: w.in.Artifacts.RPMs.Base, Packages: []whyPackage{}, Files: []whyFile{}}
	packages, files := w.meant(asked)
	if len(packages)+len(files) == 0 {
		return whyResult{}, w.absent(asked, name)
	}
	for _, f := range files {
		r.Files = append(r.Files, whyFile{Path: f.Path, Kind: f.Kind, Reason: w.entry(f), Origin: f.Origin})
	}
	if len(packages) == 0 {
		r.Solved = true
		return r, nil
	}
	if err := w.solve(); err != nil {
		return whyResult{}, fmt.Errorf("solving %q again: %w", name, err)
	}
	r.Solved = w.unsolved == nil
	if !r.Solved {
		a.progress().Line("warning: what the manifest installs cannot be installed on its base from this bundle: %v", w.unsolved)
	}
	for _, p := range packages {
		r.Packages = append(r.Packages, w.why(p))
	}
	return r, nil
}

// absentError is a package that a bundle does not hold.
type absentError struct {
	asked, bundle string
	base          []string // packages of the base that it means
	near          []string // names in the bundle that are spelled nearly so
}

func (e *absentError) Error() string {
	text := fmt.Sprintf("looking for %q in %q: not there", e.asked, e.bundle)
	if len(e.base) > 0 {
		text += "; the base has " + strings.Join(e.base, ", ")
	}
	if len(e.near) > 0 {
		text += "; the bundle has " + strings.Join(e.near, ", ")
	}
	return text
}
