package source

import (
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// repositories returns jobs that load the repositories, and what they fill.
func (r *resolver) repositories() (*packages, []job) {
	list := r.in.Artifacts.RPMs.Repos
	p := &packages{resolver: r, repos: make([]*rpm.Repo, len(list)), keys: make([]*rpm.Keyring, len(list))}
	var jobs []job
	for i, repo := range list {
		jobs = append(jobs, job{"repository " + repo.ID, func(ctx context.Context) (result, error) {
			return result{}, p.load(ctx, i, repo)
		}})
	}
	return p, jobs
}

// packages is the state between the two steps of resolving RPMs: repositories first, then the packages in them.
type packages struct {
	*resolver
	repos []*rpm.Repo
	keys  []*rpm.Keyring // nil where signatures are not to be checked
}

func (p *packages) load(ctx context.Context, i int, repo manifest.Repo) (err error) {
	if p.keys[i], err = Keyring(p.local, repo); err != nil {
		return err
	}
	open := func(ctx context.Context, href string) (io.ReadCloser, error) {
		address, err := join(repo.BaseURL, href)
		if err != nil {
			return nil, err
		}
		blob, err := p.fetcher.Fetch(ctx, fetch.Request{Name: repo.ID + "/" + href, URLs: URLs(address, p.in.Mirrors), Size: -1, MaxSize: maxMetadata})
		if err != nil {
			return nil, err
		}
		return blob.File, nil
	}
	p.repos[i], err = rpm.LoadRepo(ctx, rpm.RepoOptions{ID: repo.ID, Priority: repo.Priority}, open)
	return err
}

// Keyring reads the keys that may sign a repository's packages; nil where the manifest says not to check them.
func Keyring(local *Local, repo manifest.Repo) (*rpm.Keyring, error) {
	if !repo.GPGCheck {
		return nil, nil
	}
	data, err := local.Read(repo.GPGKey)
	if err != nil {
		return nil, err
	}
	keys, err := rpm.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", repo.GPGKey, err)
	}
	return keys, nil
}

// jobs picks the packages and returns a job for each.
func (p *packages) jobs() []job {
	choices, err := rpm.Pick(p.repos, PickOptions(p.in))
	if err != nil {
		return []job{{"rpms", func(context.Context) (result, error) { return result{}, err }}}
	}
	var jobs []job
	seen := map[*rpm.Package]bool{}
	for _, c := range choices {
		if seen[c.Package] {
			continue
		}
		seen[c.Package] = true
		i := slices.Index(p.repos, c.Repo)
		jobs = append(jobs, job{c.Package.NEVRA(), func(ctx context.Context) (result, error) { return p.resolve(ctx, i, c.Package) }})
	}
	return jobs
}

// PickOptions say which packages the inputs ask for.
func PickOptions(in *manifest.Inputs) rpm.PickOptions {
	rpms := in.Artifacts.RPMs
	return rpm.PickOptions{Specs: slices.Concat(rpms.Install, rpms.Upgrade), Exclude: rpms.Exclude, Arch: rpmArch(in.Platform)}
}

func (p *packages) resolve(ctx context.Context, i int, pkg *rpm.Package) (result, error) {
	address, err := packageURL(p.in.Artifacts.RPMs.Repos[i], pkg)
	if err != nil {
		return result{}, err
	}
	req := fetch.Request{Name: path.Base(pkg.Href), URLs: URLs(address, p.in.Mirrors), Size: pkg.Size}
	if pkg.Size <= 0 {
		req.Size = -1 // metadata without a size
	}
	if pkg.Checksum.Type == "sha256" {
		req.SHA256 = pkg.Checksum.Hex
	}
	blob, err := p.fetcher.Fetch(ctx, req)
	if err != nil {
		return result{}, err
	}
	res := result{blobs: []*fetch.Blob{blob}}
	if err := checkDigest(blob, pkg); err != nil {
		return res, err
	}
	row := manifest.Row{
		Path: "rpms/Packages/" + path.Base(pkg.Href), Kind: manifest.KindRPM, Name: pkg.NEVRA(), URL: address,
		Size: blob.Size, SHA256: blob.SHA256, Mode: "0644",
	}
	if row.Verified, err = CheckRPM(blob.File, row, p.keys[i]); err != nil {
		return res, err
	}
	res.rows = []manifest.Row{row}
	return res, nil
}

// packageURL is where a package lies: below its repository, or below another place on the net that the metadata names.
func packageURL(repo manifest.Repo, pkg *rpm.Package) (string, error) {
	base := repo.BaseURL
	if pkg.Base != "" {
		if !strings.HasPrefix(pkg.Base, "http://") && !strings.HasPrefix(pkg.Base, "https://") {
			return "", fmt.Errorf("repository %q names %q as the place of packages, want http or https", repo.ID, pkg.Base)
		}
		base = pkg.Base
	}
	return join(base, pkg.Href)
}

// CheckRPM verifies that the package in r is the one that the row names and that one of the keys signed it, and returns
// how a lock says so: "rpm-pgp KEYID". Without keys, where the manifest says not to check, it is "first-use". A
// signature that does not hold is a *SignatureError.
func CheckRPM(r io.ReaderAt, row manifest.Row, keys *rpm.Keyring) (verified string, err error) {
	verified = FirstUse
	if keys != nil {
		sig, err := rpm.Verify(r, row.Size, keys)
		if err != nil {
			return "", refusedRPM(err)
		}
		verified = "rpm-pgp " + sig.PrimaryID
	}
	h, err := rpm.ReadHeader(r, row.Size)
	if err != nil {
		return "", refusedRPM(err)
	}
	// A mirror could offer another package that the vendor signed: an older one, with a hole.
	if h.NEVRA() != row.Name {
		return "", &rpm.MismatchError{Name: path.Base(row.Path), Field: "package", Got: h.NEVRA(), Want: row.Name}
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
func checkDigest(blob *fetch.Blob, pkg *rpm.Package) error {
	var h hash.Hash
	switch pkg.Checksum.Type {
	case "sha256":
		return nil // package fetch has checked it
	case "sha", "sha1":
		h = sha1.New()
	case "sha384":
		h = sha512.New384()
	case "sha512":
		h = sha512.New()
	default:
		return fmt.Errorf("got a checksum of type %q, want a SHA-1 or SHA-2", pkg.Checksum.Type)
	}
	if _, err := io.Copy(h, io.NewSectionReader(blob.File, 0, blob.Size)); err != nil {
		return fmt.Errorf("reading %q: %w", path.Base(pkg.Href), err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != pkg.Checksum.Hex {
		return &rpm.MismatchError{Name: path.Base(pkg.Href), Field: pkg.Checksum.Type, Got: got, Want: pkg.Checksum.Hex}
	}
	return nil
}

// join is the address of href, which metadata states, below a repository's base.
func join(base, href string) (string, error) {
	if !fs.ValidPath(href) || href == "." || strings.ContainsAny(href, "\\?#") {
		return "", fmt.Errorf("repository names %q, which is no clean path below it", href)
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("reading the address of a repository: %w", err)
	}
	return u.JoinPath(href).String(), nil
}

// rpmArch is RPM's word for a platform's architecture.
func rpmArch(platform string) string {
	if strings.HasSuffix(platform, "/arm64") {
		return "aarch64"
	}
	return "x86_64"
}
