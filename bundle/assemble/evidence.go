package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// checkEvidence verifies again, of the bytes at hand, what the lock says was verified: a lock is a file that anybody can
// edit, and so is the cache.
func (b *builder) checkEvidence(ctx context.Context) error {
	releases := source.Releases(b.o.Inputs)
	for i := range releases {
		b.keys[releases[i].Path] = releases[i].Key
		if err := b.checkRelease(&releases[i]); err != nil {
			return fmt.Errorf("verifying %q: %w", releases[i].Name, err)
		}
	}
	files := map[string]manifest.File{}
	for _, f := range b.o.Inputs.Artifacts.Files {
		files[path.Join(manifest.FilesDir, f.Path)] = f
	}
	for _, row := range b.o.Lock.Rows {
		if row.Kind != manifest.KindFile {
			continue
		}
		if err := checkFile(row, files[row.Path]); err != nil {
			return fmt.Errorf("verifying %q: %w", row.Name, err)
		}
	}
	return b.checkPackages(ctx)
}

// checkFile compares a row of a plain file with the manifest's own digest, where it has one.
func checkFile(row manifest.Row, f manifest.File) error {
	switch {
	case f.SHA256 != "" && f.SHA256 != row.SHA256:
		return &bundle.MismatchError{Path: row.Path, Got: row.SHA256, Want: f.SHA256}
	case (f.SHA256 == "") != (row.Verified == source.FirstUse):
		return &bundle.MismatchError{Path: row.Path, Got: "verified by " + row.Verified, Want: "as the manifest says"}
	}
	return nil
}

// checkRelease verifies a zip's sums and signature.
func (b *builder) checkRelease(rel *source.Release) error {
	row := b.rows[rel.Path]
	e := source.Evidence{}
	var err error
	if e.Keys, err = rel.ReadKeys(b.local, b.o.Lock); err != nil {
		return err
	}
	if e.Sums, err = b.bytes(rel.SumsPath()); err != nil {
		return err
	}
	if e.Signature, err = b.bytes(rel.SignaturePath()); err != nil {
		return err
	}
	digest, verified, err := rel.Check(e)
	if err != nil {
		return err
	}
	if digest != row.SHA256 {
		return &bundle.MismatchError{Path: row.Path, Got: row.SHA256, Want: digest}
	}
	if verified != row.Verified {
		return &bundle.MismatchError{Path: row.Path, Got: verified, Want: row.Verified}
	}
	return nil
}

// maxEvidence bounds what of a document is read into memory; a lock could name any file.
const maxEvidence = 4 << 20

// bytes reads a document of the evidence.
func (b *builder) bytes(name string) ([]byte, error) {
	blob := b.blobs[name]
	if blob == nil {
		return nil, fmt.Errorf("the lock has no row for %q", name)
	}
	if blob.Size > maxEvidence {
		return nil, fmt.Errorf("reading %q: got %d bytes, want at most %d", name, blob.Size, maxEvidence)
	}
	return io.ReadAll(io.NewSectionReader(blob.File, 0, blob.Size))
}

