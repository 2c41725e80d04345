package rpm_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// TestLoadRepoBzip2 reads a primary as bzip2, which some old repositories have.
func TestLoadRepoBzip2(t *testing.T) {
	stored, err := os.ReadFile("testdata/tiny-primary.xml.bz2")
	if err != nil {
		t.Fatal(err)
	}
	const open = "<metadata><package><name>aa</name><arch>noarch</arch><version ver='1' rel='2'/><checksum type='sha'>" +
		"da39a3ee5e6b4b0d3255bfef95601890afd80709</checksum><location href='aa.rpm'/></package></metadata>\n"
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, tinyRepo("repodata/primary.xml.bz2", stored, open).open)
	if err != nil || len(repo.Packages) != 1 || repo.Packages[0].NEVRA() != "aa-1-2.noarch" {
		t.Errorf("got %v, %v, want aa", repo, err)
	}
}

func TestLoadRepoDigests(t *testing.T) {
	const href = "repodata/primary.xml"
	sum := map[string]string{
		"sha": fmt.Sprintf("%x", sha1.Sum([]byte(tinyPrimary))), "sha1": fmt.Sprintf("%x", sha1.Sum([]byte(tinyPrimary))),
		"sha224": fmt.Sprintf("%x", sha256.Sum224([]byte(tinyPrimary))), "sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(tinyPrimary))),
		"sha384": fmt.Sprintf("%x", sha512.Sum384([]byte(tinyPrimary))), "sha512": fmt.Sprintf("%x", sha512.Sum512([]byte(tinyPrimary))),
	}
	for kind, hex := range sum {
		for _, element := range []string{"checksum", "open-checksum"} {
			for digest, good := range map[string]bool{hex: true, strings.ToUpper(hex): true, strings.Repeat("0", len(hex)): false, hex[2:]: false} {
				files := tinyRepo(href, []byte(tinyPrimary), tinyPrimary)
				was := fmt.Sprintf(`<%s type="sha256">%s<`, element, sum["sha256"])
				changed := strings.Replace(string(files["repodata/repomd.xml"]), was, fmt.Sprintf(`<%s type=%q>%s<`, element, kind, digest), 1)
				files["repodata/repomd.xml"] = []byte(changed)
				repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open)
				if (err == nil) != good || (repo != nil) != good || !strings.Contains(changed, digest) {
					t.Errorf("%s of kind %s, %q: got %v, %v", element, kind, digest, repo, err)
				}
			}
		}
	}
}

// TestLoadRepoPassesOverZchunk wants the file that it can read, wherever it stands.
func TestLoadRepoPassesOverZchunk(t *testing.T) {
	const zck = `<data type="%s"><checksum type="sha256">%064x</checksum><header-checksum type="sha256">%064x</header-checksum>` +
		`<location href="repodata/p.xml.zck"/><size>1</size><header-size>1</header-size></data>`
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	repomd := string(files["repodata/repomd.xml"])
	for _, kind := range []string{"primary_zck", "primary"} {
		for _, before := range []string{`<data type="filelists">`, "</repomd>"} {
			files["repodata/repomd.xml"] = []byte(strings.Replace(repomd, before, fmt.Sprintf(zck, kind, 1, 2)+before, 1))
			if repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open); err != nil || len(repo.Packages) != 1 {
				t.Errorf("%s before %s: got %v, %v", kind, before, repo, err)
			}
		}
	}
	start := strings.Index(repomd, `<data type="primary">`)
	files["repodata/repomd.xml"] = []byte(repomd[:start] + fmt.Sprintf(zck, "primary", 1, 2) + "</repomd>")
	if repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open); err == nil || !strings.Contains(err.Error(), "no primary metadata") {
		t.Errorf("zchunk only: got %v, %v", repo, err)
	}
}

// TestLoadRepoShares wants that what is equal is there once, and that reading takes little more than what stays.
func TestLoadRepoShares(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, folder("testdata/cs9-baseos"))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	taken := after.TotalAlloc - before.TotalAlloc
	runtime.GC()
	runtime.ReadMemStats(&after)
	stays := after.HeapAlloc - before.HeapAlloc
	t.Logf("%d packages: %d KB stay of %d KB", len(repo.Packages), stays>>10, taken>>10)
	if perPackage := stays / uint64(len(repo.Packages)); perPackage > 8<<10 || taken > 2*stays+4<<20 {
		t.Errorf("got %d bytes of each of %d packages, and %d taken in all", perPackage, len(repo.Packages), taken)
	}
	versions := map[rpm.EVR]*rpm.EVR{}
	shared := 0
	for _, p := range repo.Packages {
		for _, d := range p.Provides {
			if d.EVR != nil && versions[*d.EVR] == d.EVR {
				shared++
			} else if d.EVR != nil {
				versions[*d.EVR] = d.EVR
			}
		}
	}
	if shared < 5000 {
		t.Errorf("got %d versions shared, want most of those that are equal", shared)
	}
}

// TestLoadRepoKeepsStringsApart reads names of every length, which are written side by side.
func TestLoadRepoKeepsStringsApart(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("<metadata>")
	var want []string
	for i := range 3000 {
		name := fmt.Sprintf("n%d%s", i, strings.Repeat("x", i*7%6000))
		want = append(want, name+"-1:"+name+"-r.noarch")
		fmt.Fprintf(&doc, `<package><name>%s</name><arch>noarch</arch><version epoch="1" ver="%s" rel="r"/>`, name, name)
		fmt.Fprintf(&doc, `<checksum type="sha">%040x</checksum><location href="x"/></package>`, i)
	}
	doc.WriteString("</metadata>")
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, tinyRepo("repodata/p.xml", []byte(doc.String()), doc.String()).open)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range repo.Packages {
		got = append(got, p.NEVRA())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%.1000s", diff)
	}
}
