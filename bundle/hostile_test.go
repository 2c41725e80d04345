package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/sign"
)

// entry is one entry of a tar that a test takes apart and puts together otherwise.
type entry struct {
	tar.Header
	data string
}

func entries(t *testing.T, data []byte) []entry {
	t.Helper()
	var all []entry
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		plain := tar.Header{Typeflag: h.Typeflag, Name: h.Name, Size: h.Size, Mode: h.Mode, ModTime: h.ModTime, Format: tar.FormatPAX}
		all = append(all, entry{plain, string(content)})
	}
}

func assemble(t *testing.T, all []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatalf("%q: %v", e.Name, err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatalf("%q: %v", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// refused checks that the bundle at path cannot be used, and that the error says so in one line.
func refused(t *testing.T, path string) {
	t.Helper()
	report, err := verify(t, path)
	if err == nil {
		t.Errorf("got %+v accepted, want a refusal", report)
		return
	}
	if !bundle.Refused(err) {
		t.Errorf("got %v, want an error that Refused knows", err)
	}
	if strings.ContainsAny(err.Error(), "\n\x00\x1b") {
		t.Errorf("got error %q, want one line without control characters", err)
	}
}

func extra(name string, change func(*entry)) func([]entry) []entry {
	return func(all []entry) []entry {
		e := entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}, ""}
		if change != nil {
			change(&e)
		}
		return append(all, e)
	}
}

// last changes the last entry of a tar.
func last(change func(*entry)) func([]entry) []entry {
	return func(all []entry) []entry {
		change(&all[len(all)-1])
		return all
	}
}

func TestHostileTar(t *testing.T) {
	t.Parallel()
	data := readFile(t, writeTar(t, small(t))) // bundle.json, signature, SHA256SUMS, bin/a, z
	if got := assemble(t, entries(t, data)); !bytes.Equal(got, data) {
		t.Fatal("the test does not put a tar together as it was: its faults would prove nothing")
	}
	for fault, change := range map[string]func([]entry) []entry{
		"no entries":            func([]entry) []entry { return nil },
		"index only":            func(all []entry) []entry { return all[:1] },
		"no index":              func(all []entry) []entry { return all[1:] },
		"no signature":          func(all []entry) []entry { return slices.Delete(all, 1, 2) },
		"no SHA256SUMS":         func(all []entry) []entry { return slices.Delete(all, 2, 3) },
		"missing file":          func(all []entry) []entry { return all[:len(all)-1] },
		"missing first file":    func(all []entry) []entry { return slices.Delete(all, 3, 4) },
		"extra file":            extra("files/evil", nil),
		"extra absolute":        extra("/etc/evil", nil),
		"extra above":           extra("../../evil", nil),
		"extra signature":       extra("bundle.json.0123456789ABCDEF.minisig", nil),
		"extra second index":    extra(bundle.IndexFile, nil),
		"same file twice":       func(all []entry) []entry { return append(all, all[len(all)-1]) },
		"case twin":             extra("BIN/A", nil),
		"symbolic link":         extra("files/link", func(e *entry) { e.Typeflag, e.Linkname = tar.TypeSymlink, "/etc/shadow" }),
		"hard link":             extra("files/link", func(e *entry) { e.Typeflag, e.Linkname = tar.TypeLink, "bin/a" }),
		"device":                extra("files/dev", func(e *entry) { e.Typeflag, e.Devmajor = tar.TypeBlock, 8 }),
		"fifo":                  extra("files/fifo", func(e *entry) { e.Typeflag = tar.TypeFifo }),
		"folder":                extra("files/", func(e *entry) { e.Typeflag, e.Mode = tar.TypeDir, 0o755 }),
		"unknown type":          extra("files/x", func(e *entry) { e.Typeflag = 'Z' }),
		"a link in its place":   last(func(e *entry) { e.Typeflag, e.Linkname = tar.TypeSymlink, "bin/a" }),
		"a folder in its place": last(func(e *entry) { e.Typeflag, e.Name = tar.TypeDir, "z/" }),
		"other name":            last(func(e *entry) { e.Name = "c" }),
		"name not clean":        last(func(e *entry) { e.Name = "./z" }),
		"name in other case":    last(func(e *entry) { e.Name = "Z" }),
		"longer":                last(func(e *entry) { e.Size, e.data = 1, "x" }),
		"executable":            last(func(e *entry) { e.Mode = 0o755 }),
		"set-user-ID":           last(func(e *entry) { e.Mode = 0o4644 }),
		"mode with file type":   last(func(e *entry) { e.Mode = 0o100644 }),
		"mtime":                 last(func(e *entry) { e.ModTime = time.Unix(1, 0) }),
		"mtime by PAX":          last(func(e *entry) { e.ModTime = time.Unix(0, 1) }),
		"atime":                 last(func(e *entry) { e.AccessTime = time.Unix(1, 0) }),
		"uid":                   last(func(e *entry) { e.Uid = 1 }),
		"gid":                   last(func(e *entry) { e.Gid = 1 }),
		"user name":             last(func(e *entry) { e.Uname = "root" }),
		"group name":            last(func(e *entry) { e.Gname = "root" }),
		"link name on a file":   last(func(e *entry) { e.Linkname = "x" }),
		"xattr":                 last(func(e *entry) { e.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"} }),
		"PAX comment":           last(func(e *entry) { e.PAXRecords = map[string]string{"comment": "y"} }),
		"GNU format":            last(func(e *entry) { e.Format = tar.FormatGNU }),
		"index as executable": func(all []entry) []entry {
			all[0].Mode = 0o755
			return all
		},
		"reordered files":       func(all []entry) []entry { return append(all[:3:3], all[4], all[3]) },
		"signature first":       func(all []entry) []entry { return append([]entry{all[1], all[0]}, all[2:]...) },
		"sums before signature": func(all []entry) []entry { return append([]entry{all[0], all[2], all[1]}, all[3:]...) },
		"other sums": func(all []entry) []entry {
			all[2].data = strings.Replace(all[2].data, "bin/a", "bin/b", 1)
			return all
		},
		"sums of one file less": func(all []entry) []entry {
			all[2].data, _, _ = strings.Cut(all[2].data, "\n")
			all[2].data += "\n"
			all[2].Size = int64(len(all[2].data))
			return all
		},
		"global PAX header": func(all []entry) []entry {
			h := tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "evil"}}
			return slices.Insert(all, 3, entry{h, ""})
		},
		"huge index": func(all []entry) []entry {
			all[0].data = strings.Repeat(" ", bundle.MaxIndex+1)
			all[0].Size = int64(len(all[0].data))
			return all
		},
		"signature too long": func(all []entry) []entry {
			all[1].data += strings.Repeat("x", sign.MaxSignature)
			all[1].Size = int64(len(all[1].data))
			return all
		},
	} {
		t.Run(fault, func(t *testing.T) {
			hostile := assemble(t, change(entries(t, data)))
			refused(t, writeFile(t, filepath.Join(t.TempDir(), "x.tar"), hostile, 0o644))
		})
	}
}

func TestHostileBytes(t *testing.T) {
	data := readFile(t, writeTar(t, mustSample(t)))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for fault, hostile := range map[string][]byte{
		"empty file":              nil,
		"text":                    []byte("hello\n"),
		"zeros":                   make([]byte, 1024),
		"compressed":              zipped.Bytes(),
		"one byte after":          append(bytes.Clone(data), 0),
		"record padding after":    append(bytes.Clone(data), make([]byte, 9216)...),
		"a second bundle after":   append(bytes.Clone(data), data...),
		"a second one before end": append(bytes.Clone(data[:len(data)-1024]), data...),
		"zeros before":            append(make([]byte, 512), data...),
		"a prefix of 4 GiB": append(bytes.Clone(data[:124]), // size field of bundle.json, made far larger
			append([]byte("37777777777\x00"), data[136:]...)...),
	} {
		t.Run(fault, func(t *testing.T) {
			refused(t, writeFile(t, filepath.Join(t.TempDir(), "x.tar"), hostile, 0o644))
		})
	}
}

// TestTruncated cuts a tar at every block and beside it: nothing is taken for a whole bundle.
func TestTruncated(t *testing.T) {
	t.Parallel()
	data := readFile(t, writeTar(t, mustSample(t)))
	path := filepath.Join(t.TempDir(), "x.tar")
	for at := int64(len(data)) / 512 * 512; at >= 0; at -= 512 {
		for _, size := range []int64{at + 1, at, at - 1} {
			if size < 0 || size >= int64(len(data)) {
				continue
			}
			writeFile(t, path, data[:size], 0o644)
			b, err := bundle.Open(path) // before any content is read
			if err == nil {
				b.Close()
				t.Fatalf("cut to %d of %d bytes: opened", size, len(data))
			}
			if !bundle.Refused(err) {
				t.Fatalf("cut to %d bytes: got %v, want a refusal", size, err)
			}
		}
	}
}

// TestFlippedByte changes every single byte of a tar: no change goes unseen.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	data := readFile(t, writeTar(t, small(t)))
	keys := trusted(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "x.tar"), data, 0o644)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	poke := func(at int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	for i, was := range data {
		poke(i, was^(1<<(i%8)))
		b, err := bundle.Open(path)
		if err == nil {
			_, err = b.Verify(t.Context(), bundle.VerifyOptions{Keys: keys, Jobs: 1})
			b.Close()
		}
		if !bundle.Refused(err) {
			t.Fatalf("byte %d of %d flipped: got %v, want a refusal", i, len(data), err)
		}
		poke(i, was)
	}
	if _, err := verify(t, path); err != nil {
		t.Errorf("put right again: %v", err)
	}
}

