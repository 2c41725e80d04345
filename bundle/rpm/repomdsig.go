package rpm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	repomdSignature  = repomdHref + ".asc"
	maxSignatureSize = 256 << 10
	maxSignatures    = 16
)

// checkRepomd checks the detached signature of a repository's repomd.xml. Several keys may have signed: signatures of
// unknown keys do no harm beside a good one, and every signature of a known key must be good.
func checkRepomd(ctx context.Context, repomd []byte, k *Keyring, open Opener) error {
	body, err := open(ctx, repomdSignature)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", err, ErrUnsigned)
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", repomdSignature, err)
	}
	defer body.Close()
	text, err := readAll(body, expectation{name: repomdSignature, size: -1, max: maxSignatureSize})
	if err != nil {
		return err
	}
	if err := checkDetached(repomd, text, k); err != nil {
		return fmt.Errorf("verifying %q: %w", repomdHref, err)
	}
	return nil
}

// checkDetached wants a good signature over doc among the armored ones in text.
func checkDetached(doc, text []byte, k *Keyring) error {
	signatures, err := parseDetached(text)
	if err != nil {
		return err
	}
	reason := ErrUnsigned
	good := false
	for _, s := range signatures {
		if err := s.checkMaker(k); err != nil {
			reason = err
			continue
		}
		sum := s.newHash()
		sum.Write(doc)
		if _, err := s.check(sum, k); err != nil {
			return err
		}
		good = true
	}
	if !good {
		return reason
	}
	return nil
}

// parseDetached reads the signatures in armored blocks; text around the blocks is passed over.
func parseDetached(text []byte) ([]*signature, error) {
	var list []*signature
	rest := bufio.NewReader(bytes.NewReader(text)) // of armor.Decode's own kind: it would read ahead in another
	for {
		block, err := armor.Decode(rest)
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading OpenPGP signature: %w: %w", err, ErrBadSignature)
		}
		if block.Type != openpgp.SignatureType {
			return nil, fmt.Errorf("got an OpenPGP block of type %q, want %q: %w", block.Type, openpgp.SignatureType, ErrBadSignature)
		}
		packets := packet.NewOpaqueReader(block.Body)
		for {
			p, err := packets.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("reading OpenPGP signature: %w: %w", err, ErrBadSignature)
			}
			var blob bytes.Buffer
			if err := p.Serialize(&blob); err != nil {
				return nil, fmt.Errorf("reading OpenPGP signature: %w: %w", err, ErrBadSignature)
			}
			s, err := parseSignature(blob.Bytes())
			if err != nil {
				return nil, err
			}
			if list = append(list, s); len(list) > maxSignatures {
				return nil, fmt.Errorf("got more than %d OpenPGP signatures: %w", maxSignatures, ErrBadSignature)
			}
		}
	}
}
