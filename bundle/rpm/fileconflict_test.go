package rpm_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/faulttest"
)

// int16s and int64s are more types of items; craft aligns none of them, and so their callers must.
func int16s(tag int, values ...uint16) item {
	var data []byte
	for _, v := range values {
		data = append(data, byte(v>>8), byte(v))
	}
	return item{tag, int16Type, len(values), data}
}

// packageWith is an RPM with files as its header states them, which rpm takes for a test of a transaction. digests is the
// OpenPGP number of their hash.
func packageWith(name string, digests uint32, files []rpm.File) []byte {
	var sizes, flags, dirOf, colors []uint32
	var modes, devices []uint16
	var digest, links, users, groups, bases, dirs []string
	for _, f := range files {
		if digests == 10 { // SHA-512 has twice the digits of SHA-256
			f.Digest += f.Digest
		}
		flag := uint32(0)
		if f.Ghost {
			flag = 64
		}
		dir, base := path.Split(f.Path)
		at := slices.Index(dirs, dir)
		if at < 0 {
			at = len(dirs)
			dirs = append(dirs, dir)
		}
		sizes, flags, dirOf, colors = append(sizes, uint32(f.Size)), append(flags, flag), append(dirOf, uint32(at)), append(colors, uint32(f.Color))
		modes, devices = append(modes, f.Mode), append(devices, f.Device)
		digest, links, users, groups = append(digest, f.Digest), append(links, f.Link), append(users, f.User), append(groups, f.Group)
		bases = append(bases, base)
	}
	items := []item{text(1021, "linux"), text(1124, "cpio"), text(1125, "gzip"), text(1126, "9"), int32s(1009, 0),
		int32s(1028, sizes...), int16s(1030, modes...), int16s(1033, devices...), int32s(1037, flags...), int32s(1116, dirOf...),
		int32s(5011, digests), int32s(1140, colors...), texts(1035, digest...), texts(1036, links...), texts(1039, users...),
		texts(1040, groups...), texts(1117, bases...), texts(1118, dirs...)}
	header := craft(63, append([]item{text(1000, name), text(1001, "1"), text(1002, "1"), text(1022, "noarch"),
		text(1044, name+"-1-1.src.rpm")}, items...)...)
	return assemble([]item{int32s(sizeTag, uint32(len(header)))}, header, nil)
}

// conflict is what rpm and FileConflicts both tell.
type conflict struct{ path, a, b string }

func (c conflict) sorted() conflict {
	if c.a > c.b {
		c.a, c.b = c.b, c.a
	}
	return c
}

func sortConflicts(list []conflict) []conflict {
	slices.SortFunc(list, func(a, b conflict) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.a, b.a), cmp.Compare(a.b, b.b))
	})
	return slices.Compact(list)
}

// ours are FileConflicts' answers on RPM files.
func ours(tb testing.TB, paths []string) []conflict {
	tb.Helper()
	var headers []*rpm.Header
	for _, name := range paths {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		h, err := readHeader(data)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		headers = append(headers, h)
	}
	var out []conflict
	for _, c := range rpm.FileConflicts(headers) {
		out = append(out, conflict{c.Path, c.Packages[0].NEVRA(), c.Packages[1].NEVRA()}.sorted())
	}
	return sortConflicts(out)
}

var conflictLine = regexp.MustCompile(`^\s*file (\S+)(?: from install of | conflicts between attempted installs of )(\S+)` +
	`(?: and | conflicts with file from package )(\S+)$`)

// rpmTest is what rpm says of installing the files into an empty root, in one transaction.
func rpmTest(tb testing.TB, paths []string) []conflict {
	tb.Helper()
	root := tb.TempDir()
	args := []string{"-U", "--test", "--root", root, "--dbpath", "/db", "--force-debian", "--nodeps", "--nodigest", "--nosignature",
		"--define", "_pkgverify_level none", "--define", "_transaction_color 3", "--define", "_prefer_color 2"}
	cmd := exec.Command("rpm", append(args, paths...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+root)
	out, err := cmd.CombinedOutput()
	var found []conflict
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if m := conflictLine.FindStringSubmatch(line); m != nil {
			found = append(found, conflict{m[1], m[2], m[3]}.sorted())
		} else if strings.TrimSpace(line) != "" {
			tb.Fatalf("rpm says %.300q", out)
		}
	}
	if (err == nil) != (len(found) == 0) {
		tb.Fatalf("rpm ends with %v and %d conflicts: %s", err, len(found), out)
	}
	return sortConflicts(found)
}

