package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"github.com/offbake/offbake/bundle"
)

// lines is the difference for people: groups of aligned lines, of what there is.
func (r diffResult) lines() []string {
	if r.Equal {
		return nil
	}
	text := []string{"--- " + r.From.line(r.To), "+++ " + r.To.line(r.From)}
	if r.From.Inputs == r.To.Inputs {
		text = append(text, "the same inputs, made otherwise")
	}
	var rows [][]string
	for _, v := range r.Variables {
		rows = append(rows, []string{string(v.Change), v.Name, fromTo(quoted(v.From), quoted(v.To))})
	}
	text = append(text, group("variables", rows)...)
	text = append(text, group("products", versionRows(r.Products))...)
	text = append(text, group("providers", versionRows(r.Providers))...)
	text = append(text, group("packages", versionRows(r.Packages))...)
	return append(text, r.fileLines()...)
}

// line is a header without what says nothing.
func (h bundleHeader) line(other bundleHeader) string {
	s := h.Name + " " + h.Version
	if h.Platform != other.Platform {
		s += "  " + h.Platform
	}
	return s + "  " + h.Created + "  sha256:" + h.SHA256
}

// group is a heading and aligned rows; nothing without rows.
func group(heading string, rows [][]string) []string {
	if len(rows) == 0 {
		return nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight("  "+strings.Join(row, "\t"), "\t"))
	}
	w.Flush()
	return append([]string{"", heading}, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

// versionRows puts what is replaced before what comes and what goes: that is what a reader looks for.
func versionRows(changes []versionChange) [][]string {
	order := []bundle.Change{upgraded, downgraded, bundle.Changed, bundle.Added, bundle.Removed}
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b versionChange) int {
		return cmp.Compare(slices.Index(order, a.Change), slices.Index(order, b.Change))
	})
	var rows [][]string
	for _, c := range changes {
		arch := c.Arch
		if c.FromArch != "" {
			arch = fromTo(c.FromArch, c.Arch)
		}
		version := fromTo(c.From, c.To)
		row := []string{string(c.Change), c.Name, version, arch}
		if c.FromSHA256 != c.ToSHA256 {
			row = append(row, "(same version, other content: sha256 "+fromTo(shortSum(c.FromSHA256), shortSum(c.ToSHA256))+")")
		}
		rows = append(rows, row)
	}
	return rows
}

// fileLines tells the files, but those of packages that are told by version, and counts all.
func (r diffResult) fileLines() []string {
	told := map[string]bool{}
	for _, c := range r.Packages {
		told[c.path], told[c.was] = true, true
	}
	var rows [][]string
	count, size, left := map[bundle.Change]int{}, map[bundle.Change]int64{}, 0
	for _, f := range r.Files {
		count[f.Change]++
		size[f.Change] += cmp.Or(f.To, f.From).Size
		if told[f.Path] || len(r.Packages) > 0 && strings.HasPrefix(f.Path, repodataDir) {
			left++
			continue
		}
		rows = append(rows, []string{string(f.Change), sizes(f), f.Path + notes(f)})
	}
	text := group("files", rows)
	if len(r.Files) == 0 {
		return text
	}
	var parts []string
	for _, c := range []bundle.Change{bundle.Added, bundle.Removed, bundle.Changed} {
		if count[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", count[c], c, humanize.IBytes(uint64(size[c]))))
		}
	}
	total := "files in all: " + strings.Join(parts, ", ")
	if left > 0 {
		total += fmt.Sprintf("; %d of them are packages told above and what describes them", left)
	}
	return append(text, "", total)
}

// sizes is the size of a file, or both.
func sizes(f bundle.FileChange) string {
	var from, to string
	if f.From != nil {
		from = humanize.IBytes(uint64(f.From.Size))
	}
	if f.To != nil {
		to = humanize.IBytes(uint64(f.To.Size))
	}
	return fromTo(from, to)
}

// notes is what the sizes do not show of a file that both bundles have.
func notes(f bundle.FileChange) string {
	if f.From == nil || f.To == nil {
		return ""
	}
	var parts []string
	if f.From.SHA256 != f.To.SHA256 && !strings.Contains(sizes(f), "->") {
		parts = append(parts, "other content")
	}
	for _, field := range []struct{ name, from, to string }{
		{"mode", f.From.Mode, f.To.Mode}, {"kind", f.From.Kind, f.To.Kind},
		{"verified", cmp.Or(f.From.Verified, "none"), cmp.Or(f.To.Verified, "none")},
		{"origin", cmp.Or(f.From.Origin, "none"), cmp.Or(f.To.Origin, "none")},
	} {
		if field.from != field.to {
			parts = append(parts, field.name+" "+fromTo(field.from, field.to))
		}
	}
	if !slices.Equal(f.From.Evidence, f.To.Evidence) {
		parts = append(parts, "other evidence")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// shortSum is the beginning of a digest, enough to tell two apart; --json has all of it.
func shortSum(sum string) string { return sum[:min(12, len(sum))] }

// fromTo is "from -> to", or the one that there is, or that both are.
func fromTo(from, to string) string {
	if from == "" || to == "" || from == to {
		return cmp.Or(to, from)
	}
	return from + " -> " + to
}

// quoted is a variable's value as one word; "" where it has none.
func quoted(value *string) string {
	if value == nil {
		return ""
	}
	return strconv.Quote(*value)
}
