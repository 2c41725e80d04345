package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// netFlags are the flags of the verbs that talk to vendors.
type netFlags struct {
	stall time.Duration
}

func (n *netFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&n.stall, "stall", 30*time.Second, "give a server up that sends no byte for `TIME`")
}

// fetchJob is what lock and fetch share: the expanded inputs, and the way to the network and the cache.
type fetchJob struct {
	app      *app
	manifest *manifest.Manifest
	vars     *manifest.Vars
	inputs   *manifest.Inputs
	lockPath string
	fetcher  *fetch.Fetcher
}

func (a *app) fetchJob(net *netFlags) (*fetchJob, error) {
	if net.stall <= 0 {
		return nil, usagef("--stall %v: want a time, such as 30s", net.stall)
	}
	m, err := manifest.Load(a.manifestPath())
	if err != nil {
		return nil, &usageError{err}
	}
	if err := m.CheckFiles(); err != nil {
		return nil, err
	}
	vars, err := a.variables(m, nil)
	if err != nil {
		return nil, err
	}
	inputs, err := m.Inputs(vars)
	if err != nil {
		return nil, err
	}
	needs, err := provision.ManifestNeeds(m, vars)
	if err != nil {
		return nil, err
	}
	if err := inputs.Check(needs); err != nil {
		return nil, err
	}
	dir, err := a.cachePath()
	if err != nil {
		return nil, err
	}
	cache, err := fetch.OpenCache(dir)
	if err != nil {
		return nil, err
	}
	client := transport.New(transport.Options{Stall: net.stall, Trace: a.trace(), UserAgent: "offbake/" + buildVersion()})
	return &fetchJob{app: a, manifest: m, vars: vars, inputs: inputs, lockPath: a.lockPath(), fetcher: &fetch.Fetcher{Cache: cache,
		Client: client, Jobs: a.jobs, Progress: a.progress()}}, nil
}

func (j *fetchJob) close() { j.fetcher.Client.CloseIdleConnections() }

// variables reads defaults, environment, files and flags, and passes on what was odd about them.
func (a *app) variables(m *manifest.Manifest, recorded map[string]string) (*manifest.Vars, error) {
	vars, warnings, err := m.Vars(manifest.VarOptions{Recorded: recorded, Files: a.varFiles, Set: a.vars, Getenv: a.getenv})
	if err != nil {
		return nil, &usageError{err}
	}
	a.warn(warnings)
	return vars, nil
}

// trace is where requests are told with -v; nil otherwise.
func (a *app) trace() io.Writer {
	if !a.verbose {
		return nil
	}
	return a.err
}
