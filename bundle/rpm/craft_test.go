package rpm_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Types and tags of header entries, as in rpmtag.h.
const (
	int16Type, int32Type, int64Type, stringType, binType, arrayType, i18nType = 3, 4, 5, 6, 7, 8, 9

	dsaTag, rsaTag, sha1Tag, sha256Tag, openPGPTag, sha3Tag = 267, 268, 269, 273, 278, 279
	sizeTag, pgpTag, md5Tag, gpgTag                         = 1000, 1002, 1004, 1005
)

// item is an entry of a crafted header structure.
type item struct {
	tag, kind, count int
	data             []byte
}

func bin(tag int, data []byte) item { return item{tag, binType, len(data), data} }
func text(tag int, s string) item   { return item{tag, stringType, 1, append([]byte(s), 0)} }
func int32s(tag int, values ...uint32) item {
	var data []byte
	for _, v := range values {
		data = binary.BigEndian.AppendUint32(data, v)
	}
	return item{tag, int32Type, len(values), data}
}

func texts(tag int, list ...string) item {
	var data []byte
	for _, s := range list {
		data = append(append(data, s...), 0)
	}
	return item{tag, arrayType, len(list), data}
}

// craft makes a header structure with a region that covers all of it.
func craft(region int, items ...item) []byte {
	var index, data []byte
	entry := func(tag, kind, offset, count int) {
		for _, v := range []int{tag, kind, offset, count} {
			index = binary.BigEndian.AppendUint32(index, uint32(int32(v)))
		}
	}
	for _, it := range items {
		for align := map[int]int{int16Type: 2, int32Type: 4, int64Type: 8}[it.kind]; align > 0 && len(data)%align != 0; {
			data = append(data, 0)
		}
		entry(it.tag, it.kind, len(data), it.count)
		data = append(data, it.data...)
	}
	entries := index
	index = nil
	entry(region, binType, -16*(len(items)+1), 16)
	trailer := index
	index = nil
	entry(region, binType, len(data), 16)
	data = append(data, trailer...)
	blob := []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(items)+1))
	blob = binary.BigEndian.AppendUint32(blob, uint32(len(data)))
	return bytes.Join([][]byte{blob, index, entries, data}, nil)
}

// lead is the first 96 bytes of an RPM: magic, version, and that the signature is a header.
func lead() []byte {
	b := append([]byte{0xed, 0xab, 0xee, 0xdb, 3, 0}, make([]byte, 90)...)
	b[79] = 5
	return b
}

// assemble makes an RPM of its parts.
func assemble(sigs []item, header, payload []byte) []byte {
	sig := craft(62, sigs...)
	sig = append(sig, make([]byte, -len(sig)&7)...)
	return bytes.Join([][]byte{lead(), sig, header, payload}, nil)
}

// minimal is a main header with a name and what else is given.
func minimal(more ...item) []byte {
	return craft(63, append([]item{text(1000, "aa"), text(1001, "1.0"), text(1002, "1"), text(1022, "noarch"),
		text(1044, "aa-1.0-1.src.rpm")}, more...)...)
}

var keyTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// newKey makes an OpenPGP key at keyTime.
func newKey(tb testing.TB, algorithm packet.PublicKeyAlgorithm, lifetime time.Duration) *openpgp.Entity {
	tb.Helper()
	curve := packet.Curve25519
	if algorithm == packet.PubKeyAlgoECDSA {
		curve = packet.CurveNistP256
	}
	e, err := openpgp.NewEntity("x", "", "x@y.example", &packet.Config{Algorithm: algorithm, RSABits: 2048, Curve: curve,
		DefaultHash: crypto.SHA256, Time: at(keyTime), KeyLifetimeSecs: uint32(lifetime / time.Second)})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// armored is the public keys of entities, each in a block of its own.
func armored(tb testing.TB, entities ...*openpgp.Entity) []byte {
	tb.Helper()
	var b bytes.Buffer
	for _, e := range entities {
		w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
		if err != nil {
			tb.Fatal(err)
		}
		if err := e.Serialize(w); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// signV4 signs data at a time, one day after keyTime when it is zero.
func signV4(tb testing.TB, e *openpgp.Entity, data []byte, when time.Time) []byte {
	tb.Helper()
	if when.IsZero() {
		when = keyTime.AddDate(0, 0, 1)
	}
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, e, bytes.NewReader(data), &packet.Config{Time: at(when), DefaultHash: crypto.SHA256}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// signV3 makes a version 3 RSA signature, as the packages of CentOS 7 have.
func signV3(tb testing.TB, e *openpgp.Entity, data []byte, hash crypto.Hash) []byte {
	tb.Helper()
	var stamp [5]byte // type and time
	binary.BigEndian.PutUint32(stamp[1:], uint32(keyTime.Unix()+86400))
	h := hash.New()
	h.Write(data)
	h.Write(stamp[:])
	digest := h.Sum(nil)
	sig, err := rsa.SignPKCS1v15(nil, e.PrivateKey.PrivateKey.(*rsa.PrivateKey), hash, digest)
	if err != nil {
		tb.Fatal(err)
	}
	number := map[crypto.Hash]byte{crypto.MD5: 1, crypto.SHA1: 2, crypto.SHA256: 8}[hash]
	body := append([]byte{3, 5}, stamp[:]...)
	body = binary.BigEndian.AppendUint64(body, e.PrimaryKey.KeyId)
	body = append(body, 1, number, digest[0], digest[1])
	for sig[0] == 0 {
		sig = sig[1:]
	}
	bits := 8 * len(sig)
	for b := sig[0]; b < 0x80; b <<= 1 {
		bits--
	}
	body = binary.BigEndian.AppendUint16(body, uint16(bits))
	body = append(body, sig...)
	return append([]byte{0x89, byte(len(body) >> 8), byte(len(body))}, body...)
}

// gpgHome is a home directory of gpg with keys in it.
type gpgHome struct {
	tb  testing.TB
	dir string
}

// newGPG makes a home without keys. Nothing of it is left after the test, neither files nor gpg's agent.
func newGPG(tb testing.TB) *gpgHome {
	tb.Helper()
	dir, err := os.MkdirTemp("", "gnupg") // short: a socket is made in it
	if err != nil {
		tb.Fatal(err)
	}
	g := &gpgHome{tb, dir}
	tb.Cleanup(func() {
		g.run("gpgconf", "--kill", "gpg-agent")
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return g
}

func (g *gpgHome) run(args ...string) []byte {
	g.tb.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+g.dir, "HOME="+g.dir, "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.tb.Fatalf("running %v: %v: %s", args, err, stderr.Bytes())
	}
	return out
}

// newKey makes a key that signs, or only certifies, and returns its fingerprint.
func (g *gpgHome) newKey(algorithm, usage string) string {
	g.tb.Helper()
	user := fmt.Sprintf("%s-%s@y.example", algorithm, usage)
	g.run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", user, algorithm, usage, "never")
	for line := range strings.Lines(string(g.run("gpg", "--batch", "--with-colons", "--list-keys", "="+user, user))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			return fields[9]
		}
	}
	g.tb.Fatalf("gpg made no key %s", user)
	return ""
}

func (g *gpgHome) public(fingerprint string) []byte {
	g.tb.Helper()
	return g.run("gpg", "--batch", "--armor", "--export", fingerprint)
}

// sign makes a detached signature.
func (g *gpgHome) sign(fingerprint string, data []byte) []byte {
	g.tb.Helper()
	name := filepath.Join(g.tb.TempDir(), "data")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		g.tb.Fatal(err)
	}
	return g.run("gpg", "--batch", "--quiet", "--local-user", fingerprint, "--output", "-", "--detach-sign", name)
}

// rpmsign signs an RPM with rpmsign, which takes args, and returns it.
func (g *gpgHome) rpmsign(fingerprint string, file []byte, args ...string) []byte {
	g.tb.Helper()
	name := filepath.Join(g.tb.TempDir(), "signed.rpm")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		g.tb.Fatal(err)
	}
	args = append([]string{"rpmsign", "--addsign", "--define", "_gpg_name " + fingerprint, "--define", "__gpg /usr/bin/gpg",
		"--define", "_gpg_sign_cmd_extra_args --batch --quiet"}, args...)
	g.run(append(args, name)...)
	signed, err := os.ReadFile(name)
	if err != nil {
		g.tb.Fatal(err)
	}
	return signed
}

// gpgDSA makes a DSA key with gpg, and returns it with a way to sign.
func gpgDSA(tb testing.TB) (public []byte, sign func(data []byte) []byte) {
	tb.Helper()
	gpg := newGPG(tb)
	key := gpg.newKey("dsa1024", "sign")
	return gpg.public(key), func(data []byte) []byte { return gpg.sign(key, data) }
}
