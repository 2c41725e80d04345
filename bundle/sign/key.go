package sign

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"aead.dev/minisign"
)

// The files that WriteKeyPair makes.
const (
	KeyFile    = "offbake.key"
	PublicFile = "offbake.pub"
)

// maxKeyFile bounds what is read of a file that is said to be a key.
const maxKeyFile = 4 << 10

// ErrPassword says that a password does not open a key, or that the key's file is damaged: minisign cannot tell.
var ErrPassword = errors.New("wrong password, or a damaged key")

// Key is a secret key, unlocked.
type Key struct{ key minisign.PrivateKey }

// ID is the key's ID as stock minisign prints it: 16 upper-case hex digits.
func (k *Key) ID() string { return formatID(k.key.ID()) }

// Public returns the public half.
func (k *Key) Public() Public { return Public{k.key.Public().(minisign.PublicKey)} }

// Public is a public key. The zero value is no key and verifies nothing.
type Public struct{ key minisign.PublicKey }

// ID is the key's ID as stock minisign prints it: 16 upper-case hex digits.
func (p Public) ID() string { return formatID(p.key.ID()) }

// String is the key as one word, as `minisign -P` takes it.
func (p Public) String() string { return p.key.String() }

// Text is the key as a file, as stock minisign writes it.
func (p Public) Text() []byte {
	return fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", p.ID(), p)
}

// Generate makes a key pair and returns the text of its secret half, encrypted with password unless that is empty.
// Encryption takes about two seconds and 1 GiB of memory: minisign's scrypt cost.
func Generate(password string) (secret []byte, pub Public, err error) {
	p, k, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, Public{}, fmt.Errorf("generating a key: %w", err)
	}
	if password == "" {
		secret, err = k.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, k)
		debug.FreeOSMemory() // see LoadKey
	}
	if err != nil {
		return nil, Public{}, fmt.Errorf("encoding a key: %w", err)
	}
	return append(secret, '\n'), Public{p}, nil
}

// WriteKeyPair makes a key pair and writes it to dir, which is made if need be, as KeyFile (mode 0600) and PublicFile
// (0644). If one of them is there already the error wraps fs.ErrExist and nothing is written. An empty password leaves
// the key unencrypted.
func WriteKeyPair(dir, password string) (Public, error) {
	keyPath, pubPath := filepath.Join(dir, KeyFile), filepath.Join(dir, PublicFile)
	for _, p := range []string{keyPath, pubPath} { // before the seconds that encryption takes
		if _, err := os.Lstat(p); err == nil {
			return Public{}, fmt.Errorf("writing %q: %w", p, os.ErrExist)
		}
	}
	secret, pub, err := Generate(password)
	if err != nil {
		return Public{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Public{}, fmt.Errorf("making %q: %w", dir, cause(err))
	}
	if err := create(keyPath, secret, 0o600); err != nil {
		return Public{}, err
	}
	if err := create(pubPath, pub.Text(), 0o644); err != nil {
		return Public{}, errors.Join(err, os.Remove(keyPath))
	}
	return pub, nil
}

// create writes a new file and leaves nothing when it fails.
func create(path string, data []byte, perm os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, cause(err))
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// LoadKey reads a secret key from a file as minisign -G or WriteKeyPair write it. password is called only when the
// key is encrypted; unlocking it takes about two seconds and 1 GiB of memory. A password that does not fit is
// ErrPassword.
func LoadKey(path string, password func() (string, error)) (*Key, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", path, err)
	}
	k, err := unlock(text, password)
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", path, err)
	}
	if _, err := k.Sign(nil, ""); err != nil {
		return nil, fmt.Errorf("reading key %q: %w", path, err)
	}
	return k, nil
}

func unlock(text []byte, password func() (string, error)) (*Key, error) {
	var k Key
	if !minisign.IsEncrypted(text) {
		if err := k.key.UnmarshalText(text); err != nil {
			return nil, errors.New("not a minisign secret key")
		}
		return &k, nil
	}
	pw, err := password()
	if err != nil {
		return nil, err
	}
	k.key, err = minisign.DecryptKey(pw, text)
	// scrypt's 1 GiB is garbage now, and the collector would let the heap grow to twice that before it looks again.
	debug.FreeOSMemory()
	if err != nil {
		return nil, ErrPassword
	}
	return &k, nil
}

// LoadPublic takes a public key as one word, as `minisign -P` does, or else the path of a file that holds one.
func LoadPublic(pathOrText string) (Public, error) {
	if p, err := ParsePublic(pathOrText); err == nil {
		return p, nil
	}
	text, err := readSmall(pathOrText)
	if err != nil {
		return Public{}, fmt.Errorf("reading public key %q: %w", pathOrText, err)
	}
	p, err := ParsePublic(string(text))
	if err != nil {
		return Public{}, fmt.Errorf("reading public key %q: %w", pathOrText, err)
	}
	return p, nil
}

// ParsePublic reads a public key: one word, or that word under a line of comment.
func ParsePublic(text string) (Public, error) {
	word := strings.TrimRight(text, "\r\n")
	if comment, rest, ok := strings.Cut(word, "\n"); ok {
		if !strings.HasPrefix(comment, "untrusted comment: ") {
			return Public{}, errors.New("not a minisign public key")
		}
		word = rest
	}
	// The library takes more than one spelling of the same key; there is no use for the others.
	if _, err := base64.StdEncoding.Strict().DecodeString(word); err != nil || strings.ContainsAny(word, "\r\n") {
		return Public{}, errors.New("not a minisign public key")
	}
	var p Public
	if err := p.key.UnmarshalText([]byte(word)); err != nil {
		return Public{}, errors.New("not a minisign public key")
	}
	return p, nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, maxKeyFile+1)); err != nil {
		return nil, cause(err)
	}
	if b.Len() > maxKeyFile {
		return nil, fmt.Errorf("got more than %d bytes, want a minisign key", maxKeyFile)
	}
	return b.Bytes(), nil
}

// cause drops the operation and path that package os puts before an error: the caller names them better.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
