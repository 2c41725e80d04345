package modulemd

import (
	"fmt"
	"maps"
	"slices"
)

// mergeDefaults makes one set of defaults of those of several repositories, as libmodulemd's merger does
// (modulemd-defaults-v1.c): where two differ the one modified later counts, and of two as old neither. Two that name other
// profiles for one stream and are as old as each other make libdnf go without any defaults; problem says so.
func mergeDefaults(indexes []RepoIndex) (merged map[string]Defaults, problem string) {
	merged = make(map[string]Defaults)
	undecided := make(map[string]bool)
	for _, idx := range indexes {
		if idx.Index == nil {
			continue
		}
		for _, from := range idx.Index.Defaults {
			into, found := merged[from.Module]
			if !found {
				from.Profiles = maps.Clone(from.Profiles)
				merged[from.Module] = from
				continue
			}
			if into.Stream != "" && from.Stream != "" && into.Stream != from.Stream && !undecided[from.Module] &&
				into.Modified == from.Modified {
				undecided[from.Module] = true
			}
			if stream := mergeProfiles(into, from); stream != "" {
				return nil, fmt.Sprintf("the repositories differ in the default profiles of %s:%s: no module has a default stream",
					from.Module, stream)
			}
			if into.Stream == "" || from.Stream != "" && from.Modified > into.Modified {
				into.Stream = from.Stream
			}
			into.Modified = max(into.Modified, from.Modified)
			merged[from.Module] = into
		}
	}
	for module := range undecided {
		d := merged[module]
		d.Stream = ""
		merged[module] = d
	}
	return merged, ""
}

// mergeProfiles adds the profiles of from to into. It returns the stream that they cannot agree on, or "".
func mergeProfiles(into, from Defaults) string {
	for _, stream := range slices.Sorted(maps.Keys(from.Profiles)) {
		have, found := into.Profiles[stream]
		switch {
		case !found || from.Modified > into.Modified:
			into.Profiles[stream] = from.Profiles[stream]
		case into.Modified == from.Modified && !slices.Equal(have, from.Profiles[stream]):
			return stream
		}
	}
	return ""
}