// checkPackages verifies the signatures of RPMs, and keeps their headers and the paths of their keys.
func (b *builder) checkPackages(ctx context.Context) error {
	var rows []manifest.Row
	for _, row := range b.o.Lock.Rows {
		if row.Kind == manifest.KindRPM {
			rows = append(rows, row)
		}
	}
	sources, err := b.repositories()
	if err != nil {
		return err
	}
	checked := make([]checkedPackage, len(rows))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers())
	for i, row := range rows {
		group.Go(func() (err error) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if checked[i], err = b.checkPackage(row, sources); err != nil {
				return fmt.Errorf("verifying %q: %w", row.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	repo := &rpm.Repo{ID: rpm.RepoID, Priority: rpm.DefaultPriority}
	for i, row := range rows {
		b.packages[row.Path] = checked[i]
		repo.Packages = append(repo.Packages, asPackage(row, checked[i].header))
	}
	return b.checkClosure(repo)
}

// checkClosure holds the packages to what the manifest asks for: with nothing else offered than they, a lock would have to
// be of them all. What profiles of modules listed only metadata tells, so where there is one, packages that nothing leads to
// pass for asked for.
func (b *builder) checkClosure(repo *rpm.Repo) error {
	base, err := source.Base(b.o.Inputs)
	if err != nil {
		return err
	}
	rpms := b.o.Inputs.Artifacts.RPMs
	pool := solve.NewPool(solve.PoolOptions{
		Repos: []*rpm.Repo{repo}, Installed: base, Arch: rpm.Arch(b.o.Inputs.Platform), Exclude: rpms.Exclude,
	})
	b.job = source.Job(b.o.Inputs)
	idle, err := idlePackages(pool, b.job, repo.Packages)
	if err == nil && len(idle) > 0 && slices.ContainsFunc(rpms.Modules, func(spec string) bool { return strings.Contains(spec, "/") }) {
		for _, p := range idle {
			b.job.Install = append(b.job.Install, p.Name)
		}
		idle, err = idlePackages(pool, b.job, repo.Packages)
	}
	var unsolved *solve.Error
	if errors.As(err, &unsolved) {
		return &StaleLockError{"its packages " + unsolved.Error()}
	}
	if err != nil || len(idle) == 0 {
		return err
	}
	names := make([]string, len(idle))
	for i, p := range idle {
		names[i] = p.NEVRA()
	}
	return &StaleLockError{"nothing asks for its packages " + strings.Join(names, ", ")}
}

// idlePackages are those of all that a lock of the job would leave out.
func idlePackages(pool *solve.Pool, job solve.Job, all []*rpm.Package) ([]*rpm.Package, error) {
	closure, err := pool.Lock(job)
	if err != nil {
		return nil, err
	}
	called := map[*rpm.Package]bool{}
	for _, item := range closure.Packages() {
		called[item.Package] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(p *rpm.Package) bool { return called[p] }), nil
}

// asPackage is what metadata would say of a package, as far as solving goes.
func asPackage(row manifest.Row, h *rpm.Header) *rpm.Package {
	p := &rpm.Package{
		Name: h.Name, EVR: h.EVR, Arch: h.Arch, Href: row.Path, Size: row.Size,
		Provides: h.Provides, Requires: h.Requires, Conflicts: h.Conflicts, Obsoletes: h.Obsoletes,
		Recommends: h.Recommends, Suggests: h.Suggests, Supplements: h.Supplements, Enhances: h.Enhances,
	}
	for _, f := range h.Files {
		p.Files = append(p.Files, f.Path)
	}
	return p
}

// checkedPackage is an RPM whose signature was found good.
type checkedPackage struct {
	header *rpm.Header
	key    string // local path of the key, "" for a repository without signatures
}

// repository is where packages come from, and who may sign them.
type repository struct {
	base string // URL, ends in a slash
	path string // local path of its key
	keys *rpm.Keyring
}

func (b *builder) repositories() ([]repository, error) {
	var all []repository
	for _, r := range b.o.Inputs.Artifacts.RPMs.Repos {
		keys, err := source.Keyring(b.local, r)
		if err != nil {
			return nil, err
		}
		all = append(all, repository{strings.TrimSuffix(r.BaseURL, "/") + "/", r.GPGKey, keys})
	}
	return all, nil
}

// checkPackage tries the repositories below which the package lies, or all where it lies below none (metadata may name
// another place), until one vouches for it as the lock says.
func (b *builder) checkPackage(row manifest.Row, sources []repository) (checkedPackage, error) {
	blob := b.blobs[row.Path]
	near := slices.DeleteFunc(slices.Clone(sources), func(r repository) bool { return !strings.HasPrefix(row.URL, r.base) })
	if len(near) > 0 {
		sources = near
	}
	err := error(&bundle.MismatchError{Path: row.Path, Got: "no repository to come from", Want: row.Verified})
	for _, r := range sources {
		var verified string
		if verified, err = source.CheckRPM(blob.File, row, source.Signers{Keys: r.keys, Unsigned: b.o.Inputs.Artifacts.RPMs.Unsigned}); err != nil {
			continue
		}
		if verified == row.Verified {
			h, err := rpm.ReadHeader(blob.File, blob.Size)
			return checkedPackage{h, r.path}, err
		}
		err = &bundle.MismatchError{Path: row.Path, Got: verified, Want: row.Verified}
	}
	return checkedPackage{}, err
}

// evidence lists the paths in the bundle of what vouches for a row: what the lock names, and keys that lie beside the
// manifest, which the lock pins by the digest of its inputs.
func (b *builder) evidence(row manifest.Row) []string {
	paths := slices.Clone(row.Evidence)
	if key := b.packages[row.Path].key; key != "" {
		paths = append(paths, key)
	}
	if key := b.keys[row.Path]; key != "" {
		paths = append(paths, key)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
