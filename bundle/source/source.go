// Package source says what an entry of the manifest means: which files it stands for, where they lie, which digest
// each has and what vouches for it. It asks vendors, checks their signatures and turns what it learns into the rows of a
// lock; with a lock in hand it checks the same evidence again without asking anybody.
//
// It derives nothing from the files, does not write bundles, and keeps no state but fetch's cache.
package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/manifest"
)

// Limits of documents that are read into memory, bytes.
const (
	maxSums      = 4 << 20
	maxSignature = 64 << 10
	maxMetadata  = 512 << 20 // of a repository; on disk
)

// Resolution is what the inputs stand for. The caller closes it.
type Resolution struct {
	Rows     []manifest.Row         // sorted by path
	Blobs    map[string]*fetch.Blob // what was fetched for the rows, by digest, held open
	Warnings []string               // one line each
}

// Close closes the blobs.
func (res *Resolution) Close() error {
	var errs []error
	for _, b := range res.Blobs {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// hold keeps blobs; of those with one digest, the one that came over the network.
func (res *Resolution) hold(blobs []*fetch.Blob) error {
	var errs []error
	for _, b := range blobs {
		old := res.Blobs[b.SHA256]
		if old != nil && b.Reused {
			old, b = b, old
		}
		errs = append(errs, old.Close())
		res.Blobs[b.SHA256] = b
	}
	return errors.Join(errs...)
}

// Resolve finds out what every entry of the inputs stands for; of RPMs, all that is needed to install them on the base.
// What vendors' metadata does not tell is downloaded into the cache: sizes, the signers of RPMs and digests at first use
// are known only then. An entry that fails stops no other; the error joins all failures in the manifest's order, each
// `locking "consul 1.6.1": cause`. Causes are those of package fetch, package rpm and package modulemd, *SignatureError,
// *UnsolvableError, which has several lines, and *manifest.Error.
func Resolve(ctx context.Context, f *fetch.Fetcher, in *manifest.Inputs) (*Resolution, error) {
	if n := len(in.Artifacts.Containers); n > 0 {
		return nil, manifestError("artifacts.containers", "containers are not supported by this version")
	}
	r := &resolver{fetcher: f, in: in, local: NewLocal(in.Dir)}
	jobs := r.releases()
	jobs = append(jobs, r.files()...)
	packages, repoJobs := r.repositories()
	results := r.run(ctx, append(jobs, repoJobs...))
	if !slices.ContainsFunc(results[len(jobs):], func(j result) bool { return j.err != nil }) {
		results = append(results, packages.resolve(ctx)...)
	}
	res := &Resolution{Warnings: in.Warnings(), Blobs: map[string]*fetch.Blob{}}
	var errs []error
	for _, j := range results {
		res.Rows = append(res.Rows, j.rows...)
		res.Warnings = append(res.Warnings, j.warnings...)
		errs = append(errs, j.err, res.hold(j.blobs))
	}
	err := errors.Join(errs...)
	if err == nil {
		err = res.sort()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, res.Close())
	}
	return res, nil
}

// resolver is one run of Resolve.
type resolver struct {
	fetcher *fetch.Fetcher
	in      *manifest.Inputs
	local   *Local
}

// job resolves one entry.
type job struct {
	name string
	run  func(ctx context.Context) (result, error)
}

type result struct {
	rows     []manifest.Row
	blobs    []*fetch.Blob
	warnings []string
	err      error

	name   string // of a package that was looked at for a signature
	signed bool   // it has one
}

// run does the jobs, several at once, and returns their results in the order of the jobs.
func (r *resolver) run(ctx context.Context, jobs []job) []result {
	results := make([]result, len(jobs))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(cmp.Or(r.fetcher.Jobs, 8), len(jobs)) {
		workers.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					results[i].err = context.Cause(ctx) // what was not tried is not there either
					continue
				}
				res, err := jobs[i].run(ctx)
				if err != nil {
					res.err = fmt.Errorf("locking %q: %w", jobs[i].name, err)
				}
				results[i] = res
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

// sort puts the rows in order, drops repetitions of one file (a key, a package that two specs name), and refuses two
// files at one path.
func (res *Resolution) sort() error {
	slices.SortStableFunc(res.Rows, func(a, b manifest.Row) int { return strings.Compare(a.Path, b.Path) })
	res.Rows = slices.CompactFunc(res.Rows, func(a, b manifest.Row) bool {
		return a.Path == b.Path && a.URL == b.URL && a.SHA256 == b.SHA256
	})
	seen := map[string]string{}
	var errs []error
	for _, row := range res.Rows {
		if what := manifest.CheckPath(row.Path); what != "" {
			errs = append(errs, manifestError("artifacts", fmt.Sprintf("%q at %q: %s", row.Name, row.Path, what)))
		}
		folded := manifest.FoldPath(row.Path)
		if first, taken := seen[folded]; taken {
			errs = append(errs, manifestError("artifacts", fmt.Sprintf("two artifacts at %q: %q and %q", row.Path, first, row.Name)))
		}
		seen[folded] = row.Name
	}
	return errors.Join(errs...)
}

// manifestError is what only its user can mend in a manifest, though its text alone did not show it.
func manifestError(field, what string) error {
	return &manifest.Error{File: "manifest", Field: field, What: what}
}

// document fetches a small file whose digest nobody tells, and returns its bytes and its row.
func (r *resolver) document(ctx context.Context, address string, limit int64) (document, error) {
	blob, err := r.fetcher.Fetch(ctx, fetch.Request{Name: path.Base(address), URLs: URLs(address, r.in.Mirrors), Size: -1, MaxSize: limit})
	if err != nil {
		return document{}, err
	}
	data, err := io.ReadAll(io.NewSectionReader(blob.File, 0, blob.Size))
	if err != nil {
		return document{}, errors.Join(fmt.Errorf("reading %q: %w", path.Base(address), err), blob.Close())
	}
	row := manifest.Row{Kind: manifest.KindEvidence, URL: address, Size: blob.Size, SHA256: blob.SHA256, Mode: "0644"}
	return document{data, blob, row}, nil
}

type document struct {
	data []byte
	blob *fetch.Blob
	row  manifest.Row
}

// files are the plain files.
func (r *resolver) files() []job {
	var jobs []job
	for _, f := range r.in.Artifacts.Files {
		jobs = append(jobs, job{f.Path, func(ctx context.Context) (result, error) { return r.file(ctx, f) }})
	}
	return jobs
}

func (r *resolver) file(ctx context.Context, f manifest.File) (result, error) {
	blob, err := r.fetcher.Fetch(ctx, fetch.Request{Name: f.Path, URLs: URLs(f.URL, r.in.Mirrors), SHA256: f.SHA256, Size: -1})
	if err != nil {
		return result{}, err
	}
	row := manifest.Row{
		Path: path.Join(manifest.FilesDir, f.Path), Kind: manifest.KindFile, Name: f.Path, URL: f.URL,
		Size: blob.Size, SHA256: blob.SHA256, Mode: f.Mode, Verified: "pinned",
	}
	res := result{blobs: []*fetch.Blob{blob}}
	if f.SHA256 == "" {
		row.Verified = FirstUse
		res.warnings = []string{fmt.Sprintf("file %q is taken at first use; to pin it, give it sha256: %s", f.Path, blob.SHA256)}
	}
	res.rows = []manifest.Row{row}
	return res, nil
}

// FirstUse is how a row of a lock says that nothing but the lock vouches for a file.
const FirstUse = "first-use"

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
