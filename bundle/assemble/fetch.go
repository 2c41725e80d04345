package assemble

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
)

// FetchOptions say what to bundle and where to.
type FetchOptions struct {
	Manifest *manifest.Manifest // its text and local files go into the bundle
	Inputs   *manifest.Inputs
	Lock     *manifest.Lock
	Key      *sign.Key // nil makes an unsigned bundle
	Out      string    // file, or folder when it ends in a slash; "" means NAME-VERSION.tar
	Force    bool      // replace another bundle at Out
	Fetcher  *fetch.Fetcher
	Held     *Held              // of the Lock that made the lock, if it was in this process
	Progress *progress.Reporter // may be nil

	// Transactions tell what each image asks of yum or dnf, given the paths of the bundle's files. They are replayed on the
	// manifest's base before anything is signed, beside the one that the packages were locked for; nil is none.
	Transactions func(paths []string) ([]solve.Plan, error)
	// Rehearse, when set, tries what is about to be signed. Its error is Fetch's: nothing is signed or written then.
	Rehearse func(context.Context, Rehearsal) error
}

// FetchResult says what was made.
type FetchResult struct {
	Bundle     string // path
	Identity   string // sha256 of bundle.json
	KeyID      string // "" when unsigned
	Files      int    // in the index
	Bytes      int64  // of those files
	Downloaded int64  // bytes that came over the network
	Reused     int64  // bytes that were in the cache
}

// Fetch downloads what the lock pins, verifies everything again against the lock and the vendors' own signatures, and
// writes the bundle. One byte that differs from the lock fails it. Causes of errors are those of packages fetch, source,
// rpm and bundle, *HostileError, *StaleLockError and *ReplayError; whatever happens, nothing is left beside the cache.
func Fetch(ctx context.Context, o FetchOptions) (_ FetchResult, err error) {
	if err := CheckLock(o.Inputs, o.Lock); err != nil {
		return FetchResult{}, err
	}
	lock := *o.Lock
	lock.Rows = slices.SortedFunc(slices.Values(o.Lock.Rows), func(a, b manifest.Row) int { return strings.Compare(a.Path, b.Path) })
	o.Lock = &lock
	if o.Out == "" {
		o.Out = o.Lock.Name + "-" + o.Lock.Version + ".tar"
	}
	b := newBuilder(o)
	defer func() { err = errors.Join(err, b.close()) }()
	for _, step := range []func(context.Context) error{
		b.fetchRows, b.checkEvidence, b.addRows, b.addLocal, b.unpackReleases, b.addPackages, b.addMeta, b.replay, b.rehearse,
	} {
		if err := step(ctx); err != nil {
			return FetchResult{}, err
		}
	}
	// Keys were read again since the lock was compared with them.
	if err := CheckLock(o.Inputs, o.Lock); err != nil {
		return FetchResult{}, err
	}
	return b.write(ctx)
}

// write makes the index of all that was added, signs it and writes the bundle.
func (b *builder) write(ctx context.Context) (FetchResult, error) {
	lock := b.o.Lock
	out := bundle.Output{Contents: b.contents, Force: b.o.Force, Index: bundle.Index{
		Schema: bundle.Schema, Name: lock.Name, Version: lock.Version, Platform: lock.Platform,
		Created: b.created(), Inputs: lock.Inputs, Variables: lock.Variables, Files: b.sorted(),
	}}
	data, err := out.Index.Marshal()
	if err != nil {
		return FetchResult{}, err
	}
	res := FetchResult{
		Bundle: filepath.Clean(b.o.Out), Identity: bundle.Identity(data), Files: len(out.Index.Files),
		Downloaded: b.downloaded, Reused: b.reused,
	}
	for _, f := range out.Index.Files {
		res.Bytes += f.Size
	}
	if b.o.Key != nil {
		text, err := bundle.Sign(out.Index, b.o.Key)
		if err != nil {
			return FetchResult{}, err
		}
		out.Signatures = map[string][]byte{bundle.SignatureFile: text}
		res.KeyID = b.o.Key.ID()
	}
	write := bundle.WriteTar
	if strings.HasSuffix(b.o.Out, "/") {
		write = bundle.WriteDir
	}
	if err := write(ctx, res.Bundle, out); err != nil {
		return FetchResult{}, err
	}
	return res, nil
}
