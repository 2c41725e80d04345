package bundle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
)

func TestDiff(t *testing.T) {
	file := func(path, sha string) bundle.File {
		return bundle.File{Path: path, Size: 3, SHA256: sha, Mode: "0644", Kind: "file", Verified: "pinned"}
	}
	with := func(f bundle.File, change func(*bundle.File)) bundle.File {
		change(&f)
		return f
	}
	text := func(s string) *string { return &s }
	a, b, c := file("files/a", "1"), file("files/b", "2"), file("files/c", "3")
	for name, tt := range map[string]struct {
		from, to bundle.Index
		want     bundle.Changes
	}{
		"nothing": {},
		"the same": {
			from: bundle.Index{Name: "x", Variables: map[string]string{"v": "1"}, Files: []bundle.File{a, b}},
			to:   bundle.Index{Name: "y", Variables: map[string]string{"v": "1"}, Files: []bundle.File{a, b}},
		},
		"all new": {
			to: bundle.Index{Variables: map[string]string{"w": "2", "v": ""}, Files: []bundle.File{a, b}},
			want: bundle.Changes{
				Variables: []bundle.VariableChange{{Change: bundle.Added, Name: "v", To: text("")}, {Change: bundle.Added, Name: "w", To: text("2")}},
				Files:     []bundle.FileChange{{Change: bundle.Added, Path: "files/a", To: &a}, {Change: bundle.Added, Path: "files/b", To: &b}},
			},
		},
		"all gone": {
			from: bundle.Index{Variables: map[string]string{"v": "1"}, Files: []bundle.File{a}},
			want: bundle.Changes{
				Variables: []bundle.VariableChange{{Change: bundle.Removed, Name: "v", From: text("1")}},
				Files:     []bundle.FileChange{{Change: bundle.Removed, Path: "files/a", From: &a}},
			},
		},
		"between others": {
			from: bundle.Index{Variables: map[string]string{"v": "1"}, Files: []bundle.File{a, c}},
			to:   bundle.Index{Variables: map[string]string{"v": "2"}, Files: []bundle.File{b, c}},
			want: bundle.Changes{
				Variables: []bundle.VariableChange{{Change: bundle.Changed, Name: "v", From: text("1"), To: text("2")}},
				Files:     []bundle.FileChange{{Change: bundle.Removed, Path: "files/a", From: &a}, {Change: bundle.Added, Path: "files/b", To: &b}},
			},
		},
	} {
		if diff := cmp.Diff(tt.want, bundle.Diff(tt.from, tt.to)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Everything that the index says of a file counts, not its bytes alone.
	for name, change := range map[string]func(*bundle.File){
		"size":     func(f *bundle.File) { f.Size = 4 },
		"sha256":   func(f *bundle.File) { f.SHA256 = "9" },
		"mode":     func(f *bundle.File) { f.Mode = "0755" },
		"kind":     func(f *bundle.File) { f.Kind = "local" },
		"origin":   func(f *bundle.File) { f.Origin = "https://vendor.example/a" },
		"verified": func(f *bundle.File) { f.Verified = "first-use" },
		"evidence": func(f *bundle.File) { f.Evidence = []string{"files/b"} },
	} {
		other := with(a, change)
		got := bundle.Diff(bundle.Index{Files: []bundle.File{a, b}}, bundle.Index{Files: []bundle.File{other, b}})
		want := bundle.Changes{Files: []bundle.FileChange{{Change: bundle.Changed, Path: "files/a", From: &a, To: &other}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDiffTurnedRound has additions where the other way round there are removals.
func TestDiffTurnedRound(t *testing.T) {
	index := func(paths ...string) bundle.Index {
		var x bundle.Index
		for _, p := range paths {
			x.Files = append(x.Files, bundle.File{Path: p})
		}
		return x
	}
	turned := map[bundle.Change]bundle.Change{bundle.Added: bundle.Removed, bundle.Removed: bundle.Added, bundle.Changed: bundle.Changed}
	from, to := index("a", "b", "d", "e", "g"), index("b", "c", "d", "f")
	there, back := bundle.Diff(from, to).Files, bundle.Diff(to, from).Files
	for i := range back {
		back[i].Change, back[i].From, back[i].To = turned[back[i].Change], back[i].To, back[i].From
	}
	if diff := cmp.Diff(there, back); diff != "" {
		t.Errorf("(-there +back):\n%s", diff)
	}
	if !slices.IsSortedFunc(there, func(a, b bundle.FileChange) int { return strings.Compare(a.Path, b.Path) }) || len(there) != 5 {
		t.Errorf("got %v, want 5 sorted by path", there)
	}
}
