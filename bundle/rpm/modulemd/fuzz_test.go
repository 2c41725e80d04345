package modulemd_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// FuzzParse requires that whatever is read can be resolved, and is ordered as promised.
func FuzzParse(f *testing.F) {
	for _, text := range documents() {
		f.Add(text)
	}
	f.Add(appstream().modules)
	f.Fuzz(func(t *testing.T, text string) {
		idx, err := modulemd.Parse(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("got an error of several lines: %q", err)
			}
			return
		}
		if !slices.IsSortedFunc(idx.Streams, func(a, b *modulemd.Stream) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("streams are not sorted: %v", fullIDs(idx.Streams))
		}
		o := modulemd.Options{Indexes: []modulemd.RepoIndex{{Repo: &rpm.Repo{}, Index: idx}}, Platform: "platform:el8"}
		if _, err := modulemd.Resolve(o); err != nil {
			t.Errorf("resolving defaults: %v", err)
		}
		for _, s := range idx.Streams {
			o.Enable = append(o.Enable, s.ID())
		}
		if set, err := modulemd.Resolve(o); err == nil && len(set.Streams) == 0 && len(idx.Streams) > 0 {
			t.Error("enabled streams are not active")
		}
	})
}
