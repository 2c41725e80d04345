package source_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
)

// rpmWorld is what takes long to make: two repositories of signed packages. The tests only read it.
type rpmWorld struct {
	signed, unsigned string // folders
	key, stranger    []byte
	asc, strangerAsc []byte // signatures of the signed repository's repomd.xml
	id               string
}

var buildRPMs = sync.OnceValues(func() (w rpmWorld, err error) {
	dir, err := os.MkdirTemp("", "source-rpms")
	if err != nil {
		return w, err
	}
	key, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return w, err
	}
	stranger, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return w, err
	}
	w.signed, w.unsigned, w.id = filepath.Join(dir, "signed"), filepath.Join(dir, "unsigned"), key.KeyID()
	specs := []faulttest.RPMSpec{{Name: "wget", Version: "1.14"}, {Name: "wget", Version: "1.20", Files: map[string]faulttest.RPMFile{"/usr/share/wget/only": {}}}, {Name: "unzip", Version: "6.0", Arch: "x86_64"}}
	if err := faulttest.BuildRepo(w.signed, key, specs...); err != nil {
		return w, err
	}
	if err := faulttest.BuildRepo(w.unsigned, nil, specs[0]); err != nil {
		return w, err
	}
	repomd, err := os.ReadFile(filepath.Join(w.signed, "repodata/repomd.xml"))
	if err != nil {
		return w, err
	}
	for _, k := range []struct {
		key      *faulttest.SigningKey
		out, asc *[]byte
	}{{key, &w.key, &w.asc}, {stranger, &w.stranger, &w.strangerAsc}} {
		if *k.out, err = k.key.Armored(); err != nil {
			return w, err
		}
		if *k.asc, err = k.key.SignDocument(repomd); err != nil {
			return w, err
		}
	}
	return w, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := buildRPMs(); err == nil {
		os.RemoveAll(filepath.Dir(w.signed))
	}
	os.Exit(code)
}

func newRPMWorld(t *testing.T, key func(rpmWorld) []byte) (*world, rpmWorld) {
	t.Helper()
	built, err := buildRPMs()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for address, dir := range map[string]string{rpmBase: built.signed, "https://unsigned.example/": built.unsigned} {
		if err := w.PutFolder(address, dir); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "keys/rpm.asc", key(built))
	return w, built
}

func good(w rpmWorld) []byte { return w.key }

func rpms(repos, install string) string {
	return "  rpms:\n    base: bare\n    repos: [" + repos + "]\n    install: [" + install + "]\n"
}

const signedRepo = "{id: base, baseurl: " + rpmBase + ", gpgkey: keys/rpm.asc}"

