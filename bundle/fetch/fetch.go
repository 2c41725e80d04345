// Package fetch brings bytes in: it turns URLs into verified blobs in a cache that is named by digests.
//
// It guarantees that a blob has the digest asked for, hashed by this process from the bytes it then holds open; that an
// interrupted download, also by kill -9, goes on where it stopped without asking for a byte that is on disk; and that a
// wrong byte is never in the cache. It does not know what the files mean; package source does.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/internal/transport"
)

const (
	defaultJobs  = 8
	defaultTries = 4
)

// Request is one file to get.
type Request struct {
	Name    string   // for people
	URLs    []string // http, https or file; tried in this order, all hold the same file
	SHA256  string   // lower-case hex; "" to learn it, then nothing cached counts
	Size    int64    // bytes; -1 if unknown
	MaxSize int64    // bytes that are not exceeded where Size is unknown; 0 for any
}

// Blob is a file in the cache, held open. Its content was hashed by this process through the same inode that File
// reads, so what was checked is what is used. The caller closes it, and writes nothing to it.
type Blob struct {
	SHA256     string
	Size       int64
	File       *os.File // read-only, at offset 0; File.Name is its path in the cache
	Reused     bool     // it was in the cache
	Downloaded int64    // bytes that came over the network in this run
	URL        string   // where it came from, redacted; "" if Reused
}

// Close closes the blob's file. A nil *Blob may be closed.
func (b *Blob) Close() error {
	if b == nil {
		return nil
	}
	return b.File.Close()
}

// again opens the same inode once more, with an offset of its own.
func (b *Blob) again() (*Blob, error) {
	f, err := reopen(b.File, b.File.Name())
	if err != nil {
		return nil, err
	}
	return &Blob{SHA256: b.SHA256, Size: b.Size, File: f, Reused: true}, nil
}

// MismatchError says that a file is not what it should be. Got and Want are digests ("sha256:…") or sizes ("12 bytes").
type MismatchError struct {
	Name string
	URL  string // redacted
	Got  string
	Want string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s: got %s, want %s", e.URL, e.Got, e.Want)
}

// Fetcher gets files. Its fields are set before its first use; its methods may be called concurrently.
type Fetcher struct {
	Cache    *Cache
	Client   *http.Client       // nil means one with Tries, Stall and the defaults of package transport
	Jobs     int                // files at once in All; 0 means 8
	Tries    int                // how often a file fails without progress before it is given up; 0 means 4
	Backoff  time.Duration      // the wait after the first failure, doubled with each; 0 means 500 ms
	Stall    time.Duration      // used where Client is nil
	Progress *progress.Reporter // may be nil

	once   sync.Once
	client *http.Client
}

// Fetch returns the blob that r asks for, from the cache or the network. Errors are one line and name r; among their
// causes are *MismatchError, *transport.StatusError, *transport.StalledError and transport.ErrBlocked.
func (f *Fetcher) Fetch(ctx context.Context, r Request) (*Blob, error) {
	item := f.Progress.Start(r.Name, r.Size)
	b, err := f.fetch(ctx, r, item)
	if err != nil {
		if ctx.Err() == nil {
			item.Fail(err)
		}
		item.Drop()
		return nil, fmt.Errorf("fetching %q: %w", r.Name, err)
	}
	if b.Reused {
		item.Resume(b.Size)
		item.Done("reused")
	} else {
		item.Done("fetched")
	}
	return b, nil
}

// All fetches every request, several at once, and returns their blobs in the order of the requests. A digest that is
// asked for twice is fetched once. A request that fails stops no other: the error joins all failures in the order of
// the requests, and what was fetched stays in the cache for the next run.
func (f *Fetcher) All(ctx context.Context, requests []Request) ([]*Blob, error) {
	if err := checkDescriptors(len(requests)); err != nil {
		return nil, err
	}
	blobs, errs := make([]*Blob, len(requests)), make([]error, len(requests))
	first, order := plan(requests)
	f.expect(requests, order)
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range min(cmp.Or(f.Jobs, defaultJobs), len(order)) {
		wg.Go(func() {
			for i := range jobs {
				if errs[i] = context.Cause(ctx); errs[i] == nil {
					blobs[i], errs[i] = f.Fetch(ctx, requests[i])
				}
			}
		})
	}
	for _, i := range order {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	for i, r := range requests {
		if j := first[i]; j != i && errs[j] == nil {
			if blobs[i], errs[i] = blobs[j].again(); errs[i] != nil {
				errs[i] = fmt.Errorf("fetching %q: %w", r.Name, errs[i])
			}
		}
	}
	err := errors.Join(errs...)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		for _, b := range blobs {
			b.Close() // read-only
		}
		return nil, err
	}
	return blobs, nil
}

