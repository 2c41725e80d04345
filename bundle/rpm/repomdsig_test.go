package rpm_test

import (
	"bytes"
	"crypto"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/offbake/offbake/bundle/rpm"
)

const repomdAsc = "repodata/repomd.xml.asc"

// asc is signature packets in one armored block.
func asc(tb testing.TB, packets ...[]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, map[string]string{"Version": "x"})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(bytes.Join(packets, nil)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func TestRepomdSignature(t *testing.T) {
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	repomd := files["repodata/repomd.xml"]
	good, other, stranger := newKey(t, packet.PubKeyAlgoRSA, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	short, revoked := newKey(t, packet.PubKeyAlgoEdDSA, 48*time.Hour), newKey(t, packet.PubKeyAlgoEdDSA, 0)
	byRevoked := signV4(t, revoked, repomd, time.Time{})
	if err := revoked.RevokeKey(packet.KeyCompromised, "", &packet.Config{Time: at(keyTime)}); err != nil {
		t.Fatal(err)
	}
	gpg := newGPG(t)
	dsa, ed := gpg.newKey("dsa1024", "sign"), gpg.newKey("ed25519", "sign")
	keys := keyring(t, slices.Concat(armored(t, good, other, short, revoked), gpg.public(dsa), gpg.public(ed)))
	by := func(e *openpgp.Entity) []byte { return signV4(t, e, repomd, time.Time{}) }
	bad := signV4(t, other, append(bytes.Clone(repomd), '\n'), time.Time{})
	for _, tt := range []struct {
		what string
		asc  []byte
		want error
	}{
		{"RSA", asc(t, by(good)), nil},
		{"EdDSA", asc(t, by(other)), nil},
		{"DSA of gpg", asc(t, gpg.sign(dsa, repomd)), nil},
		{"as gpg writes it", gpg.armored(ed, repomd), nil},
		{"version 3", asc(t, signV3(t, good, repomd, crypto.SHA256)), nil},
		{"a key that expired since", asc(t, by(short)), nil},
		{"two keys", asc(t, by(good), by(other)), nil},
		{"two blocks", append(asc(t, by(good)), asc(t, by(other))...), nil},
		{"another one's signature, too", asc(t, by(stranger), by(good)), nil},
		{"one of version 6, too", asc(t, []byte{0xc2, 2, 6, 0}, by(good)), nil},
		{"version 6", asc(t, []byte{0xc2, 2, 6, 0}), rpm.ErrUnknownKey},
		{"an unknown key", asc(t, by(stranger)), rpm.ErrUnknownKey},
		{"a revoked key", asc(t, byRevoked), rpm.ErrRevokedKey},
		{"a revoked key and a good one", asc(t, by(good), byRevoked), rpm.ErrRevokedKey},
		{"after the key's end", asc(t, signAt(t, short, repomd, keyTime.AddDate(0, 0, 3))), rpm.ErrKeyNotValid},
		{"another document", asc(t, bad), rpm.ErrBadSignature},
		{"another document beside a good signature", asc(t, by(good), bad), rpm.ErrBadSignature},
		{"MD5", asc(t, signV3(t, good, repomd, crypto.MD5)), rpm.ErrBadSignature},
		{"no signature", asc(t), rpm.ErrUnsigned},
		{"nothing", nil, rpm.ErrUnsigned},
		{"a page of a portal", []byte("<html>"), rpm.ErrUnsigned},
		{"a key", armored(t, good), rpm.ErrBadSignature},
		{"no packet", asc(t, []byte("x")), rpm.ErrBadSignature},
		{"not armored", by(good), rpm.ErrUnsigned},
		{"a cut block", asc(t, by(good))[:150], rpm.ErrBadSignature},
		{"too many", asc(t, bytes.Repeat(by(good), 17)), rpm.ErrBadSignature},
	} {
		files[repomdAsc] = tt.asc
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{ID: "base", Keys: keys}, files.open)
		if !errors.Is(err, tt.want) || (repo == nil) != (tt.want != nil) {
			t.Errorf("%s: got %v, %v, want %v", tt.what, repo, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "repodata/repomd.xml")) {
			t.Errorf("%s: got error %q", tt.what, err)
		}
	}
}

// TestRepomdSignatureFlipped flips each byte of a signed repomd.xml.
func TestRepomdSignatureFlipped(t *testing.T) {
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	repomd, key := files["repodata/repomd.xml"], newKey(t, packet.PubKeyAlgoEdDSA, 0)
	keys := keyring(t, armored(t, key))
	files[repomdAsc] = asc(t, signV4(t, key, repomd, time.Time{}))
	for i := range repomd {
		files["repodata/repomd.xml"] = append(append(bytes.Clone(repomd[:i]), repomd[i]^1), repomd[i+1:]...)
		if repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{Keys: keys}, files.open); !errors.Is(err, rpm.ErrBadSignature) || repo != nil {
			t.Fatalf("byte %d flipped: got %v, %v, want a bad signature", i, repo, err)
		}
	}
}

// TestRepomdSignatureAbsent wants a signature where keys are given and reads none where they are not.
func TestRepomdSignatureAbsent(t *testing.T) {
	files := tinyRepo("repodata/primary.xml", []byte(tinyPrimary), tinyPrimary)
	keys := keyring(t, armored(t, newKey(t, packet.PubKeyAlgoEdDSA, 0)))
	_, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{Keys: keys}, files.open)
	if !errors.Is(err, rpm.ErrUnsigned) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want it unsigned", err)
	}
	files[repomdAsc] = []byte(strings.Repeat("x", 300<<10))
	if _, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{Keys: keys}, files.open); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v of a huge signature", err)
	}
	if _, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open); err != nil {
		t.Errorf("got %v without keys", err)
	}
}

// armored makes a detached signature in the form of repomd.xml.asc.
func (g *gpgHome) armored(fingerprint string, data []byte) []byte {
	g.tb.Helper()
	name := filepath.Join(g.tb.TempDir(), "data")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		g.tb.Fatal(err)
	}
	return g.run("gpg", "--batch", "--quiet", "--local-user", fingerprint, "--armor", "--output", "-", "--detach-sign", name)
}
