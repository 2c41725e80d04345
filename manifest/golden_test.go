package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

// update writes the golden files anew.
var update = flag.Bool("update", false, "write the golden files anew")

const separator = "\n----\n"

// TestParseGolden runs testdata/parse/*.golden: a manifest, a line of ----, and what becomes of it: its problems, or
// what the verbs expand of it with nothing but its own defaults, as JSON. A line `#! k=v` in it sets a variable as --var does.
func TestParseGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.golden")
	if err != nil || len(files) < 30 {
		t.Fatalf("got %d golden files (%v), want all of them", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := bytes.Cut(data, []byte(separator))
			if !ok && !*update {
				t.Fatalf("%s has no line of ----", file)
			}
			input = append(bytes.Clone(input), '\n')
			got := outcome(input)
			if strings.Contains(got, "hunter2") {
				t.Errorf("%s: the outcome repeats a secret:\n%s", file, got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimSuffix(string(input), "\n")+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// outcome tells what becomes of a manifest's text.
func outcome(input []byte) string {
	m, err := manifest.Parse("manifest.yaml", input)
	if err != nil {
		return err.Error() + "\n"
	}
	var set []string
	for line := range strings.Lines(string(input)) {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "#! "); ok {
			set = append(set, v)
		}
	}
	vars, _, err := m.Vars(manifest.VarOptions{Set: set})
	if err != nil {
		return err.Error() + "\n"
	}
	var out struct {
		Inputs   any
		Warnings []string `json:",omitempty"`
		Local    []string `json:",omitempty"`
		Store    any
		Images   []any `json:",omitempty"`
	}
	in, err := m.Inputs(vars)
	out.Inputs = either(in, err)
	if err == nil {
		out.Warnings = in.Warnings()
	}
	out.Local = m.LocalFiles()
	store, err := m.Store(vars)
	out.Store = either(store, err)
	for _, name := range m.ImageNames() {
		img, err := m.Image(name, vars)
		img.Variables = nil // the expansion tests look at these
		out.Images = append(out.Images, either(img, err))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err.Error() + "\n"
	}
	return b.String()
}

// either is a value, or the lines of the problems where there are some.
func either(v any, err error) any {
	if err == nil {
		return v
	}
	var all manifest.Errors
	if !errors.As(err, &all) {
		return err.Error()
	}
	var lines []string
	for _, e := range all {
		lines = append(lines, e.Error())
	}
	return lines
}
