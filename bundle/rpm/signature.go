package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/bits"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Why a signature does not count. Verify wraps them in a *SignatureError where a key is known.
var (
	ErrUnsigned      = errors.New("not signed")
	ErrUnknownKey    = errors.New("signed by an unknown key")
	ErrRevokedKey    = errors.New("signed by a revoked key")
	ErrKeyNotValid   = errors.New("signed outside of the key's validity")
	ErrBadSignature  = errors.New("bad signature")
	ErrPayloadUnsafe = errors.New("payload covered by no signature")
)

// SignatureError says which key's signature does not count. Err is or wraps one of the errors above.
type SignatureError struct {
	KeyID string // 16 upper-case hexadecimal digits
	Err   error
}

func (e *SignatureError) Error() string { return fmt.Sprintf("key %s: %v", e.KeyID, e.Err) }
func (e *SignatureError) Unwrap() error { return e.Err }

// Signature is a good signature.
type Signature struct {
	KeyID     string    // of the key or subkey that made it, 16 upper-case hexadecimal digits
	PrimaryID string    // of the key that the subkey belongs to, or KeyID
	Created   time.Time // UTC
	Version   int       // of the packet: 3 or 4
	Hash      string    // "SHA-256"
}

// signature is a parsed OpenPGP signature packet over a document.
type signature struct {
	keyID   uint64
	created time.Time
	version int
	packet  *packet.Signature

	oneOfMany   bool  // others may take its place
	unsupported error // set when it is of a version that we do not know; nothing else is then
}

const (
	packetSignature = 2
	binaryDocument  = 0 // the signature type that rpm uses

	hashMD5       = 1
	hashRIPEMD160 = 3
)

// parseSignature reads a blob that holds exactly one signature packet, of version 3 as CentOS 7 packages have, or 4.
func parseSignature(blob []byte) (*signature, error) {
	contents, err := unwrapPacket(blob)
	if err != nil {
		return nil, err
	}
	var s *signature
	switch contents[0] {
	case 3:
		s, err = parseV3(contents)
	case 4:
		s, err = parseV4(contents)
	case 5, 6: // of keys that cannot be in a Keyring
		return &signature{unsupported: fmt.Errorf("got OpenPGP signature version %d, want 3 or 4: %w", contents[0], ErrUnknownKey)}, nil
	default:
		err = fmt.Errorf("got OpenPGP signature version %d, want 3 or 4: %w", contents[0], ErrBadSignature)
	}
	if err != nil {
		return nil, err
	}
	if s.packet.SigType != binaryDocument {
		return nil, fmt.Errorf("got OpenPGP signature type %#x, want %#x: %w", s.packet.SigType, binaryDocument, ErrBadSignature)
	}
	return s, nil
}

// unwrapPacket is the body of the one packet in blob (RFC 4880, section 4.2).
func unwrapPacket(blob []byte) ([]byte, error) {
	r := bytes.NewReader(blob)
	p, err := packet.NewOpaqueReader(r).Next()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading OpenPGP packet: %w: %w", err, ErrBadSignature)
	case p.Tag != packetSignature || len(p.Contents) == 0:
		return nil, fmt.Errorf("got OpenPGP packet %d of %d bytes, want a signature: %w", p.Tag, len(p.Contents), ErrBadSignature)
	case r.Len() > 0:
		return nil, fmt.Errorf("got %d bytes after the OpenPGP signature: %w", r.Len(), ErrBadSignature)
	}
	return p.Contents, nil
}

func parseV4(contents []byte) (*signature, error) {
	p, err := reparse(contents)
	if err != nil {
		return nil, err
	}
	if p.IssuerKeyId == nil {
		return nil, fmt.Errorf("got OpenPGP signature without issuer: %w", ErrBadSignature)
	}
	return &signature{keyID: *p.IssuerKeyId, created: p.CreationTime.UTC(), version: 4, packet: p}, nil
}

// parseV3 reads a version 3 signature (RFC 4880, section 5.2.2), which go-crypto does not know: it is rewritten as a
// version 4 signature with the same numbers, and then told to hash what version 3 hashes.
func parseV3(contents []byte) (*signature, error) {
	const fixed = 19 // version, length, type, time (4), key (8), algorithms (2), hash tag (2)
	if len(contents) < fixed || contents[1] != 5 {
		return nil, fmt.Errorf("got malformed OpenPGP signature of version 3: %w", ErrBadSignature)
	}
	kind, created, issuer := contents[2], contents[3:7], contents[7:15]
	v4 := []byte{4, kind, contents[15], contents[16]}
	v4 = append(v4, 0, 6, 5, 2) // hashed subpackets: one, the creation time
	v4 = append(v4, created...)
	v4 = append(v4, 0, 0) // no other subpackets
	v4 = append(v4, contents[17:]...)
	p, err := reparse(v4)
	if err != nil {
		return nil, err
	}
	p.HashSuffix = contents[2:7] // type and time, without version 4's trailer
	return &signature{
		keyID:   binary.BigEndian.Uint64(issuer),
		created: time.Unix(int64(binary.BigEndian.Uint32(created)), 0).UTC(),
		version: 3,
		packet:  p,
	}, nil
}

