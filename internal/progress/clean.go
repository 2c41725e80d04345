package progress

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Clean returns s as one line that is safe on a terminal: whatever is not printable (control characters, line breaks,
// direction overrides, invalid UTF-8) is written as a Go escape such as \x1b. Printable text stays as it is.
func Clean(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x`)
			b.WriteString(strconv.FormatUint(uint64(s[0]), 16))
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}
