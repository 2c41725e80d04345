package rpm_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/faulttest"
)

// specs are packages with all that repository metadata tells apart.
func specs() []faulttest.RPMSpec {
	file := faulttest.RPMFile{Content: "x\n"}
	return []faulttest.RPMSpec{
		{
			Name: "libstand++", Version: "2.0~rc1", Release: "3.el9", Epoch: 4, Arch: "x86_64",
			Summary: `Quotes "and" <brackets> & more`, Description: "Two\n\n  lines — ü.",
			Tags:     "Vendor: Stand-in Ltd.\nPackager: A & B <ab@vendor.example>\nURL: https://vendor.example/?a=b&c=d\nGroup: Tools/One\n",
			Provides: []string{"webserver = 2.4", "webserver", "libc.so.7()(64bit)"},
			Requires: []string{"/bin/sh", "/usr/bin/stand", "/usr/share/stand/data", "(aa if bb)", "((aa >= 1 with bb) or cc)", "webserver = 2.4",
				"libc.so.6()(64bit)", "libc.so.6(GLIBC_2.3.4)(64bit)", "libc.so.6(GLIBC_2.17)(64bit)", "libc.so.6(GLIBC_2.9)(64bit)",
				"cc < 2:1.0-1", "cc > 0.1", "dd <= 3", "ee >= 1", "ee >= 1", "rtld(GNU_HASH)"},
			PreRequires: []string{"shadow-utils", "ee >= 1"},
			Conflicts:   []string{"oldstand < 1", "other"},
			Obsoletes:   []string{"oldstand < 2-1"},
			Recommends:  []string{"rec >= 2", "(r1 or r2)"}, Suggests: []string{"sug"},
			Supplements: []string{"sup = 1:2-3"}, Enhances: []string{"enh"},
			Files: map[string]faulttest.RPMFile{
				"/usr/bin/stand": {Content: "#!/bin/sh\n", Mode: 0o755}, "/usr/sbin/link": {Link: "../bin/stand"},
				"/etc/stand.d": {Dir: true}, "/etc/stand.conf": {Content: "a", Config: true},
				"/var/log/stand": {Ghost: true}, "/etc/ghost": {Ghost: true}, "/usr/lib/sendmail": file,
				"/usr/share/stand": {Dir: true}, "/usr/share/stand/data": file, "/usr/share/stand/cabin/a b & <c>": file,
			},
			Pre: "echo pre", Post: "echo post", Preun: "echo preun",
			Changelog: changelog(14),
		},
		{Name: "empty", Arch: "noarch"},
		{Name: "empty", Version: "2.0", Arch: "noarch", Changelog: "* Mon May 06 2024 A <a@b> - 2.0-1\n- one\n\n* Mon May 06 2024 B <b@b> - 1.9-1\n- same day\n\n" +
			"* Mon May 06 2024 C <c@b> - 1.8-1\n- same day\n\n* Sun May 05 2024 C <c@b> - 1.7-1\n- before"},
	}
}

func changelog(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "* Tue Apr %02d 2024 Ann <ann@vendor.example> - %d-1\n- change %d & more\n- <second> line\n\n", 30-7*(i%4), 100-i, i)
	}
	// rpmbuild wants them in order.
	entries := strings.Split(strings.TrimSpace(b.String()), "\n\n")
	slices.SortStableFunc(entries, func(a, b string) int { return strings.Compare(b[:16], a[:16]) })
	return strings.Join(entries, "\n\n")
}

// repoFile reads an RPM for WriteRepo.
func repoFile(tb testing.TB, path string) rpm.RepoFile {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	h, err := rpm.ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	return rpm.RepoFile{Header: h, Href: "Packages/" + filepath.Base(path), Size: int64(len(data)), SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}
}

// element is any XML element, for comparing documents field by field.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

