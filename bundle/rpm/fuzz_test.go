package rpm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
