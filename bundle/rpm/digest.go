package rpm

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Digest is a checksum as repository metadata states it.
type Digest struct {
	Type string // "sha256", "sha1" (also written "sha"), "sha224", "sha384", "sha512"
	Hex  string // lower-case
}

// MismatchError says that bytes are not what vouches for them says: a size or a digest differs. Callers treat it as a
// failed verification.
type MismatchError struct {
	Name  string // what was read
	Field string // "size", "sha256", ...
	Got   string
	Want  string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s of %q: got %s, want %s", e.Field, e.Name, e.Got, e.Want)
}

// NewHash is a fresh hash for the digest's type. MD5 is not among them: it vouches for nothing.
func (d Digest) NewHash() (hash.Hash, error) {
	switch d.Type {
	case "sha", "sha1":
		return sha1.New(), nil
	case "sha224":
		return sha256.New224(), nil
	case "sha256":
		return sha256.New(), nil
	case "sha384":
		return sha512.New384(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("got digest type %q, want a SHA-1 or SHA-2", d.Type)
}

// expectation is what a stream has to be.
type expectation struct {
	name   string
	size   int64  // bytes; negative for unknown
	digest Digest // Type "" for unknown
	max    int64  // bytes that are read at most when size is unknown
}

// checkedReader passes a stream on and ends it with io.EOF only when all of it was as expected: what was read without
// an error was right. It reads no byte beyond the expected size but one.
type checkedReader struct {
	r    io.Reader
	want expectation
	sum  hash.Hash
	n    int64
}

var errTooLarge = errors.New("too large")

func newCheckedReader(r io.Reader, want expectation) (*checkedReader, error) {
	c := &checkedReader{r: r, want: want}
	if want.size > want.max {
		return nil, fmt.Errorf("reading %q: got %d bytes announced, want at most %d: %w", want.name, want.size, want.max, errTooLarge)
	}
	if want.digest.Type != "" {
		sum, err := want.digest.NewHash()
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", want.name, err)
		}
		c.sum = sum
	}
	return c, nil
}

func (c *checkedReader) Read(p []byte) (int, error) {
	limit := c.want.max
	if c.want.size >= 0 {
		limit = c.want.size
	}
	if room := limit - c.n + 1; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if c.n > limit {
		if c.want.size >= 0 {
			return n, c.mismatch("size", fmt.Sprintf("more than %d", limit), fmt.Sprint(limit))
		}
		return n, fmt.Errorf("reading %q: got more than %d bytes: %w", c.want.name, limit, errTooLarge)
	}
	if err == io.EOF {
		return n, c.finish()
	}
	return n, err
}

// finish is io.EOF when all that was read is as expected.
func (c *checkedReader) finish() error {
	if c.want.size >= 0 && c.n != c.want.size {
		return c.mismatch("size", fmt.Sprint(c.n), fmt.Sprint(c.want.size))
	}
	if c.sum != nil {
		if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want.digest.Hex {
			return c.mismatch(c.want.digest.Type, got, c.want.digest.Hex)
		}
	}
	return io.EOF
}

func (c *checkedReader) mismatch(field, got, want string) error {
	return &MismatchError{Name: c.want.name, Field: field, Got: got, Want: want}
}
