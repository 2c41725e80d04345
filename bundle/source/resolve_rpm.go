package source

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// repositories returns jobs that load the repositories, and what they fill.
func (r *resolver) repositories() (*packages, []job) {
	p := &packages{resolver: r}
	var jobs []job
	for _, entry := range r.in.Artifacts.RPMs.Repos {
		repo := &repository{resolver: r, entry: entry, tried: map[int]bool{}}
		p.repos = append(p.repos, repo)
		jobs = append(jobs, job{"repository " + entry.ID, func(ctx context.Context) (result, error) {
			return result{}, repo.load(ctx)
		}})
	}
	return p, jobs
}

// packages is the state between the two steps of resolving RPMs: repositories first, then the packages in them.
type packages struct {
	*resolver
	repos []*repository
}

// choice is a package that the lock is to hold.
type choice struct {
	pkg  *rpm.Package
	repo *repository
	row  manifest.Row // as metadata has it
}

// resolve finds out which packages there must be and makes a result for each. Where packages that a mirror lists cannot
// be had anywhere, the mirror is in the middle of a change: the repository is read from the next place.
func (p *packages) resolve(ctx context.Context) []result {
	for {
		choices, more, err := p.choose(ctx)
		if errors.Is(err, errReadAnew) {
			continue
		}
		if err != nil {
			return []result{{err: fmt.Errorf("locking %q: %w", "rpms", err)}}
		}
		var jobs []job
		downloads, size := 0, int64(0)
		for _, c := range choices {
			jobs = append(jobs, job{c.pkg.NEVRA(), func(ctx context.Context) (result, error) { return c.resolve(ctx) }})
			if !c.known() {
				downloads++
				size += max(c.pkg.Size, 0)
			}
		}
		p.fetcher.Progress.Expect(downloads, size)
		results := p.run(ctx, jobs)
		if !p.another(ctx, choices, results) {
			return append(results, result{warnings: append(more, p.unsigned(results)...)})
		}
		for _, r := range results {
			for _, b := range r.blobs {
				b.Close() // read only
			}
		}
	}
}

// another reads those repositories anew that packages were missing of. It reports whether there is a new one.
func (p *packages) another(ctx context.Context, choices []choice, results []result) bool {
	failed := map[*repository]error{}
	for i, c := range choices {
		if err := results[i].err; err != nil && ctx.Err() == nil {
			failed[c.repo] = err
		}
	}
	changed := false
	for _, repo := range p.repos {
		if failed[repo] != nil && repo.another(ctx) {
			p.fetcher.Progress.Line("repository %s: %v; took its list from another place", repo.entry.ID, failed[repo])
			changed = true
		}
	}
	return changed
}

// unsigned warns of names in rpms.unsigned that nothing calls for: an exception that nobody needs is a hole.
func (p *packages) unsigned(results []result) []string {
	signed, absent := map[string]bool{}, map[string]bool{}
	for _, name := range p.in.Artifacts.RPMs.Unsigned {
		absent[name] = true
	}
	for _, r := range results {
		if r.name != "" && absent[r.name] {
			delete(absent, r.name)
			signed[r.name] = r.signed
		}
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		warnings = append(warnings, fmt.Sprintf("rpms.unsigned names %q, which is not among the packages", name))
	}
	for _, name := range slices.Sorted(maps.Keys(signed)) {
		if signed[name] {
			warnings = append(warnings, fmt.Sprintf("rpms.unsigned names %q, which is signed", name))
		}
	}
	return warnings
}

// known reports whether metadata leaves nothing to learn of the package.
func (c choice) known() bool {
	return c.repo.keys == nil && c.pkg.Checksum.Type == "sha256" && c.pkg.Size > 0
}

// choose makes the choice of a package of r. Where it may not lie, here or there, nothing needs to be downloaded to know it.
func (r *repository) choose(pkg *rpm.Package) (choice, error) {
	name, err := packagePath(pkg)
	if err != nil {
		return choice{}, fmt.Errorf("repository %q: %w", r.entry.ID, err)
	}
	address, err := packageURL(r.entry, pkg)
	if err != nil {
		return choice{}, err
	}
	return choice{pkg, r, manifest.Row{
		Path: name, Kind: manifest.KindRPM, Name: pkg.NEVRA(), URL: address,
		Size: pkg.Size, SHA256: pkg.Checksum.Hex, Mode: "0644", Verified: FirstUse,
	}}, nil
}