// TestHostileIndex signs indexes that break a rule with a trusted key: a signature makes no path safe.
func TestHostileIndex(t *testing.T) {
	t.Parallel()
	o := mustSample(t)
	good, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tarBytes := readFile(t, writeTar(t, o))
	for fault, change := range indexFaults() {
		t.Run(fault, func(t *testing.T) {
			data := change(string(good))
			if data == string(good) {
				t.Fatal("the fault changes nothing")
			}
			x, err := bundle.ParseIndex([]byte(data))
			var format *bundle.FormatError
			if !errors.As(err, &format) || !bundle.Refused(err) {
				t.Fatalf("got %+v, %v, want a FormatError", x, err)
			}
			sig, err := key(t).Sign([]byte(data), bundle.TrustedComment(o.Index))
			if err != nil {
				t.Fatal(err)
			}
			all := entries(t, tarBytes)
			all[0].data, all[0].Size = data, int64(len(data))
			all[1].data, all[1].Size = string(sig), int64(len(sig))
			refused(t, writeFile(t, filepath.Join(t.TempDir(), "x.tar"), assemble(t, all), 0o644))
		})
	}
}

func indexFaults() map[string]func(string) string {
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	path := func(to string) func(string) string {
		quoted, err := json.Marshal(to)
		if err != nil {
			panic(err)
		}
		return replace(`"manifest.yaml"`, string(quoted))
	}
	return map[string]func(string) string{
		"empty":                  func(string) string { return "" },
		"null":                   func(string) string { return "null\n" },
		"no line end":            func(s string) string { return strings.TrimSuffix(s, "\n") },
		"two line ends":          func(s string) string { return s + "\n" },
		"two values":             func(s string) string { return s + s },
		"space":                  replace(`{"schema"`, `{ "schema"`),
		"HTML escaping":          replace("<1&2>", `\u003c1\u00262\u003e`),
		"unknown field":          replace(`"platform"`, `"extra":1,"platform"`),
		"field twice":            replace(`"platform"`, `"name":"test","platform"`),
		"field in other case":    replace(`"platform"`, `"Platform"`),
		"field missing":          replace(`"platform":"linux/amd64",`, ""),
		"files null":             func(s string) string { return s[:strings.Index(s, `"files":`)] + `"files":null}` + "\n" },
		"variables null":         replace(`{"v":"<1&2>"}`, "null"),
		"invalid UTF-8":          replace("<1&2>", "\xff"),
		"control in variable":    replace("<1&2>", `\u0001`),
		"other schema":           replace("offbake/bundle/1", "offbake/bundle/2"),
		"name empty":             replace(`"name":"test"`, `"name":""`),
		"name upper case":        replace(`"name":"test"`, `"name":"Test"`),
		"name a path":            replace(`"name":"test"`, `"name":"../x"`),
		"version short":          replace("1.2.3-rc.1", "1.2"),
		"version with v":         replace("1.2.3-rc.1", "v1.2.3"),
		"version empty":          replace("1.2.3-rc.1", ""),
		"platform":               replace("linux/amd64", "linux"),
		"created with offset":    replace("07:08:09Z", "07:08:09+00:00"),
		"created fraction":       replace("07:08:09Z", "07:08:09.5Z"),
		"created no date":        replace("2024-05-06T07:08:09Z", ""),
		"inputs":                 replace(`"inputs":"e`, `"inputs":"E`),
		"size negative":          replace(`"size":512`, `"size":-1`),
		"size with exponent":     replace(`"size":512`, `"size":512e0`),
		"size a fraction":        replace(`"size":512`, `"size":512.0`),
		"size out of range":      replace(`"size":512`, `"size":9223372036854775808`),
		"sum short":              replace(`"sha256":"`, `"sha256":"0`),
		"sum upper case":         replace(`"sha256":"`+sum([]byte(strings.Repeat("b", 512))), `"sha256":"`+strings.ToUpper(sum([]byte(strings.Repeat("b", 512))))),
		"mode":                   replace(`"mode":"0755"`, `"mode":"4755"`),
		"kind":                   replace(`"kind":"file"`, `"kind":"evil"`),
		"kind missing":           replace(`"kind":"file"`, `"kind":""`),
		"origin control":         replace(`"kind":"file"`, `"kind":"file","origin":"\u001b[2J"`),
		"verified control":       replace(`"kind":"file"`, `"kind":"file","verified":"\u0000"`),
		"evidence missing":       replace(`"kind":"file"`, `"kind":"file","evidence":["none"]`),
		"evidence twice":         replace(`"kind":"file"`, `"kind":"file","evidence":["bin/tool","bin/tool"]`),
		"evidence empty":         replace(`"kind":"file"`, `"kind":"file","evidence":[]`),
		"path empty":             path(""),
		"path of dot":            path("."),
		"path absolute":          path("/manifest"),
		"path above":             path("../manifest"),
		"path above inside":      path("files/../../manifest"),
		"path not clean":         path("m//manifest"),
		"path ends in slash":     path("m/"),
		"path with dot":          path("./m"),
		"path with backslash":    path(`m\..\evil`),
		"path with newline":      path("m\nx"),
		"path with escape":       path("m\x1b"),
		"path with NUL":          path("m\x00"),
		"path turns text":        path("m\u202egnp"),
		"path zero width":        path("m\u200b"),
		"path line separator":    path("m\u2028"),
		"path decomposed":        path("n\u0061\u0308"),
		"path too long":          path("m/" + strings.Repeat("n/", 600) + "x"),
		"name too long":          path(strings.Repeat("m", 256)),
		"path out of order":      path("a"),
		"path twice":             path("files/two words"),
		"path of the index":      path("bundle.json"),
		"path of a signature":    path("bundle.json.minisig"),
		"path like a signature":  path("bundle.json.later.minisig"),
		"path below the index":   path("bundle.json/x"),
		"index in other case":    replace(`"bin/tool"`, `"Bundle.JSON"`),
		"sums in other case":     path("sha256sums"),
		"path differs by case":   replace(`"files/block"`, `"files/BLOCKS"`),
		"folder differs by case": path("filEs/x"),
		"file is a folder":       path("files/two words/x"),
	}
}

