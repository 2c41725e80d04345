package ucloud

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

const (
	shortestPassword = 8
	longestPassword  = 30
)

// newPassword returns a random password of 130 bits that has three of the classes of characters.
func newPassword() string { return "Ob-" + rand.Text() }

// checkPassword holds a password of the user's to what the API takes (facts/ucloud.md, section 5). The error does not
// say it.
func checkPassword(s string) error {
	if len(s) < shortestPassword || len(s) > longestPassword {
		return fmt.Errorf("got %d characters, want %d to %d", len(s), shortestPassword, longestPassword)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("it has a space, or a character that is not ASCII")
	}
	classes := 0
	for _, class := range []func(rune) bool{unicode.IsLower, unicode.IsUpper, unicode.IsDigit,
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }} {
		if strings.ContainsFunc(s, class) {
			classes++
		}
	}
	if classes < 2 {
		return errors.New("want two of small letters, capitals, digits and other characters")
	}
	return nil
}
