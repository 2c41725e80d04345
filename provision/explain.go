package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Detail is everything that a bake of one image would do, for --dry-run.
type Detail struct {
	Programs []Program `json:"programs"` // in the order that they run
	Take     []Taken   `json:"take"`     // what the host takes of the bundle, by path
	Intent
}

// Program is a recipe, a user's script or a check that would run on the host.
type Program struct {
	Step   string `json:"step"`
	SHA256 string `json:"sha256"`
}

// Taken is a file that the host would take from the bundle.
type Taken struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Explain fills in the Detail of every image that would be made. It asks the cloud what it would do and what that costs,
// and changes nothing.
func (p *Plan) Explain(ctx context.Context, r *Request) error {
	for _, i := range p.Images {
		if i.Exists != nil {
			continue
		}
		d := &Detail{Programs: []Program{}, Take: []Taken{}}
		for _, t := range i.tasks(r.Bundle) {
			d.Programs = append(d.Programs, Program{t.title, t.sha256})
		}
		for _, f := range i.take {
			d.Take = append(d.Take, Taken{f.Path, f.Size, f.SHA256})
		}
		var err error
		d.Intent, err = r.Cloud.Intend(ctx, i.base, i.img, Capture{Name: i.ImageName,
			Description: description(i.Inputs, "offbake-RUN-"+i.Name), Key: i.Inputs})
		if err != nil {
			return fmt.Errorf("planning %q: %w", i.Name, err)
		}
		i.Detail = d
	}
	return nil
}

// lines is the detail for people.
func (d *Detail) lines() []string {
	var out []string
	for _, f := range d.Take {
		out = append(out, fmt.Sprintf("  take %s  sha256:%s  %d bytes", f.Path, f.SHA256, f.Size))
	}
	for _, p := range d.Programs {
		out = append(out, fmt.Sprintf("  %s  sha256:%s", p.Step, p.SHA256))
	}
	for _, c := range d.Calls {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
			fmt.Fprintf(&b, " %s=%q", name, c.Parameters[name])
		}
		out = append(out, "  call "+c.Action+b.String())
	}
	if d.Price != "" {
		out = append(out, "  price "+d.Price)
	}
	return out
}
