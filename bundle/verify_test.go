package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/sign"
)

// newKey makes a key that nobody trusts yet.
func newKey(t *testing.T) *sign.Key {
	t.Helper()
	dir := t.TempDir()
	if _, err := sign.WriteKeyPair(dir, ""); err != nil {
		t.Fatal(err)
	}
	k, err := sign.LoadKey(filepath.Join(dir, sign.KeyFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// countersign adds a signature.
func countersign(t *testing.T, o bundle.Output, k *sign.Key) bundle.Output {
	t.Helper()
	text, err := bundle.Sign(o.Index, k)
	if err != nil {
		t.Fatal(err)
	}
	sigs := map[string][]byte{bundle.SignatureName(k.ID(), o.Signatures): text}
	for name, text := range o.Signatures {
		sigs[name] = text
	}
	o.Signatures = sigs
	return o
}

func TestTrust(t *testing.T) {
	first, second, stranger := key(t), newKey(t), newKey(t)
	signed := small(t)
	twice := countersign(t, signed, second)
	unsigned := signed
	unsigned.Signatures = nil
	forged := countersign(t, signed, second)
	for name, text := range forged.Signatures {
		if name != bundle.SignatureFile { // the right form and comment, by the right key, over another index
			other := mustOutput(t, map[string]string{"other": "x"})
			forged.Signatures[name], _ = bundle.Sign(other.Index, second)
			if bytes.Equal(forged.Signatures[name], text) {
				t.Fatal("the forged signature is the good one")
			}
		}
	}
	pub := func(keys ...*sign.Key) (p []sign.Public) {
		for _, k := range keys {
			p = append(p, k.Public())
		}
		return p
	}
	for _, c := range []struct {
		name     string
		bundle   bundle.Output
		keys     []sign.Public
		unsigned bool
		ids      int
		want     error
	}{
		{"signed, key trusted", signed, pub(first), false, 1, nil},
		{"signed, no key", signed, nil, false, 0, sign.ErrUntrusted},
		{"signed, other key", signed, pub(stranger), false, 0, sign.ErrUntrusted},
		{"signed, other key, unsigned allowed", signed, pub(stranger), true, 0, nil},
		{"signed, no key, unsigned allowed", signed, nil, true, 0, nil},
		{"twice, first trusted", twice, pub(first), false, 1, nil},
		{"twice, second trusted", twice, pub(second), false, 1, nil},
		{"twice, both trusted", twice, pub(second, stranger, first), false, 2, nil},
		{"twice, stranger trusted", twice, pub(stranger), false, 0, sign.ErrUntrusted},
		{"unsigned", unsigned, pub(first), false, 0, sign.ErrUntrusted},
		{"unsigned, allowed", unsigned, pub(first), true, 0, nil},
		{"one forged, its key trusted", forged, pub(second), false, 0, sign.ErrForged},
		{"one forged, both keys trusted", forged, pub(first, second), false, 0, sign.ErrForged},
		{"one forged, unsigned allowed", forged, pub(second), true, 0, sign.ErrForged},
		{"one forged, its key unknown", forged, pub(first), false, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := openBundle(t, writeTar(t, c.bundle))
			ids, err := b.Trust(c.keys, c.unsigned)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || len(ids) != c.ids {
				t.Errorf("got %q, %v, want %d keys and %v", ids, err, c.ids, c.want)
			}
			if err != nil && !bundle.Refused(err) {
				t.Errorf("Refused(%v): got false, want true", err)
			}
			_, err = b.ReadFile("bin/a", 100)
			if unlocked := err == nil; unlocked != (c.want == nil) {
				t.Errorf("reading a file: got %v, with Trust's %v", err, c.want)
			}
		})
	}
}

// TestLocked asks for content before anybody said whom to trust.
func TestLocked(t *testing.T) {
	b := openBundle(t, writeTar(t, small(t)))
	dir := filepath.Join(t.TempDir(), "x")
	for what, use := range map[string]func() error{
		"Open":       func() error { _, err := b.Open("bin/a"); return err },
		"Open index": func() error { _, err := b.Open(bundle.IndexFile); return err },
		"OpenAt":     func() error { _, err := b.OpenAt("bin/a"); return err },
		"ReadFile":   func() error { _, err := b.ReadFile("bin/a", 100); return err },
		"Extract":    func() error { return b.Extract(t.Context(), dir, nil) },
	} {
		if err := use(); !errors.Is(err, bundle.ErrUnverified) || !bundle.Refused(err) {
			t.Errorf("%s: got %v, want ErrUnverified", what, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Extract made its folder: %v", err)
	}
}

func TestSignatureNames(t *testing.T) {
	o := small(t)
	good := o.Signatures[bundle.SignatureFile]
	k := newKey(t)
	own := "bundle.json." + k.ID() + ".minisig"
	text, err := bundle.Sign(o.Index, k)
	if err != nil {
		t.Fatal(err)
	}
	other, err := k.Sign([]byte("x"), "name:test version:9.9.9 created:2024-05-06T07:08:09Z")
	if err != nil {
		t.Fatal(err)
	}
	many := map[string][]byte{bundle.SignatureFile: good}
	for range bundle.MaxSignatures {
		many = countersign(t, bundle.Output{Index: o.Index, Signatures: many}, newKey(t)).Signatures
	}
	for fault, sigs := range map[string]map[string][]byte{
		"second without first":   {own: text},
		"same key twice":         {bundle.SignatureFile: text, own: text},
		"name of another key":    {bundle.SignatureFile: good, "bundle.json.0123456789ABCDEF.minisig": text},
		"name of no signature":   {bundle.SignatureFile: good, "bundle.json.sig": text},
		"not a signature":        {bundle.SignatureFile: []byte("x\n")},
		"empty":                  {bundle.SignatureFile: nil},
		"comment of another one": {bundle.SignatureFile: other},
		"too many":               many,
	} {
		o := o
		o.Signatures = sigs
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := bundle.WriteTar(t.Context(), path, o); !bundle.Refused(err) {
			t.Errorf("%s: got %v, want a refusal to write", fault, err)
		}
		if got := tree(t, filepath.Dir(path)); len(got) > 0 {
			t.Errorf("%s: left %v behind", fault, got)
		}
	}
}

// damaged writes the sample with one byte of files/blocks changed, its form being right.
func damaged(t *testing.T) string {
	t.Helper()
	path := writeTar(t, mustSample(t))
	data := readFile(t, path)
	at := bytes.Index(data, bytes.Repeat([]byte("c"), 1025))
	data[at+1024] = 'x' // the last byte
	return writeFile(t, path, data, 0o644)
}

func TestReaderFailsBeforeEOF(t *testing.T) {
	b := openBundle(t, damaged(t))
	if _, err := b.Trust(trusted(t), false); err != nil {
		t.Fatal(err) // the index is good
	}
	var mismatch *bundle.MismatchError
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"to the end": io.ReadAll,
		"by its size": func(r io.Reader) ([]byte, error) {
			p := make([]byte, 1025)
			n, err := io.ReadFull(r, p)
			return p[:n], err
		},
		"byte by byte":    func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		"in half buffers": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.HalfReader(r)) },
	} {
		rc, err := b.Open("files/blocks")
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(rc)
		if !errors.As(err, &mismatch) || mismatch.Path != "files/blocks" {
			t.Errorf("%s: got %v, want a MismatchError", name, err)
		}
		if len(got) == 1025 {
			t.Errorf("%s: all bytes were given out", name)
		}
		if n, again := rc.Read(make([]byte, 1)); n != 0 || again == nil || again == io.EOF {
			t.Errorf("%s: reading on: got %d, %v, want the error again", name, n, again)
		}
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.ReadFile("files/blocks", 2000); !errors.As(err, &mismatch) {
		t.Errorf("ReadFile: got %v, want a MismatchError", err)
	}
	if _, err := b.OpenAt("files/blocks"); !errors.As(err, &mismatch) {
		t.Errorf("OpenAt: got %v, want a MismatchError", err)
	}
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t)}); !errors.As(err, &mismatch) {
		t.Errorf("Verify: got %v, want a MismatchError", err)
	}
	if got, err := b.ReadFile("files/block", 512); err != nil || len(got) != 512 {
		t.Errorf("another file: got %d bytes, %v", len(got), err)
	}
}

