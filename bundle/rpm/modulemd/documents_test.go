package modulemd_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm/modulemd"
)

// plain is the data of a document that has all it must have.
const plain = "name: a\nstream: 1\nversion: 5\ncontext: c\narch: x86_64\nsummary: s\ndescription: d\nlicense:\n  module: [MIT]\n"

// doc is a document with this data.
func doc(kind, version, data string) string {
	return "---\ndocument: " + kind + "\nversion: " + version + "\ndata:\n  " +
		strings.ReplaceAll(strings.TrimSuffix(data, "\n"), "\n", "\n  ") + "\n"
}

func stream(data string) string { return doc("modulemd", "2", data) }

func defaults(data string) string { return doc("modulemd-defaults", "1", data) }

// but is plain with one line in place of another.
func but(line, instead string) string { return strings.Replace(plain, line+"\n", instead, 1) }

// documents are files that dnf reads, each in its own way good or bad.
func documents() map[string]string {
	other := stream(but("name: a", "name: b\n"))
	files := map[string]string{
		"empty":             "# nothing\n",
		"two":               stream(plain) + "...\n" + other,
		"flow":              "--- {document: modulemd, version: 2, data: {name: a, stream: 1, summary: s, description: d, license: {module: MIT}}}\n",
		"directive":         "%YAML 1.1\n" + stream(plain),
		"lines end in CRLF": strings.ReplaceAll(stream(plain), "\n", "\r\n"),
		"byte order mark":   "\ufeff" + stream(plain),
		"data comes first":  "---\ndata: {name: a, stream: 1, summary: s, description: d, license: {module: [MIT]}}\ndocument: modulemd\nversion: 2\n",
		"version 1": doc("modulemd", "1",
			plain+"dependencies: {requires: {platform: el8}}\nartifacts: {rpms: [x-0:1-1.noarch]}"),
		"version 1 unmet": doc("modulemd", "1", plain+"dependencies: {requires: {b: '1'}}"),
		"version 3":       doc("modulemd", "3", plain) + other,
		"version 9":       doc("modulemd", "9", plain) + other,
		"version quoted":  doc("modulemd", `"2"`, plain),
		"packager":        doc("modulemd-packager", "3", plain) + other,
		"translations": stream(plain) + doc("modulemd-translations", "1",
			"module: a\nstream: 1\nmodified: 5\ntranslations: {en: {summary: x}}"),
		"obsoletes": stream(plain) + defaults("module: a\nstream: 1") + doc("modulemd-obsoletes", "1",
			"modified: 2020-05-01T00:00Z\nmodule: a\nstream: '1'\neol_date: 2020-05-01T00:00Z\nmessage: x"),
		"no data":        "---\ndocument: modulemd\nversion: 2\n",
		"no version":     "---\ndocument: modulemd\ndata: {name: a}\n",
		"no kind":        "---\nversion: 2\ndata: {name: a}\n",
		"unknown keys":   stream(plain + "foo: {a: [b]}"),
		"twice the same": stream(plain) + stream(plain),
		"twice, differing": stream(plain+"artifacts: {rpms: [x-0:1-1.noarch]}") +
			stream(plain+"artifacts: {rpms: [y-0:1-1.noarch]}"),
		"no name":            stream(but("name: a", "")),
		"no stream":          stream(but("stream: 1", "")),
		"no version of it":   stream(but("version: 5", "")),
		"no context":         stream(but("context: c", "")),
		"no arch":            stream(but("arch: x86_64", "")),
		"no summary":         stream(but("summary: s", "")),
		"no description":     stream(but("description: d", "")),
		"no license":         stream(strings.Split(plain, "license")[0]),
		"empty license":      stream(strings.Replace(plain, "[MIT]", "[]", 1)),
		"one license":        stream(strings.Replace(plain, "[MIT]", "MIT", 1)),
		"other arch":         stream(but("arch: x86_64", "arch: aarch64\n")),
		"old arch":           stream(but("arch: x86_64", "arch: i686\n")),
		"static":             stream(plain + "static_context: true"),
		"static TRUE":        stream(plain + "static_context: TRUE"),
		"static, long":       stream(but("context: c", "context: abcdefghijklmnop\n") + "static_context: true"),
		"static, no context": stream(but("context: c", "") + "static_context: true"),
		"tag":                stream(but("stream: 1", "stream: !!str 1\n")),
		"anchor":             stream(plain + "references: &x {community: http://a}"),
	}
	addValues(files)
	addDefaults(files)
	return files
}

