package rpm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// fileList is a filelists.xml as encoding/xml reads it.
type fileList struct {
	Packages []struct {
		ID    string `xml:"pkgid,attr"`
		Name  string `xml:"name,attr"`
		Files []struct {
			Type string `xml:"type,attr"`
			Path string `xml:",chardata"`
		} `xml:"file"`
	} `xml:"package"`
}

// byName is what Paths gave, by the names of the packages.
func byName(found map[*rpm.Package][]string) map[string][]string {
	out := map[string][]string{}
	for p, paths := range found {
		out[p.NEVRA()] = append(out[p.NEVRA()], slices.Sorted(slices.Values(paths))...)
	}
	return out
}

// TestPathsOfRealRepos asks for every 50th path of real file lists, and for some that no package has.
func TestPathsOfRealRepos(t *testing.T) {
	for _, dir := range []string{"testdata/docker-el7", "testdata/cs9-baseos"} {
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, folder(dir))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		for _, p := range repo.Packages {
			names[p.Checksum.Hex] = p.NEVRA()
		}
		stored, err := filepath.Glob(dir + "/repodata/*-filelists.xml.gz")
		if err != nil || len(stored) != 1 {
			t.Fatalf("got %v, %v, want one file", stored, err)
		}
		var list fileList
		if err := xml.Unmarshal(gunzipped(t, stored[0]), &list); err != nil {
			t.Fatal(err)
		}
		asked, kinds, n := map[string]bool{"/no/such/path": true, "": true, "/usr/share/": true}, map[string]int{}, 0
		for _, p := range list.Packages {
			for _, f := range p.Files {
				if n++; n%50 == 0 || f.Type == "ghost" {
					asked[f.Path] = true
					kinds[f.Type]++
				}
			}
		}
		want := map[string][]string{}
		for _, p := range list.Packages {
			for _, f := range p.Files {
				if asked[f.Path] {
					want[names[p.ID]] = append(want[names[p.ID]], f.Path)
				}
			}
			slices.Sort(want[names[p.ID]])
		}
		maps.DeleteFunc(want, func(_ string, paths []string) bool { return len(paths) == 0 })
		if kinds["dir"] == 0 || kinds["ghost"] == 0 || kinds[""] == 0 {
			t.Fatalf("got paths of kinds %v, want all three", kinds)
		}
		found, err := repo.Paths(t.Context(), folder(dir), slices.Collect(maps.Keys(asked)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, byName(found)); diff != "" {
			t.Errorf("%s: encoding/xml (-), ours (+):\n%.3000s", dir, diff)
		}
	}
}

func gunzipped(tb testing.TB, path string) []byte {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close() // read only
	plain, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(plain)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

const tinyID = "aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00"

const tinyUpper = "AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00AA00"

const tinyFilelists = `<?xml version="1.0" encoding="UTF-8"?>
<filelists xmlns="http://linux.duke.edu/metadata/filelists" packages="2">
<package pkgid="` + tinyID + `" name="other" arch="noarch"><version epoch="1" ver="1.0" rel="2"/>
<file>/usr/bin/aa</file><file type="dir">/usr/share/aa &amp; bb</file><file type="ghost">/var/log/aa</file><file>/usr/bin/aa</file></package>
<package pkgid="bb" name="aa" arch="noarch"><version epoch="1" ver="1.0" rel="2"/><file>/usr/bin/aa</file><file>/usr/bin/bb</file></package>
<package pkgid="` + tinyUpper + `" name="aa" arch="noarch"><file>/usr/bin/cc</file></package>
</filelists>`

// withRecord is a repository of one package with a further file of a kind, and repomd.xml changed.
func withRecord(kind, href string, stored, open []byte, change func(record string) string) memory {
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	record := fmt.Sprintf(`<data type=%q><checksum type="sha256">%x</checksum><open-checksum type="sha256">%x</open-checksum>
<location href=%q/><size>%d</size><open-size>%d</open-size></data></repomd>`,
		kind, sha256.Sum256(stored), sha256.Sum256(open), href, len(stored), len(open))
	repomd := string(files["repodata/repomd.xml"])
	start, end := strings.Index(repomd, `<data type="filelists">`), strings.Index(repomd, `<data type="group">`)
	repomd = repomd[:start] + repomd[end:]
	if change != nil {
		record = change(record)
	}
	files["repodata/repomd.xml"] = []byte(strings.Replace(repomd, "</repomd>", record, 1))
	files[href] = stored
	return files
}

func load(t *testing.T, files memory) *rpm.Repo {
	t.Helper()
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "base"}, files.open)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestPaths(t *testing.T) {
	files := withRecord("filelists", "repodata/f.xml.gz", gzipped(t, tinyFilelists), []byte(tinyFilelists), nil)
	repo := load(t, files)
	repo.Packages = append(repo.Packages, &rpm.Package{Name: "copy", Arch: "noarch", Checksum: repo.Packages[0].Checksum})
	for _, tt := range []struct {
		paths []string
		want  []string
	}{
		{[]string{"/usr/bin/aa"}, []string{"/usr/bin/aa"}},
		{[]string{"/var/log/aa", "/usr/share/aa & bb", "/usr/bin/bb"}, []string{"/usr/share/aa & bb", "/var/log/aa"}},
		{[]string{"/usr/bin/cc"}, []string{"/usr/bin/cc"}},
		{[]string{"/usr/bin/bb"}, nil}, // of a package that primary does not have
		{[]string{"/usr/bin/a", "/usr/bin/aa/", "usr/bin/aa", "aa"}, nil},
		{nil, nil},
	} {
		found, err := repo.Paths(t.Context(), files.open, tt.paths)
		if err != nil {
			t.Errorf("%q: %v", tt.paths, err)
			continue
		}
		want := map[*rpm.Package][]string{}
		if tt.want != nil {
			want[repo.Packages[0]], want[repo.Packages[1]] = tt.want, tt.want
		}
		if len(found) != len(want) || !slices.Equal(found[repo.Packages[0]], tt.want) || !slices.Equal(found[repo.Packages[1]], tt.want) {
			t.Errorf("%q: got %q, want %q of each", tt.paths, byName(found), tt.want)
		}
	}
}

