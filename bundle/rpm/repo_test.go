package rpm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/offbake/offbake/bundle/rpm"
)

// folder opens the files of a repository on disk.
func folder(dir string) rpm.Opener {
	return func(_ context.Context, href string) (io.ReadCloser, error) { return os.Open(dir + "/" + href) }
}

// memory opens the files of a repository in memory, and counts how often.
type memory map[string][]byte

func (m memory) open(_ context.Context, href string) (io.ReadCloser, error) {
	data, ok := m[href]
	if !ok {
		return nil, fmt.Errorf("opening %q: %w", href, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func TestLoadRealRepos(t *testing.T) {
	for _, tt := range []struct {
		dir      string
		packages int
		deps     int
	}{
		{"testdata/cs9-baseos", 1125, 83793},
		{"testdata/docker-el7", 140, 2939},
	} {
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "x"}, folder(tt.dir))
		if err != nil {
			t.Fatal(err)
		}
		deps := 0
		for _, p := range repo.Packages {
			deps += len(p.Provides) + len(p.Requires) + len(p.Conflicts) + len(p.Obsoletes) +
				len(p.Recommends) + len(p.Suggests) + len(p.Supplements) + len(p.Enhances)
		}
		if len(repo.Packages) != tt.packages || deps != tt.deps || repo.Priority != 99 {
			t.Errorf("%s: got %d packages, %d dependencies, priority %d, want %d, %d, 99", tt.dir, len(repo.Packages), deps,
				repo.Priority, tt.packages, tt.deps)
		}
	}
}

func TestLoadRepoReadsEveryField(t *testing.T) {
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "docker", Priority: 7}, folder("testdata/docker-el7"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(repo.Packages, func(p *rpm.Package) bool { return p.Name == "acl" })
	self := rpm.EVR{Epoch: "0", Version: "2.2.51", Release: "15.el7"}
	want := &rpm.Package{
		Name: "acl", EVR: self, Arch: "x86_64",
		Href: "acl-2.2.51-15.el7.x86_64.rpm", Size: 83408,
		Checksum:    rpm.Digest{Type: "sha256", Hex: "2baf59aae30da68fd97c7c100c58395c0bf55223ae4314dc24750f6ba6eecda3"},
		HeaderStart: 1384, HeaderEnd: 15552, SourceRPM: "acl-2.2.51-15.el7.src.rpm",
		Provides: []rpm.Dep{{Name: "acl", EVR: &self, Flags: rpm.Equal}, {Name: "acl(x86-64)", EVR: &self, Flags: rpm.Equal}},
		Requires: []rpm.Dep{{Name: "libacl", EVR: &self, Flags: rpm.Equal}, {Name: "libacl.so.1()(64bit)"},
			{Name: "libacl.so.1(ACL_1.0)(64bit)"}, {Name: "libattr.so.1()(64bit)"}, {Name: "libc.so.6(GLIBC_2.14)(64bit)"},
			{Name: "rtld(GNU_HASH)"}},
		Files: []string{"/usr/bin/chacl", "/usr/bin/getfacl", "/usr/bin/setfacl"},
	}
	if diff := cmp.Diff(want, repo.Packages[max(i, 0)]); diff != "" {
		t.Error(diff)
	}
	if repo.ID != "docker" || repo.Priority != 7 {
		t.Errorf("got repository %q of priority %d, want docker, 7", repo.ID, repo.Priority)
	}
}

const tinyPrimary = `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
<package type="rpm"><name>aa</name><arch>noarch</arch><version epoch="1" ver="1.0" rel="2"/>
<checksum type="sha256" pkgid="YES">aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00</checksum>
<summary>s</summary><size package="10" installed="20" archive="30"/><location xml:base="http://x/" href="Packages/aa.rpm"/>
<format><rpm:header-range start="1" end="2"/><rpm:sourcerpm/>
<rpm:requires><rpm:entry name="bb" flags="GE" epoch="0" ver="1" pre="1"/><rpm:entry name="(cc or dd)"/></rpm:requires>
<rpm:recommends><rpm:entry name="ee" flags="LT" epoch="2" ver="3" rel="4"/></rpm:recommends>
<file>/usr/bin/aa</file><file type="dir">/etc/aa</file></format></package></metadata>`

// tinyRepo is a repository whose primary is the given bytes, stored as they are in href.
func tinyRepo(href string, stored []byte, open string) memory {
	repomd := fmt.Sprintf(`<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>
<data type="filelists"><checksum type="sha256">%064x</checksum><location href="repodata/absent.xml.gz"/></data>
<data type="group"><checksum type="md5">0</checksum><location href="../comps.xml"/></data>
<data type="primary"><checksum type="sha256">%x</checksum><open-checksum type="sha256">%x</open-checksum>
<location href=%q/><size>%d</size><open-size>%d</open-size></data></repomd>`,
		1, sha256.Sum256(stored), sha256.Sum256([]byte(open)), href, len(stored), len(open))
	return memory{"repodata/repomd.xml": []byte(repomd), href: stored}
}

func gzipped(tb testing.TB, s string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadRepoCompressions(t *testing.T) {
	var xzBytes, zstBytes bytes.Buffer
	x, err := xz.NewWriter(&xzBytes)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(&zstBytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{x, z} {
		if _, err := io.WriteString(w, tinyPrimary); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := []*rpm.Package{{
		Name: "aa", EVR: rpm.EVR{Epoch: "1", Version: "1.0", Release: "2"}, Arch: "noarch",
		Href: "Packages/aa.rpm", Base: "http://x/", Size: 10, HeaderStart: 1, HeaderEnd: 2,
		Checksum: rpm.Digest{Type: "sha256", Hex: strings.Repeat("aa00", 16)},
		Requires: []rpm.Dep{{Name: "bb", EVR: &rpm.EVR{Epoch: "0", Version: "1"}, Flags: rpm.Greater | rpm.Equal | rpm.Pre},
			{Name: "(cc or dd)"}},
		Recommends: []rpm.Dep{{Name: "ee", EVR: &rpm.EVR{Epoch: "2", Version: "3", Release: "4"}, Flags: rpm.Less}},
		Files:      []string{"/usr/bin/aa", "/etc/aa"},
	}}
	for name, stored := range map[string][]byte{
		"primary.xml": []byte(tinyPrimary), "primary.xml.gz": gzipped(t, tinyPrimary),
		"primary.xml.xz": xzBytes.Bytes(), "primary.xml.zst": zstBytes.Bytes(),
	} {
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, tinyRepo("repodata/"+name, stored, tinyPrimary).open)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, repo.Packages); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestLoadRepoRefusesGreedyStreams wants no gigabytes of memory for a few bytes that ask for them.
func TestLoadRepoRefusesGreedyStreams(t *testing.T) {
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// A block header (xz format, section 3.1) of one LZMA2 filter with a window of 4 GiB, in the place of the index.
	block := []byte{2, 0, 0x21, 1, 40, 0, 0, 0}
	block = binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))
	greedyXZ := append(bytes.Clone(b.Bytes()[:12]), append(block, 0)...)
	// A frame header (RFC 8878, section 3.1.1.1) with a window of 2 GiB.
	greedyZst := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0}
	for name, stored := range map[string][]byte{"xz": greedyXZ, "zst": greedyZst} {
		_, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, tinyRepo("repodata/primary."+name, stored, tinyPrimary).open)
		if err == nil || !strings.Contains(err.Error(), "exceed") {
			t.Errorf("%s: got %v, want it to exceed a limit", name, err)
		}
	}
}