// fields flattens a document: one line for each element with its path, its attributes and its text.
func fields(e element, path string) []string {
	path += "/" + e.XMLName.Local
	var attrs []string
	for _, a := range e.Attrs {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			attrs = append(attrs, fmt.Sprintf("%s=%q", a.Name.Local, a.Value))
		}
	}
	slices.Sort(attrs)
	text := e.Text
	if len(e.Children) > 0 {
		text = strings.TrimSpace(text)
	}
	lines := []string{fmt.Sprintf("%s %s %q", path, strings.Join(attrs, " "), text)}
	for _, c := range e.Children {
		lines = append(lines, fields(c, path)...)
	}
	return lines
}

// metadata finds, opens and flattens the metadata files of a repository by kind.
func metadata(tb testing.TB, files map[string][]byte) map[string][]string {
	tb.Helper()
	all := map[string][]string{}
	for name, data := range files {
		base := strings.TrimSuffix(filepath.Base(name), ".xml.gz")
		if base == filepath.Base(name) {
			continue
		}
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			tb.Fatal(err)
		}
		var root element
		if err := xml.NewDecoder(zip).Decode(&root); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		slices.SortFunc(root.Children, func(a, b element) int {
			return strings.Compare(strings.Join(fields(a, ""), "\n"), strings.Join(fields(b, ""), "\n"))
		})
		_, kind, _ := strings.Cut(base, "-")
		all[kind] = fields(root, "")
	}
	return all
}

