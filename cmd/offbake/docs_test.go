package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "rewrite goldens and generated documents")

// TestGeneratedDocs holds docs/cli to the flags and help texts of the program.
func TestGeneratedDocs(t *testing.T) {
	root := (&app{console: console{getenv: func(string) string { return "" }}}).command()
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	const dir = "../../docs/cli"
	want := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" {
			return
		}
		var text bytes.Buffer
		if err := doc.GenMarkdown(cmd, &text); err != nil {
			t.Fatal(err)
		}
		name := docName(cmd)
		want[name] = true
		path := filepath.Join(dir, name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, text.Bytes()) {
			t.Errorf("%s differs from the program; run: go test ./cmd/offbake -run Docs -update", path)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[f.Name()] {
			t.Errorf("docs/cli/%s describes a verb that does not exist", f.Name())
		}
	}
}

func docName(cmd *cobra.Command) string {
	name := cmd.Name()
	for p := cmd.Parent(); p != nil; p = p.Parent() {
		name = p.Name() + "_" + name
	}
	return name + ".md"
}
