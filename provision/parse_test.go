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

func FuzzProvided(f *testing.F) {
	f.Add(primary("docker-ce", "vim"))
	f.Add(`<metadata><package><format><rpm:provides><rpm:entry name="a"/></rpm:provides><rpm:requires><rpm:entry name="b"/></rpm:requires><file>/bin/x</file></format></package></metadata>`)
	f.Add("<a")
	f.Fuzz(func(t *testing.T, s string) {
		got := map[string]bool{}
		if err := provided(strings.NewReader(s), got); err == nil && len(got) > len(s) {
			t.Errorf("got %d names out of %d bytes", len(got), len(s))
		}
	})
}

func TestProvidedTakesNoRequirements(t *testing.T) {
	got := map[string]bool{}
	err := provided(strings.NewReader(`<metadata xmlns:rpm="x"><package><name>vim-enhanced</name><format>
		<rpm:provides><rpm:entry name="vim-enhanced"/><rpm:entry name="vim" flags="EQ"/></rpm:provides>
		<rpm:requires><rpm:entry name="libc.so.6"/></rpm:requires><file>/usr/bin/vim</file></format></package></metadata>`), got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"vim-enhanced": true, "vim": true, "/usr/bin/vim": true}, got); diff != "" {
		t.Errorf("provided (-want +got):\n%s", diff)
	}
}

// primary is a primary.xml of packages with these names.
func primary(names ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">`)
	for _, n := range names {
		b.WriteString(`<package type="rpm"><name>` + n + `</name><format><rpm:provides><rpm:entry name="` + n +
			`" flags="EQ" ver="1"/></rpm:provides></format></package>`)
	}
	return b.String() + "</metadata>\n"
}
