package bundle

import (
	"maps"
	"slices"
)

// Change is what became of something between two bundles.
type Change string

// The values of Change.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Changes are the differences of two indexes besides their own header fields. Both lists are sorted, by name and by path.
type Changes struct {
	Variables []VariableChange
	Files     []FileChange
}

// VariableChange is a variable that the two bundles were not made with alike. From or To is nil where it had no value.
type VariableChange struct {
	Change Change  `json:"change"`
	Name   string  `json:"name"`
	From   *string `json:"from,omitempty"`
	To     *string `json:"to,omitempty"`
}

// FileChange is a path that the two bundles do not hold alike: in content, mode, or where it came from and how that was
// verified. From or To is nil where the path is not in the bundle.
type FileChange struct {
	Change Change `json:"change"`
	Path   string `json:"path"`
	From   *File  `json:"from,omitempty"`
	To     *File  `json:"to,omitempty"`
}

// Diff finds what changes from one bundle to another. It compares what the indexes say, file by file, and knows nothing of
// what is in the files: what a new version of something is, who knows its versions tells (package rpm, for packages).
// Indexes that differ in nothing but header fields give no changes; whether two bundles are the same their identity
// tells.
func Diff(from, to Index) Changes {
	var c Changes
	names := maps.Clone(from.Variables)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, to.Variables)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, was := from.Variables[name]
		now, is := to.Variables[name]
		switch {
		case !was:
			c.Variables = append(c.Variables, VariableChange{Change: Added, Name: name, To: &now})
		case !is:
			c.Variables = append(c.Variables, VariableChange{Change: Removed, Name: name, From: &old})
		case old != now:
			c.Variables = append(c.Variables, VariableChange{Change: Changed, Name: name, From: &old, To: &now})
		}
	}
	c.Files = diffFiles(from.Files, to.Files)
	return c
}

// diffFiles walks two lists that are sorted by path.
func diffFiles(from, to []File) []FileChange {
	var out []FileChange
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].Path < to[0].Path:
			out = append(out, FileChange{Change: Removed, Path: from[0].Path, From: &from[0]})
			from = from[1:]
		case len(from) == 0 || to[0].Path < from[0].Path:
			out = append(out, FileChange{Change: Added, Path: to[0].Path, To: &to[0]})
			to = to[1:]
		default:
			if !from[0].same(to[0]) {
				out = append(out, FileChange{Change: Changed, Path: to[0].Path, From: &from[0], To: &to[0]})
			}
			from, to = from[1:], to[1:]
		}
	}
	return out
}

// same says whether the index tells the same of two files at one path.
func (f File) same(other File) bool {
	return f.Size == other.Size && f.SHA256 == other.SHA256 && f.Mode == other.Mode && f.Kind == other.Kind &&
		f.Origin == other.Origin && f.Verified == other.Verified && slices.Equal(f.Evidence, other.Evidence)
}
