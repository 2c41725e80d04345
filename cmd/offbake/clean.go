package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
	"github.com/offbake/offbake/provision/ucloud"
)

func (a *app) cleanCmd() *cobra.Command {
	var o cleanOptions
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "End hosts that a crash left",
		Long: `Ends every host that this machine's journal names and no running bake holds, and the images that such a host left half
made, of imports also the disks that were uploaded. A bake does the same for its own target before it begins. Hosts that
were kept to look at are ended, too.

With --orphans it lists hosts at the manifest's cloud that bear our tag and name and are older than --older-than, such as
those of another machine whose journal is lost, and ends them after it has asked; images stay. Keys come from UCLOUD_PUBKEY and
UCLOUD_SECRET or the var file.` + "\n" + exitStatus,
		Example: "  offbake clean\n  offbake clean --orphans --older-than 24h --var-file site.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ended, err := a.clean(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.result(cleanResult{"offbake/clean/1", ended}, ended...)
		},
	}
	cmd.Flags().BoolVar(&o.orphans, "orphans", false, "also list hosts with our tag that no journal here names, and ask whether to end them")
	cmd.Flags().DurationVar(&o.olderThan, "older-than", 6*time.Hour, "orphans: only those made so long ago")
	cmd.Flags().StringArrayVar(&o.forget, "forget", nil, "take `HOST` out of the journal and do nothing else: its cloud is gone, or it was ended otherwise; repeatable")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "orphans: end them without asking")
	return cmd
}

type cleanOptions struct {
	orphans, yes bool
	forget       []string
	olderThan    time.Duration
}

type cleanResult struct {
	Schema string   `json:"schema"`
	Ended  []string `json:"ended"`
}

func (a *app) clean(ctx context.Context, o cleanOptions) ([]string, error) {
	if o.olderThan < 0 {
		return nil, usagef("--older-than %s is negative", o.olderThan)
	}
	if len(o.forget) > 0 {
		return []string{}, a.forget(o.forget)
	}
	ended, err := a.cleanHere(ctx)
	more, cloudErr := a.cleanClouds(ctx) // whatever became of the others
	ended, err = append(ended, more...), errors.Join(err, cloudErr)
	more, importErr := a.cleanImports(ctx)
	ended, err = append(ended, more...), errors.Join(err, importErr)
	if err == nil && o.orphans {
		more, err = a.cleanOrphans(ctx, o)
		ended = append(ended, more...)
	}
	if err != nil {
		for _, name := range ended {
			a.progress().Line("ended %s", name)
		}
	}
	return ended, err
}

// forget takes hosts out of whichever journal names them.
func (a *app) forget(hosts []string) error {
	state, err := a.stateDir()
	if err != nil {
		return err
	}
	for _, host := range hosts {
		var errs []error
		for _, journal := range []string{"journal", "journal-ucloud", "journal-import"} {
			errs = append(errs, provision.Forget(filepath.Join(state, journal), host))
		}
		if !slices.Contains(errs, nil) {
			return errs[0]
		}
	}
	return nil
}

// cleanHere ends guests of this machine.
func (a *app) cleanHere(ctx context.Context) ([]string, error) {
	state, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	journal := filepath.Join(state, "journal")
	left, err := provision.Leftovers(journal)
	if len(left) == 0 { // what cannot be read Clean tells, too
		return []string{}, err
	}
	cloud, err := local.New(local.Config{Base: "/", Work: filepath.Join(state, "guests"), Progress: a.progress()})
	if err != nil {
		return nil, err
	}
	return cleanTargets(ctx, journal, left, func(provision.Target) (provision.Cloud, error) { return cloud, nil })
}

// cleanClouds ends hosts in clouds, wherever the journal says that they are.
func (a *app) cleanClouds(ctx context.Context) ([]string, error) {
	journal, err := a.cloudJournal()
	if err != nil {
		return nil, err
	}
	left, err := provision.Leftovers(journal)
	if len(left) == 0 { // what cannot be read Clean tells, too
		return nil, err
	}
	_, vars, err := a.siteVars() // the keys: where the hosts are, the journal says
	if err != nil {
		return nil, err
	}
	keys := a.cloudKeys(vars)
	return cleanTargets(ctx, journal, left, func(t provision.Target) (provision.Cloud, error) { return a.ucloudAt(t, keys) })
}

func cleanTargets(ctx context.Context, journal string, left []provision.Leftover,
	cloud func(provision.Target) (provision.Cloud, error)) ([]string, error) {
	var targets []provision.Target
	for _, l := range left {
		if !slices.Contains(targets, l.Target) {
			targets = append(targets, l.Target)
		}
	}
	ended := []string{}
	var errs []error
	for _, t := range targets {
		c, err := cloud(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names, err := provision.Clean(ctx, c, journal, t)
		ended, errs = append(ended, names...), append(errs, err)
	}
	return ended, errors.Join(errs...)
}

// cleanOrphans lists hosts that look like ours, and ends them when the user says so.
func (a *app) cleanOrphans(ctx context.Context, o cleanOptions) ([]string, error) {
	target, keys, err := a.siteCloud()
	if err != nil {
		return nil, err
	}
	cloud, err := a.ucloud(target, keys, "")
	if err != nil {
		return nil, err
	}
	orphans, err := cloud.Orphans(ctx, o.olderThan)
	if err != nil {
		return nil, err
	}
	journal, err := a.cloudJournal()
	if err != nil {
		return nil, err
	}
	ours, err := provision.Hosts(journal) // of bakes that are at work
	if err != nil {
		return nil, err
	}
	orphans = slices.DeleteFunc(orphans, func(h ucloud.Orphan) bool { return slices.Contains(ours, h.Name) })
	if len(orphans) == 0 {
		return nil, nil
	}
	for _, h := range orphans {
		fmt.Fprintf(a.err, "%s  %s  %s  made %s\n", h.Name, h.ID, h.State, h.Created.Format(time.RFC3339))
	}
	if ok, err := a.confirm(fmt.Sprintf("end these %d hosts?", len(orphans)), o.yes); err != nil || !ok {
		return nil, err
	}
	return endOrphans(ctx, cloud, orphans)
}

// endOrphans leaves the images: whether a bake was done with one, only its own journal knows.
func endOrphans(ctx context.Context, cloud *ucloud.Cloud, orphans []ucloud.Orphan) ([]string, error) {
	var ended []string
	var errs []error
	for _, h := range orphans {
		if err := cloud.Terminate(ctx, h.Name); err != nil {
			errs = append(errs, err)
			continue
		}
		ended = append(ended, h.Name)
	}
	return ended, errors.Join(errs...)
}

// confirm asks on the terminal. Where nobody can answer, --yes must have.
func (a *app) confirm(question string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false, usagef("nobody is there to ask whether to %s give --yes", question)
	}
	a.close()
	fmt.Fprintf(a.err, "offbake: %s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))), nil
}
