package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle"
)

func (a *app) verifyCmd() *cobra.Command {
	var allowUnsigned bool
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Check a bundle's signature and every byte of it",
		Long: `Checks that bundle.json is signed by a key you trust, and that the bundle holds exactly the files it names, each with
its size and digest. BUNDLE is a tar or a folder. Uses no network.` + "\n" + exitStatus,
		Example: "  offbake verify nomad-cluster-1.0.0.tar --pubkey offbake.pub",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, keyids, err := a.openTrusted(args[0], allowUnsigned)
			if err != nil {
				return err
			}
			defer b.Close()
			report, err := a.verifyAll(cmd.Context(), b, args[0], allowUnsigned)
			if err != nil {
				return fmt.Errorf("verifying %q: %w", args[0], err)
			}
			x := b.Index()
			r := verifyResult{Schema: "offbake/verify/1", OK: true, KeyIDs: orEmpty(keyids), Name: x.Name, Version: x.Version,
				Files: report.Files, Bytes: report.Bytes}
			return a.result(r, fmt.Sprintf("good  %s %s  %d files  %s  sha256:%s  signed by %s", x.Name, x.Version, r.Files,
				humanize.IBytes(uint64(r.Bytes)), b.Identity(), signers(keyids)))
		},
	}
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: do not ask who signed it")
	return cmd
}

// verifyAll hashes every file, and shows how far it is.
func (a *app) verifyAll(ctx context.Context, b *bundle.Bundle, name string, allowUnsigned bool) (bundle.Report, error) {
	keys, err := a.trusted()
	if err != nil {
		return bundle.Report{}, err
	}
	var size int64
	for _, f := range b.Index().Files {
		size += f.Size
	}
	item := a.progress().Start(name, size)
	report, err := b.Verify(ctx, bundle.VerifyOptions{Keys: keys, AllowUnsigned: allowUnsigned, Jobs: a.jobs, Progress: item.Add})
	if err != nil {
		item.Fail(err)
		return report, err
	}
	item.Done("verified")
	return report, nil
}

type verifyResult struct {
	Schema  string   `json:"schema"`
	OK      bool     `json:"ok"`
	KeyIDs  []string `json:"keyids"`
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
}

func signers(keyids []string) string {
	if len(keyids) == 0 {
		return "nobody"
	}
	return strings.Join(keyids, ", ")
}
