package manifest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/manifest"
)

var hex64 = strings.Repeat("0123456789abcdef", 4)

// sample is a lock with a row of every kind of verification, out of order.
func sample() *manifest.Lock {
	row := func(path, kind, name, url, verified string, evidence ...string) manifest.Row {
		return manifest.Row{Path: path, Kind: kind, Name: name, URL: url, Size: 42, SHA256: hex64, Mode: "0644", Verified: verified, Evidence: evidence}
	}
	return &manifest.Lock{
		Schema: manifest.LockSchema, Name: "nomad-cluster", Version: "1.0.0", Platform: "linux/amd64",
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Inputs: hex64,
		Variables: map[string]string{"consul_version": "1.6.1", "odd": "a \"quoted\" <text> \\ \u00e9: #x", "empty": ""},
		Rows: []manifest.Row{
			row("rpms/Packages/wget-1.14-18.el7.x86_64.rpm", manifest.KindRPM, "wget-1.14-18.el7.x86_64", "https://vault.example/wget-1.14-18.el7.x86_64.rpm", "rpm-pgp 24C6A8A7F4A80EB5"),
			row("files/consul_1.6.1_linux_amd64.zip", manifest.KindHashiCorp, "consul 1.6.1", "https://releases.example/consul_1.6.1_linux_amd64.zip", "hashicorp-pgp 34365D9472D7468F",
				"evidence/hashicorp/consul/SHA256SUMS", "evidence/hashicorp/consul/hashicorp.asc"),
			row("files/cfssl", manifest.KindFile, "cfssl", "https://example.com/cfssl", "first-use"),
			row("evidence/hashicorp/consul/SHA256SUMS", manifest.KindEvidence, "consul 1.6.1 SHA256SUMS", "https://releases.example/SHA256SUMS", "pinned"),
			row("evidence/hashicorp/consul/hashicorp.asc", manifest.KindEvidence, "hashicorp.asc", "", ""),
			row("images/blobs/sha256/"+hex64, manifest.KindContainer, "redis:5", "docker://docker.io/library/redis", "oci-digest"),
		},
	}
}

const sampleText = `schema: "offbake/lock/1"
name: "nomad-cluster"
version: "1.0.0"
platform: "linux/amd64"
created: "2026-01-02T03:04:05Z"
inputs: "HEX"
variables:
  consul_version: "1.6.1"
  empty: ""
  odd: "a \"quoted\" <text> \\ é: #x"
rows:
  - path: "evidence/hashicorp/consul/SHA256SUMS"
    kind: "evidence"
    name: "consul 1.6.1 SHA256SUMS"
    url: "https://releases.example/SHA256SUMS"
    size: 42
    sha256: "HEX"
    mode: "0644"
    verified: "pinned"
  - path: "evidence/hashicorp/consul/hashicorp.asc"
    kind: "evidence"
    name: "hashicorp.asc"
    size: 42
    sha256: "HEX"
    mode: "0644"
  - path: "files/cfssl"
    kind: "file"
    name: "cfssl"
    url: "https://example.com/cfssl"
    size: 42
    sha256: "HEX"
    mode: "0644"
    verified: "first-use"
  - path: "files/consul_1.6.1_linux_amd64.zip"
    kind: "hashicorp"
    name: "consul 1.6.1"
    url: "https://releases.example/consul_1.6.1_linux_amd64.zip"
    size: 42
    sha256: "HEX"
    mode: "0644"
    verified: "hashicorp-pgp 34365D9472D7468F"
    evidence:
      - "evidence/hashicorp/consul/SHA256SUMS"
      - "evidence/hashicorp/consul/hashicorp.asc"
  - path: "images/blobs/sha256/HEX"
    kind: "container"
    name: "redis:5"
    url: "docker://docker.io/library/redis"
    size: 42
    sha256: "HEX"
    mode: "0644"
    verified: "oci-digest"
  - path: "rpms/Packages/wget-1.14-18.el7.x86_64.rpm"
    kind: "rpm"
    name: "wget-1.14-18.el7.x86_64"
    url: "https://vault.example/wget-1.14-18.el7.x86_64.rpm"
    size: 42
    sha256: "HEX"
    mode: "0644"
    verified: "rpm-pgp 24C6A8A7F4A80EB5"
`