// addValues adds files with one field each that is out of the ordinary.
func addValues(files map[string]string) {
	for _, version := range []string{"x", "-5", "0x10", "99999999999999999999999", "18446744073709551615", "007"} {
		files["version of it "+version] = stream(but("version: 5", "version: "+version+"\n"))
	}
	for _, field := range []string{
		"profiles: {x: {rpms: a}}", "profiles: {x: {rpms: }}", "profiles: {x: }", "profiles: {x: [a]}",
		"profiles: {x: {foo: [1]}}",
		"profiles: ", "artifacts: ", "artifacts: [x]", "artifacts: {rpms: x-0:1-1.noarch}", "artifacts: {rpms: [[x]]}",
		"artifacts: {foo: x}", "artifacts: {rpms: [x-1-1.noarch]}", "artifacts: {rpms: [x-a:1-1.noarch]}",
		"artifacts: {rpms: ['x-0:1-1']}", "artifacts: {rpms: ['x-0:1-1.']}", "artifacts: {rpms: ['x y-0:1-1.noarch']}",
		"artifacts: {rpms: ['x-0:1:2-1.noarch']}", "artifacts: {rpms: ['x-0:1-1-.a']}",
		"artifacts: {rpms: ['x--1:1-1.noarch']}",
		"artifacts: {rpms: ['x-00:1-1.noarch', 'y-7:1-1.noarch']}",
		"demodularized: {rpms: [x]}", "dependencies: ", "dependencies: {requires: {b: [x]}}", "dependencies: [a]",
		"dependencies: [{requires: {}}]", "dependencies: [{requires: }]", "dependencies: [{requires: {b: x}}]",
		"dependencies: [{requires: {b: [x, -y]}}]", "dependencies: [{buildrequires: {b: [x, -y]}}]",
		"dependencies: [{requires: {b: [x], b: [y]}}]", "dependencies: [{requires: {b: [[x]]}}]",
		"dependencies: [{requires: {b: }}]",
		"dependencies: [{requires: {b: [rhel-8]}}]", "dependencies: [{requires: {platform: [-el7]}}]",
		"dependencies: [{requires: {platform: [-el8]}}]", "dependencies: [{requires: {platform: []}}]",
		"dependencies: [{requires: {platform: [el8]}}, {requires: {b: [1]}}]",
	} {
		files[field] = stream(plain + field)
	}
	for _, text := range []string{"1.10", "'1.10'", `"\x31"`, "010", "1_000", "0o7", "1e3", "yes", "~", "null",
		"2020-01-01", "-1", ".5", "1:10", `""`} {
		files["stream "+text] = stream(but("stream: 1", "stream: "+text+"\n"))
	}
}

func addDefaults(files map[string]string) {
	for name, text := range map[string]string{
		"default": "module: a\nstream: 1\nprofiles: {'1': [x]}", "default not there": "module: a\nstream: 2",
		"no default":         "module: a",
		"default of nothing": "stream: 1", "odd time": "module: a\nstream: 1\nmodified: abc",
		"profiles in a list": "module: a\nstream: 1\nprofiles: [a]",
		"empty default":      "module: a\nstream: ''", "intents": "module: a\nstream: 1\nintents: {desktop: {stream: 2}}",
	} {
		files["defaults: "+name] = stream(plain) + defaults(text)
	}
	files["defaults: version 2"] = stream(plain) + doc("modulemd-defaults", "2", "module: a\nstream: 1")
	files["defaults: the last counts"] = stream(plain) + defaults("module: a\nstream: 1\nmodified: 5") +
		defaults("module: a\nstream: 2\nmodified: 3")
}

func TestDocumentsLikeDnf(t *testing.T) {
	t.Parallel()
	oracle := startDnf(t)
	packages := []testPackage{{nevra: "x-0:1-1.noarch"}, {nevra: "y-7:1-1.noarch"}, {nevra: "z-0:1-1.noarch",
		provides: []string{"x"}}}
	for name, text := range documents() {
		for _, enable := range [][]string{nil, {"a:1"}} {
			q := question{repos: []testRepo{{id: "repo", packages: packages, modules: text}}, enable: enable}
			dirs := q.write(t)
			want := oracle.ask(t, q, dirs)
			got, err := our(t, q, dirs)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, enabling %v: our error %v, dnf to us:\n%s", name, enable, err, diff)
			}
		}
	}
}

