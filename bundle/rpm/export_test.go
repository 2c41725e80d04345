package rpm

import "io"

// VerifyHeader is Verify for the headers alone: real ones are here without their payloads. With those go the size and MD5 of
// both and the signatures over both, of which it sees the makers only.
func VerifyHeader(r io.Reader, k *Keyring) (Signature, error) {
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
	return v.result()
}