func TestPathsErrors(t *testing.T) {
	stored := gzipped(t, tinyFilelists)
	good := withRecord("filelists", "repodata/f.xml.gz", stored, []byte(tinyFilelists), nil)
	without := func(href string, data []byte) memory {
		files := maps.Clone(good)
		delete(files, href)
		if data != nil {
			files[href] = data
		}
		return files
	}
	none := withRecord("filelists_db", "repodata/f.sqlite.bz2", stored, []byte(tinyFilelists), nil)
	zchunk := withRecord("filelists", "repodata/f.xml.zck", stored, []byte(tinyFilelists), nil)
	size := withRecord("filelists", "repodata/f.xml.gz", stored, []byte(tinyFilelists), func(r string) string {
		return strings.Replace(r, "<size>", "<size>1", 1)
	})
	malformed := withRecord("filelists", "repodata/f.xml", []byte("<filelists>"), []byte("<filelists>"), nil)
	flipped := bytes.Clone(stored)
	flipped[len(flipped)/2] ^= 1
	for _, tt := range []struct {
		fault string
		files memory
		open  memory
		is    func(error) bool
	}{
		{"no record", none, none, func(err error) bool { return errors.Is(err, rpm.ErrNoFileLists) }},
		{"zchunk only", zchunk, zchunk, func(err error) bool { return errors.Is(err, rpm.ErrNoFileLists) }},
		{"absent", good, without("repodata/f.xml.gz", nil), func(err error) bool {
			return errors.Is(err, fs.ErrNotExist) && !errors.Is(err, rpm.ErrNoFileLists)
		}},
		{"altered", good, without("repodata/f.xml.gz", flipped), isMismatch},
		{"of another day", good, without("repodata/f.xml.gz", gzipped(t, tinyFilelists+"\n")), isMismatch},
		{"cut", good, without("repodata/f.xml.gz", stored[:len(stored)-1]), isMismatch},
		{"another size", size, size, isMismatch},
		{"malformed", malformed, malformed, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		found, err := load(t, tt.files).Paths(t.Context(), tt.open.open, []string{"/usr/bin/aa"})
		if !tt.is(err) || found != nil || !strings.Contains(err.Error(), `repository "base"`) {
			t.Errorf("%s: got %v, %v", tt.fault, found, err)
		}
	}
	if found, err := (&rpm.Repo{}).Paths(t.Context(), good.open, nil); !errors.Is(err, rpm.ErrNoFileLists) || found != nil {
		t.Errorf("got %v, %v of a repository that was not read", found, err)
	}
}

func isMismatch(err error) bool {
	var mismatch *rpm.MismatchError
	return errors.As(err, &mismatch) && strings.HasPrefix(mismatch.Name, "repodata/")
}

func TestModules(t *testing.T) {
	const doc = "---\ndocument: modulemd\n...\n"
	for name, stored := range map[string][]byte{"modules.yaml": []byte(doc), "modules.yaml.gz": gzipped(t, doc)} {
		files := withRecord("modules", "repodata/"+name, stored, []byte(doc), nil)
		repo := load(t, files)
		if got, err := repo.Modules(t.Context(), files.open); string(got) != doc || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, doc)
		}
		files["repodata/"+name] = append(bytes.Clone(stored), '\n')
		if got, err := repo.Modules(t.Context(), files.open); !isMismatch(err) || got != nil {
			t.Errorf("%s altered: got %q, %v, want a MismatchError", name, got, err)
		}
	}
	none := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	if got, err := load(t, none).Modules(t.Context(), none.open); got != nil || err != nil {
		t.Errorf("got %q, %v of a repository without modules", got, err)
	}
	huge := withRecord("modules", "repodata/modules.yaml", []byte(doc), []byte(doc), func(r string) string {
		return strings.Replace(r, fmt.Sprintf("<open-size>%d<", len(doc)), fmt.Sprintf("<open-size>%d<", 64<<20+1), 1)
	})
	if got, err := load(t, huge).Modules(t.Context(), huge.open); err == nil || !strings.Contains(err.Error(), "too large") || got != nil {
		t.Errorf("got %d bytes, %v of too many", len(got), err)
	}
}

