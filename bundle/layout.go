package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/sign"
)

// The files of a bundle that are not in its index.
const (
	IndexFile     = "bundle.json"
	SignatureFile = "bundle.json.minisig"
	SumsFile      = "SHA256SUMS"
)

// Limits of the format.
const (
	MaxIndex      = 64 << 20 // bytes of bundle.json
	MaxSignatures = 16
	maxPath       = 1024 // bytes of a path
	maxName       = 255  // bytes of one element of a path: what file systems take
)

const (
	signaturePrefix = IndexFile + "."
	signatureSuffix = ".minisig"
)

// SignatureName is the name of one more signature, made by the key with this ID, beside those in have: the first is
// SignatureFile, which stock minisign finds by itself; others carry their key's ID.
func SignatureName(keyID string, have map[string][]byte) string {
	if _, ok := have[SignatureFile]; !ok {
		return SignatureFile
	}
	return signaturePrefix + keyID + signatureSuffix
}

// Sign returns the text of a signature over the index.
func Sign(x Index, k *sign.Key) ([]byte, error) {
	data, err := x.Marshal()
	if err != nil {
		return nil, err
	}
	text, err := k.Sign(data, TrustedComment(x))
	if err != nil {
		return nil, fmt.Errorf("signing %q: %w", IndexFile, err)
	}
	return text, nil
}

// isSignature tells whether a path has the form of a signature's name. Whether the name fits the signature is
// checkSignatures' matter.
func isSignature(path string) bool {
	if path == SignatureFile {
		return true
	}
	id, ok := strings.CutPrefix(path, signaturePrefix)
	if !ok {
		return false
	}
	id, ok = strings.CutSuffix(id, signatureSuffix)
	return ok && len(id) == 16 && strings.Trim(id, "0123456789ABCDEF") == ""
}

// checkSignatures checks what needs no key: names, number, form, and that each speaks of this index. One key signs
// once, and an additional signature does not stand without SignatureFile.
func checkSignatures(sigs map[string][]byte, x Index) error {
	if len(sigs) > MaxSignatures {
		return formatErrorf("", "got %d signatures, want at most %d", len(sigs), MaxSignatures)
	}
	if _, ok := sigs[SignatureFile]; !ok && len(sigs) > 0 {
		return formatErrorf(SignatureFile, "missing, while there are other signatures")
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(sigs)) {
		if !isSignature(name) {
			return formatErrorf(name, "not the name of a signature")
		}
		s, err := sign.Parse(sigs[name])
		if err != nil {
			return &FormatError{Path: name, Err: err}
		}
		if want := TrustedComment(x); s.Trusted != want {
			return formatErrorf(name, "trusted comment: got %.200q, want %q", s.Trusted, want)
		}
		if want := signaturePrefix + s.KeyID + signatureSuffix; name != SignatureFile && name != want {
			return formatErrorf(name, "a signature by key %s is named %q", s.KeyID, want)
		}
		if seen[s.KeyID] {
			return formatErrorf(name, "second signature by key %s", s.KeyID)
		}
		seen[s.KeyID] = true
	}
	return nil
}
