package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/store"
)

func (a *app) pushCmd() *cobra.Command {
	var endpoint, emit string
	var allowUnsigned, allowOlder bool
	cmd := &cobra.Command{
		Use:   "push BUNDLE [STORE]",
		Short: "Put a bundle into a store: UFile, or a folder",
		Long: `Puts every file of the bundle that the store lacks under PREFIX/NAME/VERSION/, and the signed index last: that is the
commit. Pushing again sends only what is missing; another bundle of the same name and version is refused,
and so is one that is older than a bundle of its name that the store has, signed by a key that you trust.
STORE is ufile://BUCKET/PREFIX or dir:PATH; by default the manifest's own. Keys come from UCLOUD_PUBKEY and
UCLOUD_SECRET or the var file. With --emit it prints what other tools need to use the store instead.` + "\n" + exitStatus,
		Example: "  offbake push nomad-cluster-1.0.0.tar ufile://bundles/offbake --endpoint http://10.0.0.2:9000",
		Args:    usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if emit != "" && !slices.Contains([]string{store.EmitPacker, store.EmitTerraform, store.EmitYum}, emit) {
				return usagef("--emit %q is not known, want packer, terraform or yum", emit)
			}
			b, _, err := a.openTrusted(args[0], allowUnsigned)
			if err != nil {
				return err
			}
			defer b.Close()
			p, err := a.storeOf(b, place{url: arg(args, 1), endpoint: endpoint})
			if err != nil {
				return err
			}
			s, err := a.openStore(p, false)
			if err != nil {
				return err
			}
			o := store.PushOptions{Store: s, Bundle: b, Jobs: a.jobs, Progress: a.progress()}
			if !allowOlder {
				if o.Trust, err = a.genuine(allowUnsigned); err != nil {
					return err
				}
			}
			r, err := store.Push(cmd.Context(), o)
			if err != nil {
				return err
			}
			if emit != "" {
				return a.emit(cmd.Context(), emit, s, b)
			}
			return a.result(pushResult{"offbake/push/1", p.url, r.URL, r.Uploaded, r.Skipped, r.Bytes},
				fmt.Sprintf("%s  %d uploaded, %d there already, %s", r.URL, r.Uploaded, r.Skipped, humanize.IBytes(uint64(r.Bytes))))
		},
	}
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "region host or `URL` of the UFile service")
	cmd.Flags().StringVar(&emit, "emit", "", "print a `KIND` of file that points other tools at the store: packer, terraform or yum")
	cmd.Flags().BoolVar(&allowUnsigned, "allow-unsigned", false, "for trials: push without asking who signed it")
	cmd.Flags().BoolVar(&allowOlder, "allow-older", false, "push though the store has a newer bundle of this name")
	return cmd
}

type pushResult struct {
	Schema   string `json:"schema"`
	Store    string `json:"store"`
	URL      string `json:"url"`
	Uploaded int    `json:"uploaded"`
	Skipped  int    `json:"skipped"`
	Bytes    int64  `json:"bytes"`
}

// emit prints the file instead of the result: it is the result that was asked for.
func (a *app) emit(ctx context.Context, kind string, s store.Store, b *bundle.Bundle) error {
	text, err := store.Emit(ctx, kind, s, b)
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

// arg is the i-th argument, or "".
func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