func TestReaderConforms(t *testing.T) {
	for form, path := range map[string]string{"tar": writeTar(t, mustSample(t)), "folder": writeDir(t, mustSample(t))} {
		b := openBundle(t, path)
		if _, err := b.Trust(trusted(t), false); err != nil {
			t.Fatal(err)
		}
		for path, data := range sampleFiles() {
			rc, err := b.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(rc, []byte(data)); err != nil {
				t.Errorf("%s in the %s: %v", path, form, err)
			}
			if err := rc.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestChangedAfterVerify changes a folder's file between Verify and its use.
func TestChangedAfterVerify(t *testing.T) {
	dir := writeDir(t, mustSample(t))
	b := openBundle(t, dir)
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t)}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "files", "block")
	for fault, change := range map[string]func() error{
		"other bytes": func() error { return os.WriteFile(name, make([]byte, 512), 0o644) },
		"longer":      func() error { return os.WriteFile(name, []byte(strings.Repeat("b", 513)), 0o644) },
		"a folder":    func() error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o755)) },
		"a link out":  func() error { return errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)) },
		"gone":        func() error { return os.Remove(name) },
	} {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		writeFile(t, name, nil, 0o644)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if data, err := b.ReadFile("files/block", 1000); err == nil {
			t.Errorf("%s: ReadFile: got %q, want an error", fault, data)
		}
		if s, err := b.OpenAt("files/block"); err == nil {
			s.Close()
			t.Errorf("%s: OpenAt: got a section, want an error", fault)
		}
	}
}

