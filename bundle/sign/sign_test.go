package sign_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/sign"
)

const trusted = "name:x version:1.0.0 created:2024-05-06T07:08:09Z"

// stock runs stock minisign in dir and returns what it printed. Passwords go to its standard input.
func stock(t *testing.T, dir, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("minisign", args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustStock(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	out, err := stock(t, dir, stdin, args...)
	if err != nil {
		t.Fatalf("minisign %q: %v\n%s", args, err, out)
	}
	return out
}

func noPassword(t *testing.T) func() (string, error) {
	return func() (string, error) {
		t.Error("the password was asked for")
		return "", errors.New("none")
	}
}

// pair makes an unencrypted key pair in dir.
func pair(t *testing.T, dir string) (*sign.Key, sign.Public) {
	t.Helper()
	pub, err := sign.WriteKeyPair(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.LoadKey(filepath.Join(dir, sign.KeyFile), noPassword(t))
	if err != nil {
		t.Fatal(err)
	}
	return key, pub
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func signed(t *testing.T, k *sign.Key, msg []byte) []byte {
	t.Helper()
	sig, err := k.Sign(msg, trusted)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestStockVerifiesOurs(t *testing.T) {
	dir := t.TempDir()
	key, pub := pair(t, dir)
	msg := []byte("message\n")
	write(t, filepath.Join(dir, "m"), msg)
	write(t, filepath.Join(dir, "m.minisig"), signed(t, key, msg))
	for _, args := range [][]string{
		{"-Vm", "m", "-p", sign.PublicFile},
		{"-VHm", "m", "-p", sign.PublicFile},
		{"-VHm", "m", "-P", pub.String()},
	} {
		if out := mustStock(t, dir, "", args...); !strings.Contains(out, "Trusted comment: "+trusted+"\n") {
			t.Errorf("minisign %q: got %q, want our trusted comment", args, out)
		}
	}
	write(t, filepath.Join(dir, "m"), []byte("massage\n"))
	if out, err := stock(t, dir, "", "-Vm", "m", "-p", sign.PublicFile); err == nil {
		t.Errorf("altered message: got %q, want a failure", out)
	}
	// The secret key's file is stock's too, and so is the way it prints IDs.
	mustStock(t, dir, "", "-S", "-W", "-s", sign.KeyFile, "-m", "m", "-c", sign.UntrustedComment, "-t", trusted)
	sig, err := os.ReadFile(filepath.Join(dir, "m.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := sign.Verify([]byte("massage\n"), sig, trusted, []sign.Public{pub}); err != nil || id != key.ID() {
		t.Errorf("signed by stock with our key: got %q, %v, want %q", id, err, key.ID())
	}
	mustStock(t, dir, "", "-R", "-s", sign.KeyFile, "-p", "again.pub")
	again, err := os.ReadFile(filepath.Join(dir, "again.pub"))
	if err != nil {
		t.Fatal(err)
	}
	// An ID is 16 digits; stock leaves leading zeros out of what is a comment.
	unpadded := regexp.MustCompile(`public key 0+`).ReplaceAll(pub.Text(), []byte("public key "))
	if !bytes.Equal(again, unpadded) {
		t.Errorf("public key file: got %q, want stock's %q", pub.Text(), again)
	}
}

func TestStockKeyLoads(t *testing.T) {
	dir := t.TempDir()
	mustStock(t, dir, "", "-G", "-W", "-s", "s.key", "-p", "s.pub")
	key, err := sign.LoadKey(filepath.Join(dir, "s.key"), noPassword(t))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := sign.LoadPublic(filepath.Join(dir, "s.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if key.Public().String() != pub.String() {
		t.Errorf("public key: got %s from the secret one, want %s", key.Public(), pub)
	}
	write(t, filepath.Join(dir, "m"), []byte("m"))
	write(t, filepath.Join(dir, "m.minisig"), signed(t, key, []byte("m")))
	mustStock(t, dir, "", "-VHm", "m", "-p", "s.pub")
}

// TestEncryptedKeyBothWays makes a key with ours, lets stock read it and encrypt it anew, and reads that with ours:
// each side decrypts what the other encrypted, at the real cost.
func TestEncryptedKeyBothWays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock := filepath.Join(dir, "unlock")
	if out, err := exec.Command("go", "build", "-o", unlock, "./testdata/unlock").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	if out, err := exec.Command(unlock, "first pass", "write", dir).CombinedOutput(); err != nil {
		t.Fatalf("writing a key: %v\n%s", err, out)
	}
	mustStock(t, dir, "first pass\nsecond pass\nsecond pass\n", "-C", "-s", sign.KeyFile)
	cmd := exec.Command(unlock, "second pass", "sign", filepath.Join(dir, sign.KeyFile), trusted)
	cmd.Stdin = strings.NewReader("m")
	sig, err := cmd.Output()
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	write(t, filepath.Join(dir, "m"), []byte("m"))
	write(t, filepath.Join(dir, "m.minisig"), sig)
	mustStock(t, dir, "", "-VHm", "m", "-p", sign.PublicFile)
}

func TestVerify(t *testing.T) {
	mine, pub := pair(t, t.TempDir())
	_, other := pair(t, t.TempDir())
	msg := []byte("message")
	sig := signed(t, mine, msg)
	for _, c := range []struct {
		fault   string
		msg     string
		trusted string
		keys    []sign.Public
		want    error
	}{
		{"none", "message", trusted, []sign.Public{pub}, nil},
		{"none, among others", "message", trusted, []sign.Public{{}, other, pub}, nil},
		{"no key", "message", trusted, nil, sign.ErrUntrusted},
		{"another key", "message", trusted, []sign.Public{other}, sign.ErrUntrusted},
		{"the zero key", "message", trusted, []sign.Public{{}}, sign.ErrUntrusted},
		{"another message", "massage", trusted, []sign.Public{pub}, sign.ErrForged},
		{"empty message", "", trusted, []sign.Public{pub}, sign.ErrForged},
		{"another comment wanted", "message", trusted + "x", []sign.Public{pub}, sign.ErrMalformed},
		{"no comment wanted", "message", "", []sign.Public{pub}, sign.ErrMalformed},
		{"another key under the same ID", "message", trusted, []sign.Public{relabel(t, other, pub)}, sign.ErrForged},
	} {
		t.Run(c.fault, func(t *testing.T) {
			id, err := sign.Verify([]byte(c.msg), sig, c.trusted, c.keys)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if want := map[bool]string{true: mine.ID()}[c.want == nil]; id != want {
				t.Errorf("key: got %q, want %q", id, want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
}

// relabel returns key's bytes under the ID of as.
func relabel(t *testing.T, key, as sign.Public) sign.Public {
	t.Helper()
	k, a := decode(t, key.String()), decode(t, as.String())
	copy(k[2:10], a[2:10])
	p, err := sign.ParsePublic(base64.StdEncoding.EncodeToString(k))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOneText flips, drops and doubles every byte of a signature: no other text is taken for it.
func TestOneText(t *testing.T) {
	key, pub := pair(t, t.TempDir())
	msg := []byte("message")
	sig := signed(t, key, msg)
	keys := []sign.Public{pub}
	refuse := func(what string, i int, text []byte) {
		if id, err := sign.Verify(msg, text, trusted, keys); err == nil {
			t.Errorf("%s at byte %d: got key %s, want a refusal of %q", what, i, id, text)
		}
	}
	for i := range sig {
		for bit := range 8 {
			text := bytes.Clone(sig)
			text[i] ^= 1 << bit
			refuse("flip", i, text)
		}
		refuse("cut", i, sig[:i])
		refuse("drop", i, slices.Delete(bytes.Clone(sig), i, i+1))
		refuse("double", i, slices.Insert(bytes.Clone(sig), i, sig[i]))
		for _, extra := range []byte("\r\n\x00 =A") {
			if sig[i] != extra {
				refuse("insert", i, slices.Insert(bytes.Clone(sig), i, extra))
			}
		}
	}
	refuse("append", len(sig), append(bytes.Clone(sig), '\n'))
	if _, err := sign.Verify(msg, sig, trusted, keys); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	dir := t.TempDir()
	key, pub := pair(t, dir)
	write(t, filepath.Join(dir, "m"), []byte("m"))
	byStock := func(args ...string) []byte {
		mustStock(t, dir, "", append([]string{"-S", "-W", "-s", sign.KeyFile, "-m", "m"}, args...)...)
		sig, err := os.ReadFile(filepath.Join(dir, "m.minisig"))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	good := signed(t, key, []byte("m"))
	for fault, sig := range map[string][]byte{
		"legacy, not prehashed":    byStock("-l", "-c", sign.UntrustedComment, "-t", trusted),
		"stock's own comment":      byStock("-t", trusted),
		"empty":                    nil,
		"too long":                 bytes.Repeat([]byte("x"), sign.MaxSignature+1),
		"carriage returns":         bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")),
		"a second signature after": append(bytes.Clone(good), good...),
	} {
		t.Run(fault, func(t *testing.T) {
			if id, err := sign.Verify([]byte("m"), sig, trusted, []sign.Public{pub}); !errors.Is(err, sign.ErrMalformed) {
				t.Errorf("got %q, %v, want ErrMalformed", id, err)
			}
			if s, err := sign.Parse(sig); !errors.Is(err, sign.ErrMalformed) || s != (sign.Signature{}) {
				t.Errorf("Parse: got %v, %v, want ErrMalformed", s, err)
			}
		})
	}
	want := sign.Signature{KeyID: key.ID(), Trusted: trusted}
	if s, err := sign.Parse(good); err != nil || s != want {
		t.Errorf("Parse of a good one: got %v, %v, want %v", s, err, want)
	}
}

func TestSignRefusesComments(t *testing.T) {
	key, _ := pair(t, t.TempDir())
	for _, comment := range []string{"two\nlines", "cr\r", "nul\x00", "\x1b[31m", "\xff", strings.Repeat("x", 1025)} {
		if sig, err := key.Sign(nil, comment); err == nil {
			t.Errorf("comment %.20q: got %q, want an error", comment, sig)
		}
	}
}

func TestSignIsDeterministic(t *testing.T) {
	key, _ := pair(t, t.TempDir())
	if a, b := signed(t, key, []byte("m")), signed(t, key, []byte("m")); !bytes.Equal(a, b) {
		t.Errorf("got %q and %q, want the same", a, b)
	}
}

func FuzzVerifyText(f *testing.F) {
	dir := f.TempDir()
	pub, err := sign.WriteKeyPair(dir, "")
	if err != nil {
		f.Fatal(err)
	}
	key, err := sign.LoadKey(filepath.Join(dir, sign.KeyFile), nil)
	if err != nil {
		f.Fatal(err)
	}
	sig, err := key.Sign([]byte("m"), trusted)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add([]byte("untrusted comment: offbake\n\ntrusted comment: \n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		// The seed's key is new in every process, so a text that verifies is the one that was signed here.
		if _, err := sign.Verify([]byte("m"), text, trusted, []sign.Public{pub}); err == nil && !bytes.Equal(text, sig) {
			t.Errorf("got %q accepted, want only %q", text, sig)
		}
		s, err := sign.Parse(text)
		if err != nil {
			return
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) != 5 || lines[0] != "untrusted comment: offbake" || lines[2] != "trusted comment: "+s.Trusted || lines[4] != "" {
			t.Errorf("got %q accepted, want four lines in the one form", text)
		}
	})
}
