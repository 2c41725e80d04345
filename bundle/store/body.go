package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// AlteredError says that a body is not the one that its sha256 names: the source changed while it was read, or before.
// Nothing was stored.
type AlteredError struct {
	Got, Want string // sha256 in lower-case hex, or sizes as "N bytes"
}

func (e *AlteredError) Error() string {
	return fmt.Sprintf("source altered: got %s, want %s", e.Got, e.Want)
}

// bodySum checks a body while it passes.
type bodySum struct {
	hash.Hash
	u Upload
	n int64
}

func newBodySum(u Upload) *bodySum { return &bodySum{Hash: sha256.New(), u: u} }

func (s *bodySum) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.Hash.Write(p)
}

// check compares what passed with what the upload says.
func (s *bodySum) check() error {
	if s.n != s.u.Size {
		return &AlteredError{Got: fmt.Sprintf("%d bytes", s.n), Want: fmt.Sprintf("%d bytes", s.u.Size)}
	}
	if got := hex.EncodeToString(s.Sum(nil)); got != s.u.SHA256 {
		return &AlteredError{Got: "sha256 " + got, Want: s.u.SHA256}
	}
	return nil
}

// also adds what went wrong while cleaning up after err, on the same line.
func also(err, then error) error {
	if then == nil {
		return err
	}
	return fmt.Errorf("%w; then %w", err, then)
}