func writeRPMs(tb testing.TB, dir string, packages map[string][]byte) []string {
	tb.Helper()
	var paths []string
	for name, data := range packages {
		paths = append(paths, filepath.Join(dir, name+".rpm"))
		if err := os.WriteFile(paths[len(paths)-1], data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	slices.Sort(paths)
	return paths
}

var seedFlag = flag.Uint64("seed", 0, "seed of the random packages; 0 means 1, and draws one in a whole sweep")

// randomSeed is the same in every run of CI, so that a change is judged by itself.
func randomSeed(t *testing.T) uint64 {
	seed := cmp.Or(*seedFlag, 1)
	if *seedFlag == 0 && os.Getenv("OFFBAKE_SWEEP") == "whole" {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return seed
}

// TestFileConflictsAgreeWithRPM makes random packages in groups, each with a folder of its own, and holds the answers
// for all pairs of files to those of rpm's transaction test. They are the same but where three packages have a path: there
// rpm tells what it sees in its order, which ours has all of.
func TestFileConflictsAgreeWithRPM(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(randomSeed(t), 0))
	packages := map[string][]byte{}
	owners := map[string]int{}    // packages and links that lead to a path
	linked := map[string]string{} // a path below a link, and what it means
	odd := map[string]bool{}      // somebody's ghost or ELF file: there rpm's order counts
	for group := range 150 {
		dir := fmt.Sprintf("/g%d", group)
		for i := range 2 + r.IntN(2) {
			files := randomFiles(r, dir)
			name := fmt.Sprintf("g%d-%d", group, i)
			packages[name] = packageWith(name, []uint32{8, 8, 8, 10}[r.IntN(4)], files)
			for _, f := range files {
				owners[f.Path]++
				odd[f.Path] = odd[f.Path] || f.Ghost || f.Color != 0
				if f.Link == "real" {
					linked[dir+"/link/c"] = dir + "/real/c"
				}
			}
		}
	}
	for from, to := range linked {
		owners[to] += owners[from]
		odd[to] = odd[to] || odd[from]
	}
	paths := writeRPMs(t, t.TempDir(), packages)
	got, want := ours(t, paths), rpmTest(t, paths)
	counted, shared := 0, 0
	for i := range want {
		want[i].path = cmp.Or(linked[want[i].path], want[i].path) // rpm tells the path as the package has it
		if !slices.Contains(got, want[i]) {
			t.Errorf("rpm alone finds %v", want[i])
		}
	}
	for _, c := range got {
		if slices.Contains(want, c) {
			counted++
		} else if owners[c.path] > 2 && (odd[c.path] || slices.ContainsFunc(want, func(w conflict) bool { return w.path == c.path })) {
			shared++
		} else {
			t.Errorf("rpm does not find %v", c)
		}
	}
	if counted < 50 {
		t.Errorf("got %d conflicts that rpm finds too, want some", counted)
	}
	t.Logf("%d packages, %d conflicts; rpm finds %d, and %d more of three packages are ours", len(packages), len(got), counted, shared)
}

// randomFiles are some of a few paths, each in one of a few forms.
func randomFiles(r *rand.Rand, dir string) []rpm.File {
	owners := []string{"root", "root", "root", "bin"}
	var files []rpm.File
	for _, name := range []string{"/a", "/b", "/link", "/link/c", "/real/c"} {
		if r.IntN(3) == 0 && name != "/a" {
			continue
		}
		f := rpm.File{Path: dir + name, Mode: 0o100644, User: owners[r.IntN(4)], Group: owners[r.IntN(4)], Ghost: r.IntN(8) == 0}
		switch kind := r.IntN(10); {
		case name == "/link" && kind < 6:
			f.Mode, f.Link, f.Size = 0o120777, "real", 4
		case name == "/link" || kind == 0:
			f.Mode, f.Size = 0o040755, 4096*r.Int64N(2)
		case kind == 1:
			f.Mode, f.Link = 0o120777-uint16(r.IntN(2)), []string{"x", "y", "zz"}[r.IntN(3)]
			f.Size = int64(len(f.Link))
		case kind == 2:
			f.Mode, f.Device = 0o020600, uint16(r.IntN(2))
		case kind == 3:
			f.Mode = []uint16{0o010600, 0o060600, 0o100755}[r.IntN(3)]
		}
		if f.Mode>>12 == 8 {
			f.Size, f.Color = 1+r.Int64N(2), uint8(max(0, r.IntN(6)-3))
			f.Digest = strings.Repeat(string('0'+rune(r.IntN(2))), 64)
		}
		files = append(files, f)
	}
	return files
}

// TestFileConflictsOfBuiltPackages has the same for packages of rpmbuild.
func TestFileConflictsOfBuiltPackages(t *testing.T) {
	t.Parallel()
	file := func(content string) faulttest.RPMFile { return faulttest.RPMFile{Content: content} }
	with := func(name, path string, f faulttest.RPMFile) faulttest.RPMSpec {
		return faulttest.RPMSpec{Name: name, Files: map[string]faulttest.RPMFile{path: f, "/usr/share/" + name: file("")}}
	}
	specs := []faulttest.RPMSpec{
		with("one", "/opt/x", file("one")), with("other", "/opt/x", file("two")), with("same", "/opt/x", file("one")),
		with("executable", "/opt/x", faulttest.RPMFile{Content: "one", Mode: 0o755}), with("ghost", "/opt/x", faulttest.RPMFile{Ghost: true}),
		with("config", "/opt/x", faulttest.RPMFile{Content: "two", Config: true}), with("folder", "/opt/x", faulttest.RPMFile{Dir: true}),
		with("link", "/opt/x", faulttest.RPMFile{Link: "y"}), with("otherlink", "/opt/x", faulttest.RPMFile{Link: "z"}),
		with("below", "/opt/x/y", file("")), with("merged", "/bin", faulttest.RPMFile{Link: "usr/bin"}),
		with("old", "/bin/tool", file("1")), with("new", "/usr/bin/tool", file("2")),
	}
	paths, err := faulttest.BuildRPMs(t.TempDir(), nil, specs...)
	if err != nil {
		t.Fatal(err)
	}
	found, pairs := 0, 0
	for i := range paths[:10] { // those at /opt/x
		for j := range i {
			pairs++
			pair := []string{paths[j], paths[i]}
			got, want := ours(t, pair), rpmTest(t, pair)
			if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(conflict{})); diff != "" {
				t.Errorf("rpm (-), ours (+): %s", diff)
			}
			found += len(got)
		}
	}
	merged := []string{paths[10], paths[11], paths[12]}
	got, want := ours(t, merged), rpmTest(t, merged)
	tool := conflict{"/usr/bin/tool", "new-1.0-1.noarch", "old-1.0-1.noarch"}
	if len(want) != 1 || want[0].a != tool.a || want[0].b != tool.b || !slices.Equal(got, []conflict{tool}) {
		t.Errorf("got %v, rpm says %v, want %v, the tool below a link", got, want, tool)
	}
	t.Logf("%d conflicts in %d pairs", found, pairs)
}

func TestFileConflictsText(t *testing.T) {
	header := func(name string, f rpm.File) *rpm.Header {
		h, err := readHeader(packageWith(name, 8, []rpm.File{f}))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	plain := rpm.File{Path: "/x", Mode: 0o100644, User: "root", Group: "root", Digest: strings.Repeat("0", 64)}
	first := header("aa", plain)
	for _, tt := range []struct {
		want   string
		change func(*rpm.File)
	}{
		{"", func(*rpm.File) {}},
		{"", func(f *rpm.File) { f.Ghost, f.Size = true, 7 }},
		{"type", func(f *rpm.File) { f.Mode = 0o040755 }},
		{"mode", func(f *rpm.File) { f.Mode = 0o100600 }},
		{"size", func(f *rpm.File) { f.Size = 7 }},
		{"content", func(f *rpm.File) { f.Digest = strings.Repeat("1", 64) }},
		{"owner", func(f *rpm.File) { f.User = "bin" }},
		{"group", func(f *rpm.File) { f.Group = "bin" }},
	} {
		f := plain
		tt.change(&f)
		second := header("bb", f)
		want := "[/x (" + tt.want + ") is in aa-1-1.noarch and in bb-1-1.noarch]"
		if tt.want == "" {
			want = "[]"
		}
		for _, list := range [][]*rpm.Header{{first, second}, {second, first, first}} {
			if got := fmt.Sprint(rpm.FileConflicts(list)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	if got := rpm.FileConflicts(nil); got != nil {
		t.Errorf("got %v of no packages", got)
	}
}
