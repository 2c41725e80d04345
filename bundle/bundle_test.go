package bundle_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// childEnv makes the test binary write the sample bundle to the path it holds and exit.
const childEnv = "BUNDLE_TEST_WRITE"

func TestMain(m *testing.M) {
	path := os.Getenv(childEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	o, err := sample()
	if err == nil {
		err = bundle.WriteTar(context.Background(), path, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// testKey is a key for tests, in the clear.
const testKey = `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMWNS/6N4YZHenHn3f4h19cRkV2QXzx5ZP3cIzY42v3i3yax/7oPwkOOFlz1v0Y6Xjkh38vCivSFgcI2qKB+SCUr+ZZFE11MZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`

var loadTestKey = sync.OnceValues(func() (*sign.Key, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte(testKey), 0o600); err != nil {
		return nil, err
	}
	return sign.LoadKey(path, nil)
})

func key(t testing.TB) *sign.Key {
	t.Helper()
	k, err := loadTestKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func trusted(t testing.TB) []sign.Public { return []sign.Public{key(t).Public()} }

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// output makes a signed bundle of files with these contents. A path that begins with bin/ is executable.
func output(files map[string]string) (bundle.Output, error) {
	o := bundle.Output{
		Index: bundle.Index{
			Schema: bundle.Schema, Name: "test", Version: "1.2.3-rc.1", Platform: "linux/amd64",
			Created: "2024-05-06T07:08:09Z", Inputs: sum(nil), Variables: map[string]string{"v": "<1&2>"},
		},
		Contents: map[string]bundle.Content{},
	}
	for p, data := range files {
		f := bundle.File{Path: p, Size: int64(len(data)), SHA256: sum([]byte(data)), Mode: "0644", Kind: manifest.KindFile}
		if strings.HasPrefix(p, "bin/") {
			f.Mode = "0755"
		}
		o.Index.Files = append(o.Index.Files, f)
		o.Contents[p] = bundle.Content{Data: []byte(data)}
	}
	slices.SortFunc(o.Index.Files, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	return resign(o)
}

// resign signs an output anew with the test key.
func resign(o bundle.Output) (bundle.Output, error) {
	k, err := loadTestKey()
	if err != nil {
		return o, err
	}
	text, err := bundle.Sign(o.Index, k)
	if err != nil {
		return o, err
	}
	o.Signatures = map[string][]byte{bundle.SignatureFile: text}
	return o, nil
}

func mustOutput(t testing.TB, files map[string]string) bundle.Output {
	t.Helper()
	o, err := output(files)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// sample is a bundle with one file of each sort that a tar has a special way for.
func sample() (bundle.Output, error) {
	return output(sampleFiles())
}

func sampleFiles() map[string]string {
	return map[string]string{
		"bin/tool":        "#!/bin/sh\n",
		"files/empty":     "",
		"files/block":     strings.Repeat("b", 512),
		"files/blocks":    strings.Repeat("c", 1025),
		"files/two words": "space",
		"files/naïve":     "not ASCII",
		"files/" + strings.Repeat("long/", 25) + "name": "over 100 bytes",
		"manifest.yaml": "schema: offbake/v1\n",
	}
}

func mustSample(t testing.TB) bundle.Output {
	t.Helper()
	return mustOutput(t, sampleFiles())
}

// small is as few bytes as a signed bundle of two files can be.
func small(t testing.TB) bundle.Output {
	t.Helper()
	return mustOutput(t, map[string]string{"bin/a": "content of a", "z": ""})
}

func writeTar(t testing.TB, o bundle.Output) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test-1.2.3.tar")
	if err := bundle.WriteTar(t.Context(), path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeDir(t testing.TB, o bundle.Output) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle")
	if err := bundle.WriteDir(t.Context(), path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func openBundle(t testing.TB, path string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, path string, data []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// tree lists what is under dir: contents of files by path, "DIR" for an empty folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(p, dir+"/"))
		if d.IsDir() {
			if entries, err := os.ReadDir(p); err != nil || len(entries) > 0 {
				return err
			}
			got[name] = "DIR"
			return nil
		}
		data, err := os.ReadFile(p)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// verify opens a bundle and checks all of it against the test key.
func verify(t testing.TB, path string) (bundle.Report, error) {
	t.Helper()
	b, err := bundle.Open(path)
	if err != nil {
		return bundle.Report{}, err
	}
	defer b.Close()
	return b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t)})
}

func run(t testing.TB, dir string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestRoundTrip(t *testing.T) {
	o := mustSample(t)
	want := sampleFiles()
	index, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want[bundle.IndexFile] = string(index)
	want[bundle.SignatureFile] = string(o.Signatures[bundle.SignatureFile])
	want[bundle.SumsFile] = string(o.Index.Sums())
	for form, path := range map[string]string{"tar": writeTar(t, o), "folder": writeDir(t, o)} {
		t.Run(form, func(t *testing.T) {
			b := openBundle(t, path)
			report, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t)})
			if err != nil {
				t.Fatal(err)
			}
			if report.Identity != sum(index) || report.Identity != b.Identity() || report.Name != "test" ||
				report.Files != len(o.Index.Files) || !slices.Equal(report.KeyIDs, []string{key(t).ID()}) {
				t.Errorf("report: got %+v", report)
			}
			for path, data := range want {
				got, err := b.ReadFile(path, int64(len(data)))
				if err != nil || string(got) != data {
					t.Errorf("%s: got %q, %v, want %q", path, got, err, data)
				}
				s, err := b.OpenAt(path)
				if err != nil {
					t.Fatal(err)
				}
				half := int64(len(data) / 2)
				got, err = io.ReadAll(io.NewSectionReader(s, half, s.Size()))
				if err != nil || string(got) != data[half:] {
					t.Errorf("%s from byte %d: got %q, %v, want %q", path, half, got, err, data[half:])
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestStockToolsRead(t *testing.T) {
	o := mustSample(t)
	dir := t.TempDir()
	run(t, dir, "tar", "xf", writeTar(t, o))
	pub := writeFile(t, filepath.Join(t.TempDir(), "offbake.pub"), key(t).Public().Text(), 0o644)
	for form, dir := range map[string]string{"tar xf": dir, "folder": writeDir(t, o)} {
		if out := run(t, dir, "sha256sum", "--strict", "-c", bundle.SumsFile); strings.Count(out, ": OK\n") != len(o.Index.Files) {
			t.Errorf("%s: sha256sum: got %q, want %d files OK", form, out, len(o.Index.Files))
		}
		run(t, dir, "minisign", "-Vm", bundle.IndexFile, "-p", pub)
		out := run(t, dir, "minisign", "-VHm", bundle.IndexFile, "-p", pub)
		if want := "Trusted comment: name:test version:1.2.3-rc.1 created:2024-05-06T07:08:09Z\n"; !strings.HasSuffix(out, want) {
			t.Errorf("%s: minisign: got %q, want %q at its end", form, out, want)
		}
	}
	// What stock tar makes of it is the same bundle as a folder, with the modes of the index.
	if _, err := verify(t, dir); err != nil {
		t.Errorf("after tar xf: %v", err)
	}
	for path, want := range map[string]fs.FileMode{"bin/tool": 0o755, "files/naïve": 0o644, bundle.IndexFile: 0o644} {
		fi, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want || fi.ModTime().Unix() != 0 {
			t.Errorf("%s: got %v of %v, want %v of 1970", path, fi.Mode(), fi.ModTime(), want)
		}
	}
}

// TestSameBytes writes the sample in processes that differ in all that must not matter, and pins the bytes. The
// golden changes only with the format.
func TestSameBytes(t *testing.T) {
	golden := filepath.Join("testdata", "sample.golden")
	o := mustSample(t)
	index, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		zone, locale string
		umask        int
	}{{"UTC", "C", 0o022}, {"Asia/Kathmandu", "tr_TR.UTF-8", 0o077}, {"America/St_Johns", "C.UTF-8", 0}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "out.tar")
		cmd := exec.Command("sh", "-c", fmt.Sprintf("umask %04o; exec \"$0\"", c.umask), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path, "TZ="+c.zone, "LC_ALL="+c.locale, "HOME="+dir, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got := fmt.Sprintf("identity %s\ntar %s\n", sum(index), sum(readFile(t, path)))
		if *update {
			writeFile(t, golden, []byte(got), 0o644)
		}
		if want := string(readFile(t, golden)); got != want {
			t.Errorf("%+v: got\n%swant\n%s", c, got, want)
		}
	}
}

// TestRewrite makes an output of what was read and gets the same bytes.
func TestRewrite(t *testing.T) {
	path := writeTar(t, mustSample(t))
	b := openBundle(t, path)
	if _, err := b.Trust(trusted(t), false); err != nil {
		t.Fatal(err)
	}
	o := bundle.Output{Index: b.Index(), Signatures: b.Signatures(), Contents: map[string]bundle.Content{}}
	for _, f := range o.Index.Files {
		data, err := b.ReadFile(f.Path, f.Size)
		if err != nil {
			t.Fatal(err)
		}
		o.Contents[f.Path] = bundle.Content{Data: data}
	}
	if got, want := sum(readFile(t, writeTar(t, o))), sum(readFile(t, path)); got != want {
		t.Errorf("got a tar of sha256 %s, want %s", got, want)
	}
}
