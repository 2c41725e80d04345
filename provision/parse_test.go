package provision

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRecipe(t *testing.T) {
	got, err := parseRecipe("r", strings.Join([]string{
		"#!/bin/sh",
		"# What it is. It needs file systems, after all.",
		"#",
		"# needs file a_${a_version}_b",
		"# needs file t_v${t}_x4 unless empty",
		"# needs package docker-ce as docker_rpm",
		"# needs package vim",
		"# after other",
		"set -eu",
		"# needs file not-a-header",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := recipe{name: "r", after: []string{"other"}, needs: []need{
		{file: "a_${a_version}_b"}, {file: "t_v${t}_x4", mayBeNone: true}, {pkg: "docker-ce", as: "docker_rpm"}, {pkg: "vim"},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(recipe{}, need{})); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
}

func TestParseRecipeIsStrict(t *testing.T) {
	for fault, line := range map[string]string{
		"unknown kind":         "# needs disk 10",
		"two names":            "# needs package a b",
		"folder":               "# needs file ../a",
		"open reference":       "# needs file a_${b",
		"reference in capital": "# needs file a_${B}",
		"bare dollar":          "# needs file a_$b",
		"unknown condition":    "# needs file a unless asked",
		"as a constant":        "# needs package a as B",
		"no name":              "# after ",
		"indented":             "#  needs package a",
		"tab":                  "#\tneeds package a",
	} {
		if r, err := parseRecipe("r", "#!/bin/sh\n"+line+"\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s, %q: got %+v, %v, want an error at line 2", fault, line, r, err)
		}
	}
}

func FuzzParseRecipe(f *testing.F) {
	for _, name := range Recipes() {
		f.Add(text("recipes/" + name + ".sh"))
	}
	f.Add("# needs file ${a}${b}\n# after x")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRecipe("r", s)
		if err != nil {
			return
		}
		for _, n := range r.needs {
			if (n.file == "") == (n.pkg == "") {
				t.Errorf("need %+v: want exactly one of file and package", n)
			}
			if strings.ContainsAny(n.file+n.pkg, "/ \n'\"") {
				t.Errorf("need %+v: got a character that no name has", n)
			}
		}
	})
}
