package provision

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
)

// repository is the yum repository of a bundle.
type repository struct {
	rpms   *rpm.Repo
	keys   []string // paths in the bundle
	signed bool     // every package's signature was checked when the bundle was made
}

// openRepository reads what a bundle's repository offers. It is nil when the bundle has none.
func openRepository(ctx context.Context, b *bundle.Bundle) (*repository, error) {
	files := b.Index().Files
	if !slices.ContainsFunc(files, func(f bundle.File) bool { return path.Dir(f.Path) == "rpms/repodata" }) {
		return nil, nil
	}
	r := &repository{signed: true}
	for _, f := range files {
		switch {
		case path.Dir(f.Path) == "rpms/keys":
			r.keys = append(r.keys, f.Path)
		case strings.HasPrefix(f.Path, "rpms/") && strings.HasSuffix(f.Path, ".rpm"):
			r.signed = r.signed && strings.HasPrefix(f.Verified, "rpm-pgp ")
		}
	}
	open := func(_ context.Context, href string) (io.ReadCloser, error) { return b.Open("rpms/" + href) }
	var err error
	if r.rpms, err = rpm.LoadRepo(ctx, rpm.RepoOptions{ID: "offbake"}, open); err != nil {
		return nil, fmt.Errorf("reading the packages of the bundle: %w", err)
	}
	return r, nil
}

// offered is what a host may install from, nothing without a repository.
func (r *repository) offered() []*rpm.Repo {
	if r == nil {
		return nil
	}
	return []*rpm.Repo{r.rpms}
}

// repoFile is offbake.repo: the bundle's repository for the host's own yum or dnf. "" without a repository.
func (r *repository) repoFile() string {
	if r == nil {
		return ""
	}
	check := 0
	if r.signed {
		check = 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[offbake]\nname=offbake bundle\nbaseurl=file://%s\nenabled=1\n", hostPath("rpms"))
	fmt.Fprintf(&b, "gpgcheck=%d\nrepo_gpgcheck=0\n", check) // the index vouches for the metadata, file by file
	if len(r.keys) > 0 {
		urls := make([]string, len(r.keys))
		for i, k := range r.keys {
			urls[i] = "file://" + hostPath(k)
		}
		b.WriteString("gpgkey=" + strings.Join(urls, "\n       ") + "\n")
	}
	// dnf hides packages of modules that it has no description of; the bundle's choice was made when it was locked.
	b.WriteString("priority=1\nmetadata_expire=1\nskip_if_unavailable=0\nmodule_hotfixes=1\n")
	return b.String()
}
