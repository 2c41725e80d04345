package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/progress"
)

// PushOptions say what goes where.
type PushOptions struct {
	Store  Store
	Bundle *bundle.Bundle // accepted by Trust or Verify before
	// Trust says whether a bundle in the store is signed by somebody who counts, as bundle.Bundle's Trust does; a trusted
	// one that is newer refuses the push. nil asks nobody and allows a downgrade.
	Trust func(*bundle.Bundle) error
	Jobs  int // files sent at once; 0 is 8
	// DryRun sends nothing; the result says what would be sent.
	DryRun   bool
	Progress *progress.Reporter // nil is silent
}

// PushResult is what a push did.
type PushResult struct {
	URL      string // of the bundle in the store: STORE/NAME/VERSION
	Uploaded int    // files sent
	Skipped  int    // files that were there
	Bytes    int64  // of the files sent
}

// ConflictError says that another bundle has this name and version in the store. A pushed version never changes.
type ConflictError struct {
	URL       string
	Got, Want string // identities: sha256 of bundle.json, of the store's and of the one to push
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%q is another bundle: got identity %s, want %s", e.URL, e.Got, e.Want)
}

// Push puts a bundle at NAME/VERSION/ in the store. Only what the store lacks is sent; bundle.json goes last and is the
// commit: before it is there, no reader takes the rest for a bundle. An interrupted push is completed by the next one.
//
// Nothing keeps two pushes of different bundles with one name and version apart that run at the same time: the store has
// no conditional write. What results fails verification.
func Push(ctx context.Context, o PushOptions) (PushResult, error) {
	x := o.Bundle.Index()
	p := &push{o: o, dir: x.Name + "/" + x.Version + "/"}
	p.result.URL = o.Store.String() + "/" + x.Name + "/" + x.Version
	if err := p.run(ctx, x); err != nil {
		return PushResult{}, fmt.Errorf("pushing %q: %w", x.Name+"-"+x.Version, err)
	}
	return p.result, nil
}

type push struct {
	o      PushOptions
	dir    string
	have   map[string]Object // what the store has, by path in the bundle
	result PushResult
}

// pushFile is one file of the bundle, also one that its index does not list.
type pushFile struct {
	path   string
	size   int64
	sha256 string
}

func (p *push) run(ctx context.Context, x bundle.Index) error {
	there, err := p.checkConflict(ctx)
	if err != nil {
		return err
	}
	if !there { // what was committed once may be completed or confirmed at any time
		if err := p.checkDowngrade(ctx, x); err != nil {
			return err
		}
	}
	p.have = map[string]Object{}
	for o, err := range p.o.Store.List(ctx, p.dir) {
		if err != nil {
			return err
		}
		p.have[o.Key[len(p.dir):]] = o
	}
	var files []pushFile
	var total int64
	for _, f := range x.Files {
		files = append(files, pushFile{f.Path, f.Size, f.SHA256})
		total += f.Size
	}
	meta, err := p.metaFiles()
	if err != nil {
		return err
	}
	p.o.Progress.Expect(len(files)+len(meta), total)
	// The largest first, so that no single one is sent while all other connections idle.
	slices.SortStableFunc(files, func(a, b pushFile) int { return cmp.Compare(b.size, a.size) })
	lacking, err := p.lacking(ctx, append(files, meta...))
	if err != nil {
		return err
	}
	for _, f := range lacking {
		p.result.Bytes += f.size
	}
	p.result.Uploaded, p.result.Skipped = len(lacking), len(files)+len(meta)-len(lacking)
	if p.o.DryRun {
		return nil
	}
	return p.send(ctx, lacking)
}

// checkConflict says whether this bundle is committed in the store, and refuses where another is. It reads the store's own
// bundle.json: what its metadata says is not enough to call a version pushed.
func (p *push) checkConflict(ctx context.Context) (there bool, err error) {
	body, err := p.o.Store.Get(ctx, p.dir+bundle.IndexFile, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(body, bundle.MaxIndex+1)); err != nil {
		return false, err
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), p.o.Bundle.Identity(); got != want {
		return false, &ConflictError{URL: p.result.URL, Got: got, Want: want}
	}
	return true, nil
}

