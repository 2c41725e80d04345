package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
)

// transactions are what the images ask of yum or dnf.
func (j *fetchJob) transactions(paths []string) ([]solve.Plan, error) {
	return provision.Transactions(j.manifest, j.vars, paths)
}

// rehearser tries a bundle in guests of a root file system before it is signed; nil where none is named. What can be seen to
// be missing for that is told here, before anything is downloaded.
func (j *fetchJob) rehearser(rootfs string) (func(context.Context, assemble.Rehearsal) error, error) {
	if rootfs == "" {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("rehearsing: guests need root")
	}
	state, err := j.app.stateDir()
	if err != nil {
		return nil, err
	}
	cloud, err := local.New(local.Config{Base: rootfs, Work: filepath.Join(state, "guests"), Progress: j.app.progress()})
	if err != nil {
		return nil, fmt.Errorf("rehearsing: %w", err)
	}
	return func(ctx context.Context, r assemble.Rehearsal) error {
		return provision.Rehearse(ctx, provision.Rehearsal{Cloud: cloud, Journal: filepath.Join(state, "journal"), Plans: r.Plans,
			Files: r.Files, Open: r.Open, Weak: j.manifest.Weak(), Progress: j.app.progress(), Verbose: j.app.verbose})
	}, nil
}
