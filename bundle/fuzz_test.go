package bundle_test

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
)

// FuzzOpen: whatever is accepted as a tar is written again as the same bytes, so there is one tar for a bundle.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	for i, files := range []map[string]string{nil, {"b": ""}, sampleFiles()} {
		o := mustOutput(f, files)
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := bundle.WriteTar(f.Context(), path, o); err != nil {
			f.Fatal(err)
		}
		data := readFile(f, path)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		b, err := bundle.Open(writeFile(t, filepath.Join(dir, "x.tar"), data, 0o644))
		if err != nil {
			if !bundle.Refused(err) {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		defer b.Close()
		if _, err := b.Verify(t.Context(), bundle.VerifyOptions{AllowUnsigned: true}); err != nil {
			if !bundle.Refused(err) {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		o := bundle.Output{Index: b.Index(), Signatures: b.Signatures(), Contents: map[string]bundle.Content{}}
		for _, file := range o.Index.Files {
			content, err := b.ReadFile(file.Path, file.Size)
			if err != nil {
				t.Fatal(err)
			}
			o.Contents[file.Path] = bundle.Content{Data: content}
		}
		again := filepath.Join(dir, "again.tar")
		if err := bundle.WriteTar(t.Context(), again, o); err != nil {
			t.Fatalf("accepted, but not to be written: %v", err)
		}
		if !bytes.Equal(readFile(t, again), data) {
			t.Error("accepted, but written otherwise")
		}
	})
}

// FuzzParseIndex: whatever is accepted is encoded to the same bytes and names paths that are safe to make.
func FuzzParseIndex(f *testing.F) {
	good, err := mustSample(f).Index.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, change := range indexFaults() {
		f.Add([]byte(change(string(good))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := bundle.ParseIndex(data)
		if err != nil {
			if !bundle.Refused(err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line that is a refusal", err)
			}
			return
		}
		again, err := x.Marshal()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("got %q, %v, want %q", again, err, data)
		}
		for _, file := range x.Files {
			if !fs.ValidPath(file.Path) || !filepath.IsLocal(file.Path) || file.Path == "." || strings.ContainsAny(file.Path, "\\\n\r\x00") {
				t.Errorf("got path %q accepted", file.Path)
			}
		}
		if got := bytes.Count(x.Sums(), []byte("\n")); got != len(x.Files) {
			t.Errorf("got %d lines of SHA256SUMS, want %d", got, len(x.Files))
		}
	})
}
