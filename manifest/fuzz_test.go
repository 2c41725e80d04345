package manifest_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

// FuzzParse: no text makes the parser panic, problems are placed inside the text and are in order, and what was read
// once reads the same again and expands the same.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/parse/*.golden")
	if err != nil || len(files) == 0 {
		f.Fatalf("got %d golden files (%v), want some", len(files), err)
	}
	for _, file := range append(files, "../manifest.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := bytes.Cut(data, []byte(separator))
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := manifest.Parse("f", src)
		if err != nil {
			checkErrors(t, src, err)
			return
		}
		again, err := manifest.Parse("f", m.Raw)
		if err != nil {
			t.Fatalf("second time: %v", err)
		}
		if !bytes.Equal(m.Raw, src) {
			t.Error("Raw is not the text")
		}
		if diff := cmp.Diff(expansions(t, m), expansions(t, again)); diff != "" {
			t.Errorf("second time (-first +second):\n%s", diff)
		}
	})
}

// checkErrors holds problems to what their doc comment says.
func checkErrors(t *testing.T, src []byte, err error) {
	t.Helper()
	var all manifest.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("got %T, want manifest.Errors", err)
	}
	lines := bytes.Count(src, []byte("\n")) + 1
	last := 0
	for _, e := range all {
		if e.Line < max(last, 1) || e.Line > lines {
			t.Errorf("line %d after %d, of %d", e.Line, last, lines)
		}
		last = e.Line
		if strings.ContainsAny(e.Error(), "\n\x00\x1b") {
			t.Errorf("control character in %q", e.Error())
		}
	}
}

// expansions is what the verbs get of a manifest.
func expansions(t *testing.T, m *manifest.Manifest) []any {
	v, _, err := m.Vars(manifest.VarOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	add := func(v any, err error) {
		if err != nil {
			checkErrors(t, m.Raw, err)
			out = append(out, err.Error())
			return
		}
		out = append(out, v)
	}
	in, err := m.Inputs(v)
	add(in, err)
	store, err := m.Store(v)
	add(store, err)
	for _, name := range m.ImageNames() {
		img, err := m.Image(name, v)
		add(img, err)
	}
	return append(out, m.LocalFiles(), m.ImageNames())
}

// FuzzLock: no text makes the parser panic, and what it takes has one text, which reads as the same lock.
func FuzzLock(f *testing.F) {
	text, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{schema: offbake/lock/1, name: n, version: 1.0.0, platform: linux/amd64, created: 2026-01-02T03:04:05Z, inputs: " + hex64 + "}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		l, err := manifest.ParseLock("f", src)
		if err != nil {
			checkErrors(t, src, err)
			return
		}
		text, err := l.Marshal()
		if err != nil {
			t.Fatalf("a lock that was read cannot be written: %v", err)
		}
		back, err := manifest.ParseLock("f", text)
		if err != nil {
			t.Fatalf("a lock that was written cannot be read: %v\n%s", err, text)
		}
		if diff := cmp.Diff(l, back); diff != "" {
			t.Errorf("what comes back (-want +got):\n%s", diff)
		}
		again, err := back.Marshal()
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("second text differs (%v)", err)
		}
	})
}

// FuzzVarFile: no text makes the reader panic, and no problem repeats a value.
func FuzzVarFile(f *testing.F) {
	f.Add(`{"a": "x", "b": 1.10, "c": true}`)
	f.Add(`{"a": {"b": []}}`)
	m := parse(f, head)
	file := filepath.Join(f.TempDir(), "v.json")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Vars(manifest.VarOptions{Files: []string{file}}); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
	})
}
