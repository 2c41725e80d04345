package source

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var (
	// ErrUnknownKey is the cause where no trusted key made the signature.
	ErrUnknownKey = errors.New("made by a key that is not trusted")
	// ErrBadSignature is the cause where the signature does not fit the document, or is none.
	ErrBadSignature = errors.New("not a good signature of this document")
	// ErrNotValid is the cause where the key had no force when the signature was made: before its creation, after
	// its expiry or after its revocation.
	ErrNotValid = errors.New("made outside its key's validity")
)

// SignatureError says that a vendor's signature does not hold, so that nothing it vouches for may be used.
type SignatureError struct {
	KeyID string // key that the signature names, 16 upper-case hex digits; "" when it names none
	Err   error  // wraps ErrUnknownKey, ErrBadSignature or ErrNotValid
}

func (e *SignatureError) Error() string {
	if e.KeyID == "" {
		return "OpenPGP signature: " + e.Err.Error()
	}
	return fmt.Sprintf("OpenPGP signature by %s: %v", e.KeyID, e.Err)
}

func (e *SignatureError) Unwrap() error { return e.Err }

// Keys is a set of OpenPGP certificates that may sign one vendor's documents. The zero value trusts nobody.
type Keys struct{ list openpgp.EntityList }

// ParseKeys reads certificates, armored (one block or several) or binary. Those of an unknown kind are skipped; a text
// without a usable one is an error.
func ParseKeys(data []byte) (Keys, error) {
	if !bytes.Contains(data, []byte("-----BEGIN PGP")) {
		list, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err == nil && len(list) == 0 {
			err = errors.New("no OpenPGP key in it")
		}
		return Keys{list}, err
	}
	var keys Keys
	for r := bufio.NewReader(bytes.NewReader(data)); ; {
		block, err := armor.Decode(r)
		if err == io.EOF && len(keys.list) > 0 {
			return keys, nil
		}
		if err != nil {
			return Keys{}, fmt.Errorf("reading OpenPGP armor: %w", err)
		}
		if block.Type != openpgp.PublicKeyType {
			return Keys{}, fmt.Errorf("got an OpenPGP block %q, want %q", block.Type, openpgp.PublicKeyType)
		}
		list, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return Keys{}, err
		}
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return Keys{}, fmt.Errorf("reading OpenPGP armor: %w", err)
		}
		keys.list = append(keys.list, list...)
	}
}

// IDs lists the primary keys, 16 upper-case hex digits each, in the order of the text.
func (k Keys) IDs() []string {
	ids := make([]string, 0, len(k.list))
	for _, e := range k.list {
		ids = append(ids, e.PrimaryKey.KeyIdString())
	}
	return ids
}

// Verify checks a detached signature, armored or binary, of document and returns the primary key id of its maker. The
// signature is judged as of the time it was made, which it states itself: it stays good when its key expires later,
// and no clock is read, so that the answer is the same on any machine at any time. Errors are *SignatureError.
func (k Keys) Verify(document, signature []byte) (keyID string, err error) {
	packets, err := signaturePackets(signature)
	if err != nil {
		return "", &SignatureError{Err: fmt.Errorf("%w: %w", ErrBadSignature, err)}
	}
	var refusal error
	for _, sig := range packets {
		id, err := k.verifyOne(document, sig)
		if err == nil {
			return id, nil
		}
		// With several signatures one good one is enough; a refusal by a key that we know says more than one that
		// we do not.
		if refusal == nil || errors.Is(refusal, ErrUnknownKey) {
			refusal = err
		}
	}
	return "", refusal
}

func signaturePackets(signature []byte) ([]*packet.Signature, error) {
	var body io.Reader = bytes.NewReader(signature)
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN PGP")) {
		block, err := armor.Decode(body)
		if err != nil {
			return nil, err
		}
		if block.Type != openpgp.SignatureType {
			return nil, fmt.Errorf("got an OpenPGP block %q, want %q", block.Type, openpgp.SignatureType)
		}
		body = block.Body
	}
	var found []*packet.Signature
	for packets := packet.NewReader(body); ; {
		p, err := packets.Next()
		if err == io.EOF && len(found) > 0 {
			return found, nil
		}
		if err == io.EOF {
			return nil, errors.New("no OpenPGP signature in it")
		}
		if err != nil {
			return nil, err
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, errors.New("a packet in it is no signature")
		}
		found = append(found, sig)
	}
}

