package rpm_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm"
)

// oddText is what a header may hold for people to read, if not all at once. XML cannot hold control characters, and
// createrepo_c refuses packages with them.
func oddText(r *rand.Rand) string {
	parts := []string{"plain", " two  words ", "a & b < c > d \"e\" 'f' ]]>", "&amp;", "line\nline\n", "\ttab", "é — ü", "caf\xe9", "\xc3\xa9 and \xe9",
		"\r\n", "", "日本", "\u0085", "\ufffd", "😀", strings.Repeat("long ", 2000)}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// oddDeps are items of dependencies of one kind.
func oddDeps(r *rand.Rand, name, flags, version int) []item {
	names := []string{"aa", "bb", "cc++", "/etc/odd", "/usr/bin/odd", "/usr/share/odd", "libc.so.6()(64bit)", "libc.so.6(GLIBC_2.9)(64bit)",
		"libc.so.6(GLIBC_2.17)(64bit)", "libc.so.6", "rpmlib(X)", "(aa if bb)", "config(odd)", "a&b<c>", "é", "rtld(GNU_HASH)", "odd"}
	versions := []string{"1", "1.0-1", "2:1.0-1.el9", "0:3", "1.0~rc1-2", "1.0^git1-3", "", "-1"}
	var n, v []string
	var f []uint32
	for range r.IntN(8) {
		flag, evr := uint32(0), ""
		if r.IntN(2) == 0 {
			flag, evr = []uint32{2, 4, 8, 10, 12}[r.IntN(5)], versions[r.IntN(len(versions))]
		}
		flag |= []uint32{0, 0, 0, 1 << 6, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 24}[r.IntN(10)]
		n, v, f = append(n, names[r.IntN(len(names))]), append(v, evr), append(f, flag)
	}
	if n == nil {
		return nil
	}
	return []item{texts(name, n...), int32s(flags, f...), texts(version, v...)}
}

// oddFiles are items of files of all types in all places that metadata tells apart.
func oddFiles(r *rand.Rand) []item {
	paths := []string{"/etc/odd", "/etc", "/usr/bin/odd", "/usr/bin", "/usr/bin/", "/usr/sbin/a b", "/usr/lib/sendmail", "/usr/lib/sendmail.d", "/usr/share/odd",
		"/usr/share/cabin/x&y<z>", "/opt/caf\xe9", "/opt/é", "/bin/sh", "/etcetera/x", "/usr/libexec/robin/q'\"", "/opt/two\nlines"}
	r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	var flags, dirOf, sizes []uint32
	var modes []uint16
	var bases, dirs []string
	for _, p := range paths[:r.IntN(len(paths))] {
		dir, base := path.Split(p)
		at := slices.Index(dirs, dir)
		if at < 0 {
			at = len(dirs)
			dirs = append(dirs, dir)
		}
		bases, dirOf, sizes = append(bases, base), append(dirOf, uint32(at)), append(sizes, 1)
		modes = append(modes, []uint16{0o100644, 0o040755, 0o120777, 0o020600}[r.IntN(4)])
		flags = append(flags, []uint32{0, 0, 64, 1, 65}[r.IntN(5)])
	}
	if bases == nil {
		return nil
	}
	return []item{int32s(1028, sizes...), int16s(1030, modes...), int32s(1037, flags...), int32s(1116, dirOf...), texts(1117, bases...), texts(1118, dirs...)}
}

func oddChanges(r *rand.Rand) []item {
	authors := []string{"A <a@b.example> - 1", "B & C <c@d.example> ", "\xe9 <e@f.example>", "", "  D  "}
	var times []uint32
	var names, changes []string
	now := uint32(1700000000)
	for range r.IntN(14) {
		now -= []uint32{0, 0, 1, 86400}[r.IntN(4)]
		times, names, changes = append(times, now), append(names, authors[r.IntN(len(authors))]), append(changes, oddText(r))
	}
	if times == nil {
		return nil
	}
	return []item{int32s(1080, times...), texts(1081, names...), texts(1082, changes...)}
}

func int64s(tag int, value uint64) item {
	return item{tag, int64Type, 1, binary.BigEndian.AppendUint64(nil, value)}
}

// oddPackage is an RPM with a header that no packager would write.
func oddPackage(r *rand.Rand, name string) []byte {
	items := []item{text(1000, name), text(1001, []string{"1", "1.0~rc1", "2^git1"}[r.IntN(3)]), text(1002, "1.el9"), text(1021, "linux"),
		text(1022, []string{"noarch", "x86_64", "i686"}[r.IntN(3)]), text(1124, "cpio"), text(1125, "gzip")}
	may := func(more ...item) {
		if r.IntN(3) > 0 {
			items = append(items, more...)
		}
	}
	may(int32s(1003, uint32(r.IntN(3))))
	for _, tag := range []int{1004, 1005, 1016} { // translated
		may(item{tag, i18nType, 1, append([]byte(oddText(r)), 0)})
	}
	for _, tag := range []int{1007, 1011, 1014, 1015, 1020} {
		may(text(tag, oddText(r)))
	}
	may(int32s(1006, uint32(1600000000+r.IntN(1e6))))
	if r.IntN(2) == 0 {
		items = append(items, int32s(1009, uint32(r.IntN(1e9))))
	} else {
		items = append(items, int64s(5009, 5_000_000_000))
	}
	items = append(items, text(1044, name+"-1.src.rpm"))
	for _, tags := range [][3]int{{1047, 1112, 1113}, {1049, 1048, 1050}, {1054, 1053, 1055}, {1090, 1114, 1115},
		{5046, 5048, 5047}, {5049, 5051, 5050}, {5052, 5054, 5053}, {5055, 5057, 5056}} {
		items = append(items, oddDeps(r, tags[0], tags[1], tags[2])...)
	}
	items = append(append(items, oddFiles(r)...), oddChanges(r)...)
	header := craft(63, items...)
	size := int32s(1007, uint32(r.IntN(1e9)))
	if r.IntN(4) == 0 {
		size = int64s(271, 6_000_000_000)
	}
	return assemble([]item{size}, header, nil)
}

// TestWriteRepoAgreesWithCreaterepoOnOddHeaders compares every element and attribute for random headers.
func TestWriteRepoAgreesWithCreaterepoOnOddHeaders(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(randomSeed(t), 1))
	dir := t.TempDir()
	packages := map[string][]byte{}
	for i := range 120 {
		name := fmt.Sprintf("odd%d", i)
		packages["Packages/"+name+"+x&.rpm"] = oddPackage(r, name)
	}
	writeFiles(t, dir, packages)
	var files []rpm.RepoFile
	for name := range packages {
		f := repoFile(t, filepath.Join(dir, name))
		files = append(files, f)
		built := time.Unix(f.Header.BuildTime, 0) // a file's own time is no input of ours
		if err := os.Chtimes(filepath.Join(dir, name), built, built); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
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
	ours, err := rpm.WriteRepo(files)
	if err != nil {
		t.Fatal(err)
	}
	want, got := metadata(t, theirs), metadata(t, ours)
	for _, kind := range []string{"primary", "filelists", "other"} {
		if len(want[kind]) < len(packages) {
			t.Fatalf("%s: got %d fields of createrepo_c", kind, len(want[kind]))
		}
		if diff := gocmp.Diff(want[kind], got[kind]); diff != "" {
			t.Errorf("%s: createrepo_c (-), WriteRepo (+):\n%s", kind, diff)
		}
		t.Logf("%s: %d elements", kind, len(got[kind]))
	}
	if _, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, memory(ours).open); err != nil {
		t.Errorf("reading it back: %v", err)
	}
}

// TestWriteRepoControlCharacters has the one thing in which createrepo_c differs: it leaves such packages out altogether, with
// an error. We leave the characters out, for XML cannot hold them.
func TestWriteRepoControlCharacters(t *testing.T) {
	t.Parallel()
	file := assemble(nil, minimal(text(1005, "a\x01b\x1bc\x7fd\u0085\ufffe"), int32s(1080, 1), texts(1081, "e\x02"), texts(1082, "f\x0bg")), nil)
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"x.rpm": file})
	out, err := exec.Command("createrepo_c", "--quiet", dir).CombinedOutput()
	if err == nil && !strings.Contains(string(out), "control chars") {
		t.Errorf("createrepo_c says %q", out)
	}
	ours, err := rpm.WriteRepo([]rpm.RepoFile{repoFile(t, dir+"/x.rpm")})
	if err != nil {
		t.Fatal(err)
	}
	written := metadata(t, ours)
	for kind, want := range map[string]string{"primary": "/metadata/package/description  \"abc\\x7fd\\u0085\"",
		"other": "/otherdata/package/changelog author=\"e\" date=\"1\" \"fg\""} {
		if !slices.Contains(written[kind], want) {
			t.Errorf("got %q, want %q in it", written[kind], want)
		}
	}
}
