package source

import (
	"context"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// choose finds the packages that the manifest asks for, and warnings.
func (p *packages) choose(context.Context) ([]choice, []string, error) {
	var repos []*rpm.Repo
	from := map[*rpm.Repo]*repository{}
	for _, r := range p.repos {
		repos = append(repos, r.loaded)
		from[r.loaded] = r
	}
	found, err := rpm.Pick(repos, PickOptions(p.in))
	if err != nil {
		return nil, nil, err
	}
	var choices []choice
	seen := map[*rpm.Package]bool{}
	for _, c := range found {
		if !seen[c.Package] {
			seen[c.Package] = true
			choices = append(choices, choice{c.Package, from[c.Repo]})
		}
	}
	return choices, nil, nil
}

// PickOptions say which packages the inputs ask for.
func PickOptions(in *manifest.Inputs) rpm.PickOptions {
	rpms := in.Artifacts.RPMs
	return rpm.PickOptions{Specs: slices.Concat(rpms.Install, rpms.Upgrade), Exclude: rpms.Exclude, Arch: rpmArch(in.Platform)}
}
