package rpm_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/offbake/offbake/bundle/rpm"
)

// FuzzRepomd reads any repomd.xml; no file that it names can be what it says.
func FuzzRepomd(f *testing.F) {
	f.Add(tinyRepo("repodata/p.xml", []byte(tinyPrimary), tinyPrimary)["repodata/repomd.xml"])
	for _, name := range []string{"testdata/cs9-baseos/repodata/repomd.xml", "testdata/docker-el7/repodata/repomd.xml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, repomd []byte) {
		files := memory{"repodata/repomd.xml": repomd}
		if repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, files.open); err == nil {
			t.Errorf("got %d packages of a repository without primary", len(repo.Packages))
		}
	})
}

// FuzzPrimary reads any primary.xml, and names every package in it.
func FuzzPrimary(f *testing.F) {
	f.Add(tinyPrimary)
	f.Fuzz(func(t *testing.T, primary string) {
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, tinyRepo("repodata/p.xml", []byte(primary), primary).open)
		if err != nil {
			return
		}
		for _, p := range repo.Packages {
			if p.Name == "" || p.Arch == "" || p.Href == "" || p.Checksum.Hex == "" || p.Size < 0 {
				t.Errorf("got incomplete package %+v", p)
			}
			for _, d := range p.Requires {
				if d.Name == "" || (d.EVR == nil) != (d.Flags&^rpm.Pre == 0) {
					t.Errorf("got requirement %+v of %s", d, p.NEVRA())
				}
			}
		}
	})
}

// FuzzHeader reads any RPM: what it accepts can be written as metadata and read again, and none that it makes up is signed.
func FuzzHeader(f *testing.F) {
	paths, err := filepath.Glob("testdata/headers/[adl]*.hdr")
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	payload, digest := payloadOf("x")
	f.Add(assemble([]item{bin(rsaTag, []byte{0x89, 0, 1, 3})}, minimal(digest...), payload))
	keys := keyring(f, armored(f, newKey(f, packet.PubKeyAlgoEdDSA, 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := verify(data, keys); err == nil {
			t.Errorf("got good signature %+v of a key that signed nothing", s)
		}
		h, err := rpm.ReadHeader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if list := rpm.FileConflicts([]*rpm.Header{h, h}); len(rpm.FileConflicts([]*rpm.Header{h})) != len(list) {
			t.Errorf("got conflicts of a package with itself: %v", list)
		}
		out, err := rpm.WriteRepo([]rpm.RepoFile{{Header: h, Href: "Packages/x.rpm", SHA256: strings.Repeat("0", 64)}})
		if err != nil {
			t.Fatal(err)
		}
		repo, err := rpm.LoadRepo(t.Context(), rpm.RepoOptions{}, memory(out).open)
		if err != nil || len(repo.Packages) != 1 {
			t.Errorf("got %v, %v of what was written for %q", repo, err, h.NEVRA())
		}
	})
}

// FuzzSignature reads any OpenPGP packet in each place that a header has for one: none that it makes up is good, alone or in
// place of a good one.
func FuzzSignature(f *testing.F) {
	payload, digest := payloadOf("x")
	header := minimal(digest...)
	rsaKey, edKey := newKey(f, packet.PubKeyAlgoRSA, 0), newKey(f, packet.PubKeyAlgoEdDSA, 0)
	good := map[string]bool{}
	for _, blob := range [][]byte{signV4(f, rsaKey, header, time.Time{}), signV4(f, edKey, header, time.Time{}), signV3(f, rsaKey, header, crypto.SHA256)} {
		good[string(blob)] = true
		f.Add(blob)
	}
	f.Add([]byte{0xc2, 3, 6, 0, 27})
	keys := keyring(f, armored(f, rsaKey, edKey))
	f.Fuzz(func(t *testing.T, blob []byte) {
		for _, tag := range []int{rsaTag, dsaTag, pgpTag, gpgTag, openPGPTag} {
			it := bin(tag, blob)
			if tag == openPGPTag {
				it = texts(tag, base64.StdEncoding.EncodeToString(blob))
			}
			if s, err := verify(assemble([]item{it}, header, payload), keys); err == nil && !good[string(blob)] {
				t.Errorf("got good signature %+v of %x in tag %d", s, blob, tag)
			}
		}
	})
}
