package manifest_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

const head = "schema: offbake/v1\nname: n\nversion: 1.0.0\nplatform: linux/amd64\n"

func parse(t testing.TB, src string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Parse("manifest.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// varFile writes a variable file that only its owner may read.
func varFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestVarsPrecedence(t *testing.T) {
	m := parse(t, head+`vars: {region: default, az: default, a: default, b: default, c: default, d: default}
images: {web: {}, db: {}}
`)
	first := varFile(t, "1.json", `{"az": "first", "a": "first", "b": "first", "c": "first", "d": "first"}`)
	second := varFile(t, "2.json", `{"a": "second", "b": "second", "c": "second", "d": "second"}`)
	web := varFile(t, "web.json", `{"b": "web", "c": "web", "d": "web"}`)
	again := varFile(t, "again.json", `{"c": "again", "d": "again"}`)
	v, warnings, err := m.Vars(manifest.VarOptions{
		Files: []string{first, "web=" + web, "web=" + again, second},
		Set:   []string{"d=cli", "d=cli=last", "empty="},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`variable "empty" of the command line is not known to the manifest`}; !slices.Equal(warnings, want) {
		t.Errorf("warnings: got %q, want %q", warnings, want)
	}
	all := map[string]string{"region": "default", "az": "first", "a": "second", "b": "second", "c": "second", "d": "cli=last", "empty": ""}
	if diff := cmp.Diff(all, v.For("")); diff != "" {
		t.Errorf("for all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all, v.For("db")); diff != "" {
		t.Errorf("an image without a file of its own (-want +got):\n%s", diff)
	}
	mine := maps.Clone(all)
	mine["b"], mine["c"] = "web", "again"
	if diff := cmp.Diff(mine, v.For("web")); diff != "" {
		t.Errorf("an image with a file of its own, which the command line beats (-want +got):\n%s", diff)
	}
}

func TestVarsKeyPair(t *testing.T) {
	env := getenv(map[string]string{"UCLOUD_PUBKEY": "env-public", "UCLOUD_SECRET": "env-private", "REGION": "env"})
	for _, test := range []struct {
		name            string
		file            string
		set             []string
		public, private string
	}{
		{name: "environment", file: `{}`, public: "env-public", private: "env-private"},
		{name: "file wins", file: `{"ucloud_public_key": "file"}`, public: "file", private: "env-private"},
		{name: "empty in a file says nothing", file: `{"ucloud_public_key": "", "ucloud_private_key": ""}`, public: "env-public", private: "env-private"},
		{name: "command line wins", file: `{"ucloud_private_key": "file"}`, set: []string{"ucloud_private_key="}, public: "env-public", private: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, _, err := parse(t, head).Vars(manifest.VarOptions{Files: []string{varFile(t, "v.json", test.file)}, Set: test.set, Getenv: env})
			if err != nil {
				t.Fatal(err)
			}
			got := v.For("")
			if got["ucloud_public_key"] != test.public || got["ucloud_private_key"] != test.private {
				t.Errorf("got %q and %q, want %q and %q", got["ucloud_public_key"], got["ucloud_private_key"], test.public, test.private)
			}
			if region, ok := got["region"]; ok {
				t.Errorf("region: got %q of the environment, want none", region)
			}
		})
	}
}

func TestVarFileValues(t *testing.T) {
	file := varFile(t, "v.json", `{"a": "x", "b": 1.10, "c": 22, "d": true, "e": "é\n\"", "f": 1e3, "g": ""}`)
	v, _, err := parse(t, head).Vars(manifest.VarOptions{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "x", "b": "1.10", "c": "22", "d": "true", "e": "é\n\"", "f": "1e3", "g": ""}
	if diff := cmp.Diff(want, v.For("")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBrokenVarFiles(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no JSON", "a: hunter2", ":1: want one JSON object with text, numbers, true and false"},
		{"empty", "", ":1: want one JSON object with text, numbers, true and false"},
		{"list", `["hunter2"]`, ":1: want one JSON object with text, numbers, true and false"},
		{"text", `"hunter2"`, ":1: want one JSON object with text, numbers, true and false"},
		{"cut off", "{\n\"a\": \"hunter2", ":2: want one JSON object with text, numbers, true and false"},
		{"cut off after a comma", "{\n\"a\": \"hunter2\",", ":2: want one JSON object with text, numbers, true and false"},
		{"no closing brace", `{"a": "hunter2"`, ":1: want one JSON object with text, numbers, true and false"},
		{"something behind", "{\"a\": \"hunter2\"}\n{}", ":2: want one JSON object with text, numbers, true and false"},
		{"nested", "{\n\n\"a\": {\"b\": \"hunter2\"}}", ":3: a: want text, a number, true or false"},
		{"list inside", `{"a": ["hunter2"]}`, ":1: a: want text, a number, true or false"},
		{"null", `{"a": null}`, ":1: a: want text, a number, true or false"},
		{"same key twice", "{\"a\": \"x\",\n\"a\": \"hunter2\"}", ":2: a: duplicate key"},
		{"NUL", `{"a": "hunter2\u0000"}`, ":1: a: want text without NUL"},
		{"bare word", `{"a": hunter2}`, ":1: want one JSON object with text, numbers, true and false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := varFile(t, "v.json", test.text)
			v, _, err := parse(t, head).Vars(manifest.VarOptions{Files: []string{file}})
			if err == nil || v != nil {
				t.Fatalf("got %v and no error, want one", v)
			}
			var e *manifest.Error
			if !errors.As(err, &e) {
				t.Errorf("got %T, want a *manifest.Error in it", err)
			}
			if want := "reading variables: " + file + test.want; err.Error() != want {
				t.Errorf("got  %q\nwant %q", err, want)
			}
		})
	}
}

func TestVarsRefuses(t *testing.T) {
	m := parse(t, head+"images: {web: {}}\n")
	good := varFile(t, "v.json", `{"a": "x"}`)
	large := varFile(t, "large.json", `{"a": "`+strings.Repeat("x", 1<<20)+`"}`)
	for _, test := range []struct {
		name string
		opts manifest.VarOptions
		want string
	}{
		{"image that is not there", manifest.VarOptions{Files: []string{"wbe=" + good}}, `reading variables for image "wbe": the manifest has no such image`},
		{"no = on the command line", manifest.VarOptions{Set: []string{"hunter2"}}, "reading variables: want NAME=VALUE with a name of a-z, 0-9 and _"},
		{"upper case on the command line", manifest.VarOptions{Set: []string{"Region=x"}}, "reading variables: want NAME=VALUE with a name of a-z, 0-9 and _"},
		{"name of the shell's", manifest.VarOptions{Set: []string{"path=hunter2"}}, "reading variables: want NAME=VALUE with a name of a-z, 0-9 and _"},
		{"too large", manifest.VarOptions{Files: []string{large}}, "reading variables: " + large + ": got more than 1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := m.Vars(test.opts)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	_, _, err := m.Vars(manifest.VarOptions{Files: []string{"web=/does/not/exist.json"}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want fs.ErrNotExist", err)
	}
}

func TestVarFileWithEqualsSign(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a=b.json", "x.json"} {
		if err := os.WriteFile(name, []byte(`{"region": "r"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := parse(t, head+"images: {a: {}}\n")
	for _, arg := range []string{"./a=b.json", "a=x.json", "x.json"} {
		if _, _, err := m.Vars(manifest.VarOptions{Files: []string{arg}}); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if _, _, err := m.Vars(manifest.VarOptions{Files: []string{"a=b.json"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a=b.json: got %v, want b.json for image a not to be there", err)
	}
}

func TestVarFileWarnings(t *testing.T) {
	m := parse(t, head+"vars: {mine: x}\n")
	file := varFile(t, "v.json", `{"mine": "a", "tf_plugin_null_version": "a", "mnie": "hunter2", "PATH": "hunter2", "a-b": "hunter2", "\u001b[2J": "hunter2"}`)
	check := func(name string, want ...string) {
		t.Helper()
		v, got, err := m.Vars(manifest.VarOptions{Files: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], file, "v.json")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		vars := map[string]string{"mine": "a", "tf_plugin_null_version": "a", "mnie": "hunter2"}
		if diff := cmp.Diff(vars, v.For("")); diff != "" {
			t.Errorf("%s: values (-want +got):\n%s", name, diff)
		}
	}
	const shape = "want a name of a-z, 0-9 and _ that does not begin with a digit"
	unknown := []string{
		`variable "mnie" of "v.json" is not known to the manifest`,
		`variable "PATH" of "v.json" is left out: ` + shape,
		`variable "a-b" of "v.json" is left out: ` + shape,
		`variable "\x1b[2J" of "v.json" is left out: ` + shape,
	}
	check("private", unknown...)

	chmod(t, file, 0o640)
	readable := `variable file "v.json" may be read by others: chmod 600 it`
	check("readable by the group", append([]string{readable}, unknown...)...)
	chmod(t, file, 0o604)
	check("readable by all", append([]string{readable}, unknown...)...)
	chmod(t, file, 0o600)

	git(t, filepath.Dir(file), "init", "-q")
	check("in a work tree, not tracked", unknown...)
	git(t, filepath.Dir(file), "add", filepath.Base(file))
	check("tracked", append([]string{`variable file "v.json" is tracked by git: it may hold secrets`}, unknown...)...)
}

func chmod(t testing.TB, file string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func git(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, out)
	}
}

func TestSecret(t *testing.T) {
	for _, name := range []string{"ssh_password", "ucloud_private_key", "ucloud_public_key", "my_token", "db_passwd", "PASSWORD",
		"secret", "client_secret_id", "aws_credentials", "api_key", "private_key_file", "root_pass"} {
		if !manifest.Secret(name) {
			t.Errorf("%s: got no secret, want one", name)
		}
	}
	for _, name := range []string{"consul_version", "region", "keyboard", "monkey", "compass", "yum_base", "key_server", "tokenizer",
		"bypass", "use_ssh_private_ip", "ssh_user", "file_server"} {
		if manifest.Secret(name) {
			t.Errorf("%s: got a secret, want none", name)
		}
	}
}

func TestSecrets(t *testing.T) {
	m := parse(t, head+"images: {web: {}}\n")
	v, _, err := m.Vars(manifest.VarOptions{
		Files:  []string{varFile(t, "a.json", `{"ssh_password": "one", "region": "r"}`), "web=" + varFile(t, "b.json", `{"ssh_password": "two", "x_token": ""}`)},
		Set:    []string{"y_secret=three", "z_secret=one"},
		Getenv: getenv(map[string]string{"UCLOUD_SECRET": "four"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Secrets(), []string{"four", "one", "three", "two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVarsAreNotPrinted(t *testing.T) {
	file := varFile(t, "v.json", `{"ssh_password": "hunter2", "unknown_password": "hunter2"}`)
	v, warnings, err := parse(t, head).Vars(manifest.VarOptions{Files: []string{file}, Set: []string{"other_password=hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(warnings, "\n"); strings.Contains(s, "hunter2") {
		t.Errorf("warnings hold a value: %s", s)
	}
	img, err := parse(t, head+"cloud: {ssh: {password: '${ssh_password}'}}\nimages: {a: {}}\n").Image("a", v)
	if err != nil {
		t.Fatal(err)
	}
	if img.Cloud.SSH.Password != "hunter2" {
		t.Fatalf("the image did not get its password")
	}
	for _, x := range []any{v, img, &img, img.Cloud, img.Cloud.SSH, []manifest.Image{img}} {
		if s := sprint(x); strings.Contains(s, "hunter2") {
			t.Errorf("a formatted %T holds a secret: %s", x, s)
		}
	}
}
