package assemble

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
)

// LockOptions say what to lock.
type LockOptions struct {
	Inputs   *manifest.Inputs
	Old      *manifest.Lock // nil for none
	Fetcher  *fetch.Fetcher
	Now      time.Time          // goes into a lock that differs from the old one
	Progress *progress.Reporter // may be nil
}

// LockResult is a new lock and how it came about. The caller closes Held, or gives it to Fetch and closes it then.
type LockResult struct {
	Lock     *manifest.Lock
	Changes  manifest.Changes
	Warnings []string // one line each
	Held     *Held
}

// Held is what locking downloaded, held open so that a Fetch in the same process need not read it again.
type Held struct{ resolution *source.Resolution }

// Close lets go of the files. They stay in the cache. A nil *Held may be closed.
func (h *Held) Close() error {
	if h == nil {
		return nil
	}
	return h.resolution.Close()
}

func (h *Held) blob(digest string) *fetch.Blob {
	if h == nil {
		return nil
	}
	return h.resolution.Blobs[digest]
}

// Lock resolves the inputs and pins every file. The old lock gives its time to the new one as long as no row differs,
// and decides nothing else. Errors are those of source.Resolve: all failures, not only the first.
func Lock(ctx context.Context, o LockOptions) (*LockResult, error) {
	digest, err := o.Inputs.Digest()
	if err != nil {
		return nil, err
	}
	// Zip, sums and signature of each release; how many RPMs there are is not known yet.
	o.Progress.Expect(3*len(source.Releases(o.Inputs))+len(o.Inputs.Artifacts.Files), 0)
	res, err := source.Resolve(ctx, o.Fetcher, o.Inputs)
	if err != nil {
		return nil, err
	}
	lock := &manifest.Lock{
		Schema: manifest.LockSchema, Name: o.Inputs.Name, Version: o.Inputs.Version, Platform: o.Inputs.Platform,
		Created: o.Now.UTC().Truncate(time.Second), Inputs: digest, Variables: o.Inputs.Variables, Rows: res.Rows,
	}
	if err := checkClashes(lock.Rows); err != nil {
		return nil, errors.Join(err, res.Close())
	}
	changes := lock.Diff(o.Old)
	if o.Old != nil && changes.Empty() {
		lock.Created = o.Old.Created
	}
	return &LockResult{
		Lock: lock, Changes: changes, Warnings: append(res.Warnings, movedFiles(o.Old, lock)...), Held: &Held{res},
	}, nil
}

// movedFiles warns of files that nothing but the old lock vouched for, and that are others now.
func movedFiles(old, lock *manifest.Lock) []string {
	if old == nil {
		return nil
	}
	before := map[string]manifest.Row{}
	for _, row := range old.Rows {
		before[row.Path] = row
	}
	var warnings []string
	for _, row := range lock.Rows {
		was, known := before[row.Path]
		if known && row.Verified == source.FirstUse && was.URL == row.URL && was.SHA256 != row.SHA256 {
			warnings = append(warnings, fmt.Sprintf("%q changed upstream since the last lock: got sha256 %s, had %s", row.Name, row.SHA256, was.SHA256))
		}
	}
	return warnings
}

// flatPath is where a package lies on the flat file server too, "" for most: Docker's own are also asked for by URL, as
// DOCKER_RPM and DOCKER_CLI_RPM of the recipes.
func flatPath(row manifest.Row) string {
	if row.Kind == manifest.KindRPM && (strings.HasPrefix(row.Name, "docker-ce-") || strings.HasPrefix(row.Name, "containerd.io-")) {
		return path.Join(manifest.FilesDir, path.Base(row.Path))
	}
	return ""
}

// checkClashes finds paths of copies that another artifact has. The manifest and source.Resolve have seen all others.
func checkClashes(rows []manifest.Row) error {
	taken := map[string]string{}
	for _, row := range rows {
		taken[manifest.FoldPath(row.Path)] = row.Name
	}
	var errs []error
	for _, row := range rows {
		flat := flatPath(row)
		if first, clash := taken[manifest.FoldPath(flat)]; flat != "" && clash {
			errs = append(errs, &manifest.Error{File: "manifest", Field: "artifacts", What: fmt.Sprintf("two artifacts at %q: %q and %q", flat, first, row.Name)})
		}
	}
	return errors.Join(errs...)
}