// checkDescriptors fails before anything is downloaded when n blobs cannot be held open at once.
func checkDescriptors(n int) error {
	const others = 64 // connections, files in work, and what the process has open already
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if want := uint64(n) + others; limit.Cur < want {
		return fmt.Errorf("holding %d files open: got a limit of %d, want %d (ulimit -n)", n, limit.Cur, want)
	}
	return nil
}

// plan returns for each request the first one with the same digest, and those first ones in the order of their work:
// large files first, so that none of them runs alone at the end.
func plan(requests []Request) (first, order []int) {
	first = make([]int, len(requests))
	seen := make(map[string]int, len(requests))
	for i, r := range requests {
		first[i] = i
		if r.SHA256 != "" {
			if j, ok := seen[r.SHA256]; ok {
				first[i] = j
				continue
			}
			seen[r.SHA256] = i
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(requests[b].Size, requests[a].Size) })
	return first, order
}

func (f *Fetcher) expect(requests []Request, order []int) {
	var size int64
	for _, i := range order {
		size += max(requests[i].Size, 0)
	}
	f.Progress.Expect(len(order), size)
}

func (f *Fetcher) fetch(ctx context.Context, r Request, item *progress.Item) (*Blob, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	b, err := f.cached(ctx, r)
	if b != nil || err != nil {
		return b, err
	}
	var local error
	remote := make([]*url.URL, 0, len(r.URLs))
	for _, raw := range r.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("invalid URL: %w", err)
		}
		switch u.Scheme {
		case "http", "https":
			remote = append(remote, u)
			continue
		case "file":
		default:
			return nil, fmt.Errorf("%s: unsupported scheme %q", transport.Redact(raw), u.Scheme)
		}
		if b, err := f.Cache.putFile(ctx, u, r); err == nil {
			return b, nil
		} else {
			local = both(local, err)
		}
	}
	if len(remote) == 0 {
		return nil, local
	}
	if b, err = f.download(ctx, r, remote, item); err != nil {
		return nil, both(local, err)
	}
	return b, nil
}

// cached returns the cached blob, or nil where there is none.
func (f *Fetcher) cached(ctx context.Context, r Request) (*Blob, error) {
	if r.SHA256 == "" {
		return nil, nil
	}
	b, err := f.Cache.Lookup(ctx, r.SHA256)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.Size >= 0 && b.Size != r.Size {
		return nil, errors.Join(r.wrongSize(r.URLs[0], fmt.Sprintf("%d bytes", b.Size)), b.Close())
	}
	return b, nil
}

// download gets r over the network into a partial and keeps it.
func (f *Fetcher) download(ctx context.Context, r Request, urls []*url.URL, item *progress.Item) (*Blob, error) {
	p, err := f.Cache.openPartial(ctx, r, func() {
		f.Progress.Line("%s: waiting for another offbake that is downloading it", r.Name)
	})
	if err != nil {
		return nil, err
	}
	// Another process may have put it in place between our look and our lock.
	if b, err := f.cached(ctx, r); b != nil || err != nil {
		p.close() // it holds nothing
		return b, err
	}
	d := &download{fetcher: f, req: r, part: p, item: item}
	if err := d.run(ctx, urls); err != nil {
		return nil, errors.Join(err, p.close())
	}
	b, err := f.Cache.keep(p.File, d.digest(), d.offset)
	if err != nil {
		return nil, err
	}
	// Only now: a process killed before the rename must find the origin of what it has.
	if err := p.removeOrigin(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.Downloaded, b.URL = d.received, transport.Redact(d.mirrors.now().raw)
	return b, nil
}

func (f *Fetcher) httpClient() *http.Client {
	f.once.Do(func() {
		f.client = f.Client
		if f.client == nil {
			f.client = transport.New(transport.Options{Tries: f.Tries, Stall: f.Stall})
		}
	})
	return f.client
}

func (r Request) check() error {
	if len(r.URLs) == 0 {
		return errors.New("no URL")
	}
	if r.SHA256 != "" {
		return checkDigest(r.SHA256)
	}
	return nil
}

func (r Request) wrongSize(rawURL, got string) *MismatchError {
	return &MismatchError{Name: r.Name, URL: transport.Redact(rawURL), Got: got, Want: fmt.Sprintf("%d bytes", r.Size)}
}

func (r Request) wrongDigest(rawURL, got string) *MismatchError {
	return &MismatchError{
		Name: r.Name, URL: transport.Redact(rawURL), Got: "sha256:" + got, Want: "sha256:" + r.SHA256,
	}
}

// both joins two errors, either of which may be nil, on one line.
func both(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}
