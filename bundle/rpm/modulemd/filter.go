package modulemd

import (
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// nevra is what tells packages apart.
type nevra struct{ name, evr, arch string }

// names are the names of the packages of active streams: none but these packages may be called so.
type names struct {
	binary, source map[string]bool
}

// filter finds out which packages are hidden (libdnf, dnf-sack.cpp setModuleExcludes).
func (r *resolver) filter(set *Set, active []bool) {
	include, exclude := make(map[nevra]bool), make(map[nevra]bool)
	taken := names{make(map[string]bool), make(map[string]bool)}
	left := r.demodularized(active)
	for i, b := range r.builds {
		for _, a := range b.Artifacts {
			id, ok := parseNEVRA(a)
			switch {
			case !ok:
			case active[i]:
				include[id] = true
			default:
				exclude[id] = true
			}
			if active[i] {
				taken.add(a, left[demodularKey(b.Stream)])
			}
		}
	}
	set.hidden, set.modular = make(map[*rpm.Package]bool), make(map[*rpm.Package]bool)
	for _, idx := range r.indexes {
		if idx.Repo == nil {
			continue
		}
		for _, p := range idx.Repo.Packages {
			id := nevra{p.Name, evrText(p.EVR), p.Arch}
			switch {
			case include[id]:
				set.modular[p] = true
			case !idx.Hotfixes && (exclude[id] || r.clashes(p, taken)):
				set.hidden[p] = true
			}
		}
	}
}

// clashes says whether a package has or provides a name that is taken.
func (r *resolver) clashes(p *rpm.Package, taken names) bool {
	if p.Arch == "src" || p.Arch == "nosrc" {
		return taken.source[p.Name] || taken.binary[p.Name]
	}
	if taken.binary[p.Name] {
		return true
	}
	return archRank(r.arch, p.Arch) > 0 && slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool { return taken.binary[d.Name] })
}

// add takes the name of an artifact, unless it left the module.
func (n names) add(artifact string, left map[string]bool) {
	m := artifactForm.FindStringSubmatch(artifact)
	if m == nil || left[m[1]] {
		return
	}
	if arch := m[2]; arch == "src" || arch == "nosrc" {
		n.source[m[1]] = true
	} else {
		n.binary[m[1]] = true
	}
}

// artifactForm is what libdnf takes for a NEVRA (nevra.cpp).
var artifactForm = regexp.MustCompile(`^([^:(/=<> ]+)-(?:[0-9]+:)?[^-:(/=<> ]+-[^-:(/=<> ]+\.([^-:.(/=<> ]+)$`)

// demodularized are the names that left each active stream: those of its newest build count.
func (r *resolver) demodularized(active []bool) map[string]map[string]bool {
	type group struct{ key, arch string }
	newest := make(map[group]uint64)
	for i, b := range r.builds {
		if active[i] {
			g := group{b.key, b.Arch}
			newest[g] = max(newest[g], b.Version)
		}
	}
	left := make(map[string]map[string]bool)
	for i, b := range r.builds {
		if !active[i] || b.Version != newest[group{b.key, b.Arch}] {
			continue
		}
		for _, name := range b.Demodularized {
			key := demodularKey(b.Stream)
			if left[key] == nil {
				left[key] = make(map[string]bool)
			}
			left[key][name] = true
		}
	}
	return left
}

func demodularKey(s *Stream) string { return s.ID() + "." + s.Arch }

// parseNEVRA cuts an artifact into what tells packages apart. An epoch of 0 is none.
func parseNEVRA(s string) (nevra, bool) {
	rest, arch, ok := cutLast(s, ".")
	if !ok || arch == "" {
		return nevra{}, false
	}
	rest, release, ok := cutLast(rest, "-")
	if !ok || release == "" {
		return nevra{}, false
	}
	name, version, ok := cutLast(rest, "-")
	if !ok || name == "" {
		return nevra{}, false
	}
	if epoch, v, found := strings.Cut(version, ":"); found && strings.Trim(epoch, "0") == "" {
		version = v
	}
	return nevra{name, version + "-" + release, arch}, version != ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func evrText(e rpm.EVR) string {
	s := e.Version + "-" + e.Release
	if strings.Trim(e.Epoch, "0") != "" {
		s = e.Epoch + ":" + s
	}
	return s
}
