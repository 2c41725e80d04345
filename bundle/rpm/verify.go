package rpm

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Verify checks the RPM file of size bytes in r: that a key of k signed its header, and that every byte of the payload
// is covered, by a payload digest in the signed header or by a signature over both. All digests that the file carries
// must hold and no signature may be bad. Signatures by keys that k lacks do not count, and do no harm beside a good one.
// The lead, the reserved space and the order of signatures are covered by nothing but a digest of the whole file.
//
// The error is or wraps ErrUnsigned, ErrUnknownKey, ErrRevokedKey, ErrKeyNotValid, ErrBadSignature, ErrPayloadUnsafe,
// ErrMalformed, io.ErrUnexpectedEOF or a *MismatchError when the package is not to be trusted; anything else when it could
// not be read.
func Verify(r io.ReaderAt, size int64, k *Keyring) (Signature, error) {
	s, err := verify(io.NewSectionReader(r, 0, size), k, true)
	if err != nil {
		return Signature{}, fmt.Errorf("verifying RPM signature: %w", err)
	}
	return s, nil
}

// VerifyHeader is Verify for the headers alone: what it finds good is everything but the payload, which may be absent.
func VerifyHeader(r io.ReaderAt, size int64, k *Keyring) (Signature, error) {
	s, err := verify(io.NewSectionReader(r, 0, size), k, false)
	if err != nil {
		return Signature{}, fmt.Errorf("verifying RPM header signature: %w", err)
	}
	return s, nil
}

func verify(r io.Reader, k *Keyring, withPayload bool) (Signature, error) {
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
	if withPayload {
		if err := v.checkPayload(r, k); err != nil {
			return Signature{}, err
		}
	}
	return v.result(withPayload)
}

// verifier gathers what vouches for a package.
type verifier struct {
	raw      *rawHeader
	main     *decoder
	sig      *decoder
	header   []*signature // over the main header
	whole    []*signature // over main header and payload
	good     *Signature
	skipped  error // a signature that does not count for lack of its key
	payload  hash.Hash
	wantLoad string // digest of the payload as the header states it, hexadecimal
	covered  bool   // the payload is
}

func newVerifier(raw *rawHeader) (*verifier, error) {
	v := &verifier{raw: raw, main: &decoder{index: raw.main}, sig: &decoder{index: raw.sig}}
	blobs := [][]byte{v.sig.binary(sigRSAHeader), v.sig.binary(sigDSAHeader)}
	for _, text := range v.sig.texts(sigOpenPGP) {
		blob, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("reading OpenPGP signature: %w: %w", err, ErrBadSignature)
		}
		blobs = append(blobs, blob)
	}
	var err error
	if v.header, err = parseSignatures(blobs); err != nil {
		return nil, err
	}
	v.whole, err = parseSignatures([][]byte{v.sig.binary(sigPGP), v.sig.binary(sigGPG), v.sig.binary(sigPGP5)})
	if err != nil {
		return nil, err
	}
	if list := v.main.texts(tagPayloadDigest); len(list) > 0 {
		v.wantLoad = strings.ToLower(list[0])
		v.payload = hashByNumber(v.main.numbers(tagPayloadDigestAlgo))
	}
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

func parseSignatures(blobs [][]byte) ([]*signature, error) {
	var list []*signature
	for _, blob := range blobs {
		if blob == nil {
			continue
		}
		s, err := parseSignature(blob)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
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
		if got := hex.EncodeToString(d.sum.Sum(nil)); got != strings.ToLower(want) {
			return &MismatchError{Name: "header", Field: "digest", Got: got, Want: want}
		}
	}
	for _, s := range v.header {
		sum := s.newHash()
		sum.Write(blob)
		if _, err := v.count(s, sum, k); err != nil {
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
	if v.payload != nil {
		sums = append(sums, v.payload)
	}
	n, err := io.Copy(io.MultiWriter(sums...), r)
	if err != nil {
		return fmt.Errorf("reading payload: %w", err)
	}
	if err := v.checkPayloadDigests(n, legacyMD5); err != nil {
		return err
	}
	v.covered = v.payload != nil && v.good != nil // so far good is a signature over the header
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
	if v.payload != nil {
		if got := hex.EncodeToString(v.payload.Sum(nil)); got != v.wantLoad {
			return &MismatchError{Name: "payload", Field: "digest", Got: got, Want: v.wantLoad}
		}
	}
	return nil
}

// count takes a signature into account and says whether it is good. One whose key is unknown is passed over; any other
// that is not good is an error.
func (v *verifier) count(s *signature, sum hash.Hash, k *Keyring) (bool, error) {
	good, err := s.check(sum, k)
	switch {
	case errors.Is(err, ErrUnknownKey):
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

func (v *verifier) result(withPayload bool) (Signature, error) {
	switch {
	case v.good == nil && v.skipped != nil:
		return Signature{}, v.skipped
	case v.good == nil:
		return Signature{}, ErrUnsigned
	case withPayload && !v.covered:
		return Signature{}, ErrPayloadUnsafe
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
