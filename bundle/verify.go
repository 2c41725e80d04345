package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/bundle/sign"
)

// VerifyOptions says what Verify accepts and how it works.
type VerifyOptions struct {
	Keys          []sign.Public
	AllowUnsigned bool // see Trust
	Jobs          int  // files read at once; GOMAXPROCS when not positive
	// Progress, if set, is told of bytes that were hashed, from several goroutines.
	Progress func(bytes int64)
}

// Report is what Verify found.
type Report struct {
	Name, Version string
	Identity      string
	KeyIDs        []string // of the trusted keys that signed; empty for an unsigned bundle
	Files         int      // of the index
	Bytes         int64    // of those files
}

// Trust checks the signatures over the index and unlocks Open, ReadFile and Extract, which check each file against
// the index as they read it. It returns the IDs of the trusted keys that signed, sorted.
//
// One good signature by one of keys suffices; those of other keys cannot be judged and are passed over. A bad
// signature in the name of a trusted key is refused whatever else there is. allowUnsigned also takes a bundle that
// no key of keys signed: for trials, since it makes the rest of this package check for accidents only.
func (b *Bundle) Trust(keys []sign.Public, allowUnsigned bool) ([]string, error) {
	var ids []string
	unknown := sign.ErrUntrusted
	if len(b.sigs) == 0 {
		unknown = ErrUnsigned
	}
	for _, name := range slices.Sorted(maps.Keys(b.sigs)) {
		id, err := sign.Verify(b.raw, b.sigs[name], TrustedComment(b.index), keys)
		switch {
		case err == nil:
			ids = append(ids, id)
		case errors.Is(err, sign.ErrUntrusted):
			unknown = err
		default:
			return nil, fmt.Errorf("checking signature %q: %w", name, err)
		}
	}
	if len(ids) == 0 && !allowUnsigned {
		return nil, fmt.Errorf("checking the signatures of %q: %w", IndexFile, unknown)
	}
	slices.Sort(ids)
	b.trusted.Store(true)
	return ids, nil
}

// Verify does what Trust does and then reads every file and compares it with the index. It stops at the first fault.
func (b *Bundle) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	ids, err := b.Trust(o.Keys, o.AllowUnsigned)
	if err != nil {
		return Report{}, err
	}
	r := Report{Name: b.index.Name, Version: b.index.Version, Identity: b.Identity(), KeyIDs: ids, Files: len(b.index.Files)}
	if r.Bytes, err = b.hashAll(ctx, o.Jobs, o.Progress); err != nil {
		return Report{}, err
	}
	b.verified.Store(true)
	return r, nil
}

// hashAll compares all files with the index, jobs at a time.
func (b *Bundle) hashAll(ctx context.Context, jobs int, progress func(int64)) (int64, error) {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	if progress == nil {
		progress = func(int64) {}
	}
	g, running := errgroup.WithContext(ctx)
	work := make(chan File)
	for range min(jobs, len(b.index.Files)) {
		g.Go(func() error {
			buf := make([]byte, bufferSize)
			for f := range work {
				if err := b.hashFile(running, f, buf, progress); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var total int64
feed:
	for _, f := range b.index.Files {
		select {
		case work <- f:
			total += f.Size
		case <-running.Done():
			break feed
		}
	}
	close(work)
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return total, context.Cause(ctx)
}

// bufferSize is how much is read at once where a whole file is hashed.
const bufferSize = 1 << 20

func (b *Bundle) hashFile(ctx context.Context, f File, buf []byte, progress func(int64)) (err error) {
	c, err := b.openChecked(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := c.Read(buf)
		progress(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