func TestLockText(t *testing.T) {
	want := strings.ReplaceAll(sampleText, "HEX", hex64)
	l := sample()
	before := slices.Clone(l.Rows)
	got, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, l.Rows); diff != "" {
		t.Errorf("marshalling moved the rows:\n%s", diff)
	}
	slices.Reverse(l.Rows)
	l.Created = l.Created.In(time.FixedZone("east", 8*3600))
	if again, err := l.Marshal(); err != nil || string(again) != want {
		t.Errorf("rows in another order, time in another zone: got other bytes (%v)", err)
	}
	back, err := manifest.ParseLock("manifest.lock", got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted(sample()), back); diff != "" {
		t.Errorf("what comes back (-want +got):\n%s", diff)
	}
}

func sorted(l *manifest.Lock) *manifest.Lock {
	slices.SortFunc(l.Rows, func(a, b manifest.Row) int { return strings.Compare(a.Path, b.Path) })
	return l
}

func TestEmptyLock(t *testing.T) {
	l := sample()
	l.Rows, l.Variables = nil, map[string]string{}
	text, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "variables: {}\nrows: []\n") {
		t.Errorf("got %s", text)
	}
	back, err := manifest.ParseLock("manifest.lock", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, back); diff != "" {
		t.Errorf("what comes back (-want +got):\n%s", diff)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.lock")
	if _, err := manifest.LoadLock(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no lock: got %v, want fs.ErrNotExist", err)
	}
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := manifest.LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted(sample()), back); diff != "" {
		t.Errorf("what comes back (-want +got):\n%s", diff)
	}
	bad := sample()
	bad.Inputs = "x"
	if err := bad.Write(path); err == nil {
		t.Error("a lock that could not be read was written")
	}
	if now, err := manifest.LoadLock(path); err != nil || !cmp.Equal(back, now) {
		t.Errorf("a failed write changed what was there (%v)", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("got %d files (%v), want the lock alone", len(entries), err)
	}
}