// metaFiles are the files that no index lists, in the order in which they are sent: the index last.
func (p *push) metaFiles() ([]pushFile, error) {
	names := append([]string{bundle.SumsFile}, slices.Sorted(maps.Keys(p.o.Bundle.Signatures()))...)
	var files []pushFile
	for _, name := range append(names, bundle.IndexFile) {
		data, err := p.o.Bundle.ReadFile(name, bundle.MaxIndex)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		files = append(files, pushFile{name, int64(len(data)), hex.EncodeToString(sum[:])})
	}
	return files, nil
}

// lacking drops the files that the store has. Order is kept.
func (p *push) lacking(ctx context.Context, files []pushFile) ([]pushFile, error) {
	there := make([]bool, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.jobs())
	for i, f := range files {
		g.Go(func() (err error) {
			if there[i], err = p.there(ctx, f); err != nil || !there[i] || p.o.DryRun {
				return err
			}
			if u, ok := p.o.Store.(*ufileStore); ok {
				return u.settle(ctx, p.dir+f.path)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var lacking []pushFile
	for i, f := range files {
		if !there[i] {
			lacking = append(lacking, f)
			continue
		}
		item := p.o.Progress.Start(f.path, f.size)
		item.Resume(f.size)
		item.Done("there already")
	}
	return lacking, nil
}

func (p *push) jobs() int {
	if p.o.Jobs > 0 {
		return p.o.Jobs
	}
	return defaultJobs
}

// there says whether the store has a file with these bytes. The sha256 that travels as metadata is the truth; where an
// object has none, somebody else put it, and its ETag tells.
func (p *push) there(ctx context.Context, f pushFile) (bool, error) {
	o, ok := p.have[f.path]
	if !ok || o.Size != f.size {
		return false, nil
	}
	if o.SHA256 == "" {
		var err error
		if o, err = p.o.Store.Head(ctx, p.dir+f.path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	if o.SHA256 != "" || o.ETag == "" {
		return o.SHA256 == f.sha256 && o.Size == f.size, nil
	}
	body, err := p.o.Bundle.Open(f.path)
	if err != nil {
		return false, err
	}
	defer body.Close()
	etag, n, err := ufile.ETagOf(body)
	return etag == o.ETag && n == o.Size, err
}

// send sends files side by side, but for what commits: each of those alone, in order, after all others.
func (p *push) send(ctx context.Context, files []pushFile) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.jobs())
	var last []pushFile
	for _, f := range files {
		if f.path == bundle.IndexFile || p.o.Bundle.Signatures()[f.path] != nil {
			last = append(last, f)
			continue
		}
		g.Go(func() error { return p.sendFile(gctx, f) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, f := range last {
		if err := p.sendFile(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *push) sendFile(ctx context.Context, f pushFile) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	item := p.o.Progress.Start(f.path, f.size)
	section, err := p.o.Bundle.OpenAt(f.path)
	if err == nil {
		defer section.Close()
		err = p.o.Store.Put(ctx, Upload{Key: p.dir + f.path, Body: &countedBody{section, item}, Size: f.size, SHA256: f.sha256})
	}
	switch {
	case err == nil:
		item.Done("sent")
	case ctx.Err() != nil:
		item.Fail(errors.New("stopped")) // for another file's error or the user's wish, which is told once
	default:
		item.Fail(err)
	}
	return err
}

// countedBody tells of the bytes that go out.
type countedBody struct {
	io.ReaderAt
	item *progress.Item
}

func (b *countedBody) ReadAt(p []byte, offset int64) (int, error) {
	n, err := b.ReaderAt.ReadAt(p, offset)
	b.item.Add(int64(n))
	return n, err
}