func TestResolveRPMs(t *testing.T) {
	w, built := newRPMWorld(t, good)
	res, err := w.resolve(t, rpms(signedRepo, "unzip, wget, wget-1.20"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.Rows {
		got = append(got, fmt.Sprintf("%s %s %s %s %s %d", r.Path, r.Kind, r.Name, r.URL, r.Verified, len(r.Evidence)))
	}
	var want []string
	for _, name := range []string{"unzip-6.0-1.x86_64", "wget-1.20-1.noarch"} {
		want = append(want, fmt.Sprintf("rpms/Packages/%s.rpm rpm %s %sPackages/%s.rpm rpm-pgp %s 0", name, name, rpmBase, name, built.id))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(res.Warnings) != 0 {
		t.Errorf("got warnings %q, want none", res.Warnings)
	}
	local, err := w.resolve(t, rpms(strings.Replace(signedRepo, rpmBase, "file://"+built.signed, 1), "wget"))
	if err != nil || len(local.Rows) != 1 || local.Rows[0].URL != "file://"+built.signed+"/Packages/wget-1.20-1.noarch.rpm" {
		t.Errorf("a repository on disk: got %+v, %v", local, err)
	}
}

// TestResolveRPMsCancelled: nothing is picked from a repository whose turn never came.
func TestResolveRPMsCancelled(t *testing.T) {
	w, _ := newRPMWorld(t, good)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, err := source.Resolve(ctx, w.fetcher(t), w.inputs(t, rpms(signedRepo, "wget"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v, want context.Canceled alone", res, err)
	}
}

func TestResolveRPMsWithoutSignatures(t *testing.T) {
	w, _ := newRPMWorld(t, good)
	res, err := w.resolve(t, rpms("{id: loose, baseurl: https://unsigned.example/, gpgcheck: false}", "wget"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 1 || res.Rows[0].Verified != "first-use" {
		t.Errorf("got %+v, want wget at first use", res.Rows)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], `"loose"`) {
		t.Errorf("got warnings %q, want one of the repository", res.Warnings)
	}
}

func TestResolveRefusesRPMs(t *testing.T) {
	stranger := func(w rpmWorld) []byte { return w.stranger }
	unsigned := "{id: base, baseurl: https://unsigned.example/, gpgkey: keys/rpm.asc}"
	for _, row := range []struct {
		name, repos, install string
		key                  func(rpmWorld) []byte
		spoil                func(t *testing.T, w *world)
		want                 func(error) bool
		starts               string
	}{
		{"an unsigned package", unsigned, "wget", good, nil, isSignature(rpm.ErrUnsigned), `locking "wget-1.14-1.noarch": `},
		{"another's key", signedRepo, "wget", stranger, nil, isSignature(rpm.ErrUnknownKey), `locking "wget-1.20-1.noarch": `},
		{"a file that is no key", signedRepo, "wget", func(rpmWorld) []byte { return []byte("key\n") }, nil,
			func(err error) bool { return strings.Contains(err.Error(), `reading key "keys/rpm.asc"`) }, `locking "repository base": `},
		{"another package in the place", signedRepo, "wget", good, func(t *testing.T, w *world) {
			built, _ := buildRPMs()
			w.Put(rpmBase+"Packages/wget-1.20-1.noarch.rpm", readFile(t, filepath.Join(built.signed, "Packages/wget-1.14-1.noarch.rpm")))
		}, func(err error) bool { var m *fetch.MismatchError; return errors.As(err, &m) }, `locking "wget-1.20-1.noarch": `},
		{"metadata of another repository", signedRepo, "wget", good, func(t *testing.T, w *world) {
			built, _ := buildRPMs()
			w.Put(rpmBase+"repodata/repomd.xml", readFile(t, filepath.Join(built.unsigned, "repodata/repomd.xml")))
		}, func(err error) bool { var s *transport.StatusError; return errors.As(err, &s) }, `locking "repository base": `},
		{"no repository at its place on disk", "{id: base, baseurl: \"file:///nowhere/el7/\", gpgkey: keys/rpm.asc}", "wget", good, nil,
			func(err error) bool { return errors.Is(err, fs.ErrNotExist) }, `locking "repository base": `},
		{"no such packages", signedRepo, "wget-9, nano", good, nil,
			func(err error) bool {
				var u *source.UnsolvableError
				return errors.As(err, &u) && len(u.Missing) == 2 && u.Missing[0].Dep == "nano" &&
					u.Missing[1].Where == `repository "base" has only wget-1.20-1.noarch and wget-1.14-1.noarch`
			}, `locking "rpms": `},
		{"two versions of one package", signedRepo, "wget-1.20, wget-1.14", good, nil,
			func(err error) bool {
				var u *source.UnsolvableError
				return errors.As(err, &u) && len(u.Missing) == 0 && len(u.Others) == 1
			}, `locking "rpms": `},
		{"no such repository", "{id: base, baseurl: https://nowhere.example/, gpgkey: keys/rpm.asc}", "wget", good, nil,
			func(err error) bool { var s *transport.StatusError; return errors.As(err, &s) }, `locking "repository base": `},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, _ := newRPMWorld(t, row.key)
			if row.spoil != nil {
				row.spoil(t, w)
			}
			_, err := w.resolve(t, rpms(row.repos, row.install))
			if err == nil || !row.want(err) || !strings.HasPrefix(err.Error(), row.starts) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Metadata is made by whoever runs the repository.
func TestResolveRefusesHostilePlaces(t *testing.T) {
	for _, row := range []struct{ name, from, to, want string }{
		{"a path upwards", `href="Packages/wget`, `href="../../etc/wget`, "no clean path below it"},
		{"a path from the root", `href="Packages/wget`, `href="/etc/wget`, "no clean path below it"},
		{"a path upwards that a server decodes", `href="Packages/wget`, `href="%2e%2e/%2e%2e/etc/wget`, "no clean path below it"},
		{"a slash that a server decodes", `href="Packages/wget`, `href="Packages%2f..%2f..%2fwget`, "no clean path below it"},
		{"a broken escape", `href="Packages/wget`, `href="Packages/%zzwget`, "no clean path below it"},
		{"a query", `href="Packages/wget-1`, `href="Packages/wget?x=1`, "no clean path below it"},
		{"a place on this disk", `<location href`, `<location xml:base="file:///etc/" href`, "want http or https"},
		{"a place that wants a password", `<location href`, `<location xml:base="https://me:secret@far.example/" href`,
			`as the place of packages: want no user or password in a URL`},
		{"a place with a query", `<location href`, `<location xml:base="https://far.example/?token=secret" href`,
			`as the place of packages: want no query`},
	} {
		t.Run(row.name, func(t *testing.T) {
			built, err := buildRPMs()
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "repo")
			if err := os.CopyFS(dir, os.DirFS(built.signed)); err != nil {
				t.Fatal(err)
			}
			rewritePrimary(t, dir, row.from, row.to)
			w, _ := newRPMWorld(t, good)
			_, err = w.resolve(t, rpms("{id: base, baseurl: \"file://"+dir+"\", gpgkey: keys/rpm.asc}", "wget"))
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			for _, r := range w.server.Requests() {
				t.Errorf("asked for %s", r.Path)
			}
		})
	}
}

// rewritePrimary changes a repository's primary metadata, and repomd.xml so that it fits.
func rewritePrimary(t *testing.T, dir, from, to string) {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(dir, "repodata", "*-primary.xml.*"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("got %q, %v, want one primary", matches, err)
	}
	var tool = map[string][]string{".gz": {"gzip", "-dc"}, ".zst": {"zstd", "-dc"}, ".xz": {"xz", "-dc"}}[filepath.Ext(matches[0])]
	plain, err := exec.Command(tool[0], append(tool[1:], matches[0])...).Output()
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(plain), from, to)
	if changed == string(plain) {
		t.Fatalf("%q is not in the metadata", from)
	}
	writeRepomd(t, dir, []byte(changed))
}

// writeRepomd puts primary metadata into a repository, and a repomd.xml that fits.
func writeRepomd(t *testing.T, dir string, primary []byte) {
	t.Helper()
	repomd := fmt.Sprintf(`<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">%x</checksum>`+
		`<location href="repodata/primary.xml"/><size>%d</size></data></repomd>`, sha256.Sum256(primary), len(primary))
	for name, data := range map[string][]byte{"primary.xml": primary, "repomd.xml": []byte(repomd)} {
		if err := os.WriteFile(filepath.Join(dir, "repodata", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckRPMRefusesAnotherPackage(t *testing.T) {
	_, built := newRPMWorld(t, good)
	f, err := os.Open(filepath.Join(built.signed, "Packages/wget-1.14-1.noarch.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rpm.ParseKeys(built.key)
	if err != nil {
		t.Fatal(err)
	}
	row := manifest.Row{Name: "wget-1.20-1.noarch", Path: "rpms/Packages/wget-1.20-1.noarch.rpm", Size: fi.Size()}
	_, err = source.CheckRPM(f, row, source.Signers{Keys: keys})
	var mismatch *rpm.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Got != "wget-1.14-1.noarch" {
		t.Errorf("an older package that the vendor signed: got %v, want a MismatchError", err)
	}
}