func TestBadLocks(t *testing.T) {
	good := strings.ReplaceAll(sampleText, "HEX", hex64)
	if _, err := manifest.ParseLock("l", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"schema of another time", "offbake/lock/1", "offbake/lock/2", "l:1:9: schema: want offbake/lock/1"},
		{"unknown key", "name: \"nomad-cluster\"", "name: \"nomad-cluster\"\nhost: \"x\"", "l:3:1: host: unknown key, want one of schema, name, version, platform, created, inputs, variables, rows"},
		{"time with a fraction", "03:04:05Z", "03:04:05.5Z", "l:5:10: created: want a time like 2006-01-02T15:04:05Z"},
		{"time of another zone", "03:04:05Z", "03:04:05+08:00", "l:5:10: created: want a time like 2006-01-02T15:04:05Z"},
		{"short digest", "inputs: \"0", "inputs: \"", "l:6:9: inputs: want 64 lower-case hex digits"},
		{"secret variable", "  empty: \"\"", "  ssh_password: \"hunter2\"", "l:9:17: variables.ssh_password: a secret does not belong into a lock"},
		{"absolute path", "path: \"files/cfssl\"", "path: \"/files/cfssl\"", "l:26:11: rows[2].path: want a relative path without . and .. and double slashes"},
		{"path that leaves", "path: \"files/cfssl\"", "path: \"files/../../x\"", "l:26:11: rows[2].path: want a relative path without . and .. and double slashes"},
		{"path at the top", "path: \"files/cfssl\"", "path: \"bundle.json\"", "l:26:11: rows[2].path: want a path in a folder of the bundle"},
		{"same path, case aside", "path: \"files/cfssl\"", "path: \"files/Consul_1.6.1_linux_amd64.zip\"", "l:34:5: rows[3]: another artifact has this path, case aside, or one is a folder of the other"},
		{"file and folder", "path: \"files/cfssl\"", "path: \"files/consul_1.6.1_linux_amd64.zip/x\"", "l:34:5: rows[3]: another artifact has this path, case aside, or one is a folder of the other"},
		{"derived kind", "kind: \"file\"", "kind: \"unpacked\"", "l:27:11: rows[2].kind: want hashicorp or provider or rpm or container or file or evidence"},
		{"user in a URL", "https://example.com/cfssl", "https://u:hunter2@example.com/cfssl", "l:29:10: rows[2].url: want no user or password in a URL"},
		{"query in a URL", "https://example.com/cfssl", "https://example.com/cfssl?Signature=hunter2", "l:29:10: rows[2].url: want no query and no fragment in a URL"},
		{"no URL", "    url: \"https://example.com/cfssl\"\n", "", "l:26:5: rows[2]: want url and verified"},
		{"no verification", "    verified: \"first-use\"\n", "", "l:26:5: rows[2]: want url and verified"},
		{"verification unknown", "\"first-use\"", "\"trust-me\"", "l:33:15: rows[2].verified: want hashicorp-pgp, provider-pgp or rpm-pgp with a KEYID, pinned, oci-digest or first-use"},
		{"negative size", "size: 42", "size: -1", "l:16:11: rows[0].size: want a number of bytes"},
		{"octal size", "size: 42", "size: 042", "l:16:11: rows[0].size: want a number of bytes"},
		{"size beyond int64", "size: 42", "size: 9223372036854775808", "l:16:11: rows[0].size: want a number of bytes"},
		{"size as text", "size: 42", "size: \"42\"", "l:16:11: rows[0].size: got text, want a whole number"},
		{"mode", "mode: \"0644\"", "mode: \"4755\"", "l:18:11: rows[0].mode: want 0644 or 0755"},
		{"evidence not there", "- \"evidence/hashicorp/consul/SHA256SUMS\"", "- \"evidence/other\"", "l:34:5: rows[3]: evidence names a path that is no row of kind evidence"},
		{"evidence of another kind", "- \"evidence/hashicorp/consul/SHA256SUMS\"", "- \"files/cfssl\"", "l:34:5: rows[3]: evidence names a path that is no row of kind evidence"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad := strings.Replace(good, test.old, test.new, 1)
			if bad == good {
				t.Fatal("the edit changes nothing")
			}
			l, err := manifest.ParseLock("l", []byte(bad))
			var all manifest.Errors
			if !errors.As(err, &all) || l != nil {
				t.Fatalf("got %v, %v, want manifest.Errors and no lock", l, err)
			}
			if err.Error() != test.want {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}

func TestLockThatCannotBeReadIsNotWritten(t *testing.T) {
	for name, spoil := range map[string]func(*manifest.Lock){
		"no schema":         func(l *manifest.Lock) { l.Schema = "" },
		"path twice":        func(l *manifest.Lock) { l.Rows = append(l.Rows, l.Rows[0]) },
		"line break":        func(l *manifest.Lock) { l.Rows[0].Name = "a\nb" },
		"no UTF-8":          func(l *manifest.Lock) { l.Rows[0].Name = "a\xff" },
		"user in a URL":     func(l *manifest.Lock) { l.Rows[0].URL = "https://u@a.example/" },
		"evidence missing":  func(l *manifest.Lock) { l.Rows[0].Evidence = []string{"evidence/none"} },
		"no time":           func(l *manifest.Lock) { l.Created = time.Time{} },
		"secret variable":   func(l *manifest.Lock) { l.Variables["a_token"] = "x" },
		"verified by a lie": func(l *manifest.Lock) { l.Rows[0].Verified = "rpm-pgp" },
	} {
		l := sample()
		spoil(l)
		var all manifest.Errors
		if text, err := l.Marshal(); err == nil || text != nil || !errors.As(err, &all) && name != "no UTF-8" {
			t.Errorf("%s: got %d bytes and %v, want manifest.Errors", name, len(text), err)
		}
	}
}

func TestDiff(t *testing.T) {
	old, now := sample(), sample()
	if c := now.Diff(old); !c.Empty() || len(c.Lines()) != 0 {
		t.Errorf("same locks: got %v", c)
	}
	slices.Reverse(now.Rows)
	if c := now.Diff(old); !c.Empty() {
		t.Errorf("same rows in another order: got %v", c)
	}
	now = sample()
	now.Rows[0].SHA256 = strings.Repeat("f", 64)
	now.Rows[1].Evidence = now.Rows[1].Evidence[:1]
	now.Rows[2].Path = "files/another"
	now.Created = now.Created.Add(time.Hour)
	want := manifest.Changes{
		Added:   []string{"files/another"},
		Removed: []string{"files/cfssl"},
		Changed: []string{"files/consul_1.6.1_linux_amd64.zip", "rpms/Packages/wget-1.14-18.el7.x86_64.rpm"},
	}
	got := now.Diff(old)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	lines := []string{"+ files/another", "- files/cfssl", "~ files/consul_1.6.1_linux_amd64.zip", "~ rpms/Packages/wget-1.14-18.el7.x86_64.rpm"}
	if diff := cmp.Diff(lines, got.Lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if c := now.Diff(nil); len(c.Added) != len(now.Rows) || len(c.Removed)+len(c.Changed) != 0 || c.Empty() {
		t.Errorf("no lock before: got %v, want all added", c)
	}
}
