package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/offbake/offbake/internal/progress"
)

// app holds the flags that all verbs share and what they make: the terminal, the HTTP client, the cache.
type app struct {
	console
	manifest string
	vars     []string
	varFiles []string
	jobs     int
	cacheDir string
	json     bool
	quiet    bool
	verbose  bool
	pubkeys  []string
	key      string
	reporter *progress.Reporter
	warned   map[string]bool
}

const exitStatus = `
EXIT STATUS
  0  done
  1  failed
  2  wrong usage or manifest
  3  verification failed: digest, signature or key
  4  a script tried to leave the sealed network, or offbake itself was kept from doing so
  130  interrupted`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "offbake",
		Short: "Bring what machine images need across an air gap, and bake them there",
		Long: `offbake reads one manifest.yaml. "offbake fetch" on a connected host downloads and checks every outside file
and writes one signed bundle; "offbake push" puts it in a store inside; "offbake bake --offline" makes the images
from nothing else.` + "\n" + exitStatus,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              usageArgs(cobra.NoArgs),
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.check() },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: false},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	f := root.PersistentFlags()
	f.StringVarP(&a.manifest, "file", "f", "", "manifest `FILE` (default manifest.yaml, or the bundle's own copy)")
	f.StringArrayVar(&a.vars, "var", nil, "set a variable, `NAME=VALUE`; wins over all files")
	f.StringArrayVar(&a.varFiles, "var-file", nil, "read variables from `FILE.json`, or IMAGE=FILE.json for one image")
	f.IntVar(&a.jobs, "jobs", 8, "how many files are worked on at once")
	f.StringVar(&a.cacheDir, "cache", "", "download cache `DIR` (default $OFFBAKE_CACHE or the user's cache folder)")
	f.BoolVar(&a.json, "json", false, "print the result as one JSON object")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no messages, only results and errors")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "tell every request and every line that scripts print")
	f.StringArrayVar(&a.pubkeys, "pubkey", nil, "public key `FILE` or text to trust; repeatable (default $OFFBAKE_PUBKEY)")
	f.StringVar(&a.key, "key", "", "secret key `FILE` to sign with (default $OFFBAKE_KEY)")
	root.AddCommand(a.lockCmd(), a.fetchCmd(), a.keygenCmd(), a.verifyCmd(), a.lsCmd(), a.diffCmd(), a.whyCmd(), a.extractCmd(),
		a.pushCmd(), a.serveCmd(), a.bakeCmd(), a.baseCmd(), a.cleanCmd(), a.sandboxCmd(), a.versionCmd())
	return root
}

// check refuses what the common flags alone show to be wrong.
func (a *app) check() error {
	if a.jobs < 1 {
		return usagef("--jobs %d: want 1 or more", a.jobs)
	}
	return nil
}

// usageArgs makes what a cobra argument check refuses a usage error, exit 2.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

// progress is the one reporter of this run; it starts with the first message.
func (a *app) progress() *progress.Reporter {
	if a.reporter == nil {
		f, isFile := a.err.(*os.File)
		a.reporter = progress.New(a.err, progress.Options{
			Quiet:    a.quiet,
			Terminal: isFile && term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb",
		})
	}
	return a.reporter
}

func (a *app) close() {
	if a.reporter != nil {
		a.reporter.Close()
		a.reporter = nil
	}
}

// warn tells each warning once, however often its cause is met.
func (a *app) warn(warnings []string) {
	if a.warned == nil {
		a.warned = map[string]bool{}
	}
	for _, w := range warnings {
		if !a.warned[w] {
			a.warned[w] = true
			a.progress().Line("warning: %s", w)
		}
	}
}

func (a *app) manifestPath() string {
	if a.manifest == "" {
		return "manifest.yaml"
	}
	return a.manifest
}

func (a *app) lockPath() string {
	return filepath.Join(filepath.Dir(a.manifestPath()), "manifest.lock")
}

// cachePath is where downloads are kept between runs.
func (a *app) cachePath() (string, error) {
	if a.cacheDir != "" {
		return a.cacheDir, nil
	}
	if dir := a.getenv("OFFBAKE_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return filepath.Join(dir, "offbake"), nil
}

// stateDir is where this machine remembers what a crash may have left: hosts and uploads.
func (a *app) stateDir() (string, error) {
	dir, err := a.cachePath()
	return filepath.Join(dir, "state"), err
}

// now is the time that goes into files, whole seconds; SOURCE_DATE_EPOCH is not read because the lock already fixes it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
