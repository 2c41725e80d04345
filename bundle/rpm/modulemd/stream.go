package modulemd

import (
	"regexp"
	"slices"
	"strings"
)

// readStream reads the data of a modulemd document. What it must have is what libmodulemd 2.14 asks for
// (modulemd-module-stream-v2.c); found by trying it.
func readStream(data *node, version uint64) (*Stream, error) {
	s := &Stream{}
	var err error
	for _, field := range []struct {
		key string
		to  *string
	}{{"name", &s.Name}, {"stream", &s.Stream}, {"context", &s.Context}, {"arch", &s.Arch}} {
		if *field.to, err = name(data, field.key); err != nil {
			return nil, err
		}
	}
	if s.Name == "" || data.lookup("stream") == nil {
		return nil, refuse("the document names no module and stream")
	}
	if s.Version, err = number(data, "version"); err != nil {
		return nil, err
	}
	if err := checkProse(data); err != nil {
		return nil, err
	}
	if s.Static, err = readStatic(data, s.Context); err != nil {
		return nil, err
	}
	if s.Requires, err = readDependencies(data, version); err != nil {
		return nil, err
	}
	if s.Profiles, err = readProfiles(data); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		key string
		to  *[]string
	}{{"artifacts", &s.Artifacts}, {"demodularized", &s.Demodularized}, {"api", &s.API}} {
		if *field.to, err = readRPMs(data, field.key); err != nil {
			return nil, err
		}
	}
	for _, a := range s.Artifacts {
		if !nevraForm.MatchString(a) {
			return nil, refuse("artifact %.80q is not of the form name-epoch:version-release.arch", a)
		}
	}
	return s, nil
}

// nevraForm is what libmodulemd asks of an artifact: an epoch above all.
var nevraForm = regexp.MustCompile(`^.*-[0-9]+:[^-]*-[^-]*\.[^.]*$`)

// checkProse asks for what a document must say to people.
func checkProse(data *node) error {
	for _, key := range []string{"summary", "description"} {
		if data.lookup(key) == nil {
			return refuse("the document has no %s", key)
		}
	}
	license := data.lookup("license").lookup("module")
	if license == nil || license.kind == kindList && len(license.items) == 0 {
		return refuse("the document names no license of the module")
	}
	return nil
}

func readStatic(data *node, context string) (bool, error) {
	v, err := text(data, "static_context")
	switch {
	case err != nil:
		return false, err
	case v == "true" && len(context) > maxContext:
		return false, refuse("context %.40q is longer than %d characters", context, maxContext)
	case v == "true":
		return true, nil
	case v == "false" || data.lookup("static_context") == nil:
		return false, nil
	}
	return false, refuse("static_context: got %.40q, want true or false", v)
}

// readDependencies flattens the list of dependencies: libdnf wants all of them met, not one of them. Of version 1 it is one
// mapping of modules to one stream each.
func readDependencies(data *node, version uint64) ([]Requirement, error) {
	deps := data.lookup("dependencies")
	if deps == nil {
		return nil, nil
	}
	elements := []*node{deps}
	if version > 1 {
		if deps.kind != kindList {
			return nil, refuse("dependencies: got %s, want %s", deps.kind, kindList)
		}
		elements = deps.items
	}
	var all []Requirement
	for _, e := range elements {
		if e.kind != kindMap {
			return nil, refuse("dependencies: got %s, want %s", e.kind, kindMap)
		}
		// What a build took is checked, for libmodulemd does, and not used.
		if _, err := readRequires(e.lookup("buildrequires")); err != nil {
			return nil, err
		}
		reqs, err := readRequires(e.lookup("requires"))
		if err != nil {
			return nil, err
		}
		if all = append(all, reqs...); len(all) > maxRequirements {
			return nil, refuse("got more than %d requirements", maxRequirements)
		}
	}
	return all, nil
}

func readRequires(n *node) ([]Requirement, error) {
	if n == nil {
		return nil, nil
	}
	if n.kind != kindMap {
		return nil, refuse("requires: got %s, want %s", n.kind, kindMap)
	}
	if len(n.keys) > maxRequirements {
		return nil, refuse("got more than %d requirements", maxRequirements)
	}
	var reqs []Requirement
	for i, module := range n.keys {
		if err := checkName(module); err != nil {
			return nil, err
		}
		if slices.Contains(n.keys[:i], module) {
			return nil, refuse("requires: module %q is there twice", module)
		}
		streams, err := nameSet(n.items[i])
		if err != nil {
			return nil, err
		}
		negative := 0
		for _, s := range streams {
			if strings.HasPrefix(s, "-") {
				negative++
			}
		}
		if negative > 0 && negative < len(streams) {
			return nil, refuse("requires: module %q has streams to have and streams not to have", module)
		}
		reqs = append(reqs, Requirement{Module: module, Streams: streams})
	}
	slices.SortFunc(reqs, func(a, b Requirement) int { return strings.Compare(a.Module, b.Module) })
	return reqs, nil
}

func readProfiles(data *node) ([]Profile, error) {
	n := data.lookup("profiles")
	if n == nil {
		return nil, nil
	}
	if n.kind != kindMap {
		return nil, refuse("profiles: got %s, want %s", n.kind, kindMap)
	}
	if len(n.keys) > maxProfiles {
		return nil, refuse("got more than %d profiles", maxProfiles)
	}
	var profiles []Profile
	for i, key := range n.keys {
		if err := checkName(key); err != nil {
			return nil, err
		}
		if n.items[i].kind != kindMap {
			return nil, refuse("profile %q: got %s, want %s", key, n.items[i].kind, kindMap)
		}
		p := Profile{Name: key}
		if rpms := n.items[i].lookup("rpms"); rpms != nil {
			var err error
			if p.Packages, err = nameSet(rpms); err != nil {
				return nil, err
			}
		}
		// Of two by one name the last counts.
		profiles = slices.DeleteFunc(profiles, func(other Profile) bool { return other.Name == key })
		profiles = append(profiles, p)
	}
	slices.SortFunc(profiles, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return profiles, nil
}

// readRPMs reads KEY.rpms, a set of texts.
func readRPMs(data *node, key string) ([]string, error) {
	n := data.lookup(key)
	if n == nil {
		return nil, nil
	}
	if n.kind != kindMap {
		return nil, refuse("%s: got %s, want %s", key, n.kind, kindMap)
	}
	rpms := n.lookup("rpms")
	if rpms == nil {
		return nil, nil
	}
	return nameSet(rpms)
}