// TestLoadRepoRefusesAltered flips each byte of a repository's primary, and cuts it at each byte.
func TestLoadRepoRefusesAltered(t *testing.T) {
	good := gzipped(t, tinyPrimary)
	const href = "repodata/primary.xml.gz"
	for i := range good {
		for what, stored := range map[string][]byte{
			"flipped":  append(append(bytes.Clone(good[:i]), good[i]^1), good[i+1:]...),
			"cut":      good[:i],
			"extended": append(bytes.Clone(good), good[:i+1]...),
		} {
			files := tinyRepo(href, good, tinyPrimary)
			files[href] = stored
			_, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open)
			var mismatch *rpm.MismatchError
			if !errors.As(err, &mismatch) {
				t.Fatalf("primary %s at byte %d: got %v, want a MismatchError", what, i, err)
			}
		}
	}
}

func TestLoadRepoErrors(t *testing.T) {
	stored := gzipped(t, tinyPrimary)
	const href = "repodata/primary.xml.gz"
	change := func(old, new string) memory {
		files := tinyRepo(href, stored, tinyPrimary)
		repomd := string(files["repodata/repomd.xml"])
		if !strings.Contains(repomd, old) {
			t.Fatalf("no %q to change", old)
		}
		files["repodata/repomd.xml"] = []byte(strings.Replace(repomd, old, new, 1))
		return files
	}
	withPrimary := func(old, new string) memory {
		if !strings.Contains(tinyPrimary, old) {
			t.Fatalf("no %q to change", old)
		}
		text := strings.Replace(tinyPrimary, old, new, 1)
		return tinyRepo(href, gzipped(t, text), text)
	}
	absent := change("revision", "revision")
	delete(absent, href)
	for _, tt := range []struct {
		fault string
		files memory
		opts  rpm.RepoOptions
		want  string
	}{
		{"no repomd", memory{}, rpm.RepoOptions{}, "repomd.xml"},
		{"no primary file", absent, rpm.RepoOptions{}, `opening "repodata/primary.xml.gz"`},
		{"no primary record", change(`type="primary"`, `type="secondary"`), rpm.RepoOptions{}, "no primary metadata"},
		{"location outside", change(href, "../primary.xml.gz"), rpm.RepoOptions{}, "want a clean relative path"},
		{"location on a host", change(href, "http://x/primary.xml.gz"), rpm.RepoOptions{}, "want a clean relative path"},
		{"MD5", change(`<open-checksum type="sha256">`, `<open-checksum type="md5">`), rpm.RepoOptions{}, `got digest type "md5"`},
		{"wrong open checksum", change(fmt.Sprintf("%x", sha256.Sum256([]byte(tinyPrimary))), strings.Repeat("0", 64)),
			rpm.RepoOptions{}, "uncompressed"},
		{"wrong open size", change("<open-size>", "<open-size>1"), rpm.RepoOptions{}, `size of "repodata/primary.xml.gz uncompressed"`},
		{"negative size", change("<size>", "<size>-"), rpm.RepoOptions{}, "want a whole number"},
		{"cut repomd", change("</repomd>", ""), rpm.RepoOptions{}, "unexpected EOF"},
		{"crossed elements", change("</data></repomd>", "</repomd></data>"), rpm.RepoOptions{}, "unexpected end of element"},
		{"too large", change("revision", "revision"), rpm.RepoOptions{MaxSize: 100}, "too large"},
		{"a bomb", change(fmt.Sprintf("<open-size>%d</open-size>", len(tinyPrimary)), ""), rpm.RepoOptions{MaxOpenSize: 100}, "too large"},
		{"too many packages", change("revision", "revision"), rpm.RepoOptions{MaxPackages: -1}, "too large"},
		{"package without name", withPrimary("<name>aa</name>", ""), rpm.RepoOptions{}, "bad name"},
		{"package without location", withPrimary("Packages/aa.rpm", ""), rpm.RepoOptions{}, "bad location"},
		{"package without checksum", withPrimary("<checksum", "<!--x--><xchecksum"), rpm.RepoOptions{}, "unexpected end"},
		{"short checksum", withPrimary("aa00aa00", ""), rpm.RepoOptions{}, "want 64 hexadecimal digits"},
		{"unknown comparison", withPrimary(`"GE"`, `"NE"`), rpm.RepoOptions{}, `got comparison "NE"`},
		{"nameless dependency", withPrimary(`name="bb"`, ``), rpm.RepoOptions{}, "dependency without name"},
		{"package in package", withPrimary("<summary>", "<package/><summary>"), rpm.RepoOptions{}, "inside package"},
		{"a space in the name", withPrimary("<name>aa", "<name>a a"), rpm.RepoOptions{}, "bad name"},
		{"a document type", withPrimary("<metadata", `<!DOCTYPE x [<!ENTITY a "b">]><metadata`), rpm.RepoOptions{}, "malformed XML"},
		{"another encoding", withPrimary("UTF-8", "ISO-8859-1"), rpm.RepoOptions{}, "want 1.0 in UTF-8"},
		{"unknown entity", withPrimary("<summary>s", "<summary>&xxe;"), rpm.RepoOptions{}, `got reference "xxe"`},
		{"an endless token", withPrimary("<summary>s", "<summary>"+strings.Repeat("s", 5<<20)), rpm.RepoOptions{}, "token too long"},
	} {
		repo, err := rpm.LoadRepo(t.Context(), tt.opts, tt.files.open)
		if err == nil || !strings.Contains(err.Error(), tt.want) || repo != nil {
			t.Errorf("%s: got %v, %v, want an error with %q", tt.fault, repo, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got an error of several lines: %q", tt.fault, err)
		}
	}
}

// TestLoadRepoReadError wants the cause, and no half-read repository, when reading stops.
func TestLoadRepoReadError(t *testing.T) {
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	cut := errors.New("connection cut")
	open := func(ctx context.Context, href string) (io.ReadCloser, error) {
		body, err := files.open(ctx, href)
		if err == nil && href != "repodata/repomd.xml" {
			body = io.NopCloser(io.MultiReader(io.LimitReader(body, 300), failing{cut}))
		}
		return body, err
	}
	if repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "base"}, open); !errors.Is(err, cut) || repo != nil {
		t.Errorf("got %v, %v, want %v", repo, err, cut)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkLoadRepo(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rpm.LoadRepo(b.Context(), rpm.RepoOptions{}, folder("testdata/cs9-baseos")); err != nil {
			b.Fatal(err)
		}
	}
}
