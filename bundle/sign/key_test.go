package sign_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"

	"github.com/offbake/offbake/bundle/sign"
)

// cheap encrypts an unencrypted key file as minisign does, at scrypt's lowest cost, so that a test need not wait.
// The layout is minisign's: algorithm, KDF, checksum algorithm, salt, opslimit, memlimit, then key and checksum
// under the key stream.
func cheap(t *testing.T, plain []byte, password string) []byte {
	t.Helper()
	comment, word, _ := strings.Cut(strings.TrimSpace(string(plain)), "\n")
	b := decode(t, word)
	copy(b[2:4], "Sc")
	const ops, mem = 1 << 15, 1 << 20
	binary.LittleEndian.PutUint64(b[38:], ops)
	binary.LittleEndian.PutUint64(b[46:], mem)
	sum := blake2b.Sum256(append([]byte("Ed"), b[54:126]...))
	copy(b[126:], sum[:])
	// What libsodium makes of these limits.
	stream, err := scrypt.Key([]byte(password), b[6:38], 1<<10, 8, 1, 104)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range stream {
		b[54+i] ^= s
	}
	return []byte(comment + "\n" + base64.StdEncoding.EncodeToString(b) + "\n")
}

func TestEncryptedKey(t *testing.T) {
	dir := t.TempDir()
	plain, pub := pair(t, dir)
	path := filepath.Join(dir, sign.KeyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, cheap(t, text, "pass"))
	stop := errors.New("no terminal")
	for _, c := range []struct {
		name     string
		password string
		failure  error
		want     error
	}{
		{"right", "pass", nil, nil},
		{"wrong", "pass ", nil, sign.ErrPassword},
		{"empty", "", nil, sign.ErrPassword},
		{"not to be had", "", stop, stop},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			key, err := sign.LoadKey(path, func() (string, error) { asked++; return c.password, c.failure })
			if asked != 1 {
				t.Errorf("password: asked %d times, want once", asked)
			}
			if c.want != nil {
				if !errors.Is(err, c.want) || key != nil {
					t.Errorf("got %v, %v, want %v", key, err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != plain.ID() || key.Public().String() != pub.String() {
				t.Errorf("got key %s, want %s", key.ID(), plain.ID())
			}
			if _, err := sign.Verify(nil, signed(t, key, nil), trusted, []sign.Public{pub}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	pair(t, dir)
	good, err := os.ReadFile(filepath.Join(dir, sign.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(dir, sign.PublicFile))
	if err != nil {
		t.Fatal(err)
	}
	damage := func(at int) []byte {
		comment, word, _ := strings.Cut(strings.TrimSpace(string(good)), "\n")
		b := decode(t, word)
		b[at] ^= 1
		return []byte(comment + "\n" + base64.StdEncoding.EncodeToString(b))
	}
	for fault, text := range map[string][]byte{
		"empty":                 {},
		"a public key":          pub,
		"not base64":            []byte("untrusted comment: x\n!!!\n"),
		"cut":                   good[:len(good)-9],
		"too long":              append(good, strings.Repeat("\n", 5000)...),
		"secret half damaged":   damage(62),
		"public half damaged":   damage(62 + 32),
		"another algorithm":     damage(0),
		"another KDF":           damage(2),
		"another checksum kind": damage(4),
	} {
		t.Run(fault, func(t *testing.T) {
			path := filepath.Join(dir, "bad.key")
			write(t, path, text)
			key, err := sign.LoadKey(path, noPassword(t))
			if err == nil || key != nil {
				t.Fatalf("got key %v, want an error", key)
			}
			if strings.Contains(err.Error(), strings.TrimSpace(string(good))[60:80]) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
	for fault, path := range map[string]string{"missing": filepath.Join(dir, "none"), "a folder": dir} {
		if key, err := sign.LoadKey(path, noPassword(t)); err == nil || key != nil {
			t.Errorf("%s: got %v, %v, want an error", fault, key, err)
		}
	}
}

func TestWriteKeyPair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	key, pub := pair(t, dir)
	if !regexp.MustCompile(`^[0-9A-F]{16}$`).MatchString(key.ID()) || key.ID() != pub.ID() {
		t.Errorf("ID: got %q and %q, want 16 upper-case hex digits twice", key.ID(), pub.ID())
	}
	for name, want := range map[string]fs.FileMode{sign.KeyFile: 0o600, sign.PublicFile: 0o644} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", name, fi.Mode(), want)
		}
	}
}

func TestWriteKeyPairOverwritesNothing(t *testing.T) {
	for _, name := range []string{sign.KeyFile, sign.PublicFile} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, name), []byte("mine"))
			if _, err := sign.WriteKeyPair(dir, ""); !errors.Is(err, fs.ErrExist) {
				t.Errorf("got %v, want fs.ErrExist", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if data, _ := os.ReadFile(filepath.Join(dir, name)); len(entries) != 1 || string(data) != "mine" {
				t.Errorf("got %d files and %q, want only what was there", len(entries), data)
			}
		})
	}
	if _, err := sign.WriteKeyPair(writtenFile(t), ""); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file for a folder: got %v, want ENOTDIR", err)
	}
}

func writtenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, nil)
	return path
}

func TestPublicKey(t *testing.T) {
	dir := t.TempDir()
	_, pub := pair(t, dir)
	word := pub.String()
	path := filepath.Join(dir, sign.PublicFile)
	for _, text := range []string{word, word + "\n", string(pub.Text()), path, "untrusted comment: anything\r\n" + word + "\r\n"} {
		got, err := sign.LoadPublic(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got.String() != word || got.ID() != pub.ID() {
			t.Errorf("%q: got %s, want %s", text, got, word)
		}
	}
	for fault, text := range map[string]string{
		"empty":               "",
		"two keys":            word + "\n" + word,
		"cut":                 word[:len(word)-4],
		"another algorithm":   "RUQ" + word[3:],
		"not a comment":       "comment\n" + word,
		"a key over two rows": "untrusted comment: x\n" + word[:20] + "\n" + word[20:],
		"missing file":        filepath.Join(dir, "none"),
		"a secret key":        filepath.Join(dir, sign.KeyFile),
		"a folder":            dir,
	} {
		if got, err := sign.LoadPublic(text); err == nil {
			t.Errorf("%s: got %s, want an error", fault, got)
		}
	}
}
