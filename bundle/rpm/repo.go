package rpm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Opener opens a file of a repository. href is relative to the repository's base and clean, as "repodata/repomd.xml".
// What the file has to be, Expected tells from ctx.
type Opener func(ctx context.Context, href string) (io.ReadCloser, error)

// Expectation is what repomd.xml says of a file as it is stored.
type Expectation struct {
	Digest Digest
	Size   int64 // bytes; -1 when repomd.xml does not tell
}

type expectedKey struct{}

// Expected tells an Opener what the file is that it is asked for, so that one with several mirrors, or with a cache, can
// tell the right one from another day's. ok is false for repomd.xml and its signature. Whatever the Opener makes of it,
// the file is checked as it is read.
func Expected(ctx context.Context) (e Expectation, ok bool) {
	e, ok = ctx.Value(expectedKey{}).(Expectation)
	return e, ok
}

func withExpected(ctx context.Context, rec record) context.Context {
	return context.WithValue(ctx, expectedKey{}, Expectation{Digest: rec.digest, Size: rec.size})
}

// RepoOptions say how a repository is read. The zero value serves.
type RepoOptions struct {
	ID       string // how errors and picks name the repository
	Priority int    // lower wins; 0 means 99, as for yum and dnf

	// Keys are those that must have signed repomd.xml, in repomd.xml.asc beside it; nil asks for no signature.
	Keys *Keyring

	MaxSize     int64 // bytes of one metadata file as stored; 0 means 512 MiB
	MaxOpenSize int64 // bytes of one metadata file uncompressed; 0 means 2 GiB
	MaxPackages int   // 0 means 1,000,000
}

// DefaultPriority is the priority of a repository that names none.
const DefaultPriority = 99

// Repo is what a repository offers.
type Repo struct {
	ID       string
	Priority int
	Packages []*Package // in the order of its metadata

	opts    RepoOptions // with defaults
	records map[string]record
}

const (
	repomdHref    = "repodata/repomd.xml"
	maxRepomdSize = 4 << 20
)

// LoadRepo reads repomd.xml and the primary metadata that it names. Sizes and digests, of the file as stored and
// uncompressed, are checked while it streams; a difference is a *MismatchError. Other files that repomd.xml names are
// not touched and may be absent. With RepoOptions.Keys, nothing of repomd.xml is looked at before its signature is good;
// the errors are those of Verify.
func LoadRepo(ctx context.Context, opts RepoOptions, open Opener) (*Repo, error) {
	repo, err := loadRepo(ctx, opts.withDefaults(), open)
	if err != nil {
		return nil, fmt.Errorf("loading repository %q: %w", opts.ID, err)
	}
	return repo, nil
}

func (o RepoOptions) withDefaults() RepoOptions {
	o.Priority = cmp.Or(o.Priority, DefaultPriority)
	o.MaxSize = cmp.Or(o.MaxSize, 512<<20)
	o.MaxOpenSize = cmp.Or(o.MaxOpenSize, 2<<30)
	o.MaxPackages = cmp.Or(o.MaxPackages, 1_000_000)
	return o
}

func loadRepo(ctx context.Context, opts RepoOptions, open Opener) (*Repo, error) {
	repo := &Repo{ID: opts.ID, Priority: opts.Priority, opts: opts}
	if err := repo.readRepomd(ctx, open); err != nil {
		return nil, err
	}
	err := repo.read(ctx, "primary", open, func(r io.Reader) error {
		return parsePrimary(r, repo.records["primary"].openSize, func(p *Package) error {
			if len(repo.Packages) >= opts.MaxPackages {
				return fmt.Errorf("got more than %d packages: %w", opts.MaxPackages, errTooLarge)
			}
			repo.Packages = append(repo.Packages, p)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	repo.Packages = slices.Clip(repo.Packages)
	return repo, nil
}

func (r *Repo) readRepomd(ctx context.Context, open Opener) error {
	body, err := open(ctx, repomdHref)
	if err != nil {
		return fmt.Errorf("reading %q: %w", repomdHref, err)
	}
	defer body.Close()
	text, err := readAll(body, expectation{name: repomdHref, size: -1, max: maxRepomdSize})
	if err != nil {
		return err
	}
	if r.opts.Keys != nil {
		if err := checkRepomd(ctx, text, r.opts.Keys, open); err != nil {
			return err
		}
	}
	if r.records, err = parseRepomd(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("reading %q: %w", repomdHref, err)
	}
	return nil
}

// readAll reads what the limits of want bound to something small.
func readAll(r io.Reader, want expectation) ([]byte, error) {
	checked, err := newCheckedReader(r, want)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(checked)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", want.name, err)
	}
	return data, nil
}

// errNoRecord says that repomd.xml names no file of a kind.
var errNoRecord = errors.New("not listed")

// read lets parse read the uncompressed form of the file of a kind that repomd.xml names. What parse was given counts
// only if read returns nil: the digests are known at the end.
func (r *Repo) read(ctx context.Context, kind string, open Opener, parse func(io.Reader) error) error {
	rec, ok := r.records[kind]
	if !ok {
		return fmt.Errorf("reading %q: no %s metadata: %w", repomdHref, kind, errNoRecord)
	}
	return readRecord(ctx, rec, r.opts, open, parse)
}

func readRecord(ctx context.Context, rec record, opts RepoOptions, open Opener, parse func(io.Reader) error) error {
	if rec.problem != nil {
		return fmt.Errorf("reading record %q of %q: %w", rec.kind, repomdHref, rec.problem)
	}
	body, err := open(withExpected(ctx, rec), rec.href)
	if err != nil {
		return fmt.Errorf("reading %q: %w", rec.href, err)
	}
	defer body.Close()
	stored, err := newCheckedReader(body, expectation{name: rec.href, size: rec.size, digest: rec.digest, max: opts.MaxSize})
	if err != nil {
		return err
	}
	if err := parseStored(stored, rec, opts, parse); err != nil {
		// An altered file fails in many ways; that it is altered is what the reader of the error needs to know.
		var mismatch *MismatchError
		if _, drained := io.Copy(io.Discard, stored); errors.As(drained, &mismatch) {
			return mismatch
		}
		return fmt.Errorf("reading %q: %w", rec.href, err)
	}
	return nil
}

func parseStored(stored io.Reader, rec record, opts RepoOptions, parse func(io.Reader) error) error {
	plain, err := decompress(stored)
	if err != nil {
		return err
	}
	defer plain.Close()
	want := expectation{name: rec.href + " uncompressed", size: rec.openSize, digest: rec.open, max: opts.MaxOpenSize}
	opened, err := newCheckedReader(plain, want)
	if err != nil {
		return err
	}
	if err := parse(opened); err != nil {
		return err
	}
	// A parser may stop before the end, and a decompressor before trailing bytes.
	if _, err := io.Copy(io.Discard, opened); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stored)
	return err
}
