// Package sign makes and checks the signatures of bundles: minisign's prehashed form, so that stock minisign reads
// what is written here, and nothing else.
//
// It accepts less than minisign does. A signature has one text: prehashed ("ED"), untrusted comment "offbake",
// trusted comment as the caller says, and bytes that come out again when what was read is written. A text that
// stock minisign takes and this package does not is refused as ErrMalformed.
//
// Keys are minisign's own files, encrypted or not. This package never prompts and never prints.
package sign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"aead.dev/minisign"
)

// UntrustedComment is the one untrusted comment that a signature may carry. It is not signed; a fixed text leaves
// nothing that could be altered unseen.
const UntrustedComment = "offbake"

// MaxSignature is the largest text, in bytes, that is taken for a signature.
const MaxSignature = 4 << 10

// What is wrong with a signature. Each means that the signed bytes must not be used.
var (
	// ErrUntrusted says that no trusted key has the ID that made the signature.
	ErrUntrusted = errors.New("no trusted key made this signature")
	// ErrMalformed says that a text is not a signature in the one accepted form, or that its comment is not the
	// one it must have.
	ErrMalformed = errors.New("not a signature in the accepted form")
	// ErrForged says that a trusted key is named but did not sign these bytes.
	ErrForged = errors.New("signature does not match")
)

// Signature is what the text of a signature says. Nothing in it is authentic before Verify returned nil.
type Signature struct {
	KeyID   string // as stock minisign prints it: 16 upper-case hex digits
	Trusted string // the trusted comment
}

// Parse reads the text of a signature. Any text but the canonical one of an accepted signature is ErrMalformed.
func Parse(text []byte) (Signature, error) {
	s, err := parse(text)
	if err != nil {
		return Signature{}, err
	}
	return Signature{KeyID: formatID(s.KeyID), Trusted: s.TrustedComment}, nil
}

func parse(text []byte) (minisign.Signature, error) {
	var s minisign.Signature
	if len(text) > MaxSignature {
		return s, fmt.Errorf("%w: got %d bytes, want at most %d", ErrMalformed, len(text), MaxSignature)
	}
	// The library's own words would quote bytes from outside.
	if err := s.UnmarshalText(text); err != nil {
		return s, fmt.Errorf("%w: not minisign text", ErrMalformed)
	}
	// UnmarshalText passes over carriage returns, extra line ends and stray bits of base64.
	if again, err := s.MarshalText(); err != nil || !bytes.Equal(again, text) {
		return s, fmt.Errorf("%w: text is not canonical", ErrMalformed)
	}
	if s.Algorithm != minisign.HashEdDSA {
		return s, fmt.Errorf("%w: legacy, want prehashed", ErrMalformed)
	}
	if s.UntrustedComment != UntrustedComment {
		return s, fmt.Errorf("%w: untrusted comment: got %.60q, want %q", ErrMalformed, s.UntrustedComment, UntrustedComment)
	}
	if err := checkComment(s.TrustedComment); err != nil {
		return s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// Verify checks that sig is a signature over msg with exactly the trusted comment given, made by one of keys, and
// returns the ID of that key. Its errors wrap ErrMalformed, ErrUntrusted or ErrForged.
func Verify(msg, sig []byte, trusted string, keys []Public) (string, error) {
	s, err := parse(sig)
	if err != nil {
		return "", err
	}
	if s.TrustedComment != trusted {
		return "", fmt.Errorf("%w: trusted comment: got %.200q, want %q", ErrMalformed, s.TrustedComment, trusted)
	}
	id := formatID(s.KeyID)
	known := false
	for _, k := range keys {
		// Key IDs are only labels: two keys may have one.
		if k.ID() != id {
			continue
		}
		known = true
		if verify(msg, sig, k.key) {
			return id, nil
		}
	}
	if known {
		return "", fmt.Errorf("%w: key %s did not sign these bytes", ErrForged, id)
	}
	return "", fmt.Errorf("%w: it names key %s", ErrUntrusted, id)
}

// Sign signs msg, prehashed, with the trusted comment given: one line without control characters.
// The same key, message and comment give the same text.
func (k *Key) Sign(msg []byte, trusted string) ([]byte, error) {
	if err := checkComment(trusted); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	sig := digest(msg).SignWithComments(k.key, trusted, UntrustedComment)
	// A key file with a damaged half signs without complaint, and a signature made with it can give the key away.
	if !verify(msg, sig, k.key.Public().(minisign.PublicKey)) {
		return nil, fmt.Errorf("signing with key %s: the key is damaged", k.ID())
	}
	return sig, nil
}

func checkComment(s string) error {
	const longest = 1 << 10
	if len(s) > longest {
		return fmt.Errorf("trusted comment: got %d bytes, want at most %d", len(s), longest)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("trusted comment %.60q: got a control character or invalid UTF-8", s)
	}
	return nil
}

func verify(msg, sig []byte, key minisign.PublicKey) bool { return digest(msg).Verify(key, sig) }

// digest returns minisign's reader after it has seen all of msg: the prehashed form comes only from a reader.
func digest(msg []byte) *minisign.Reader {
	r := minisign.NewReader(bytes.NewReader(msg))
	_, _ = io.Copy(io.Discard, r) // a bytes.Reader has no errors
	return r
}

// formatID writes a key ID as stock minisign does, leading zeros included.
func formatID(id uint64) string { return fmt.Sprintf("%016X", id) }
