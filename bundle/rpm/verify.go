package rpm

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Verify checks the RPM file of size bytes in r: that a key of k signed its header, and that every byte of the payload
// is covered, by a payload digest (SHA-2 or SHA-3) in the signed header or by a signature over both. All digests that the
// file carries must hold: of the header SHA-1, SHA-256 and SHA3-256, of the payload SHA-2 and SHA3-256, of both MD5 and the
// size. A signature is good when its key was valid at the time that it states, whatever the clock says now. All signatures
// must be good; only of those that rpm 6 gathers in one list some may be by keys that k lacks, or of a version after 4.
//
// Nothing but a digest of the whole file covers these: in the lead (96 bytes) all but magic, major version and type of
// signature; in the signature header the size of the uncompressed payload (tags 271 and 1007), the packager's keys (266) and
// signatures of single files (274 to 277). Nothing of them is used but that size, which metadata lists. Everything else that
// is not signed has to be as rpm writes it, room and padding zeros.
//
// The error is or wraps ErrUnsigned, ErrUnknownKey, ErrRevokedKey, ErrKeyNotValid, ErrBadSignature, ErrPayloadUnsafe,
// ErrMalformed, io.ErrUnexpectedEOF or a *MismatchError when the package is not to be trusted; anything else when it could not
// be read.
func Verify(r io.ReaderAt, size int64, k *Keyring) (Signature, error) {
	s, err := verify(io.NewSectionReader(r, 0, size), k)
	if err != nil {
		return Signature{}, fmt.Errorf("verifying RPM signature: %w", err)
	}
	return s, nil
}

func verify(r io.Reader, k *Keyring) (Signature, error) {
	raw, err := readRaw(r)
	if err != nil {
		return Signature{}, err
	}
	v, err := newVerifier(raw)
	if err != nil {
		return Signature{}, err
	}
	if err := v.checkHeader(k); err != nil {
		return Signature{}, err
	}
	if err := v.checkPayload(r, k); err != nil {
		return Signature{}, err
	}
	s, err := v.result()
	if err == nil && !v.covered {
		return Signature{}, ErrPayloadUnsafe
	}
	return s, err
}

// verifier gathers what vouches for a package.
type verifier struct {
	raw     *rawHeader
	main    *decoder
	sig     *decoder
	header  []*signature // over the main header
	whole   []*signature // over main header and payload
	good    *Signature
	skipped error // a signature that does not count for lack of its key
	payload []*payloadDigest
	covered bool // the payload is
}

func newVerifier(raw *rawHeader) (*verifier, error) {
	v := &verifier{raw: raw, main: &decoder{index: raw.main}, sig: &decoder{index: raw.sig}}
	if err := checkSignatureHeader(raw.sig); err != nil {
		return nil, err
	}
	var err error
	if v.header, err = headerSignatures(v.sig); err != nil {
		return nil, err
	}
	if v.whole, err = wholeSignatures(v.sig); err != nil {
		return nil, err
	}
	v.payload = payloadDigests(v.main)
	switch {
	case v.sig.err != nil:
		return nil, v.sig.err
	case v.main.err != nil:
		return nil, v.main.err
	case len(v.header)+len(v.whole) == 0:
		return nil, ErrUnsigned
	}
	return v, nil
}

// payloadDigest is a digest of the payload as the main header states it.
type payloadDigest struct {
	hash.Hash
	want, alt string // hexadecimal; alt is that of the uncompressed payload, "" when there is none
}

// payloadDigests are those of hashes that we trust. The one that rpm has had since 4.14 says which hash it is.
func payloadDigests(main *decoder) []*payloadDigest {
	var list []*payloadDigest
	for _, d := range []struct {
		value, alt tag
		new        func() hash.Hash
	}{
		{tagPayloadDigest, tagPayloadDigestAlt, func() hash.Hash { return hashByNumber(main.numbers(tagPayloadDigestAlgo)) }},
		{tagPayloadSHA512, tagPayloadSHA512Alt, sha512.New},
		{tagPayloadSHA3, tagPayloadSHA3Alt, func() hash.Hash { return sha3.New256() }},
	} {
		want := main.text(d.value)
		if want == "" {
			continue
		}
		if sum := d.new(); sum != nil {
			list = append(list, &payloadDigest{sum, strings.ToLower(want), strings.ToLower(main.text(d.alt))})
		}
	}
	return list
}

