package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
)

// repository is one of the manifest's, read through one of the places that have it: a mirror, or its own address. A place
// in the middle of a change, with the list of one day and the files of another, is left for the next one.
type repository struct {
	*resolver
	entry   manifest.Repo
	keys    *rpm.Keyring // of packages; nil where their signatures are not to be checked
	signer  *rpm.Keyring // of repomd.xml; nil as well
	loaded  *rpm.Repo
	modules *modulemd.Index // nil where it has none
	home    int             // the place that loaded came from
	digest  string          // of its repomd.xml
	tried   map[int]bool
	errs    []error // of places that could not be used
}

const repomd = "repodata/repomd.xml"

// load reads the repository from the first place not tried yet that has it whole.
func (r *repository) load(ctx context.Context) error {
	var err error
	if r.keys, err = Keyring(r.local, r.entry); err != nil {
		return err
	}
	if r.entry.RepoGPGCheck {
		if r.signer, err = readKeyring(r.local, r.entry.GPGKey); err != nil {
			return err
		}
	}
	places, err := r.addresses(repomd)
	if err != nil {
		return err
	}
	for {
		if err := r.try(ctx, places); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return context.Cause(ctx)
		} else {
			r.errs = append(r.errs, err)
		}
		if len(r.tried) >= len(places) {
			return oneLine(r.errs)
		}
		r.fetcher.Progress.Line("repository %s: %v; trying another place", r.entry.ID, r.errs[len(r.errs)-1])
	}
}

// try asks the places that are left for repomd.xml, and the one that has it for the rest.
func (r *repository) try(ctx context.Context, places []string) error {
	var left []string
	for i, address := range places {
		if !r.tried[i] {
			left = append(left, address)
		}
	}
	blob, err := r.fetcher.Fetch(ctx, fetch.Request{Name: r.entry.ID + "/" + repomd, URLs: left, Size: -1, MaxSize: maxMetadata})
	if err != nil {
		for i := range places {
			r.tried[i] = true
		}
		return err
	}
	defer func() {
		if blob != nil {
			blob.Close() // read only
		}
	}()
	r.home = max(0, slices.IndexFunc(places, func(s string) bool { return transport.Redact(s) == blob.URL }))
	r.tried[r.home] = true
	if r.loaded != nil && blob.SHA256 == r.digest {
		return fmt.Errorf("%s lists the same as another place", blob.URL)
	}
	digest := blob.SHA256
	opts := rpm.RepoOptions{ID: r.entry.ID, Priority: r.entry.Priority, Keys: r.signer}
	loaded, err := rpm.LoadRepo(ctx, opts, func(ctx context.Context, href string) (io.ReadCloser, error) {
		if href == repomd && blob != nil {
			file := blob.File
			blob = nil
			return file, nil
		}
		return r.open(ctx, href)
	})
	if err != nil {
		return refusedRepomd(r.entry.ID, err)
	}
	modules, err := r.readModules(ctx, loaded)
	if err != nil {
		return err
	}
	r.loaded, r.modules, r.digest = loaded, modules, digest
	return nil
}

// RepomdError says that the list of a repository's files is not signed as the manifest's repo_gpgcheck wants it.
type RepomdError struct {
	Repo string // id
	Err  error  // wraps a reason of package rpm, ErrUnsigned or another
}

func (e *RepomdError) Error() string { return fmt.Sprintf("list of repository %q: %v", e.Repo, e.Err) }
func (e *RepomdError) Unwrap() error { return e.Err }

// refusedRepomd gives the reasons for which package rpm refuses a signature of repomd.xml the type that callers decide on.
// Metadata that is broken is no matter of signatures.
func refusedRepomd(id string, err error) error {
	for _, reason := range []error{rpm.ErrUnsigned, rpm.ErrUnknownKey, rpm.ErrRevokedKey, rpm.ErrKeyNotValid, rpm.ErrBadSignature} {
		if errors.Is(err, reason) {
			return &SignatureError{Err: &RepomdError{id, err}}
		}
	}
	return err
}

