package manifest

import (
	"fmt"
	"strings"
)

// Error is one problem of a manifest, a lock or a variable file: where it is and what is wrong.
// It never holds text of the source, for that may be a secret.
type Error struct {
	File  string
	Line  int    // from 1
	Col   int    // from 1, in characters; 0 when the place is the line
	Field string // dotted path, e.g. artifacts.files[2].sha256; "" for the document
	What  string
}

// Error returns `file:line:col: field: what` without the parts that are not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Line > 0 && e.Col > 0 {
		fmt.Fprintf(&b, ":%d", e.Col)
	}
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.What)
	return b.String()
}

// Errors is every problem of one file, in file order, one a line. It is never empty where it is returned as an error.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each problem in turn.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, p := range e {
		errs[i] = p
	}
	return errs
}