// check wants the payload that was hashed to be what the header says, or the same uncompressed, which rpm takes too.
func (d *payloadDigest) check() error {
	if got := hex.EncodeToString(d.Sum(nil)); got != d.want && got != d.alt {
		return &MismatchError{Name: "payload", Field: "digest", Got: got, Want: d.want}
	}
	return nil
}

// checkHeader checks what vouches for the main header alone.
func (v *verifier) checkHeader(k *Keyring) error {
	blob := v.raw.main.blob
	for _, d := range []struct {
		tag tag
		sum hash.Hash
	}{{sigSHA1Header, sha1.New()}, {sigSHA256Header, sha256.New()}, {sigSHA3Header, sha3.New256()}} {
		want := v.sig.text(d.tag)
		if want == "" {
			continue
		}
		d.sum.Write(blob)
		if got := hex.EncodeToString(d.sum.Sum(nil)); got != want { // in lower case, as rpm writes it
			return &MismatchError{Name: "header", Field: "digest", Got: got, Want: want}
		}
	}
	for _, s := range v.header {
		if s.unsupported != nil {
			if !s.oneOfMany {
				return s.unsupported
			}
			v.skipped = s.unsupported
			continue
		}
		sum := s.newHash()
		sum.Write(blob)
		if _, err := v.count(s, sum, k); err != nil {
			return err
		}
	}
	for _, s := range v.whole {
		if err := s.checkMaker(k); err != nil {
			return err
		}
	}
	return v.sig.err
}

// checkPayload reads the payload to its end and checks what vouches for it.
func (v *verifier) checkPayload(r io.Reader, k *Keyring) error {
	legacyMD5 := md5.New()
	overBoth := make([]hash.Hash, len(v.whole))
	sums := []io.Writer{legacyMD5}
	for i, s := range v.whole {
		overBoth[i] = s.newHash()
		sums = append(sums, overBoth[i])
	}
	for _, sum := range sums {
		sum.Write(v.raw.main.blob)
	}
	for _, d := range v.payload {
		sums = append(sums, d)
	}
	n, err := io.Copy(io.MultiWriter(sums...), r)
	if err != nil {
		return fmt.Errorf("reading payload: %w", err)
	}
	if err := v.checkPayloadDigests(n, legacyMD5); err != nil {
		return err
	}
	v.covered = len(v.payload) > 0 && v.good != nil // so far good is a signature over the header
	for i, s := range v.whole {
		good, err := v.count(s, overBoth[i], k)
		if err != nil {
			return err
		}
		v.covered = v.covered || good
	}
	return v.sig.err
}

func (v *verifier) checkPayloadDigests(size int64, legacyMD5 hash.Hash) error {
	both := int64(len(v.raw.main.blob)) + size
	if want := max(v.sig.number(sigSize), v.sig.number(sigLongSize)); want != 0 && both != want {
		return &MismatchError{Name: "header and payload", Field: "size", Got: fmt.Sprint(both), Want: fmt.Sprint(want)}
	}
	if want := v.sig.binary(sigMD5); want != nil {
		if got := legacyMD5.Sum(nil); !bytes.Equal(got, want) {
			return &MismatchError{Name: "header and payload", Field: "md5", Got: hex.EncodeToString(got), Want: hex.EncodeToString(want)}
		}
	}
	for _, d := range v.payload {
		if err := d.check(); err != nil {
			return err
		}
	}
	return nil
}

// count takes a signature into account and says whether it is good. One of many whose key is unknown is passed over; any
// other that is not good is an error.
func (v *verifier) count(s *signature, sum hash.Hash, k *Keyring) (bool, error) {
	good, err := s.check(sum, k)
	switch {
	case s.oneOfMany && errors.Is(err, ErrUnknownKey):
		v.skipped = err
		return false, nil
	case err != nil:
		return false, err
	}
	if v.good == nil {
		v.good = &good
	}
	return true, nil
}

func (v *verifier) result() (Signature, error) {
	switch {
	case v.good == nil && v.skipped != nil:
		return Signature{}, v.skipped
	case v.good == nil:
		return Signature{}, ErrUnsigned
	}
	return *v.good, nil
}

// hashByNumber is the hash for rpm's PAYLOADDIGESTALGO, which has OpenPGP's numbers, nil for one that we do not trust or
// know. Without a number it is SHA-256, as in rpm.
func hashByNumber(numbers []int64) hash.Hash {
	kind := "sha256"
	if len(numbers) > 0 {
		kind = map[int64]string{8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}[numbers[0]]
	}
	sum, err := Digest{Type: kind}.NewHash()
	if err != nil {
		return nil
	}
	return sum
}