// another reads the repository again from a place that was not tried yet and has another list of packages. It reports
// whether there is one.
func (r *repository) another(ctx context.Context) bool {
	places, err := r.addresses(repomd)
	for err == nil && len(r.tried) < len(places) && ctx.Err() == nil {
		if r.try(ctx, places) == nil {
			return true
		}
	}
	return false
}

// open is an rpm.Opener: it asks the place that the list came from first. What the list tells of a file lets the cache
// have it, and any other place go on with it.
func (r *repository) open(ctx context.Context, href string) (io.ReadCloser, error) {
	urls, err := r.addresses(href)
	if err != nil {
		return nil, err
	}
	req := fetch.Request{Name: r.entry.ID + "/" + href, URLs: r.near(urls), Size: -1, MaxSize: maxMetadata}
	if e, ok := rpm.Expected(ctx); ok {
		req.Size = e.Size
		if e.Digest.Type == "sha256" {
			req.SHA256 = e.Digest.Hex
		}
	}
	blob, err := r.fetcher.Fetch(ctx, req)
	if err != nil {
		var status *transport.StatusError
		if href == repomd+".asc" && errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone) {
			err = fmt.Errorf("%w (%w)", err, fs.ErrNotExist)
		}
		return nil, err
	}
	return blob.File, nil
}

// near puts the place that the list came from first.
func (r *repository) near(urls []string) []string {
	if r.home >= len(urls) {
		return urls
	}
	return slices.Concat(urls[r.home:r.home+1], urls[:r.home], urls[r.home+1:])
}

// addresses are those of a file of the repository, in the order of the manifest.
func (r *repository) addresses(href string) ([]string, error) {
	address, err := join(r.entry.BaseURL, href)
	if err != nil {
		return nil, err
	}
	return URLs(address, r.in.Mirrors), nil
}

// Keyring reads the keys that may sign a repository's packages; nil where the manifest says not to check them.
func Keyring(local *Local, repo manifest.Repo) (*rpm.Keyring, error) {
	if !repo.GPGCheck {
		return nil, nil
	}
	return readKeyring(local, repo.GPGKey)
}

func readKeyring(local *Local, name string) (*rpm.Keyring, error) {
	data, err := local.Read(name)
	if err != nil {
		return nil, err
	}
	keys, err := rpm.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", name, err)
	}
	return keys, nil
}

// packageURL is where a package lies: below its repository, or below another place on the net that the metadata names.
func packageURL(repo manifest.Repo, pkg *rpm.Package) (string, error) {
	if pkg.Base == "" {
		return join(repo.BaseURL, pkg.Href)
	}
	what := manifest.CheckURL(pkg.Base)
	if !strings.HasPrefix(pkg.Base, "http://") && !strings.HasPrefix(pkg.Base, "https://") {
		what = "want http or https"
	}
	if what != "" {
		return "", fmt.Errorf("repository %q names %q as the place of packages: %s", repo.ID, transport.Redact(pkg.Base), what)
	}
	return join(pkg.Base, pkg.Href)
}

// join is the address of href, which metadata states, below a repository's base.
func join(base, href string) (string, error) {
	plain, err := url.PathUnescape(href) // what a server, or we with a file: address, will make of it
	if err != nil || !fs.ValidPath(href) || !fs.ValidPath(plain) || plain == "." || strings.ContainsAny(href, "\\?#") || strings.Contains(plain, "\\") {
		return "", fmt.Errorf("repository names %q, which is no clean path below it", href)
	}
	address, err := url.JoinPath(base, href)
	if err != nil {
		return "", fmt.Errorf("reading the address of a repository: %w", err)
	}
	return address, nil
}

// oneLine joins errors on one line.
func oneLine(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	err := errs[0]
	for _, next := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return err
}
