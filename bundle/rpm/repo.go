package rpm

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Opener opens a file of a repository. href is relative to the repository's base and clean, as "repodata/repomd.xml".
type Opener func(ctx context.Context, href string) (io.ReadCloser, error)

// RepoOptions say how a repository is read. The zero value serves.
type RepoOptions struct {
	ID       string // how errors and picks name the repository
	Priority int    // lower wins; 0 means 99, as for yum and dnf

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

	records map[string]record
}

const (
	repomdHref    = "repodata/repomd.xml"
	maxRepomdSize = 4 << 20
)

// LoadRepo reads repomd.xml and the primary metadata that it names. Sizes and digests, of the file as stored and
// uncompressed, are checked while it streams; a difference is a *MismatchError. Other files that repomd.xml names are
// not touched and may be absent.
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
	repo := &Repo{ID: opts.ID, Priority: opts.Priority}
	if err := repo.readRepomd(ctx, open); err != nil {
		return nil, err
	}
	primary, ok := repo.records["primary"]
	if !ok {
		return nil, fmt.Errorf("reading %q: no primary metadata", repomdHref)
	}
	err := readRecord(ctx, primary, opts, open, func(r io.Reader) error {
		return parsePrimary(r, func(p *Package) error {
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
	return repo, nil
}

func (r *Repo) readRepomd(ctx context.Context, open Opener) error {
	body, err := open(ctx, repomdHref)
	if err != nil {
		return fmt.Errorf("reading %q: %w", repomdHref, err)
	}
	defer body.Close()
	checked, err := newCheckedReader(body, expectation{name: repomdHref, size: -1, max: maxRepomdSize})
	if err != nil {
		return err
	}
	if r.records, err = parseRepomd(checked); err != nil {
		return fmt.Errorf("reading %q: %w", repomdHref, err)
	}
	return nil
}

// readRecord lets parse read the uncompressed form of a metadata file. What parse was given counts only if readRecord
// returns nil: the digests are known at the end.
func readRecord(ctx context.Context, rec record, opts RepoOptions, open Opener, parse func(io.Reader) error) error {
	if rec.problem != nil {
		return fmt.Errorf("reading record %q of %q: %w", rec.kind, repomdHref, rec.problem)
	}
	body, err := open(ctx, rec.href)
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

// maxWindow bounds the memory that a compressed stream may ask for.
const maxWindow = 128 << 20

// decompress undoes gzip, xz, zstd or bzip2, told apart by their first bytes; anything else passes as it is.
func decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		x, err := xz.NewReader(buffered, maxWindow)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(buffered)), nil
	}
	return io.NopCloser(buffered), nil
}
