package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/manifest"
)

func (a *app) lockCmd() *cobra.Command {
	net := netFlags{}
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Resolve the manifest and pin every outside file in manifest.lock",
		Long: `Asks the vendors for what manifest.yaml names, checks their signatures, and writes manifest.lock beside it: URL,
size, digest and how it was verified, for every file. What vendors do not tell is learned by downloading into the cache.
Of RPMs it pins all that rpms.install needs beyond rpms.base, or lists what no repository has.` +
			"\n" + exitStatus,
		Example: "  offbake lock -f manifest.yaml --var consul_version=1.6.1",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			job, err := a.fetchJob(&net)
			if err != nil {
				return err
			}
			defer job.close()
			res, err := job.lock(cmd.Context())
			if err != nil {
				return err
			}
			defer res.Held.Close()
			lock, changes := res.Lock, res.Changes
			r := lockResult{Schema: "offbake/lock/1", Artifacts: len(lock.Rows), Added: orEmpty(changes.Added),
				Removed: orEmpty(changes.Removed), Changed: orEmpty(changes.Changed)}
			for _, row := range lock.Rows {
				if row.Kind == manifest.KindRPM {
					r.RPMs++
				}
			}
			return a.result(r, append(changes.Lines(), fmt.Sprintf("%s  %d artifacts, %d of them RPMs", a.lockPath(),
				r.Artifacts, r.RPMs))...)
		},
	}
	net.add(cmd)
	return cmd
}

type lockResult struct {
	Schema    string   `json:"schema"`
	Artifacts int      `json:"artifacts"`
	RPMs      int      `json:"rpms"`
	Added     []string `json:"added"`
	Removed   []string `json:"removed"`
	Changed   []string `json:"changed"`
}

// orEmpty makes a missing list [] in JSON, not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// lock resolves the manifest and writes the lock. The caller closes what was held.
func (j *fetchJob) lock(ctx context.Context) (*assemble.LockResult, error) {
	old, err := manifest.LoadLock(j.lockPath)
	if err != nil && !isNotExist(err) {
		j.app.progress().Line("warning: %v; locking anew", err)
	}
	res, err := assemble.Lock(ctx, assemble.LockOptions{Inputs: j.inputs, Old: old, Fetcher: j.fetcher, Now: now(),
		Progress: j.app.progress()})
	if err != nil {
		return nil, err
	}
	j.app.warn(res.Warnings)
	if err := res.Lock.Write(j.lockPath); err != nil {
		return nil, errors.Join(err, res.Held.Close())
	}
	return res, nil
}
