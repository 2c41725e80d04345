package ufile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckKey refuses a key that could mean two things on the way: empty, longer than MaxKey, not UTF-8, with a control
// character, a leading '/', or an element ".." or "." (an HTTP client or proxy would clean it into another key).
// `a//b` and `a/` are keys of their own and pass.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("key: got an empty one")
	case len(key) > MaxKey:
		return fmt.Errorf("key: got %d bytes, want at most %d", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("key %q: not UTF-8", key)
	case strings.ContainsFunc(key, unicode.IsControl):
		return fmt.Errorf("key %q: has a control character", key)
	case key[0] == '/':
		return fmt.Errorf("key %q: begins with a slash", key)
	}
	for element := range strings.SplitSeq(key, "/") {
		if element == "." || element == ".." {
			return fmt.Errorf("key %q: has an element %q", key, element)
		}
	}
	return nil
}

// plus is what '+' becomes in a key: SDKs and servers do not agree whether a '+' in a URL's path is a space.
const plus = "_2B"

// EscapeKey makes an object key of a bundle's path. A path that holds "_2B" is refused, so that UnescapeKey is exact.
func EscapeKey(path string) (string, error) {
	if strings.Contains(path, plus) {
		return "", fmt.Errorf("path %q: has %q, which stands for a plus sign in stores", path, plus)
	}
	return strings.ReplaceAll(path, "+", plus), nil
}

// UnescapeKey returns the path that EscapeKey made the key of.
func UnescapeKey(key string) string { return strings.ReplaceAll(key, plus, "+") }
