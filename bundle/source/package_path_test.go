package source_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/faulttest"
)

const looseFolder = "{id: base, baseurl: \"file://%s\", gpgcheck: false}"

// copySigned copies the signed repository to where a test may change it.
func copySigned(t *testing.T) string {
	t.Helper()
	built, err := buildRPMs()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "repo")
	if err := os.CopyFS(dir, os.DirFS(built.signed)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A package lies in the bundle under its own name, whatever the repository calls its file.
func TestResolveNamesPackagesItself(t *testing.T) {
	const wget, unzip = "Packages/wget-1.20-1.noarch.rpm", "Packages/unzip-6.0-1.x86_64.rpm"
	for _, row := range []struct{ name, wget, unzip string }{
		{"one name in two folders", "a/1.rpm", "b/1.rpm"},
		{"names that differ in case", "X.rpm", "x.rpm"},
		{"an escape", "w%2Bget.rpm", "unzip"},
		{"what a store does not take", "x_2By.rpm", "unzip.drpm"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := copySigned(t)
			rewritePrimary(t, dir, `href="`+wget, `href="`+row.wget)
			changed := readFile(t, filepath.Join(dir, "repodata/primary.xml"))
			changed = []byte(strings.Replace(string(changed), `href="`+unzip, `href="`+row.unzip, 1))
			writeRepomd(t, dir, changed)
			w, _ := newRPMWorld(t, good)
			res, err := w.resolve(t, rpms(fmt.Sprintf(looseFolder, dir), "wget, unzip"))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range res.Rows {
				got += r.Path + " " + strings.TrimPrefix(r.URL, "file://"+dir+"/") + "\n"
			}
			if want := "rpms/" + unzip + " " + row.unzip + "\nrpms/" + wget + " " + row.wget + "\n"; got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	// With an epoch, and a signature to look at.
	built, err := buildRPMs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := faulttest.BuildRepo(dir, nil, faulttest.RPMSpec{Name: "gcc-c++", Version: "4.8~rc1", Epoch: 2}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "Packages/gcc-c++-4.8~rc1-1.noarch.rpm"), filepath.Join(dir, "Packages/gcc")); err != nil {
		t.Fatal(err)
	}
	rewritePrimary(t, dir, "Packages/gcc-c++-4.8~rc1-1.noarch.rpm", "Packages/gcc")
	w := newWorld(t)
	w.write(t, "keys/rpm.asc", built.key)
	repo := fmt.Sprintf("{id: base, baseurl: \"file://%s\", gpgkey: keys/rpm.asc}", dir)
	res, err := w.resolve(t, rpms(repo, "gcc-c++")+"    unsigned: [gcc-c++]\n")
	if err != nil {
		t.Fatal(err)
	}
	if r := res.Rows; len(r) != 1 || r[0].Path != "rpms/Packages/gcc-c++-4.8~rc1-1.noarch.rpm" || r[0].Name != "gcc-c++-2:4.8~rc1-1.noarch" {
		t.Errorf("got %+v, want the path without the epoch", r)
	}
}

func TestResolveRefusesNamesOfPackages(t *testing.T) {
	for name, row := range map[string]struct{ from, to, want string }{
		"what a store has for a plus": {`<name>wget</name>`, `<name>w_2Bget</name>`, "want a path without _2B"},
		"a slash":                     {`ver="1.20"`, `ver="1/20"`, "without / % : ? and #"},
		"an escape":                   {`rel="1"`, `rel="%31"`, "without / % : ? and #"},
		"another change":              {`<arch>noarch</arch>`, `<arch>x86_64</arch>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copySigned(t)
			rewritePrimary(t, dir, row.from, row.to)
			w, _ := newRPMWorld(t, good)
			_, err := w.resolve(t, rpms(fmt.Sprintf(looseFolder, dir), "wget"))
			if row.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), `repository "base": package "w`) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// Metadata that is broken is no matter of signatures, where none is asked for and where one is.
func TestResolveTellsBrokenMetadata(t *testing.T) {
	for name, data := range map[string]string{"nothing": "", "cut off": "<repomd", "no XML": "it works!"} {
		for _, repo := range []string{signedRepo, strings.Replace(signedRepo, "gpgkey: keys/rpm.asc", "gpgcheck: false", 1)} {
			w, _ := newRPMWorld(t, good)
			w.Put(rpmBase+"repodata/repomd.xml", []byte(data))
			_, err := w.resolve(t, rpms(repo, "wget"))
			var signature *source.SignatureError
			if err == nil || errors.As(err, &signature) || strings.Contains(err.Error(), "OpenPGP") || !strings.Contains(err.Error(), "repodata/repomd.xml") {
				t.Errorf("%s: got %v, want an error of repomd.xml and none of OpenPGP", name, err)
			}
		}
	}
}

// What is no signature is none, and is told as one of the list of packages, not of a package.
func TestResolveTellsUnsignedRepomd(t *testing.T) {
	for name, asc := range map[string]string{"nothing": "", "junk": "<html>404</html>\n"} {
		w, _ := newRPMWorld(t, good)
		w.Put(rpmBase+"repodata/repomd.xml.asc", []byte(asc))
		_, err := w.resolve(t, rpms(strings.Replace(signedRepo, "gpgkey:", "repo_gpgcheck: true, gpgkey:", 1), "wget"))
		var list *source.RepomdError
		if !isSignature(rpm.ErrUnsigned)(err) || !errors.As(err, &list) || list.Repo != "base" {
			t.Errorf("%s: got %v, want a RepomdError of a list that is not signed", name, err)
		}
	}
	w, _ := newRPMWorld(t, good)
	_, err := w.resolve(t, rpms("{id: base, baseurl: https://unsigned.example/, gpgkey: keys/rpm.asc}", "wget"))
	var list *source.RepomdError
	if !isSignature(rpm.ErrUnsigned)(err) || errors.As(err, &list) {
		t.Errorf("an unsigned package: got %v, want no RepomdError", err)
	}
}
