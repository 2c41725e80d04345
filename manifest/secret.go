package manifest

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
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
		if at := keyBlock.FindIndex(line); at != nil {
			errs = append(errs, &Error{File: file, Line: i + 1, Col: at[0] + 1, What: "a private key does not belong into a manifest: it is shipped inside the bundle"})
		}
		for _, at := range userInfo.FindAllIndex(line, -1) {
			errs = append(errs, &Error{File: file, Line: i + 1, Col: at[0] + 1, What: "want no user or password in a URL: the manifest is shipped inside the bundle"})
		}
	}
	return errs
}

// reserved are the names that would change how a script runs, once they are upper-cased in its environment.
func reserved(name string) bool {
	return slices.Contains([]string{"path", "home", "shell", "ifs", "env", "pwd", "oldpwd", "user", "logname", "tmpdir",
		"ps1", "ps2", "ps4", "opterr", "optind", "optarg", "lang", "bash_env", "cdpath", "globignore", "shellopts", "bashopts",
		"posixly_correct", "term", "uid", "euid", "ppid"}, name) ||
		strings.HasPrefix(name, "ld_") || strings.HasPrefix(name, "lc_") || strings.HasPrefix(name, "offbake_")
}
