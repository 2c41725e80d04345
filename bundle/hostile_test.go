package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	for fault, change := range tarFaults() {
		t.Run(fault, func(t *testing.T) {
			hostile := assemble(t, change(entries(t, data)))
			refused(t, writeFile(t, filepath.Join(t.TempDir(), "x.tar"), hostile, 0o644))
		})
	}
}

// tarFaults are changes to the entries of the small bundle.
func tarFaults() map[string]func([]entry) []entry {
	return map[string]func([]entry) []entry{
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
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(fifo); !bundle.Refused(err) { // and does not wait for a writer
		t.Errorf("a fifo: got %v, want a refusal", err)
	}
}
