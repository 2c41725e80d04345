package bundle

import (
	"errors"
	"fmt"

	"github.com/offbake/offbake/bundle/sign"
)

// ErrUnverified says that content was asked of a bundle before Trust or Verify accepted it.
var ErrUnverified = errors.New("bundle is not verified yet")

// ErrUnsigned says that a bundle has no signature at all. It is sign.ErrUntrusted.
var ErrUnsigned = fmt.Errorf("%w: it is not signed", sign.ErrUntrusted)

// FormatError says that something is not a bundle of this format, or not this bundle whole: a broken rule, a
// missing, extra or hostile entry, a cut or damaged tar.
type FormatError struct {
	Path string // of the file in the bundle; "" for the bundle itself
	Err  error
}

func (e *FormatError) Error() string {
	if e.Path == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%.1100q: %v", e.Path, e.Err)
}

func (e *FormatError) Unwrap() error { return e.Err }

func formatErrorf(path, format string, args ...any) error {
	return &FormatError{Path: path, Err: fmt.Errorf(format, args...)}
}

// MismatchError says that a file's bytes are not those that the index names.
type MismatchError struct {
	Path string
	Got  string // sha256 in lower-case hex, or a size as "N bytes"
	Want string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%q: got %s, want %s", e.Path, e.Got, e.Want)
}

func sizeMismatch(f File, got int64) error {
	return &MismatchError{Path: f.Path, Got: fmt.Sprintf("%d bytes", got), Want: fmt.Sprintf("%d bytes", f.Size)}
}

// Refused reports whether err says that a bundle failed verification, as opposed to a failure to read or write it:
// wrong form, wrong bytes, no good signature by a trusted key.
func Refused(err error) bool {
	var format *FormatError
	var mismatch *MismatchError
	return errors.As(err, &format) || errors.As(err, &mismatch) || errors.Is(err, ErrUnverified) ||
		errors.Is(err, sign.ErrUntrusted) || errors.Is(err, sign.ErrMalformed) || errors.Is(err, sign.ErrForged)
}
