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
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// repository is the yum repository of a bundle.
type repository struct {
	rpms *rpm.Repo
	open rpm.Opener
	keys []string // paths in the bundle
	// unsigned are the names of packages without a signature that was checked when the bundle was made; local says that
	// one of them is also where recipes take packages from by path.
	unsigned []string
	local    bool
}

// openRepository reads what the repository of a bundle with these files offers. It is nil when the bundle has none.
func openRepository(ctx context.Context, files []bundle.File, open func(path string) (io.ReadCloser, error)) (*repository, error) {
	if !slices.ContainsFunc(files, func(f bundle.File) bool { return path.Dir(f.Path) == "rpms/repodata" }) {
		return nil, nil
	}
	r := &repository{open: func(_ context.Context, href string) (io.ReadCloser, error) { return open("rpms/" + href) }}
	unsigned := map[string]bool{} // by href
	for _, f := range files {
		href, isPackage := strings.CutPrefix(f.Path, "rpms/")
		switch {
		case path.Dir(f.Path) == "rpms/keys":
			r.keys = append(r.keys, f.Path)
		case path.Ext(f.Path) != ".rpm" || strings.HasPrefix(f.Verified, "rpm-pgp "):
		case isPackage:
			unsigned[href] = true
		case f.Kind == manifest.KindRPM:
			r.local = true
		}
	}
	var err error
	if r.rpms, err = rpm.LoadRepo(ctx, rpm.RepoOptions{ID: "the bundle"}, r.open); err != nil {
		return nil, fmt.Errorf("reading the packages of the bundle: %w", err)
	}
	for _, p := range r.rpms.Packages {
		if unsigned[p.Href] {
			r.unsigned = append(r.unsigned, p.Name)
		}
	}
	return r, nil
}

// pool is what a host may install from, nothing without a repository.
func (r *repository) pool(ctx context.Context, installed []*rpm.Package, platform string) solve.PoolOptions {
	o := solve.PoolOptions{Installed: installed, Arch: rpm.Arch(platform)}
	if r != nil {
		o.Repos = []*rpm.Repo{r.rpms}
		o.Files = func(paths []string) (map[*rpm.Package][]string, error) { return r.rpms.Paths(ctx, r.open, paths) }
	}
	return o
}

// repoFile is offbake.repo: the bundle's repository for the host's own yum or dnf, which check all packages but those that
// nobody signed. "" without a repository.
func (r *repository) repoFile() string {
	if r == nil {
		return ""
	}
	urls := make([]string, len(r.keys))
	for i, k := range r.keys {
		urls[i] = "file://" + hostPath(k)
	}
	return rpm.RepoSections(rpm.RepoSectionOptions{
		BaseURL:  "file://" + hostPath("rpms"),
		Keys:     urls,
		Unsigned: r.unsigned,
		Extra:    "priority=1\nmetadata_expire=1\n",
	})
}

// configure makes the repository known to the host's yum or dnf, offline as the only one.
func (s *session) configure(ctx context.Context, repo *repository, r *Request) error {
	env := map[string]string{"OFFBAKE": Root, "OFFBAKE_OFFLINE": "", "REPO": repo.repoFile(), "CHECK": "1", "WEAK": "0", "HOME": "/root"}
	if r.Offline {
		env["OFFBAKE_OFFLINE"] = "1"
	}
	if repo != nil && repo.local {
		env["CHECK"] = "0"
	}
	if r.Weak {
		env["WEAK"] = "1"
	}
	return s.shell(ctx, exports(env)+text("steps/repository.sh"), false)
}