// dnf ends in an abort on these. What can be told apart is skipped, the rest refused.
func TestDocumentsThatDnfDiesOf(t *testing.T) {
	t.Parallel()
	good := stream(but("name: a", "name: b\n"))
	for name, tt := range map[string]struct {
		text    string
		skipped string
		err     string
	}{
		"unknown kind": {text: doc("foo", "2", plain) + good, skipped: `documents of kind "foo" version 2 are not known`},
		"odd version":  {text: doc("modulemd", "two", plain) + good, skipped: `version: got "two", want a whole number`},
		"scalar":       {text: "--- hello\n" + good, skipped: "got a scalar, want a document"},
		"nothing":      {text: "---\n---\n" + good},
		"open bracket": {text: good + "---\ndocument: [\n",
			err: "reading module metadata: reading the document at line 14: not YAML"},
		"NUL":         {text: good + "---\n\x00\n", err: "reading the document at line 14: want text in UTF-8"},
		"no UTF-8":    {text: good + "---\na: \xff\n", err: "reading the document at line 14: want text in UTF-8"},
		"tab indents": {text: stream(plain+"xmd:\n\tb: c") + good, err: "reading the document at line 1: not YAML"},
		"too deep": {text: good + "---\n" + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
			err: "nested too deep"},
		"too deep in rows": {text: good + "---\n" + strings.Repeat("- ", 200) + "a\n", err: "nested too deep"},
		"too many":         {text: strings.Repeat("--- a\n", 20_001), err: "got more than 20000 documents"},
		"too long": {text: good + "---\na: " + strings.Repeat("x", 9<<20) + "\n",
			err: "the document at line 14 has more than 4194304 bytes"},
	} {
		idx, err := modulemd.Parse(strings.NewReader(tt.text))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%s: got error %v, want %q", name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(idx.Streams) != 1 || idx.Streams[0].Name != "b" {
			t.Errorf("%s: got %v, want the one good stream", name, fullIDs(idx.Streams))
		}
		var reasons []string
		for _, s := range idx.Skipped {
			reasons = append(reasons, s.Reason)
		}
		if got := strings.Join(reasons, "; "); got != tt.skipped {
			t.Errorf("%s: skipped %q, want %q", name, got, tt.skipped)
		}
	}
}

func TestParseKeepsWhatStreamsSay(t *testing.T) {
	t.Parallel()
	idx, err := modulemd.Parse(strings.NewReader("# of a repository\n" + stream(plain+`dependencies:
- buildrequires: {platform: [el8], gcc: []}
  requires: {platform: [el8], perl: [5.26, 5.24]}
- requires: {perl-lib: []}
profiles:
  server: {description: x, rpms: [b, a, b]}
  client: {rpms: []}
api: {rpms: [a]}
demodularized: {rpms: [old]}
artifacts:
  rpms:
  - b-0:2-1.module_el8+1.x86_64
  - a-1:1.10-1.module_el8+1.src`) + defaults("module: a\nstream: 1.10\nmodified: 201909\nprofiles: {1.10: [server], '1': []}")))
	if err != nil {
		t.Fatal(err)
	}
	want := &modulemd.Index{
		Streams: []*modulemd.Stream{{
			Name: "a", Stream: "1", Version: 5, Context: "c", Arch: "x86_64",
			Requires: []modulemd.Requirement{
				{Module: "perl", Streams: []string{"5.24", "5.26"}}, {Module: "platform", Streams: []string{"el8"}},
				{Module: "perl-lib", Streams: []string{}},
			},
			Profiles: []modulemd.Profile{{Name: "client", Packages: []string{}}, {Name: "server",
				Packages: []string{"a", "b"}}},
			Artifacts:     []string{"a-1:1.10-1.module_el8+1.src", "b-0:2-1.module_el8+1.x86_64"},
			Demodularized: []string{"old"},
			API:           []string{"a"},
		}},
		Defaults: []modulemd.Defaults{{
			Module: "a", Stream: "1.10", Modified: 201909, Profiles: map[string][]string{"1.10": {"server"}, "1": {}},
		}},
	}
	if diff := cmp.Diff(want, idx); diff != "" {
		t.Error(diff)
	}
}
