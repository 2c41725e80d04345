package main

import "github.com/spf13/cobra"

func (a *app) extractCmd() *cobra.Command {
	var dir string
	var allowUnsigned bool
	cmd := &cobra.Command{
		Use:   "extract BUNDLE -C DIR [PATH…]",
		Short: "Write a bundle's files, or some of them, into a folder",
		Long: `Writes the named files and folders of a bundle, or all, below DIR. Each file is checked against the signed index
while it is written and appears whole or not at all.` + "\n" + exitStatus,
		Example: "  offbake extract nomad-cluster-1.0.0.tar -C out rpms files/consul_1.6.1_linux_amd64.zip",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("extract needs -C DIR")
			}
			b, _, err := a.openTrusted(args[0], allowUnsigned)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := b.Extract(cmd.Context(), dir, args[1:]); err != nil {
				return err
			}
			return a.result(extractResult{Schema: "offbake/extract/1", Dir: dir, Paths: orEmpty(args[1:])}, dir)
		},
	}
	cmd.Flags().StringVarP(&dir, "directory", "C", "", "write below `DIR`, which is made where it is missing")
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed it")
	return cmd
}

type extractResult struct {
	Schema string   `json:"schema"`
	Dir    string   `json:"dir"`
	Paths  []string `json:"paths"`
}
