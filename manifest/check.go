package manifest

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// matches makes a check of a pattern; want says in words what it takes.
func matches(pattern, want string) check {
	re := regexp.MustCompile(pattern)
	return func(s string) string {
		if re.MatchString(s) {
			return ""
		}
		return "want " + want
	}
}

// oneOf makes a check of the values that are allowed.
func oneOf(values ...string) check {
	return func(s string) string {
		if slices.Contains(values, s) {
			return ""
		}
		return "want " + strings.Join(values, " or ")
	}
}

// maybe makes a check pass the empty string too.
func maybe(c check) check {
	return func(s string) string {
		if s == "" {
			return ""
		}
		return c(s)
	}
}

// semantic takes a whole semantic version (semver.org 2.0) without a leading v.
func semantic(s string) string {
	v := "v" + s
	if !semver.IsValid(v) || semver.Canonical(v)+semver.Build(v) != v {
		return "want a version like 1.2.3, 1.2.3-rc.1 or 1.2.3+ent"
	}
	return ""
}

// oneLine takes text that fits one line and is not empty.
func oneLine(s string) string {
	if strings.TrimSpace(s) == "" || !isText(s) {
		return "want one line of text"
	}
	return ""
}

// word takes an id of the cloud's or the empty string: no spaces, no control characters.
func word(s string) string {
	if len(s) > 255 || !isText(s) || strings.ContainsAny(s, " \"'`") {
		return "want a word without spaces and quotes"
	}
	return ""
}

// command takes a command of a shell, which may have several lines.
func command(s string) string {
	if strings.TrimSpace(s) == "" {
		return "want a command"
	}
	return oneLine(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "))
}

// glob takes a pattern of path.Match.
func glob(s string) string {
	if what := oneLine(s); what != "" {
		return what
	}
	if _, err := path.Match(s, ""); err != nil {
		return "want a pattern with * ? and [a-z]"
	}
	return ""
}

// location makes a check of a URL of one of the schemes. User info, query and fragment are refused: a lock holds none
// (they carry secrets and do not last), so what is fetched by them once could not be fetched again.
func location(schemes ...string) check {
	want := "want a URL of " + strings.Join(schemes, " or ")
	return func(s string) string {
		u, err := url.Parse(s)
		switch {
		case err != nil, !slices.Contains(schemes, u.Scheme), u.Opaque != "", !isText(s), strings.Contains(s, " "):
			return want
		case u.User != nil:
			return "want no user or password in a URL"
		case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
			return "want no query and no fragment in a URL"
		case strings.Contains(s, "$"):
			return "want no yum variable in a URL: write out its value"
		case u.Scheme == "file" && (u.Host != "" || !path.IsAbs(u.Path)):
			return "want file:///PATH"
		case u.Scheme != "file" && !hostPort(u):
			return "want a host, and a port from 1 to 65535 if any"
		}
		return ""
	}
}

// hostPort looks at the authority of a URL, which url.Parse takes nearly as it comes.
func hostPort(u *url.URL) bool {
	if u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		return err == nil && n > 0 && n < 65536
	}
	return true
}

// prefix makes a check of a URL that ends in a slash, so that it does not cover hosts and folders that only begin alike.
func prefix(c check) check {
	return func(s string) string {
		if what := c(s); what != "" {
			return what
		}
		if !strings.HasSuffix(s, "/") {
			return "want a / at the end"
		}
		return ""
	}
}

// endpoint takes the address of a store: http(s)://HOST[:PORT] or HOST[:PORT].
func endpoint(s string) string {
	if s == "" {
		return ""
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	if what := location("http", "https")(s); what != "" {
		return what
	}
	if u, _ := url.Parse(s); strings.Trim(u.Path, "/") != "" {
		return "want no path after the host"
	}
	return ""
}

// storeURL takes ufile://BUCKET[/PREFIX] or dir:PATH.
func storeURL(s string) string {
	if dir, ok := strings.CutPrefix(s, "dir:"); ok && oneLine(dir) == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(s, "ufile://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || !bucketName(bucket) {
		return "want ufile://BUCKET/PREFIX or dir:PATH"
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" && CheckPath(prefix) != "" {
		return "want a clean PREFIX in ufile://BUCKET/PREFIX"
	}
	return ""
}

func bucketName(s string) bool {
	ok := len(s) >= 1 && len(s) <= 63
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0 && i < len(s)-1)
	}
	return ok
}

// CheckPath says what keeps p from being the path of a file in a bundle; "" when nothing does. A path is relative and
// clean, has slashes and no backslash, no `..`, no control characters, at most 255 bytes a part and 1024 in all, and is
// in Unicode's form NFC. `_2B` is refused because an object store's key has it for `+`.
func CheckPath(p string) string {
	switch {
	case p == "" || p == ".":
		return "want a path"
	case path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return "want a relative path without . and .. and double slashes"
	case !isText(p) || strings.Contains(p, `\`):
		return "want a path without backslashes, control and invisible characters"
	case !norm.NFC.IsNormalString(p):
		return "want a path in Unicode form NFC"
	case strings.Contains(p, "_2B"):
		return "want a path without _2B: stores write + so"
	case len(p) > 1024 || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool { return len(s) > 255 }):
		return "want a shorter path: 255 bytes a part, 1024 in all"
	}
	return ""
}

// FoldPath maps paths that are the same without regard to case to one string.
func FoldPath(p string) string { return norm.NFC.String(cases.Fold().String(p)) }

// localPath takes the path of a file that the bundle carries under the same path, beside its own files.
func localPath(p string) string {
	if what := CheckPath(p); what != "" {
		return what
	}
	first, _, _ := strings.Cut(FoldPath(p), "/")
	switch first {
	case "files", "rpms", "terraform", "images", "evidence":
		return "want a path outside " + first + ": the bundle has its own there"
	case "bundle.json", "sha256sums", "manifest.yaml", "manifest.lock", "sbom.cdx.json", "index.html":
		return "want another name: the bundle has its own file of this name"
	}
	if strings.HasPrefix(first, "bundle.json.") {
		return "want another name: the bundle has its own file of this name"
	}
	return ""
}
