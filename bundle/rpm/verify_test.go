package rpm_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/offbake/offbake/bundle/rpm"
)

func keyring(tb testing.TB, armored []byte) *rpm.Keyring {
	tb.Helper()
	k, err := rpm.ParseKeys(armored)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func verify(file []byte, k *rpm.Keyring) (rpm.Signature, error) {
	return rpm.Verify(bytes.NewReader(file), int64(len(file)), k)
}

// TestVerifyRealHeaders checks the signatures of real packages with their vendors' keys, and with all other keys.
func TestVerifyRealHeaders(t *testing.T) {
	files, err := filepath.Glob("testdata/headers/*.hdr")
	if err != nil || len(files) != 6 {
		t.Fatalf("got %v, %v, want six headers", files, err)
	}
	keys, err := filepath.Glob("testdata/keys/*")
	if err != nil || len(keys) != 6 {
		t.Fatalf("got %v, %v, want six keys", keys, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := rpm.Signature{KeyID: "24C6A8A7F4A80EB5", PrimaryID: "24C6A8A7F4A80EB5", Version: 3, Hash: "SHA-256"}
		wantKey := "RPM-GPG-KEY-CentOS-7"
		if strings.Contains(file, "docker-scan-plugin") {
			want = rpm.Signature{KeyID: "C52FEB6B621E9F35", PrimaryID: "C52FEB6B621E9F35", Version: 4, Hash: "SHA-512"}
			wantKey = "RPM-GPG-KEY-docker-ce"
		}
		for _, key := range keys {
			armored, err := os.ReadFile(key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := rpm.VerifyHeader(bytes.NewReader(data), keyring(t, armored))
			if filepath.Base(key) != wantKey {
				if !errors.Is(err, rpm.ErrUnknownKey) {
					t.Errorf("%s with %s: got %v, want %v", file, key, err, rpm.ErrUnknownKey)
				}
				continue
			}
			got.Created = time.Time{}
			if err != nil || got != want {
				t.Errorf("%s: got %+v, %v, want %+v", file, got, err, want)
			}
		}
	}
}

// payloadOf is a payload, and the items of a main header that state its digest.
func payloadOf(s string) ([]byte, []item) {
	return []byte(s), []item{texts(5092, fmt.Sprintf("%x", sha256.Sum256([]byte(s)))), int32s(5093, 8)}
}

// TestVerifyForms has every form of signature that RPMs carry, and the same package with a bit flipped in each byte.
func TestVerifyForms(t *testing.T) {
	rsaKey, edKey := newKey(t, packet.PubKeyAlgoRSA, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	sub, stranger := withSubkey(t), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	dsaPublic, dsaSign := gpgDSA(t)
	ecKey := newKey(t, packet.PubKeyAlgoECDSA, 0)
	keys := keyring(t, append(append([]byte("text before\n"), armored(t, rsaKey, edKey, ecKey, sub)...), dsaPublic...))

	payload, digest := payloadOf("the payload")
	withDigest, without, plain := minimal(digest...), minimal(), minimal(digest[0])
	both := func(header []byte) []byte { return append(bytes.Clone(header), payload...) }
	sum512, sum3 := sha512.Sum512(payload), sha3.Sum256(payload)
	with512, with3 := minimal(text(5121, fmt.Sprintf("%x", sum512))), minimal(text(5123, fmt.Sprintf("%x", sum3)))
	uncompressed := minimal(texts(5092, strings.Repeat("0", 64)), int32s(5093, 8), texts(5097, fmt.Sprintf("%x", sha256.Sum256(payload))))
	b64 := base64.StdEncoding.EncodeToString
	for _, tt := range []struct {
		form    string
		sigs    []item
		header  []byte
		version int
		keyID   string
	}{
		{"RSA over the header", []item{bin(rsaTag, signV4(t, rsaKey, withDigest, time.Time{}))}, withDigest, 4, rsaKey.PrimaryKey.KeyIdString()},
		{"version 3 RSA over the header", []item{bin(rsaTag, signV3(t, rsaKey, withDigest, crypto.SHA256))}, withDigest, 3, ""},
		{"version 3 RSA with SHA-1", []item{bin(rsaTag, signV3(t, rsaKey, withDigest, crypto.SHA1))}, withDigest, 3, ""},
		{"EdDSA over the header", []item{bin(dsaTag, signV4(t, edKey, withDigest, time.Time{}))}, withDigest, 4, edKey.PrimaryKey.KeyIdString()},
		{"ECDSA over the header", []item{bin(dsaTag, signV4(t, ecKey, withDigest, time.Time{}))}, withDigest, 4, ecKey.PrimaryKey.KeyIdString()},
		{"DSA over the header", []item{bin(dsaTag, dsaSign(withDigest))}, withDigest, 4, ""},
		{"a subkey", []item{bin(dsaTag, signV4(t, sub, withDigest, time.Time{}))}, withDigest, 4, sub.Subkeys[len(sub.Subkeys)-1].PublicKey.KeyIdString()},
		{"RSA over both", []item{bin(pgpTag, signV4(t, rsaKey, both(without), time.Time{}))}, without, 4, ""},
		{"version 3 RSA over both", []item{bin(pgpTag, signV3(t, rsaKey, both(without), crypto.SHA256))}, without, 3, ""},
		{"DSA over both", []item{bin(gpgTag, dsaSign(both(without)))}, without, 4, ""},
		{"one over the header and one over both", []item{bin(rsaTag, signV3(t, rsaKey, without, crypto.SHA256)),
			bin(pgpTag, signV3(t, rsaKey, both(without), crypto.SHA256))}, without, 3, ""},
		{"a payload digest without algorithm, as rpm 6 has", []item{bin(dsaTag, signV4(t, edKey, plain, time.Time{}))}, plain, 4, ""},
		{"rpm 6, beside a stranger's", []item{texts(openPGPTag, b64(signV4(t, stranger, withDigest, time.Time{})),
			b64(signV4(t, edKey, withDigest, time.Time{})))}, withDigest, 4, edKey.PrimaryKey.KeyIdString()},
		{"rpm 6, beside one of version 6", []item{texts(openPGPTag, b64([]byte{0xc2, 3, 6, 0, 27}),
			b64(signV4(t, edKey, withDigest, time.Time{})))}, withDigest, 4, edKey.PrimaryKey.KeyIdString()},
		{"rpm 6's SHA-512 of the payload", []item{bin(dsaTag, signV4(t, edKey, with512, time.Time{}))}, with512, 4, ""},
		{"rpm 6's SHA3-256 of the payload", []item{bin(dsaTag, signV4(t, edKey, with3, time.Time{}))}, with3, 4, ""},
		{"a payload that was uncompressed", []item{bin(dsaTag, signV4(t, edKey, uncompressed, time.Time{}))}, uncompressed, 4, ""},
		{"a SHA3-256 of the header", []item{bin(dsaTag, signV4(t, edKey, withDigest, time.Time{})),
			text(sha3Tag, fmt.Sprintf("%x", sha3.Sum256(withDigest)))}, withDigest, 4, ""},
	} {
		file := assemble(tt.sigs, tt.header, payload)
		got, err := verify(file, keys)
		if err != nil || got.Version != tt.version || tt.keyID != "" && got.KeyID != tt.keyID {
			t.Errorf("%s: got %+v, %v, want version %d, key %q", tt.form, got, err, tt.version, tt.keyID)
			continue
		}
		start := bytes.Index(file, tt.header)
		for i := start; i < len(file); i++ {
			file[i] ^= 1 << (i % 8)
			if got, err := verify(file, keys); err == nil {
				t.Errorf("%s, byte %d of header and payload altered: got %+v and no error", tt.form, i-start, got)
			}
			file[i] ^= 1 << (i % 8)
		}
	}
}

// refused is a package that Verify must not take, for a reason: one of the package's errors, or nil for bytes that are not
// what a digest or the form of a header says.
type refused struct {
	fault           string
	sigs            []item
	header, payload []byte
	want            error
}

func (r refused) check(t *testing.T, keys *rpm.Keyring) {
	t.Helper()
	got, err := verify(assemble(r.sigs, r.header, r.payload), keys)
	var mismatch *rpm.MismatchError
	switch {
	case err == nil || got != (rpm.Signature{}):
		t.Errorf("%s: got %+v, %v, want an error", r.fault, got, err)
	case r.want != nil && !errors.Is(err, r.want):
		t.Errorf("%s: got %v, want %v", r.fault, err, r.want)
	case r.want == nil && !errors.As(err, &mismatch) && !strings.Contains(err.Error(), "malformed"):
		t.Errorf("%s: got %v, want a MismatchError or a malformed header", r.fault, err)
	}
}

func TestVerifyRefusesKeys(t *testing.T) {
	stranger, revoked := newKey(t, packet.PubKeyAlgoEdDSA, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	short := newKey(t, packet.PubKeyAlgoEdDSA, 48*time.Hour)
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: at(keyTime.AddDate(0, 0, 9)), DefaultHash: crypto.SHA256}
	if err := revoked.RevokeKey(packet.KeyRetired, "", config); err != nil {
		t.Fatal(err)
	}
	subRevoked, certifier := withSubkey(t), withSubkey(t)
	payload, digest := payloadOf("the payload")
	header := minimal(digest...)
	bySub := signV4(t, subRevoked, header, time.Time{})
	if err := subRevoked.RevokeSubkey(&subRevoked.Subkeys[len(subRevoked.Subkeys)-1], packet.KeyRetired, "", config); err != nil {
		t.Fatal(err)
	}
	certifier.PrimaryIdentity().SelfSignature.FlagSign = false
	if err := certifier.SerializePrivate(io.Discard, config); err != nil { // signs the identity anew
		t.Fatal(err)
	}
	keys := keyring(t, armored(t, short, revoked, subRevoked, certifier))

	for _, r := range []refused{
		{"nothing signed", []item{text(sha256Tag, fmt.Sprintf("%x", sha256.Sum256(header)))}, header, payload, rpm.ErrUnsigned},
		{"a stranger's key", []item{bin(dsaTag, signV4(t, stranger, header, time.Time{}))}, header, payload, rpm.ErrUnknownKey},
		{"a revoked key, even before it was", []item{bin(dsaTag, signV4(t, revoked, header, time.Time{}))}, header, payload, rpm.ErrRevokedKey},
		{"a revoked subkey", []item{bin(dsaTag, bySub)}, header, payload, rpm.ErrRevokedKey},
		{"a key that is not for signing", []item{bin(dsaTag, signAt(t, certifier, header, keyTime.AddDate(0, 0, 1)))}, header, payload, rpm.ErrUnknownKey},
		{"after the key expired", []item{bin(dsaTag, signAt(t, short, header, keyTime.AddDate(1, 0, 0)))}, header, payload, rpm.ErrKeyNotValid},
		{"before the key existed", []item{bin(dsaTag, signAt(t, short, header, keyTime.AddDate(-1, 0, 0)))}, header, payload, rpm.ErrKeyNotValid},
	} {
		r.check(t, keys)
	}
	var keyError *rpm.SignatureError
	_, err := verify(assemble([]item{bin(dsaTag, signV4(t, stranger, header, time.Time{}))}, header, payload), keys)
	if !errors.As(err, &keyError) || keyError.KeyID != stranger.PrimaryKey.KeyIdString() {
		t.Errorf("got %v, want the stranger's key ID %s in it", err, stranger.PrimaryKey.KeyIdString())
	}
	// The key expired two days after it was made, which is years ago; the signature is of the first day.
	if _, err := verify(assemble([]item{bin(dsaTag, signV4(t, short, header, time.Time{}))}, header, payload), keys); err != nil {
		t.Errorf("an expired key's signature from before: got %v, want it to be good", err)
	}
}

func TestVerifyRefusesPackets(t *testing.T) {
	key := newKey(t, packet.PubKeyAlgoRSA, 0)
	payload, digest := payloadOf("the payload")
	header := minimal(digest...)
	good := signV4(t, key, header, time.Time{})
	altered := bytes.Clone(good)
	altered[len(altered)-1] ^= 1
	stranger := newKey(t, packet.PubKeyAlgoEdDSA, 0)
	b64 := base64.StdEncoding.EncodeToString(good)
	ofText := signRaw(t, key, header, &packet.Signature{SigType: packet.SigTypeText, CreationTime: keyTime.AddDate(0, 0, 1)})
	for _, r := range []refused{
		{"MD5", []item{bin(rsaTag, signV3(t, key, header, crypto.MD5))}, header, payload, rpm.ErrBadSignature},
		{"a signature of text", []item{bin(rsaTag, ofText)}, header, payload, rpm.ErrBadSignature},
		{"a signature of other bytes", []item{bin(rsaTag, signV4(t, key, minimal(), time.Time{}))}, header, payload, rpm.ErrBadSignature},
		{"one good, one bad", []item{bin(rsaTag, good), bin(pgpTag, good)}, header, payload, rpm.ErrBadSignature},
		{"bytes after the packet", []item{bin(rsaTag, append(bytes.Clone(good), 0))}, header, payload, rpm.ErrBadSignature},
		{"a cut packet", []item{bin(rsaTag, good[:len(good)-1])}, header, payload, rpm.ErrBadSignature},
		{"no packet", []item{bin(rsaTag, []byte("-----BEGIN PGP"))}, header, payload, rpm.ErrBadSignature},
		{"an altered last byte", []item{bin(rsaTag, altered)}, header, payload, rpm.ErrBadSignature},
		{"a key in place of a signature", []item{bin(rsaTag, serialized(t, key))}, header, payload, rpm.ErrBadSignature},
		{"bad base64", []item{texts(openPGPTag, "%")}, header, payload, rpm.ErrBadSignature},
		{"base64 with a line break", []item{texts(openPGPTag, b64[:4]+"\n"+b64[4:])}, header, payload, rpm.ErrBadSignature},
		{"base64 with needless bits", []item{texts(openPGPTag, "wgIEAB==")}, header, payload, rpm.ErrBadSignature},
		{"version 6 alone", []item{bin(rsaTag, []byte{0xc2, 3, 6, 0, 27})}, header, payload, rpm.ErrUnknownKey},
		{"version 6 in a slot of its own beside a good one", []item{bin(dsaTag, []byte{0xc2, 3, 6, 0, 27}), bin(rsaTag, good)}, header, payload, rpm.ErrUnknownKey},
		{"version 7", []item{bin(rsaTag, []byte{0xc2, 3, 7, 0, 27})}, header, payload, rpm.ErrBadSignature},
		{"a stranger's in a slot of its own beside a good one", []item{bin(dsaTag, signV4(t, stranger, header, time.Time{})), bin(rsaTag, good)},
			header, payload, rpm.ErrUnknownKey},
		{"something unsigned in the packet", []item{bin(rsaTag, withUnsigned(good, "\x05\x14ABCD"))}, header, payload, rpm.ErrBadSignature},
		{"another issuer's fingerprint, unsigned", []item{bin(rsaTag, withUnsigned(good, "\x16\x21\x04"+strings.Repeat("A", 20)))},
			header, payload, rpm.ErrUnknownKey},
		{"an unknown tag in the signature header", []item{bin(rsaTag, good), text(272, "x")}, header, payload, nil},
		{"a number where bytes belong", []item{bin(rsaTag, good), int32s(gpgTag, 1)}, header, payload, nil},
		{"data in the room", []item{bin(rsaTag, good), bin(1008, []byte{0, 1, 0})}, header, payload, nil},
		{"a digest in capitals", []item{bin(rsaTag, good), text(sha256Tag, fmt.Sprintf("%X", sha256.Sum256(header)))}, header, payload, nil},
		{"a long MD5", []item{bin(rsaTag, good), bin(md5Tag, make([]byte, 17))}, header, payload, nil},
		{"text in place of a signature", []item{text(rsaTag, string(good[:10]))}, header, payload, nil},
	} {
		r.check(t, keyring(t, armored(t, key)))
	}
}

func TestVerifyRefusesCoverage(t *testing.T) {
	key, stranger := newKey(t, packet.PubKeyAlgoRSA, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	payload, digest := payloadOf("the payload")
	header, bare := minimal(digest...), minimal()
	both := minimal(append(slices.Clone(digest), text(5121, strings.Repeat("0", 128)))...)
	weak := minimal(texts(5092, "da39a3ee5e6b4b0d3255bfef95601890afd80709"), int32s(5093, 2))
	good := bin(rsaTag, signV4(t, key, header, time.Time{}))
	overBare := bin(rsaTag, signV4(t, key, bare, time.Time{}))
	strangers := bin(pgpTag, signV4(t, stranger, append(bytes.Clone(bare), payload...), time.Time{}))
	for _, r := range []refused{
		{"a payload that nothing covers", []item{overBare}, bare, payload, rpm.ErrPayloadUnsafe},
		{"a payload covered by a stranger", []item{overBare, strangers}, bare, payload, rpm.ErrUnknownKey},
		{"a payload covered by SHA-1 alone", []item{bin(rsaTag, signV4(t, key, weak, time.Time{}))}, weak, nil, rpm.ErrPayloadUnsafe},
		{"another payload", []item{good}, header, []byte("another"), nil},
		{"a longer payload", []item{good}, header, append(bytes.Clone(payload), 0), nil},
		{"no payload", []item{good}, header, nil, nil},
		{"a good SHA-256 of the payload, a wrong SHA-512", []item{bin(rsaTag, signV4(t, key, both, time.Time{}))}, both, payload, nil},
		{"wrong SHA3-256 of the header", []item{good, text(sha3Tag, strings.Repeat("0", 64))}, header, payload, nil},
		{"wrong SHA-256 of the header", []item{good, text(sha256Tag, strings.Repeat("0", 64))}, header, payload, nil},
		{"wrong SHA-1 of the header", []item{good, text(sha1Tag, strings.Repeat("0", 40))}, header, payload, nil},
		{"wrong MD5 of both", []item{good, bin(md5Tag, make([]byte, 16))}, header, payload, nil},
		{"wrong size of both", []item{good, int32s(sizeTag, 7)}, header, payload, nil},
		{"a header cut short", []item{good}, header[:len(header)-1], nil, io.ErrUnexpectedEOF},
	} {
		r.check(t, keyring(t, armored(t, key)))
	}
}

// withUnsigned is a version 4 signature with more of what it does not cover (RFC 4880, section 5.2.3).
func withUnsigned(packet []byte, more string) []byte {
	body := bytes.Clone(packet[3:]) // the header says 0x89 and the length in two bytes, or 0xc2 and in one or two
	if packet[0] == 0xc2 && packet[1] < 192 {
		body = bytes.Clone(packet[2:])
	}
	at := 6 + (int(body[4])<<8 | int(body[5]))
	n := (int(body[at])<<8 | int(body[at+1])) + len(more)
	rest := bytes.Clone(body[at+2:])
	body = append(append(body[:at], byte(n>>8), byte(n)), more...)
	body = append(body, rest...)
	return append([]byte{0x89, byte(len(body) >> 8), byte(len(body))}, body...)
}

// withSubkey is a key with a subkey that signs.
func withSubkey(tb testing.TB) *openpgp.Entity {
	tb.Helper()
	e := newKey(tb, packet.PubKeyAlgoEdDSA, 0)
	if err := e.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: at(keyTime), DefaultHash: crypto.SHA256}); err != nil {
		tb.Fatal(err)
	}
	return e
}

// signAt signs with a primary key at a time when go-crypto would refuse to.
func signAt(tb testing.TB, e *openpgp.Entity, data []byte, when time.Time) []byte {
	tb.Helper()
	return signRaw(tb, e, data, &packet.Signature{SigType: packet.SigTypeBinary, CreationTime: when})
}

func signRaw(tb testing.TB, e *openpgp.Entity, data []byte, sig *packet.Signature) []byte {
	tb.Helper()
	sig.Version, sig.PubKeyAlgo, sig.Hash, sig.IssuerKeyId = 4, e.PrimaryKey.PubKeyAlgo, crypto.SHA256, &e.PrimaryKey.KeyId
	h := crypto.SHA256.New()
	h.Write(data)
	var b bytes.Buffer
	if err := sig.Sign(h, e.PrivateKey, nil); err != nil {
		tb.Fatal(err)
	}
	if err := sig.Serialize(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func serialized(tb testing.TB, e *openpgp.Entity) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := e.PrimaryKey.Serialize(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestParseKeysRefuses(t *testing.T) {
	key := newKey(t, packet.PubKeyAlgoEdDSA, 0)
	good := armored(t, key)
	for _, tt := range []struct {
		fault string
		text  []byte
	}{
		{"nothing", nil},
		{"no armor", []byte("mQENBFIAAAE")},
		{"a signature", bytes.ReplaceAll(good, []byte("PUBLIC KEY BLOCK"), []byte("SIGNATURE"))},
		{"cut", good[:len(good)/2]},
		{"a good key, then a cut one", append(bytes.Clone(good), good[:len(good)/2]...)},
	} {
		if k, err := rpm.ParseKeys(tt.text); err == nil {
			t.Errorf("%s: got %v and no error", tt.fault, k)
		}
	}
}
