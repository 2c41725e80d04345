package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle"
)

func (a *app) lsCmd() *cobra.Command {
	var allowUnsigned bool
	cmd := &cobra.Command{
		Use:   "ls BUNDLE",
		Short: "List what a bundle holds, without unpacking it",
		Long: `Lists mode, size, digest and path of every file that the signed index names. Reads the index only.` +
			"\n" + exitStatus,
		Example: "  offbake ls nomad-cluster-1.0.0.tar --pubkey offbake.pub",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			b, _, err := a.openTrusted(args[0], allowUnsigned)
			if err != nil {
				return err
			}
			defer b.Close()
			x := b.Index()
			var lines []string
			for _, f := range x.Files {
				lines = append(lines, fmt.Sprintf("%s %12d  sha256:%s  %s", f.Mode, f.Size, f.SHA256, f.Path))
			}
			return a.result(lsResult{Schema: "offbake/ls/1", Name: x.Name, Version: x.Version, Created: x.Created,
				SHA256: b.Identity(), Files: x.Files}, lines...)
		},
	}
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed it")
	return cmd
}

type lsResult struct {
	Schema  string        `json:"schema"`
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Created string        `json:"created"`
	SHA256  string        `json:"sha256"`
	Files   []bundle.File `json:"files"`
}
