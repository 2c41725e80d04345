package provision

import "github.com/offbake/offbake/manifest"

// ManifestNeeds returns what the recipes of all images of a manifest take, so that lock can tell what the manifest's
// artifacts lack. It expands nothing else of an image: where hosts are made is not known yet. All problems come at once.
func ManifestNeeds(m *manifest.Manifest, vars *manifest.Vars) ([]manifest.Need, error) {
	var all []manifest.Need
	var errs faults
	for _, name := range m.ImageNames() {
		needs, err := Needs(manifest.Image{Name: name, Recipes: m.Recipes(name), Variables: vars.For(name)})
		errs.add(err)
		all = append(all, needs...)
	}
	return all, errs.err()
}