func TestReadWhatIsNotThere(t *testing.T) {
	b := openBundle(t, writeTar(t, small(t)))
	if _, err := b.Trust(trusted(t), false); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "none", "bin", "bin/", "/bin/a", "./bin/a", "../bundle.json", "BIN/A"} {
		if _, err := b.Open(path); !errors.Is(err, fs.ErrNotExist) || bundle.Refused(err) {
			t.Errorf("Open(%q): got %v, want fs.ErrNotExist", path, err)
		}
		if _, err := b.OpenAt(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("OpenAt(%q): got %v, want fs.ErrNotExist", path, err)
		}
	}
	if data, err := b.ReadFile("bin/a", int64(len("content of a")-1)); err == nil {
		t.Errorf("a file over the limit: got %q, want an error", data)
	}
}

func TestVerifyCounts(t *testing.T) {
	b := openBundle(t, writeTar(t, mustSample(t)))
	var want int64
	for _, data := range sampleFiles() {
		want += int64(len(data))
	}
	for _, jobs := range []int{-1, 0, 1, 100} {
		var told atomic.Int64
		r, err := b.Verify(t.Context(), bundle.VerifyOptions{Keys: trusted(t), Jobs: jobs, Progress: func(n int64) { told.Add(n) }})
		if err != nil || r.Bytes != want || told.Load() != want || r.Files != len(sampleFiles()) {
			t.Errorf("%d jobs: got %d bytes and %d told, %d files, %v, want %d bytes", jobs, r.Bytes, told.Load(), r.Files, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Verify(ctx, bundle.VerifyOptions{Keys: trusted(t)}); !errors.Is(err, context.Canceled) || bundle.Refused(err) {
		t.Errorf("cancelled: got %v, want context.Canceled and no refusal", err)
	}
}

func TestNoFiles(t *testing.T) {
	o := mustOutput(t, nil)
	for form, path := range map[string]string{"tar": writeTar(t, o), "folder": writeDir(t, o)} {
		if r, err := verify(t, path); err != nil || r.Files != 0 || r.Bytes != 0 {
			t.Errorf("%s: got %+v, %v, want no files", form, r, err)
		}
	}
}

func TestCloseEndsReading(t *testing.T) {
	path := writeTar(t, small(t))
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Trust(trusted(t), false); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := b.ReadFile("bin/a", 100); err == nil {
		t.Errorf("after Close: got %q, want an error", data)
	}
}
