package source

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// readModules reads the module metadata of a repository; nil where it has none.
func (r *repository) readModules(ctx context.Context, loaded *rpm.Repo) (*modulemd.Index, error) {
	data, err := loaded.Modules(ctx, r.open)
	if err != nil || data == nil {
		return nil, err
	}
	index, err := modulemd.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading modules of repository %q: %w", r.entry.ID, err)
	}
	return index, nil
}

// streams finds the module streams that are active, and with them the packages that do not count as offered. It is nil
// where there are no modules and none is asked for.
func (p *packages) streams(base []*rpm.Package) (*modulemd.Set, error) {
	o := modulemd.Options{Enable: p.in.Artifacts.RPMs.Modules, Arch: rpm.Arch(p.in.Platform)}
	modular := len(o.Enable) > 0
	for _, r := range p.repos {
		o.Indexes = append(o.Indexes, modulemd.RepoIndex{Repo: r.loaded, Index: r.modules})
		modular = modular || r.modules != nil
	}
	if !modular {
		return nil, nil
	}
	o.Platform = modulemd.Platform(o.Indexes, base)
	return modulemd.Resolve(o)
}

// stream is the module stream that a package belongs to, as "container-tools:rhel8"; "" for none.
func (p *packages) stream(pkg *rpm.Package) string {
	epoch := strings.TrimLeft(pkg.EVR.Epoch, "0")
	if epoch == "" {
		epoch = "0"
	}
	name := fmt.Sprintf("%s-%s:%s-%s.%s", pkg.Name, epoch, pkg.EVR.Version, pkg.EVR.Release, pkg.Arch)
	for _, r := range p.repos {
		if r.modules == nil {
			continue
		}
		for _, s := range r.modules.Streams {
			if slices.Contains(s.Artifacts, name) {
				return s.ID()
			}
		}
	}
	return ""
}