// TestHostileFolder is for what a folder, or a store, can have that a tar's form rules out.
func TestHostileFolder(t *testing.T) {
	t.Parallel()
	for fault, change := range map[string]func(dir string) error{
		"extra file":      func(dir string) error { return os.WriteFile(dir+"/files/extra", nil, 0o644) },
		"extra hidden":    func(dir string) error { return os.WriteFile(dir+"/.x", nil, 0o644) },
		"extra signature": func(dir string) error { return os.WriteFile(dir+"/bundle.json.0123456789ABCDEF.minisig", nil, 0o644) },
		"missing file":    func(dir string) error { return os.Remove(dir + "/files/block") },
		"missing empty":   func(dir string) error { return os.Remove(dir + "/files/empty") },
		"missing index":   func(dir string) error { return os.Remove(dir + "/bundle.json") },
		"missing sums":    func(dir string) error { return os.Remove(dir + "/SHA256SUMS") },
		"no signature":    func(dir string) error { return os.Remove(dir + "/bundle.json.minisig") },
		"renamed":         func(dir string) error { return os.Rename(dir+"/files/block", dir+"/files/Block") },
		"shorter":         func(dir string) error { return os.Truncate(dir+"/files/block", 511) },
		"longer":          func(dir string) error { return os.Truncate(dir+"/files/block", 513) },
		"sums longer":     func(dir string) error { return os.Truncate(dir+"/SHA256SUMS", 5000) },
		"other bytes":     func(dir string) error { return os.WriteFile(dir+"/files/block", make([]byte, 512), 0o644) },
		"link to the same": func(dir string) error {
			return errors.Join(os.Rename(dir+"/files/block", dir+"/../block"), os.Symlink(dir+"/../block", dir+"/files/block"))
		},
		"link inside":   func(dir string) error { return os.Symlink("block", dir+"/files/link") },
		"linked folder": func(dir string) error { return os.Symlink("files", dir+"/more") },
		"index a folder": func(dir string) error {
			return errors.Join(os.Remove(dir+"/bundle.json"), os.Mkdir(dir+"/bundle.json", 0o755))
		},
		"index a link": func(dir string) error {
			return errors.Join(os.Rename(dir+"/bundle.json", dir+"/x"), os.Symlink("x", dir+"/bundle.json"))
		},
	} {
		t.Run(fault, func(t *testing.T) {
			dir := writeDir(t, mustSample(t))
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			refused(t, dir)
		})
	}
	// What carries no data is no fault: a disk's own empty folders.
	dir := writeDir(t, mustSample(t))
	if err := os.MkdirAll(dir+"/System Volume Information/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, dir); err != nil {
		t.Errorf("empty folders: %v", err)
	}
}

func TestOpenFS(t *testing.T) {
	fsys := fstest.MapFS{}
	for path, data := range tree(t, writeDir(t, mustSample(t))) {
		fsys[path] = &fstest.MapFile{Data: []byte(data), Mode: 0o444}
	}
	b, err := bundle.OpenFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t)}); err != nil {
		t.Error(err)
	}
	delete(fsys, "files/block")
	if _, err := bundle.OpenFS(fsys); !bundle.Refused(err) {
		t.Errorf("missing file: got %v, want a refusal", err)
	}
}

func TestOpenWhatIsNotThere(t *testing.T) {
	b, err := bundle.Open(filepath.Join(t.TempDir(), "none.tar"))
	if !errors.Is(err, os.ErrNotExist) || bundle.Refused(err) || b != nil {
		t.Errorf("got %v, %v, want fs.ErrNotExist and no refusal", b, err)
	}
	if _, err := bundle.Open(t.TempDir()); !bundle.Refused(err) {
		t.Errorf("empty folder: got %v, want a refusal", err)
	}
	if _, err := bundle.Open(os.DevNull); !bundle.Refused(err) {
		t.Errorf("a device: got %v, want a refusal", err)
	}
}