// TestWriteRepoAgreesWithCreaterepo compares every element and attribute with those of createrepo_c on the same files,
// whose times are their build times: a file's own time is no input of ours.
func TestWriteRepoAgreesWithCreaterepo(t *testing.T) {
	dir := t.TempDir()
	if err := faulttest.BuildRepo(dir, nil, specs()...); err != nil {
		t.Fatal(err)
	}
	theirs := map[string][]byte{}
	names, err := filepath.Glob(dir + "/repodata/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if theirs[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	paths, err := filepath.Glob(dir + "/Packages/*.rpm")
	if err != nil || len(paths) != len(specs()) {
		t.Fatalf("got %v, %v, want %d packages", paths, err, len(specs()))
	}
	var files []rpm.RepoFile
	for _, path := range paths {
		files = append(files, repoFile(t, path))
	}
	ours, err := rpm.WriteRepo(files)
	if err != nil {
		t.Fatal(err)
	}
	want, got := metadata(t, theirs), metadata(t, ours)
	for _, kind := range []string{"primary", "filelists", "other"} {
		if len(want[kind]) < 10 {
			t.Fatalf("%s: got %d fields of createrepo_c", kind, len(want[kind]))
		}
		if diff := cmp.Diff(want[kind], got[kind]); diff != "" {
			t.Errorf("%s: createrepo_c (-), WriteRepo (+):\n%s", kind, diff)
		}
	}
}

// TestWriteRepoReadsBack loads what was written: what it says of itself holds.
func TestWriteRepoReadsBack(t *testing.T) {
	dir := t.TempDir()
	paths, err := faulttest.BuildRPMs(dir, nil, specs()...)
	if err != nil {
		t.Fatal(err)
	}
	var files []rpm.RepoFile
	for _, path := range paths {
		files = append(files, repoFile(t, path))
	}
	out, err := rpm.WriteRepo(files)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "written"}, memory(out).open)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		i := slices.IndexFunc(repo.Packages, func(p *rpm.Package) bool { return p.Href == f.Href })
		if i < 0 {
			t.Errorf("%s is not in the repository", f.Href)
			continue
		}
		p := repo.Packages[i]
		if p.NEVRA() != f.Header.NEVRA() || p.Size != f.Size || p.Checksum != (rpm.Digest{Type: "sha256", Hex: f.SHA256}) ||
			p.HeaderStart != f.Header.Start || p.HeaderEnd != f.Header.End || len(p.Provides) != len(f.Header.Provides) {
			t.Errorf("got %+v, want what %s says", p, f.Href)
		}
	}
	for i := range 3 { // another order of files, the same bytes
		files = append(files[1:], files[0])
		again, err := rpm.WriteRepo(files)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out, again); diff != "" {
			t.Errorf("turn %d: %s", i, diff)
		}
	}
	if _, err := rpm.WriteRepo(append(files, files[0])); err == nil {
		t.Error("a file given twice: no error")
	}
	files[0].Href = "../x.rpm"
	if _, err := rpm.WriteRepo(files); err == nil {
		t.Error("a path outside: no error")
	}
}

var update = flag.Bool("update", false, "write golden files anew")

// TestWriteRepoGolden holds the bytes that one input gives: a bundle's digest depends on them.
func TestWriteRepoGolden(t *testing.T) {
	out, err := rpm.WriteRepo(realFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range out { // RFC 1952: magic, deflate, no flags, no time, best compression, unknown system
		if want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255}; strings.HasSuffix(name, ".gz") && !bytes.HasPrefix(data, want) {
			t.Errorf("%s: got gzip header %x, want %x", name, data[:10], want)
		}
	}
	var got strings.Builder
	names := make([]string, 0, len(out))
	for name := range out {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&got, "%x  %s\n", sha256.Sum256(out[name]), name)
	}
	const golden = "testdata/repodata.sha256"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

// realFiles are the real headers, with the size and digest that their repository states.
func realFiles(tb testing.TB) []rpm.RepoFile {
	tb.Helper()
	paths, err := filepath.Glob("testdata/headers/*.hdr")
	if err != nil {
		tb.Fatal(err)
	}
	repo, err := rpm.LoadRepo(tb.Context(), rpm.RepoOptions{}, folder("testdata/docker-el7"))
	if err != nil {
		tb.Fatal(err)
	}
	var files []rpm.RepoFile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		h, err := rpm.ReadHeader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		for _, p := range repo.Packages {
			if p.NEVRA() == h.NEVRA() {
				files = append(files, rpm.RepoFile{Header: h, Href: p.Href, Size: p.Size, SHA256: p.Checksum.Hex})
			}
		}
	}
	if len(files) != len(paths) {
		tb.Fatalf("got %d of %d headers' packages in the repository", len(files), len(paths))
	}
	return files
}

// TestRealHeadersAgreeWithTheirRepo compares what we write of real headers with the metadata of their repository.
func TestRealHeadersAgreeWithTheirRepo(t *testing.T) {
	files := realFiles(t)
	out, err := rpm.WriteRepo(files)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, memory(out).open)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, folder("testdata/docker-el7"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ours.Packages {
		i := slices.IndexFunc(theirs.Packages, func(q *rpm.Package) bool { return q.NEVRA() == p.NEVRA() })
		for _, list := range [][]rpm.Dep{p.Requires, theirs.Packages[i].Requires} { // yum's createrepo of CentOS 7 sorted
			slices.SortFunc(list, func(a, b rpm.Dep) int { return strings.Compare(a.String(), b.String())*2 + int(a.Flags) - int(b.Flags) })
		}
		if diff := cmp.Diff(theirs.Packages[i], p); diff != "" {
			t.Errorf("%s: %s", p.NEVRA(), diff)
		}
	}
}

// TestStockToolReadsMetadata lets stock gzip and a strict XML parser read what was written.
func TestStockToolReadsMetadata(t *testing.T) {
	dir := t.TempDir()
	out, err := rpm.WriteRepo(realFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, out)
	for name := range out {
		if !strings.HasSuffix(name, ".gz") {
			continue
		}
		plain, err := exec.Command("gzip", "-dc", filepath.Join(dir, name)).Output()
		if err != nil {
			t.Errorf("gzip: %v", err)
		}
		for dec := xml.NewDecoder(bytes.NewReader(plain)); ; {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func writeFiles(tb testing.TB, dir string, files map[string][]byte) {
	tb.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}
