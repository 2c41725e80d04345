package main

import (
	"cmp"
	"context"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// Versions are compared here and not in package bundle, which knows no packages: what is newer rpm tells for packages and
// semver for all else, and only this room may ask both.

// The values of versionChange.Change, besides added, removed, and changed for what is neither newer nor older.
const (
	upgraded   bundle.Change = "upgraded"
	downgraded bundle.Change = "downgraded"
)

// versionChange is one version of something that gives way to another, comes, or goes.
type versionChange struct {
	Change   bundle.Change `json:"change"`
	Name     string        `json:"name"`
	Arch     string        `json:"arch,omitempty"` // packages only
	FromArch string        `json:"from_arch,omitempty"`
	From     string        `json:"from,omitempty"`
	To       string        `json:"to,omitempty"`
	// The digests of the files where From and To are one version: it is the content that changed.
	FromSHA256 string `json:"from_sha256,omitempty"`
	ToSHA256   string `json:"to_sha256,omitempty"`

	path string // in the new bundle, else in the old one
	was  string // in the old bundle
}

// versioned is something that a bundle holds in a version.
type versioned struct {
	name, version, arch string
	sha256, path        string
	evr                 rpm.EVR // of packages
}

func (v versioned) same(other versioned) bool {
	return v.name == other.name && v.version == other.version && v.arch == other.arch && v.sha256 == other.sha256
}

func newerRelease(a, b versioned) int { return semver.Compare("v"+a.version, "v"+b.version) }
func newerPackage(a, b versioned) int { return a.evr.Compare(b.evr) }

// versionChanges pairs what is in one list only with what is in the other only, by name: first within an architecture and
// then across, the newest with the newest. What has no partner comes or goes.
func versionChanges(from, to []versioned, newer func(a, b versioned) int) []versionChange {
	old, now := without(from, to), without(to, from)
	order := func(a, b versioned) int {
		return cmp.Or(strings.Compare(a.name, b.name), -newer(a, b), strings.Compare(a.arch, b.arch), strings.Compare(a.version, b.version))
	}
	slices.SortFunc(old, order)
	slices.SortFunc(now, order)
	var out []versionChange
	for _, across := range []bool{false, true} {
		now = slices.DeleteFunc(now, func(n versioned) bool {
			i := slices.IndexFunc(old, func(o versioned) bool { return o.name == n.name && (across || o.arch == n.arch) })
			if i < 0 {
				return false
			}
			out = append(out, replacement(old[i], n, newer))
			old = slices.Delete(old, i, i+1)
			return true
		})
	}
	for _, o := range old {
		out = append(out, versionChange{Change: bundle.Removed, Name: o.name, Arch: o.arch, From: o.version, was: o.path})
	}
	for _, n := range now {
		out = append(out, versionChange{Change: bundle.Added, Name: n.name, Arch: n.arch, To: n.version, path: n.path})
	}
	slices.SortStableFunc(out, func(a, b versionChange) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch))
	})
	return out
}

func replacement(o, n versioned, newer func(a, b versioned) int) versionChange {
	c := versionChange{Change: bundle.Changed, Name: n.name, Arch: n.arch, From: o.version, To: n.version, path: n.path, was: o.path}
	if o.arch != n.arch {
		c.FromArch = o.arch
	}
	if o.version == n.version && o.sha256 != n.sha256 {
		c.FromSHA256, c.ToSHA256 = o.sha256, n.sha256
	}
	switch order := newer(n, o); {
	case order > 0:
		c.Change = upgraded
	case order < 0:
		c.Change = downgraded
	}
	return c
}

// without is what of list the other has not got.
func without(list, other []versioned) []versioned {
	var out []versioned
	for _, v := range list {
		if !slices.ContainsFunc(other, v.same) {
			out = append(out, v)
		}
	}
	return out
}

// held is what of a bundle has versions.
type held struct{ products, providers, packages []versioned }

// holding reads products and providers from their paths and packages from the repository's metadata: the name of a file
// does not tell an epoch.
func holding(ctx context.Context, b *bundle.Bundle) (held, error) {
	var h held
	x := b.Index()
	for _, f := range x.Files {
		switch f.Kind {
		case manifest.KindHashiCorp:
			if name, version, ok := cutRelease(path.Base(f.Path), x.Platform); ok {
				h.products = append(h.products, versioned{name: name, version: version, sha256: f.SHA256, path: f.Path})
			}
		case manifest.KindProvider:
			_, version, ok := cutRelease(path.Base(f.Path), x.Platform)
			if source, below := strings.CutPrefix(path.Dir(f.Path), "terraform/"); ok && below {
				h.providers = append(h.providers, versioned{name: source, version: version, sha256: f.SHA256, path: f.Path})
			}
		}
	}
	repo, err := bundleRepo(ctx, b)
	if err != nil || repo == nil {
		return h, err
	}
	for _, p := range repo.Packages {
		h.packages = append(h.packages, versioned{name: p.Name, version: p.EVR.String(), arch: p.Arch, sha256: p.Checksum.Hex,
			path: rpmsDir + p.Href, evr: p.EVR})
	}
	return h, nil
}

// cutRelease takes consul_1.6.1_linux_amd64.zip apart.
func cutRelease(file, platform string) (name, version string, ok bool) {
	s, ok := strings.CutSuffix(file, "_"+strings.ReplaceAll(platform, "/", "_")+".zip")
	i := strings.LastIndexByte(s, '_')
	if !ok || i < 1 || !semver.IsValid("v"+s[i+1:]) {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// The folders of a bundle's repository and of its metadata.
const (
	rpmsDir     = "rpms/"
	repodataDir = rpmsDir + "repodata/"
)

// bundleRepo reads the metadata of a bundle's repository. It is nil when the bundle has none.
func bundleRepo(ctx context.Context, b *bundle.Bundle) (*rpm.Repo, error) {
	if !slices.ContainsFunc(b.Index().Files, func(f bundle.File) bool { return f.Path == repodataDir+"repomd.xml" }) {
		return nil, nil
	}
	return rpm.LoadRepo(ctx, rpm.RepoOptions{ID: rpm.RepoID}, opener(b))
}

// opener reads files of a bundle's repository.
func opener(b *bundle.Bundle) rpm.Opener {
	return func(_ context.Context, href string) (io.ReadCloser, error) { return b.Open(rpmsDir + href) }
}
