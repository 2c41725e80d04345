package source_test

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
)

const mirrored = "mirrors: [{from: \"" + rpmBase + "\", to: [\"https://near.example/\", \"https://far.example/\"]}]\n"

// resolveMirrored resolves wget of the signed repository, which has two mirrors.
func (w *world) resolveMirrored(t *testing.T, install string) (*source.Resolution, error) {
	t.Helper()
	// inputs puts the text below artifacts, its last key: what follows without indent is a key of its own.
	res, err := source.Resolve(t.Context(), w.fetcher(t), w.inputs(t, rpms(signedRepo, install)+mirrored))
	if err == nil {
		t.Cleanup(func() { res.Close() })
	}
	return res, err
}

// A mirror in the middle of a change has the list of one day and the files of another. It is left for one that is whole,
// the repository's own place at the end.
func TestResolveLeavesMirrorsInMixedState(t *testing.T) {
	built, err := buildRPMs()
	if err != nil {
		t.Fatal(err)
	}
	primary := func(dir string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "repodata", "*-primary.xml.*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("got %q, %v", found, err)
		}
		return "repodata/" + filepath.Base(found[0])
	}
	old := t.TempDir() // the repository of another day: no wget-1.20 yet
	if err := faulttest.BuildRepo(old, nil, faulttest.RPMSpec{Name: "wget", Version: "1.17"}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		near map[string]string // what the nearest mirror has, by path: a file
		far  bool              // the second mirror is whole; otherwise it is not there
		spec string            // "" is wget
	}{
		{"nothing", nil, false, ""},
		{"the list alone", map[string]string{"repodata/repomd.xml": filepath.Join(built.signed, "repodata/repomd.xml")}, false, ""},
		{"an old list and nothing else", map[string]string{"repodata/repomd.xml": filepath.Join(old, "repodata/repomd.xml")}, false, ""},
		{"an old list and nothing else, before a whole mirror", map[string]string{"repodata/repomd.xml": filepath.Join(old, "repodata/repomd.xml")}, true, ""},
		{"old metadata and no packages", map[string]string{"repodata/repomd.xml": filepath.Join(old, "repodata/repomd.xml"),
			primary(old): filepath.Join(old, primary(old))}, false, ""},
		{"old metadata without its file lists", map[string]string{"repodata/repomd.xml": filepath.Join(old, "repodata/repomd.xml"),
			primary(old): filepath.Join(old, primary(old))}, false, "/usr/share/wget/only"},
		{"metadata that was cut off", map[string]string{"repodata/repomd.xml": filepath.Join(built.signed, "repodata/repomd.xml"),
			primary(built.signed): os.DevNull}, false, ""},
		{"a list that is none", map[string]string{"repodata/repomd.xml": filepath.Join(old, "Packages/wget-1.17-1.noarch.rpm")}, true, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, _ := newRPMWorld(t, good)
			for name, file := range row.near {
				w.Put("https://near.example/"+name, readFile(t, file))
			}
			if row.far {
				if err := w.PutFolder("https://far.example/", built.signed); err != nil {
					t.Fatal(err)
				}
			}
			res, err := w.resolveMirrored(t, cmp.Or(row.spec, "wget"))
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Rows) != 1 || res.Rows[0].URL != rpmBase+"Packages/wget-1.20-1.noarch.rpm" {
				t.Errorf("got %+v, want wget 1.20 of the repository's own address", res.Rows)
			}
		})
	}
}

