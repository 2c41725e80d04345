package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle"
)

func (a *app) diffCmd() *cobra.Command {
	var allowUnsigned, exitCode bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Tell what changes from one bundle to another",
		Long: `Tells what bundle B has otherwise than bundle A: variables, products, providers and packages by version, and every file
that is added, removed, or changed in content, mode, origin or evidence. Prints nothing when the two are the same bundle. A and B
are tars or folders, signed by a key that you trust. Of both the index is read, and the metadata of their packages.
The files of packages that are told by version are left out of the list of files; with --json they are in it.

Bundles that differ are no failure: the exit status is 0, unless --exit-code asks for 1.` + "\n" + exitStatus,
		Example: "  offbake diff nomad-cluster-1.0.0.tar nomad-cluster-1.1.0.tar --pubkey offbake.pub\n" +
			"  offbake diff --json A.tar B.tar | jq -r '.packages[] | select(.change == \"upgraded\") | .name'",
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.diff(cmd.Context(), args[0], args[1], allowUnsigned)
			if err != nil {
				return err
			}
			if err := a.result(r, r.lines()...); err != nil {
				return err
			}
			if exitCode && !r.Equal {
				return fmt.Errorf("comparing %q with %q: they differ", args[0], args[1])
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "fail with exit status 1 when the bundles differ")
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed them")
	return cmd
}

type diffResult struct {
	Schema    string                  `json:"schema"`
	Equal     bool                    `json:"equal"` // one identity
	From      bundleHeader            `json:"from"`
	To        bundleHeader            `json:"to"`
	Variables []bundle.VariableChange `json:"variables"`
	Products  []versionChange         `json:"products"`
	Providers []versionChange         `json:"providers"`
	Packages  []versionChange         `json:"packages"`
	Files     []bundle.FileChange     `json:"files"`
}

// bundleHeader is what a bundle says of itself.
type bundleHeader struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Platform string `json:"platform"`
	Created  string `json:"created"`
	Inputs   string `json:"inputs"`
	SHA256   string `json:"sha256"` // its identity
}

func headerOf(b *bundle.Bundle) bundleHeader {
	x := b.Index()
	return bundleHeader{x.Name, x.Version, x.Platform, x.Created, x.Inputs, b.Identity()}
}

func (a *app) diff(ctx context.Context, from, to string, allowUnsigned bool) (r diffResult, err error) {
	x, _, err := a.openTrusted(from, allowUnsigned)
	if err != nil {
		return diffResult{}, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	y, _, err := a.openTrusted(to, allowUnsigned)
	if err != nil {
		return diffResult{}, err
	}
	defer func() { err = errors.Join(err, y.Close()) }()
	old, err := holding(ctx, x)
	if err != nil {
		return diffResult{}, fmt.Errorf("reading %q: %w", from, err)
	}
	now, err := holding(ctx, y)
	if err != nil {
		return diffResult{}, fmt.Errorf("reading %q: %w", to, err)
	}
	c := bundle.Diff(x.Index(), y.Index())
	return diffResult{
		Schema: "offbake/diff/1", Equal: x.Identity() == y.Identity(), From: headerOf(x), To: headerOf(y),
		Variables: orEmpty(c.Variables), Files: orEmpty(c.Files),
		Products:  orEmpty(versionChanges(old.products, now.products, newerRelease)),
		Providers: orEmpty(versionChanges(old.providers, now.providers, newerRelease)),
		Packages:  orEmpty(versionChanges(old.packages, now.packages, newerPackage)),
	}, nil
}
