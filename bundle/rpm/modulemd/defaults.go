package modulemd

import (
	"fmt"
	"maps"
	"slices"
)

// mergeDefaults makes one set of defaults of those of several repositories, one after another, as libmodulemd's merger does
// (modulemd-defaults-v1.c): of two streams the one modified later counts, and of two as old neither. Repositories that name
// other profiles for one stream, as old as each other, make libdnf go without any defaults; problem says so.
func mergeDefaults(indexes []RepoIndex) (merged map[string]Defaults, problem string) {
	merged = make(map[string]Defaults)
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
			if stream := mergeProfiles(into, from); stream != "" {
				return nil, fmt.Sprintf("the repositories differ in the default profiles of %s:%s: no module has a default stream",
					from.Module, stream)
			}
			switch {
			case from.Stream == "" || from.Stream == into.Stream:
			case into.Stream == "" || from.Modified > into.Modified:
				into.Stream = from.Stream
			case from.Modified == into.Modified:
				into.Stream = ""
			}
			into.Modified = max(into.Modified, from.Modified)
			merged[from.Module] = into
		}
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
