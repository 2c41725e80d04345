package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/manifest"
)

func (a *app) fetchCmd() *cobra.Command {
	var o fetchOptions
	net := netFlags{}
	cmd := &cobra.Command{
		Use:   "fetch [-o FILE|DIR/]",
		Short: "Download and check everything, and write one signed bundle",
		Long: `Downloads what manifest.lock pins (locking first where there is no valid lock), checks every byte, and writes one signed
bundle: a tar, or a folder when -o ends in a slash. Interrupted downloads go on where they stopped. One lock gives the
same bytes on any machine.

Before it is signed, what the recipes and scripts of each image will ask of yum or dnf is replayed on the manifest's
rpms.base. With --rehearse the package manager of a root file system does it as well, in guests of this machine that have no
network and are thrown away. A bundle that would not install is not written.` + "\n" + exitStatus,
		Example: "  offbake fetch --key offbake.key\n  offbake fetch --locked -o out/\n  offbake fetch --key offbake.key --rehearse base.tar.zst",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			started := time.Now()
			key, err := a.signingKey(cmd.Context(), o.unsigned)
			if err != nil {
				return err
			}
			job, err := a.fetchJob(&net)
			if err != nil {
				return err
			}
			defer job.close()
			res, err := job.fetch(cmd.Context(), key, o)
			if err != nil {
				return err
			}
			r := fetchResult{"offbake/fetch/1", res.Bundle, res.Identity, res.KeyID, res.Files, res.Bytes, res.Downloaded,
				res.Reused, time.Since(started).Seconds()}
			return a.result(r, fmt.Sprintf("%s  sha256:%s  %d files, %s (%s downloaded, %s reused)", r.Bundle, r.SHA256, r.Files,
				humanize.IBytes(uint64(r.Bytes)), humanize.IBytes(uint64(r.Downloaded)), humanize.IBytes(uint64(r.Reused))))
		},
	}
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "write the bundle to `FILE`, or to a folder DIR/ (default NAME-VERSION.tar)")
	cmd.Flags().BoolVar(&o.locked, "locked", false, "refuse to lock: manifest.lock must be there and valid")
	cmd.Flags().BoolVar(&o.unsigned, "unsigned", false, "for trials: write a bundle that nobody signed")
	cmd.Flags().StringVar(&o.rehearse, "rehearse", "", "try each image's packages in guests of the root file system `ROOTFS`, a folder or tar (needs root)")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace another bundle at the output")
	net.add(cmd)
	return cmd
}

type fetchOptions struct {
	out, rehearse           string
	locked, unsigned, force bool
}

type fetchResult struct {
	Schema     string  `json:"schema"`
	Bundle     string  `json:"bundle"`
	SHA256     string  `json:"sha256"`
	KeyID      string  `json:"keyid"`
	Files      int     `json:"files"`
	Bytes      int64   `json:"bytes"`
	Downloaded int64   `json:"downloaded"`
	Reused     int64   `json:"reused"`
	Seconds    float64 `json:"seconds"`
}

var errNoLock = errors.New("no valid manifest.lock")

// fetch makes the bundle, locking first where no valid lock is and that is allowed.
func (j *fetchJob) fetch(ctx context.Context, key *sign.Key, o fetchOptions) (assemble.FetchResult, error) {
	if err := bundle.CheckTarget(cmp.Or(o.out, ".")); err != nil { // before anything is downloaded for it
		return assemble.FetchResult{}, err
	}
	rehearse, err := j.rehearser(o.rehearse)
	if err != nil {
		return assemble.FetchResult{}, err
	}
	var held *assemble.Held
	lock, err := j.validLock()
	if err != nil && o.locked {
		return assemble.FetchResult{}, &usageError{fmt.Errorf("fetching with --locked: %w", err)}
	}
	if err != nil {
		j.app.progress().Line("%v; locking first", err)
		res, err := j.lock(ctx)
		if err != nil {
			return assemble.FetchResult{}, err
		}
		defer res.Held.Close()
		lock, held = res.Lock, res.Held
	}
	return assemble.Fetch(ctx, assemble.FetchOptions{Manifest: j.manifest, Inputs: j.inputs, Lock: lock, Key: key, Out: o.out,
		Force: o.force, Held: held, Fetcher: j.fetcher, Progress: j.app.progress(), Transactions: j.transactions, Rehearse: rehearse})
}

// validLock returns the lock if it is there and of these inputs.
func (j *fetchJob) validLock() (*manifest.Lock, error) {
	lock, err := manifest.LoadLock(j.lockPath)
	if isNotExist(err) {
		return nil, fmt.Errorf("%w: %q is missing", errNoLock, j.lockPath)
	}
	if err != nil {
		return nil, err
	}
	return lock, assemble.CheckLock(j.inputs, lock)
}