// Where no place has the repository whole, all of them are told, and what was refused decides.
func TestResolveTellsAllMirrors(t *testing.T) {
	w, built := newRPMWorld(t, good)
	w.Put("https://near.example/repodata/repomd.xml", []byte("<html>"))
	w.Remove(rpmBase + "repodata/repomd.xml")
	_, err := w.resolveMirrored(t, "wget")
	if err == nil || !strings.HasPrefix(err.Error(), `locking "repository base": `) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "repomd.xml") || !strings.Contains(err.Error(), "far.example") {
		t.Errorf("got %v, want one line with every place", err)
	}
	var status *transport.StatusError
	if !errors.As(err, &status) {
		t.Errorf("got %v, want a StatusError in it", err)
	}
	// All have a list, and none the package.
	w, _ = newRPMWorld(t, good)
	w.Remove(rpmBase + "Packages/wget-1.20-1.noarch.rpm")
	if err := w.PutFolder("https://near.example/repodata/", filepath.Join(built.signed, "repodata")); err != nil {
		t.Fatal(err)
	}
	_, err = w.resolveMirrored(t, "wget")
	if !errors.As(err, &status) || status.Code != 404 || !strings.HasPrefix(err.Error(), `locking "wget-1.20-1.noarch": `) {
		t.Errorf("got %v, want the package that is nowhere", err)
	}
}

// A second lock has the metadata that createrepo names by its digest in the cache.
func TestResolveKeepsMetadata(t *testing.T) {
	w, _ := newRPMWorld(t, good)
	for range 2 {
		w.server.Forget()
		if _, err := w.resolve(t, rpms(signedRepo, "wget")); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.server.Requests() {
		if !strings.HasSuffix(r.Path, "/repomd.xml") {
			t.Errorf("the second lock asked for %s", r.Path)
		}
	}
}

// Without signatures to look at, metadata that tells size and digest of packages leaves nothing to learn.
func TestResolveReadsMetadataOnly(t *testing.T) {
	w, built := newRPMWorld(t, good)
	res, err := w.resolve(t, rpms("{id: loose, baseurl: "+rpmBase+", gpgcheck: false}", "wget"))
	if err != nil {
		t.Fatal(err)
	}
	file := readFile(t, filepath.Join(built.signed, "Packages/wget-1.20-1.noarch.rpm"))
	want := fmt.Sprintf("%s %d %s", hexSum(file), len(file), source.FirstUse)
	if r := res.Rows; len(r) != 1 || fmt.Sprintf("%s %d %s", r[0].SHA256, r[0].Size, r[0].Verified) != want || len(res.Blobs) != 0 {
		t.Errorf("got %+v and %d blobs, want %s", r, len(res.Blobs), want)
	}
	for _, r := range w.server.Requests() {
		if r.Method != http.MethodGet || !strings.Contains(r.Path, "/repodata/") {
			t.Errorf("asked for %s", r.Path)
		}
	}
	// A checksum of another kind must be learned.
	w, built = newRPMWorld(t, good)
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(built.signed)); err != nil {
		t.Fatal(err)
	}
	rewritePrimary(t, dir, `<checksum type="sha256" pkgid="YES">`+hexSum(file), `<checksum type="sha1" pkgid="YES">`+sha1Sum(file))
	res, err = w.resolve(t, rpms("{id: loose, baseurl: \"file://"+dir+"\", gpgcheck: false}", "wget"))
	if err != nil || len(res.Rows) != 1 || res.Rows[0].SHA256 != hexSum(file) || len(res.Blobs) != 1 {
		t.Errorf("a SHA-1 in the metadata: got %+v, %v", res, err)
	}
}

