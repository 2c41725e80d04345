package assemble

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// hashiCorpRelease is a builder just before it checks evidence: that of a real release, which HashiCorp signed. Its zip
// is not here, so nothing after that step can be run.
func hashiCorpRelease(t *testing.T) *builder {
	t.Helper()
	in := &manifest.Inputs{Platform: "linux/amd64", Artifacts: manifest.Artifacts{
		Providers: []manifest.Provider{{Source: "hashicorp/null", Version: "3.1.0", Protocols: []int{5}}},
	}}
	rel := source.Releases(in)[0]
	key, err := source.BuiltinKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keySum := sha256.Sum256(key)
	lock := &manifest.Lock{Rows: []manifest.Row{
		{Path: source.BuiltinKeyPath, Kind: manifest.KindEvidence, Size: int64(len(key)), SHA256: hex.EncodeToString(keySum[:]), Mode: "0644", Verified: "pinned"},
		{Path: rel.Path, Kind: manifest.KindProvider, Name: rel.Name, Verified: "provider-pgp 34365D9472D7468F", Mode: "0644",
			SHA256:   "53e30545ff8926a8e30ad30648991ca8b93b6fa496272cd23b26763c8ee84515",
			Evidence: []string{source.BuiltinKeyPath, rel.SumsPath(), rel.SignaturePath()}},
	}}
	b := newBuilder(FetchOptions{Inputs: in, Lock: lock})
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	for path, name := range map[string]string{rel.SumsPath(): "SHA256SUMS", rel.SignaturePath(): "SHA256SUMS.sig"} {
		f, err := os.Open("../source/testdata/terraform-provider-null_3.1.0_" + name)
		if err != nil {
			t.Fatal(err)
		}
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b.blobs[path] = &fetch.Blob{File: f, Size: fi.Size()}
		b.own = append(b.own, f)
	}
	return b
}

func TestCheckEvidenceOfHashiCorp(t *testing.T) {
	b := hashiCorpRelease(t)
	if err := b.checkEvidence(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.o.Lock.Rows = b.o.Lock.Rows[:1]
	if err := b.addRows(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := source.BuiltinKey(nil)
	if got := b.contents[source.BuiltinKeyPath].Data; err != nil || !bytes.Equal(got, key) {
		t.Errorf("the built-in key is not in the bundle as it is: %v", err)
	}
}

func TestCheckEvidenceWithAnotherBuiltinKey(t *testing.T) {
	b := hashiCorpRelease(t)
	b.o.Lock.Rows[0].SHA256 = strings.Repeat("0", 64)
	var changed *source.KeyChangedError
	if err := b.checkEvidence(t.Context()); !errors.As(err, &changed) {
		t.Errorf("got %v, want a KeyChangedError", err)
	}
}