func (k Keys) verifyOne(document []byte, sig *packet.Signature) (string, error) {
	if sig.IssuerKeyId == nil {
		return "", &SignatureError{Err: fmt.Errorf("%w: it names no key", ErrBadSignature)}
	}
	named := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	refuse := func(err error) (string, error) { return "", &SignatureError{KeyID: named, Err: err} }
	keys := k.list.KeysByIdUsage(*sig.IssuerKeyId, packet.KeyFlagSign)
	if len(keys) == 0 {
		return refuse(fmt.Errorf("%w (trusted: %v)", ErrUnknownKey, k.IDs()))
	}
	if sig.SigType != packet.SigTypeBinary {
		return refuse(fmt.Errorf("%w: got signature type 0x%02x, want 0x00", ErrBadSignature, int(sig.SigType)))
	}
	if !strong(sig.Hash) {
		return refuse(fmt.Errorf("%w: digest %v is too weak", ErrBadSignature, sig.Hash))
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return refuse(fmt.Errorf("%w: unknown critical notation %q", ErrBadSignature, n.Name))
		}
	}
	var cause error
	for _, key := range keys {
		h, err := sig.PrepareVerify()
		if err != nil {
			return refuse(fmt.Errorf("%w: %w", ErrBadSignature, err))
		}
		h.Write(document)
		if err := key.PublicKey.VerifySignature(h, sig); err != nil {
			cause = fmt.Errorf("%w: %w", ErrBadSignature, err)
			continue
		}
		if cause = validAt(key, sig.CreationTime); cause == nil {
			return key.Entity.PrimaryKey.KeyIdString(), nil
		}
	}
	return refuse(cause)
}

// strong leaves out digests for which collisions can be made (RFC 9580, 9.5).
func strong(h crypto.Hash) bool {
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
		return true
	}
	return false
}

// validAt tells whether key had force at t. openpgp's own check cannot be asked for a time in the past: it takes a
// self-signature that was renewed since (as vendors do when they extend a key) for one that has not begun.
func validAt(key openpgp.Key, t time.Time) error {
	self, identity := key.Entity.PrimarySelfSignature()
	if self == nil {
		return fmt.Errorf("%w: the key has no self-signature", ErrNotValid)
	}
	revocations := key.Entity.Revocations
	if identity != nil {
		revocations = append(revocations[:len(revocations):len(revocations)], identity.Revocations...)
	}
	if revokedAt(revocations, t) {
		return fmt.Errorf("%w: the key was revoked", ErrNotValid)
	}
	if err := within(key.Entity.PrimaryKey, self, t); err != nil {
		return err
	}
	if key.PublicKey == key.Entity.PrimaryKey {
		return nil
	}
	if revokedAt(key.Revocations, t) {
		return fmt.Errorf("%w: the subkey was revoked", ErrNotValid)
	}
	return within(key.PublicKey, key.SelfSignature, t)
}

// revokedAt follows RFC 9580, 5.2.3.31: a key that was replaced or retired keeps the force of its earlier
// signatures; any other reason, or none, takes it from all of them.
func revokedAt(revocations []*packet.Signature, t time.Time) bool {
	for _, r := range revocations {
		soft := r.RevocationReason != nil &&
			(*r.RevocationReason == packet.KeySuperseded || *r.RevocationReason == packet.KeyRetired)
		if !soft || !r.CreationTime.After(t) {
			return true
		}
	}
	return false
}

// within compares t with the life of pub as the signature that binds it states it.
func within(pub *packet.PublicKey, binding *packet.Signature, t time.Time) error {
	const day = time.DateOnly
	if t.Before(pub.CreationTime) {
		return fmt.Errorf("%w: made on %s, the key begins on %s", ErrNotValid, t.UTC().Format(day), pub.CreationTime.UTC().Format(day))
	}
	if end, ends := lifetime(pub.CreationTime, binding.KeyLifetimeSecs); ends && t.After(end) {
		return fmt.Errorf("%w: made on %s, the key expired on %s", ErrNotValid, t.UTC().Format(day), end.UTC().Format(day))
	}
	if end, ends := lifetime(binding.CreationTime, binding.SigLifetimeSecs); ends && t.After(end) {
		return fmt.Errorf("%w: made on %s, the key's binding expired on %s", ErrNotValid, t.UTC().Format(day), end.UTC().Format(day))
	}
	return nil
}

func lifetime(from time.Time, seconds *uint32) (time.Time, bool) {
	if seconds == nil || *seconds == 0 {
		return time.Time{}, false
	}
	return from.Add(time.Duration(*seconds) * time.Second), true
}
