package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// variable is the shape of a variable's name: what a POSIX shell takes once it is upper-cased, and no two of which
// become one.
var variable = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)

// Secret reports whether a variable is secret, judged by its name alone: it holds a word like password, secret, token
// or credential, its last word is key, or it is one of UCloud's key pair. A secret variable is no part of a lock, a
// bundle, a script's environment or a message.
func Secret(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' })
	for i, w := range words {
		switch w {
		case "password", "passwords", "passwd", "pass", "pw", "passphrase", "secret", "secrets", "token", "tokens",
			"credential", "credentials", "apikey":
			return true
		case "key", "keys":
			if i == len(words)-1 || i > 0 && words[i-1] == "private" {
				return true
			}
		}
	}
	return false
}

var (
	keyBlock = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----`)
	userInfo = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s"']*@`)
)

// leaks reports what must not stand in a manifest because it is shipped inside the bundle as it is, comments included:
// private keys and the user part of URLs.
func leaks(file string, src []byte) Errors {
	var errs Errors
	for i, line := range bytes.Split(src, []byte("\n")) {
		report := func(found *regexp.Regexp, what string) {
			for _, at := range found.FindAllIndex(line, -1) {
				col := utf8.RuneCount(line[:at[0]]) + 1
				errs = append(errs, &Error{File: file, Line: i + 1, Col: col, What: what + ": the manifest is shipped inside the bundle"})
			}
		}
		report(keyBlock, "want no private key")
		report(userInfo, "want no user or password in a URL")
	}
	return errs
}

// reserved tells the names that would change how a script runs, or could not be set, once they are upper-cased in its
// environment.
func reserved(name string) bool {
	return strings.HasPrefix(name, "ld_") || strings.HasPrefix(name, "offbake_") ||
		slices.Contains([]string{"path", "home", "ifs", "pwd", "oldpwd", "tmpdir", "cdpath", "bash_env", "shellopts", "bashopts",
			"posixly_correct", "globignore", "uid", "euid", "ppid"}, name)
}

// Format keeps values out of every message and log: %v of variables prints none.
func (v *Vars) Format(s fmt.State, _ rune) { fmt.Fprint(s, "variables, not shown") }

// Format prints the image's name and nothing of its variables.
func (i Image) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "image %q", i.Name) }

// Format prints how a host is reached without the password.
func (s SSH) Format(w fmt.State, _ rune) {
	fmt.Fprintf(w, "{user %q, port %d, private %t}", s.User, s.Port, s.PrivateIP)
}
