package modulemd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SpecError is a spec that cannot be enabled, and what there is instead.
type SpecError struct {
	Spec   string
	Reason string   // "there is no module \"nodejs\""
	Have   []string // modules, streams or profiles; none where nothing comes close
}

func (e *SpecError) Error() string {
	text := fmt.Sprintf("enabling module %q: %s", e.Spec, e.Reason)
	if len(e.Have) > 0 {
		text += "; there are " + strings.Join(e.Have, ", ")
	}
	return text
}

// DependencyError says why the streams that are to be enabled cannot be active together, or with what they require.
type DependencyError struct{ Problems []string }

func (e *DependencyError) Error() string {
	return "enabling modules: " + strings.Join(e.Problems, "; ")
}

// wish is a spec that is understood.
type wish struct {
	spec, module, stream, profile string
}

// specs finds out what specs mean, and enables it.
func (r *resolver) specs(list []string) ([]wish, error) {
	var wishes []wish
	var errs []error
	for _, spec := range list {
		w, err := r.spec(spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, found := r.enabled[w.module]; found && other != w.stream {
			errs = append(errs, &SpecError{spec, fmt.Sprintf("%s:%s is enabled, too, and a module has one active stream",
				w.module, other), nil})
			continue
		}
		r.enabled[w.module] = w.stream
		wishes = append(wishes, w)
	}
	return wishes, errors.Join(errs...)
}

func (r *resolver) spec(spec string) (wish, error) {
	id, profile, hasProfile := strings.Cut(spec, "/")
	module, stream, hasStream := strings.Cut(id, ":")
	w := wish{spec, module, stream, profile}
	if module == "" || hasStream && stream == "" || hasProfile && profile == "" || strings.ContainsAny(spec, "*?[] ") {
		return w, &SpecError{Spec: spec, Reason: "want name:stream or name:stream/profile"}
	}
	streams := r.streamsOf(module)
	switch {
	case len(streams) == 0:
		return w, &SpecError{spec, fmt.Sprintf("there is no module %q", module), r.alike(module)}
	case hasStream && !slices.Contains(streams, stream):
		return w, &SpecError{spec, fmt.Sprintf("module %q has no stream %q", module, stream), prefixed(module+":", streams)}
	case hasStream:
		return w, nil
	case len(streams) == 1:
		w.stream = streams[0]
		return w, nil
	}
	w.stream = r.defaults[module].Stream
	if other, found := r.enabled[module]; found {
		w.stream = other
	}
	if !slices.Contains(streams, w.stream) {
		return w, &SpecError{spec, "it has several streams, none of which is the default", prefixed(module+":", streams)}
	}
	return w, nil
}

// streamsOf lists the streams of a module.
func (r *resolver) streamsOf(module string) []string {
	var streams []string
	for _, i := range r.byModule[module] {
		if i != r.problem.platform {
			streams = append(streams, r.builds[i].Stream.Stream)
		}
	}
	slices.Sort(streams)
	return slices.Compact(streams)
}

// alike lists modules that a wrong name may stand for: those that share its beginning, or all where there are few.
func (r *resolver) alike(module string) []string {
	const few = 12
	var all, near []string
	for _, name := range slices.Sorted(maps.Keys(r.byModule)) {
		if r.streamsOf(name) == nil {
			continue
		}
		all = append(all, name)
		if strings.HasPrefix(name, module[:min(3, len(module))]) || strings.Contains(name, module) {
			near = append(near, name)
		}
	}
	if len(all) <= few {
		return all
	}
	return near[:min(few, len(near))]
}

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// profiles lists the packages of the profiles that were asked for: of the newest active build of each.
func (r *resolver) profiles(wishes []wish, active []bool) ([]string, error) {
	var names []string
	var errs []error
	for _, w := range wishes {
		if w.profile == "" {
			continue
		}
		var newest *Stream
		for _, i := range r.byModule[w.module] {
			if b := r.builds[i]; active[i] && b.Stream.Stream == w.stream && (newest == nil || b.Version > newest.Version) {
				newest = b.Stream
			}
		}
		if newest == nil {
			errs = append(errs, &SpecError{w.spec, "the stream is not active", nil})
			continue
		}
		at := slices.IndexFunc(newest.Profiles, func(p Profile) bool { return p.Name == w.profile })
		if at < 0 {
			var have []string
			for _, p := range newest.Profiles {
				have = append(have, p.Name)
			}
			errs = append(errs, &SpecError{w.spec, fmt.Sprintf("%s has no profile %q", newest.ID(), w.profile), have})
			continue
		}
		names = append(names, newest.Profiles[at].Packages...)
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(errs...)
}