// TestExpected wants that an opener knows what to look for: the second of two mirrors has the right files.
func TestExpected(t *testing.T) {
	files := withRecord("filelists", "repodata/f.xml.gz", gzipped(t, tinyFilelists), []byte(tinyFilelists), nil)
	var asked []string
	open := func(ctx context.Context, href string) (io.ReadCloser, error) {
		e, ok := rpm.Expected(ctx)
		asked = append(asked, href)
		if ok == (href == "repodata/repomd.xml") {
			t.Errorf("%s: got %t", href, ok)
		}
		for _, mirror := range []memory{{href: []byte("of another day")}, files} {
			data := mirror[href]
			right := len(mirror) > 1
			if ok {
				sum := fmt.Sprintf("%x", sha256.Sum256(data))
				right = e.Digest == rpm.Digest{Type: "sha256", Hex: sum} && e.Size == int64(len(data))
			}
			if right {
				return mirror.open(ctx, href)
			}
		}
		return nil, fs.ErrNotExist
	}
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, open)
	if err != nil {
		t.Fatal(err)
	}
	found, err := repo.Paths(t.Context(), open, []string{"/var/log/aa"})
	want := []string{"repodata/repomd.xml", "repodata/primary.xml", "repodata/f.xml.gz"}
	if err != nil || len(found) != 1 || !slices.Equal(asked, want) {
		t.Errorf("got %v, %v after %q, want one package after %q", found, err, asked, want)
	}
	if e, ok := rpm.Expected(t.Context()); ok {
		t.Errorf("got %v for a file that nobody describes", e)
	}
}

func BenchmarkPaths(b *testing.B) {
	repo, err := rpm.LoadRepo(b.Context(), rpm.RepoOptions{}, folder("testdata/cs9-baseos"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if found, err := repo.Paths(b.Context(), folder("testdata/cs9-baseos"), []string{"/usr/share/dict/words"}); err != nil || len(found) != 1 {
			b.Fatalf("got %v, %v", found, err)
		}
	}
}

// FuzzFilelists reads any file lists: what it finds was asked for.
func FuzzFilelists(f *testing.F) {
	f.Add(tinyFilelists)
	f.Add("<f><package pkgid='" + tinyID + "'><file>/usr/bin/<![CDATA[aa]]></file></package></f>")
	f.Fuzz(func(t *testing.T, list string) {
		files := withRecord("filelists", "repodata/f.xml", []byte(list), []byte(list), nil)
		repo := load(t, files)
		asked := []string{"/usr/bin/aa", "/var/log/aa", ""}
		found, err := repo.Paths(t.Context(), files.open, asked)
		if err != nil && found != nil {
			t.Errorf("got %v and %v", found, err)
		}
		for p, paths := range found {
			if p != repo.Packages[0] || len(paths) == 0 || len(paths) > len(asked) {
				t.Errorf("got %q of %s", paths, p.NEVRA())
			}
		}
	})
}
