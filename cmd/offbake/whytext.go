package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// maxChains is how many chains people are told of a package; --json has all.
const maxChains = 5

// lines is the answer for people: a paragraph for each package and file.
func (r whyResult) lines() []string {
	var text []string
	for _, p := range r.Packages {
		text = append(text, p.lines(r.Base)...)
	}
	for _, f := range r.Files {
		text = append(text, f.Path, "  "+f.Reason)
		if f.Origin != "" {
			text = append(text, "  from "+f.Origin)
		}
	}
	return text
}

func (p whyPackage) lines(base string) []string {
	text := []string{p.Package}
	replaces := "  replaces "
	if !p.Installed {
		text = append(text, "  does not come when what the manifest installs is installed on "+base)
		replaces = "  would replace "
	}
	if p.Replaces != "" {
		text = append(text, replaces+p.Replaces+" of the base")
	}
	if len(p.Removes) > 0 {
		text = append(text, "  obsoletes "+strings.Join(p.Removes, ", ")+" of the base")
	}
	for i, chain := range p.Chains {
		if i == maxChains {
			text = append(text, fmt.Sprintf("  and %d more ways", len(p.Chains)-i))
			break
		}
		text = append(text, chainLines(chain)...)
	}
	if len(p.Chains) == 0 {
		text = append(text, "  nothing that the manifest installs leads to it")
	}
	var direct []string
	for _, s := range p.Reasons {
		if s.How != "asked for" {
			direct = append(direct, "    "+s.text())
		}
	}
	if len(direct) > 1 || len(direct) > 0 && len(p.Chains) == 0 { // one is the end of the chain
		text = append(text, "  directly:")
		text = append(text, direct...)
	}
	return text
}

// chainLines has a line for the beginning of a chain and one for each step.
func chainLines(chain []whyStep) []string {
	var text []string
	for i, s := range chain {
		switch {
		case s.How == "asked for":
			text = append(text, "  "+s.Package+" is asked for as "+s.Spec)
		case i == 0:
			text = append(text, "  "+s.By+" of the base", "    "+s.short()+" -> "+s.Package)
		default:
			text = append(text, "    "+s.short()+" -> "+s.Package)
		}
	}
	return text
}

// short is a step behind the package that makes it.
func (s whyStep) short() string {
	switch s.How {
	case "conflicts":
		return "conflicts by " + s.Dep + " with the version of the base, hence"
	case "displaces":
		return "replaces " + s.Old + " of the base, whose " + s.Dep + " the version of the base requires, hence"
	case "accompanies":
		return "needs the same version of"
	case "supplements":
		return "is supplemented, by " + s.Dep + ","
	}
	return s.How + " " + s.Dep
}

// text is a step by itself.
func (s whyStep) text() string {
	by := s.By
	if s.Base {
		by += " of the base"
	}
	if s.How == "accompanies" {
		return by + " needs it in the same version"
	}
	return strings.TrimSuffix(strings.TrimSuffix(by+" "+s.short(), ", hence"), ",")
}

// entry tells which entry of the manifest a file is there for, as far as the file's place tells.
func (w *whyWorld) entry(f bundle.File) string {
	for _, r := range source.Releases(w.in) {
		section := "artifacts.hashicorp"
		folder := false
		if r.Kind == manifest.KindProvider {
			section, folder = "artifacts.providers", f.Kind == manifest.KindTerraform && path.Dir(f.Path) == path.Dir(r.Path)
		}
		if folder || f.Path == r.Path || f.Path == r.Unpacked {
			return section + " asks for " + strings.TrimPrefix(r.Name, "provider ")
		}
	}
	for _, file := range w.in.Artifacts.Files {
		if f.Path == manifest.FilesDir+"/"+file.Path {
			return "artifacts.files asks for " + file.URL
		}
	}
	switch f.Kind {
	case manifest.KindEvidence:
		return "vouches for " + strings.Join(w.vouched(f.Path), ", ")
	case manifest.KindLocal:
		return strings.Join(w.named(f.Path), "; ") + " of the manifest"
	case manifest.KindContainer:
		return "artifacts.containers asks for it"
	case manifest.KindRepodata:
		return "belongs to the repository of the bundle's packages"
	case manifest.KindTerraform:
		return "belongs to the mirror of the bundle's providers"
	}
	return "offbake puts it into every bundle"
}

// vouched are the files that name a path as evidence.
func (w *whyWorld) vouched(evidence string) []string {
	var out []string
	for _, f := range w.bundle.Index().Files {
		if slices.Contains(f.Evidence, evidence) {
			out = append(out, f.Path)
		}
	}
	return out
}

// named are the entries of the manifest that name a local file.
func (w *whyWorld) named(file string) []string {
	var out []string
	add := func(is bool, entry string) {
		if is && !slices.Contains(out, entry) {
			out = append(out, entry)
		}
	}
	rpms := w.in.Artifacts.RPMs
	add(rpms.Base == file, "artifacts.rpms.base")
	for _, r := range rpms.Repos {
		add(r.GPGKey == file, "gpgkey of repository "+r.ID)
	}
	for _, h := range w.in.Artifacts.HashiCorp {
		add(h.Key == file, "key of "+h.Product)
	}
	for _, p := range w.in.Artifacts.Providers {
		add(p.Key == file, "key of "+p.Source)
	}
	for _, name := range w.manifest.ImageNames() {
		add(slices.Contains(w.manifest.Scripts(name), file), "scripts of image "+name)
	}
	return out
}