// reparse lets go-crypto read the body of a version 4 signature.
func reparse(contents []byte) (*packet.Signature, error) {
	if err := checkNumbers(contents); err != nil {
		return nil, err
	}
	parsed, err := (&packet.OpaquePacket{Tag: packetSignature, Contents: contents}).Parse()
	if err != nil {
		return nil, fmt.Errorf("reading OpenPGP signature: %w: %w", err, ErrBadSignature)
	}
	p, ok := parsed.(*packet.Signature)
	if !ok || !p.Hash.Available() {
		return nil, fmt.Errorf("reading OpenPGP signature: unsupported algorithm: %w", ErrBadSignature)
	}
	return p, nil
}

// checkNumbers requires that the numbers which end a version 4 signature are written in the one way that RFC 4880,
// section 3.2, allows, with nothing after them, and refuses hashes that are broken.
func checkNumbers(contents []byte) error {
	bad := fmt.Errorf("got malformed OpenPGP signature: %w", ErrBadSignature)
	if len(contents) < 6 {
		return bad
	}
	if h := contents[3]; h == hashMD5 || h == hashRIPEMD160 {
		return fmt.Errorf("got OpenPGP signature with hash algorithm %d, want SHA-1 or SHA-2: %w", h, ErrBadSignature)
	}
	rest := contents[4:]
	for _, hashed := range []bool{true, false} { // subpackets
		if len(rest) < 2 {
			return bad
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < n {
			return bad
		}
		if !hashed && !onlyIssuer(rest[2:n]) {
			return fmt.Errorf("got OpenPGP signature with unsigned parts: %w", ErrBadSignature)
		}
		rest = rest[n:]
	}
	if len(rest) < 2 {
		return bad
	}
	rest = rest[2:] // hash tag
	switch packet.PublicKeyAlgorithm(contents[2]) {
	case packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448: // a fixed number of bytes (RFC 9580, section 5.2.3.3)
		return nil
	}
	for len(rest) > 0 {
		if len(rest) < 3 {
			return bad
		}
		bitLen := int(binary.BigEndian.Uint16(rest))
		n := (bitLen + 7) / 8
		if n == 0 || len(rest) < 2+n || bitLen != 8*(n-1)+bits.Len8(rest[2]) {
			return bad
		}
		rest = rest[2+n:]
	}
	return nil
}

// onlyIssuer says whether subpackets that the signature does not cover say at most who made it, in the one way that there
// is: that is checked by finding the key. Each is a length, a type and a value (RFC 4880, section 5.2.3.1).
func onlyIssuer(area []byte) bool {
	const issuer, fingerprint = "\x09\x10", "\x16\x21\x04" // length and type; of a key of version 4
	if rest, ok := bytes.CutPrefix(area, []byte(fingerprint)); ok && len(rest) >= 20 {
		area = rest[20:]
	}
	if rest, ok := bytes.CutPrefix(area, []byte(issuer)); ok && len(rest) >= 8 {
		area = rest[8:]
	}
	return len(area) == 0
}

// newHash is the hash of the signed bytes, to be given to check.
func (s *signature) newHash() hash.Hash { return s.packet.Hash.New() }

// checkMaker says whether a key of k could have made the signature. It does not say that one did.
func (s *signature) checkMaker(k *Keyring) error {
	if s.unsupported != nil {
		return s.unsupported
	}
	if candidates := k.keys[s.keyID]; len(candidates) > 0 {
		return nil
	}
	return &SignatureError{KeyID: fmt.Sprintf("%016X", s.keyID), Err: ErrUnknownKey}
}

// check says whether the signature over what was written to sum is good and counts.
func (s *signature) check(sum hash.Hash, k *Keyring) (Signature, error) {
	if err := s.checkMaker(k); err != nil {
		return Signature{}, err
	}
	keyID := fmt.Sprintf("%016X", s.keyID)
	refuse := func(err error) (Signature, error) { return Signature{}, &SignatureError{KeyID: keyID, Err: err} }
	sum.Write(s.packet.HashSuffix)
	s.packet.HashSuffix = nil
	digest := sum.Sum(nil)
	if !bytes.Equal(digest[:2], s.packet.HashTag[:]) {
		return refuse(fmt.Errorf("signed bytes differ: %w", ErrBadSignature))
	}
	reason := ErrBadSignature
	for _, key := range k.keys[s.keyID] { // nearly always one; a key may stand in two files, and a key ID can be forged
		named := s.packet.IssuerFingerprint
		if named != nil && !bytes.Equal(named, key.public.Fingerprint) {
			continue
		}
		switch err := key.public.VerifySignature(sum, s.packet); {
		case err != nil:
			continue
		case key.revoked:
			reason = ErrRevokedKey
		case !key.validAt(s.created):
			reason = fmt.Errorf("made at %s: %w", s.created.Format(time.RFC3339), ErrKeyNotValid)
		default:
			return Signature{KeyID: keyID, PrimaryID: fmt.Sprintf("%016X", key.primary.KeyId), Created: s.created,
				Version: s.version, Hash: s.packet.Hash.String()}, nil
		}
	}
	return refuse(reason)
}
