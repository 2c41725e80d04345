package source_test

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/offbake/offbake/bundle/source"
)

const day = 24 * time.Hour

func begin() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

// at is a config whose clock stands still.
func at(t time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return t }, DefaultHash: crypto.SHA256}
}

// certificate makes a key that begins at begin and lasts for life; 0 is for ever.
func certificate(t testing.TB, life time.Duration) *openpgp.Entity {
	t.Helper()
	c := at(begin())
	c.KeyLifetimeSecs = uint32(life / time.Second)
	e, err := openpgp.NewEntity("Vendor", "", "security@vendor.example", c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func public(t testing.TB, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func keysOf(t testing.TB, entities ...*openpgp.Entity) source.Keys {
	t.Helper()
	var b []byte
	for _, e := range entities {
		b = append(b, public(t, e)...)
	}
	keys, err := source.ParseKeys(b)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sign makes a signature packet with the given key as of when, without asking whether the key was valid then.
func sign(t testing.TB, key *packet.PrivateKey, c *packet.Config, kind packet.SignatureType) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version: key.Version, SigType: kind, PubKeyAlgo: key.PubKeyAlgo, Hash: c.DefaultHash,
		CreationTime: c.Now(), IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint,
	}
	h, err := sig.PrepareSign(c)
	if err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(document))
	if err := sig.Sign(h, key, c); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const document = "0123  consul.zip\n"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerifyHashiCorp(t *testing.T) {
	keys, err := source.ParseKeys(readFile(t, "keys/hashicorp.asc"))
	if err != nil {
		t.Fatal(err)
	}
	sums := readFile(t, "testdata/terraform-provider-null_3.1.0_SHA256SUMS")
	sig := readFile(t, "testdata/terraform-provider-null_3.1.0_SHA256SUMS.sig")
	// The subkey that made it expired in 2022, and the primary key's self-signature is younger than the document.
	id, err := keys.Verify(sums, sig)
	if err != nil || id != "34365D9472D7468F" {
		t.Fatalf("got %q, %v, want HashiCorp's key 34365D9472D7468F", id, err)
	}
	for i := range sums {
		sums[i] ^= 1
		if _, err := keys.Verify(sums, sig); !errors.Is(err, source.ErrBadSignature) {
			t.Fatalf("byte %d altered: got %v, want ErrBadSignature", i, err)
		}
		sums[i] ^= 1
	}
}

func TestVerifyByTime(t *testing.T) {
	lasting, yearly := certificate(t, 0), certificate(t, 365*day)
	for _, row := range []struct {
		name string
		key  *openpgp.Entity
		made time.Time
		want error
	}{
		{"a key without end", lasting, begin().Add(9999 * day), nil},
		{"the key's first second", yearly, begin(), nil},
		{"the key's last second, expired since", yearly, begin().Add(365 * day), nil},
		{"one second after the key's end", yearly, begin().Add(365*day + time.Second), source.ErrNotValid},
		{"one second before the key's begin", yearly, begin().Add(-time.Second), source.ErrNotValid},
	} {
		t.Run(row.name, func(t *testing.T) {
			sig := sign(t, row.key.PrivateKey, at(row.made), packet.SigTypeBinary)
			id, err := keysOf(t, row.key).Verify([]byte(document), sig)
			if !errors.Is(err, row.want) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if want := row.key.PrimaryKey.KeyIdString(); err == nil && id != want {
				t.Errorf("got key %s, want %s", id, want)
			}
		})
	}
}

func TestVerifySubkey(t *testing.T) {
	e := certificate(t, 0)
	c := at(begin())
	c.KeyLifetimeSecs = uint32(30 * day / time.Second)
	if err := e.AddSigningSubkey(c); err != nil {
		t.Fatal(err)
	}
	sub := e.Subkeys[len(e.Subkeys)-1].PrivateKey
	inside := sign(t, sub, at(begin().Add(day)), packet.SigTypeBinary)
	outside := sign(t, sub, at(begin().Add(31*day)), packet.SigTypeBinary)
	if id, err := keysOf(t, e).Verify([]byte(document), inside); err != nil || id != e.PrimaryKey.KeyIdString() {
		t.Errorf("inside the subkey's life: got %q, %v, want the primary key's id", id, err)
	}
	if _, err := keysOf(t, e).Verify([]byte(document), outside); !errors.Is(err, source.ErrNotValid) {
		t.Errorf("after the subkey's life: got %v, want ErrNotValid", err)
	}
}

func TestVerifyRevoked(t *testing.T) {
	made := begin().Add(10 * day)
	for _, row := range []struct {
		name    string
		reason  packet.ReasonForRevocation
		revoked time.Time
		want    error
	}{
		{"retired afterwards", packet.KeyRetired, made.Add(day), nil},
		{"retired before", packet.KeyRetired, made.Add(-day), source.ErrNotValid},
		{"compromised afterwards", packet.KeyCompromised, made.Add(day), source.ErrNotValid},
		{"revoked afterwards without a reason", packet.NoReason, made.Add(day), source.ErrNotValid},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := certificate(t, 0)
			sig := sign(t, e.PrivateKey, at(made), packet.SigTypeBinary)
			if err := e.RevokeKey(row.reason, "", at(row.revoked)); err != nil {
				t.Fatal(err)
			}
			if _, err := keysOf(t, e).Verify([]byte(document), sig); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	known, stranger := certificate(t, 0), certificate(t, 0)
	encryption := known.Subkeys[0]
	good := sign(t, known.PrivateKey, at(begin()), packet.SigTypeBinary)
	for _, row := range []struct {
		name string
		doc  string
		sig  []byte
		want error
	}{
		{"another document", document + "\n", good, source.ErrBadSignature},
		{"an empty signature", document, nil, source.ErrBadSignature},
		{"a cut signature", document, good[:len(good)-1], source.ErrBadSignature},
		{"a page instead of a signature", document, []byte("<html>404</html>"), source.ErrBadSignature},
		{"a key where a signature belongs", document, public(t, known), source.ErrBadSignature},
		{"a stranger's signature", document, sign(t, stranger.PrivateKey, at(begin()), packet.SigTypeBinary), source.ErrUnknownKey},
		{"a text-mode signature", document, sign(t, known.PrivateKey, at(begin()), packet.SigTypeText), source.ErrBadSignature},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := keysOf(t, known).Verify([]byte(row.doc), row.sig)
			var typed *source.SignatureError
			if !errors.Is(err, row.want) || !errors.As(err, &typed) {
				t.Errorf("got %v, want a SignatureError for %v", err, row.want)
			}
		})
	}
	if encryption.Sig.FlagSign {
		t.Fatal("the subkey for encryption may sign: the case below says nothing")
	}
	if _, err := (source.Keys{}).Verify([]byte(document), good); !errors.Is(err, source.ErrUnknownKey) {
		t.Errorf("no keys: got %v, want ErrUnknownKey", err)
	}
}

func TestVerifyRefusesSHA1(t *testing.T) {
	keys, err := source.ParseKeys(readFile(t, "testdata/weak.asc"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = keys.Verify([]byte(document), readFile(t, "testdata/weak-sha1.sig"))
	if !errors.Is(err, source.ErrBadSignature) || !strings.Contains(err.Error(), "SHA-1 is too weak") {
		t.Errorf("got %v, want a refusal of SHA-1", err)
	}
}

func TestVerifyForms(t *testing.T) {
	known, stranger := certificate(t, 0), certificate(t, 0)
	good := sign(t, known.PrivateKey, at(begin()), packet.SigTypeBinary)
	foreign := sign(t, stranger.PrivateKey, at(begin()), packet.SigTypeBinary)
	if _, err := keysOf(t, known).Verify([]byte(document), append(foreign, good...)); err != nil {
		t.Errorf("a good signature after a stranger's: %v", err)
	}
	armored := func(kind string, body []byte) []byte {
		var b bytes.Buffer
		w, err := armor.Encode(&b, kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(body)
		w.Close()
		return append(b.Bytes(), '\n')
	}
	both := append(armored(openpgp.PublicKeyType, public(t, stranger)), armored(openpgp.PublicKeyType, public(t, known))...)
	keys, err := source.ParseKeys(both)
	if err != nil || len(keys.IDs()) != 2 {
		t.Fatalf("two armored blocks: got %v, %v, want two keys", keys.IDs(), err)
	}
	if _, err := keys.Verify([]byte(document), armored(openpgp.SignatureType, good)); err != nil {
		t.Errorf("an armored signature by the second block's key: %v", err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "a page": []byte("<html>"), "a signature block": armored(openpgp.SignatureType, good), "a cut key": public(t, known)[:40],
	} {
		if keys, err := source.ParseKeys(bad); err == nil {
			t.Errorf("%s: got keys %v, want an error", name, keys.IDs())
		}
	}
}

func FuzzVerify(f *testing.F) {
	e := certificate(f, 0)
	keys := keysOf(f, e)
	good := sign(f, e.PrivateKey, at(begin()), packet.SigTypeBinary)
	f.Add([]byte(document), good)
	f.Fuzz(func(t *testing.T, doc, sig []byte) {
		if _, err := keys.Verify(doc, sig); err == nil && string(doc) != document {
			t.Errorf("a document that nobody signed passed: %q", doc)
		}
	})
}