// packagePath is where a package lies in a bundle: under its own name, whatever its repository calls the file, so that no
// two packages meet there. What neither a bundle nor the URL of a file server takes as it is, is an error.
func packagePath(pkg *rpm.Package) (string, error) {
	file := fmt.Sprintf("%s-%s-%s.%s.rpm", pkg.Name, pkg.EVR.Version, pkg.EVR.Release, pkg.Arch)
	what := ""
	if strings.ContainsAny(file, "/%:?#") {
		what = "want a name, a version, a release and an architecture without / % : ? and #"
	}
	if what = cmp.Or(what, manifest.CheckPath("rpms/Packages/"+file)); what != "" {
		return "", fmt.Errorf("package %q cannot lie in a bundle as %q: %s", pkg.NEVRA(), file, what)
	}
	return "rpms/Packages/" + file, nil
}

func (c choice) resolve(ctx context.Context) (result, error) {
	row := c.row
	if c.known() {
		return result{rows: []manifest.Row{row}}, nil
	}
	req := fetch.Request{Name: path.Base(row.Path), URLs: c.repo.near(URLs(row.URL, c.repo.in.Mirrors)), Size: c.pkg.Size}
	if c.pkg.Size <= 0 {
		req.Size = -1 // metadata without a size
	}
	if c.pkg.Checksum.Type == "sha256" {
		req.SHA256 = c.pkg.Checksum.Hex
	}
	blob, err := c.repo.fetcher.Fetch(ctx, req)
	if err != nil {
		return result{}, err
	}
	res := result{blobs: []*fetch.Blob{blob}}
	if err := checkDigest(blob, path.Base(row.Path), c.pkg.Checksum); err != nil {
		return res, err
	}
	row.Size, row.SHA256 = blob.Size, blob.SHA256
	signers := Signers{c.repo.keys, c.repo.in.Artifacts.RPMs.Unsigned}
	if row.Verified, err = CheckRPM(blob.File, row, signers); err != nil {
		return res, err
	}
	res.rows, res.name, res.signed = []manifest.Row{row}, c.pkg.Name, row.Verified != FirstUse
	if !res.signed && c.repo.keys != nil {
		res.warnings = []string{fmt.Sprintf("package %q has no signature; rpms.unsigned lets it pass at first use", row.Name)}
	}
	return res, nil
}

// Signers say whose packages are taken.
type Signers struct {
	Keys     *rpm.Keyring // nil for those of anybody, as where the manifest says not to check
	Unsigned []string     // names of packages that may have no signature; one that is there must be good
}

// CheckRPM verifies that the package in r is the one that the row names and that a signer's key signed it, and returns
// how a lock says so: "rpm-pgp KEYID". Where no signature is asked for, it is "first-use". A signature that does not hold
// is a *SignatureError.
func CheckRPM(r io.ReaderAt, row manifest.Row, s Signers) (verified string, err error) {
	verified = FirstUse
	var unsigned error
	if s.Keys != nil {
		sig, err := rpm.Verify(r, row.Size, s.Keys)
		switch {
		case errors.Is(err, rpm.ErrUnsigned):
			unsigned = err
		case err != nil:
			return "", refusedRPM(err)
		default:
			verified = "rpm-pgp " + sig.PrimaryID
		}
	}
	h, err := rpm.ReadHeader(r, row.Size)
	if err != nil {
		return "", refusedRPM(err)
	}
	// A mirror could offer another package that the vendor signed: an older one, with a hole.
	if h.NEVRA() != row.Name {
		return "", &rpm.MismatchError{Name: path.Base(row.Path), Field: "package", Got: h.NEVRA(), Want: row.Name}
	}
	if unsigned != nil && !slices.Contains(s.Unsigned, h.Name) {
		return "", refusedRPM(unsigned)
	}
	return verified, nil
}

// refusedRPM gives the reasons of package rpm the type that this package's callers decide on.
func refusedRPM(err error) error {
	for _, reason := range []error{rpm.ErrUnsigned, rpm.ErrUnknownKey, rpm.ErrRevokedKey, rpm.ErrKeyNotValid, rpm.ErrBadSignature,
		rpm.ErrPayloadUnsafe, rpm.ErrMalformed, io.ErrUnexpectedEOF} {
		if errors.Is(err, reason) {
			return &SignatureError{Err: err}
		}
	}
	return err
}

// checkDigest checks a digest of another kind than SHA-256, which package fetch does not know.
func checkDigest(blob *fetch.Blob, name string, want rpm.Digest) error {
	var h hash.Hash
	switch want.Type {
	case "sha256":
		return nil // package fetch has checked it
	case "sha", "sha1":
		h = sha1.New()
	case "sha384":
		h = sha512.New384()
	case "sha512":
		h = sha512.New()
	default:
		return fmt.Errorf("got a checksum of type %q, want a SHA-1 or SHA-2", want.Type)
	}
	if _, err := io.Copy(h, io.NewSectionReader(blob.File, 0, blob.Size)); err != nil {
		return fmt.Errorf("reading %q: %w", name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.Hex {
		return &rpm.MismatchError{Name: name, Field: want.Type, Got: got, Want: want.Hex}
	}
	return nil
}
