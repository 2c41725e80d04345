package solve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// TestWhy holds what is told of packages that come to testdata/why.txt. A world's lines "why NAME" say of which.
func TestWhy(t *testing.T) {
	goldens(t, "testdata/why.txt", func(title, world string) string {
		var names []string
		var rest strings.Builder
		for line := range strings.Lines(world) {
			if name, found := strings.CutPrefix(line, "why "); found {
				names = append(names, strings.TrimSpace(name))
			} else {
				rest.WriteString(line)
			}
		}
		h := parseHandmade(t, rest.String())
		pool := solve.NewPool(h.options)
		tr, err := pool.Solve(h.job)
		if err != nil {
			t.Errorf("%s: %v", title, err)
			return ""
		}
		var out strings.Builder
		for _, name := range names {
			for _, p := range allOf(h.options, name) {
				writeWhy(&out, p, pool.Why(tr, p))
			}
		}
		return out.String()
	})
}

func allOf(o solve.PoolOptions, name string) []*rpm.Package {
	var out []*rpm.Package
	for _, p := range o.Installed {
		if p.Name == name {
			out = append(out, p)
		}
	}
	for _, r := range o.Repos {
		for _, p := range r.Packages {
			if p.Name == name {
				out = append(out, p)
			}
		}
	}
	return out
}

func writeWhy(b *strings.Builder, p *rpm.Package, w *solve.Why) {
	fmt.Fprintln(b, p.NEVRA())
	if w == nil {
		fmt.Fprintln(b, "  does not come")
		return
	}
	if w.Replaces != nil {
		fmt.Fprintln(b, "  replaces", w.Replaces.NEVRA())
	}
	for _, gone := range w.Removes {
		fmt.Fprintln(b, "  removes", gone.NEVRA())
	}
	for _, s := range w.Reasons {
		fmt.Fprintln(b, "  reason:", s)
	}
	for _, chain := range w.Chains {
		fmt.Fprintln(b, "  chain:")
		for _, s := range chain {
			fmt.Fprintln(b, "   ", s, "->", s.Package.NEVRA())
		}
	}
}