func TestResolveUnsigned(t *testing.T) {
	const unsignedRepo = "{id: base, baseurl: https://unsigned.example/, gpgkey: keys/rpm.asc}"
	with := func(text, names string) string { return text + "    unsigned: [" + names + "]\n" }
	w, _ := newRPMWorld(t, good)
	res, err := w.resolve(t, with(rpms(unsignedRepo, "wget"), "wget"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 1 || res.Rows[0].Verified != source.FirstUse {
		t.Errorf("got %+v, want wget at first use", res.Rows)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], `"wget-1.14-1.noarch" has no signature`) {
		t.Errorf("got warnings %q, want one of wget", res.Warnings)
	}
	for _, row := range []struct {
		name, text string
		key        func(rpmWorld) []byte
		want       error
	}{
		{"another name", with(rpms(unsignedRepo, "wget"), "unzip"), good, rpm.ErrUnsigned},
		{"signed by another's key", with(rpms(signedRepo, "wget"), "wget"), func(w rpmWorld) []byte { return w.stranger }, rpm.ErrUnknownKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, _ := newRPMWorld(t, row.key)
			if _, err := w.resolve(t, row.text); !isSignature(row.want)(err) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
	// An exception that nothing needs.
	w, _ = newRPMWorld(t, good)
	res, err = w.resolve(t, with(rpms(signedRepo, "wget"), "wget, nano"))
	if err != nil || len(res.Warnings) != 2 || !strings.Contains(res.Warnings[0], `"nano", which is not among`) ||
		!strings.Contains(res.Warnings[1], `"wget", which is signed`) || strings.HasPrefix(res.Rows[0].Verified, source.FirstUse) {
		t.Errorf("got %+v, %v, want warnings of nano and of wget", res, err)
	}
}

// With repo_gpgcheck the list of packages itself must be signed, and a mirror without a good signature is left.
func TestResolveRepoGPGCheck(t *testing.T) {
	const asc = "repodata/repomd.xml.asc"
	for _, row := range []struct {
		name           string
		near, own, key func(rpmWorld) []byte // what the mirror and the repository have as signature; nil for nothing
		gpgcheck       string
		want           error
	}{
		{"signed", nil, func(w rpmWorld) []byte { return w.asc }, good, "true", nil},
		{"signed metadata of packages that nobody checks", nil, func(w rpmWorld) []byte { return w.asc }, good, "false", nil},
		{"no signature", nil, nil, good, "true", rpm.ErrUnsigned},
		{"a signature of another key", nil, func(w rpmWorld) []byte { return w.strangerAsc }, good, "true", rpm.ErrUnknownKey},
		{"a signature of something else", nil, func(w rpmWorld) []byte { return w.asc }, func(w rpmWorld) []byte { return w.stranger }, "true", rpm.ErrUnknownKey},
		{"a mirror with a bad one", func(w rpmWorld) []byte { return w.strangerAsc }, func(w rpmWorld) []byte { return w.asc }, good, "true", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, built := newRPMWorld(t, row.key)
			if row.own != nil {
				w.Put(rpmBase+asc, row.own(built))
			}
			if row.near != nil {
				if err := w.PutFolder("https://near.example/", built.signed); err != nil {
					t.Fatal(err)
				}
				w.Put("https://near.example/"+asc, row.near(built))
			}
			repo := "{id: base, baseurl: " + rpmBase + ", gpgkey: keys/rpm.asc, repo_gpgcheck: true, gpgcheck: " + row.gpgcheck + "}"
			res, err := source.Resolve(t.Context(), w.fetcher(t), w.inputs(t, rpms(repo, "wget")+mirrored))
			if row.want != nil {
				if !isSignature(row.want)(err) || !strings.HasPrefix(err.Error(), `locking "repository base": `) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close()
			if len(res.Rows) != 1 || (res.Rows[0].Verified == source.FirstUse) != (row.gpgcheck == "false") {
				t.Errorf("got %+v", res.Rows)
			}
		})
	}
}

// What a mirror offers in the place of a package is not what the list says.
func TestResolveTakesPackagesFromTheNextMirror(t *testing.T) {
	w, built := newRPMWorld(t, good)
	if err := w.PutFolder("https://near.example/", built.signed); err != nil {
		t.Fatal(err)
	}
	w.Put("https://near.example/Packages/wget-1.20-1.noarch.rpm", []byte("cut off"))
	res, err := w.resolveMirrored(t, "wget")
	if err != nil || len(res.Rows) != 1 {
		t.Errorf("got %+v, %v", res, err)
	}
	w.Remove(rpmBase + "Packages/wget-1.20-1.noarch.rpm")
	w.cache = t.TempDir()
	var mismatch *fetch.MismatchError
	if _, err = w.resolveMirrored(t, "wget"); !errors.As(err, &mismatch) {
		t.Errorf("nowhere else: got %v, want a MismatchError", err)
	}
}

func hexSum(data []byte) string  { return fmt.Sprintf("%x", sha256.Sum256(data)) }
func sha1Sum(data []byte) string { return fmt.Sprintf("%x", sha1.Sum(data)) }
