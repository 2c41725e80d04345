package bundle

import (
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/semver"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/offbake/offbake/manifest"
)

// check finds the first rule of the format that the index breaks.
func (x Index) check() error {
	bad := func(format string, args ...any) error { return formatErrorf(IndexFile, format, args...) }
	switch {
	case x.Schema != Schema:
		return bad("schema: got %.60q, want %q", x.Schema, Schema)
	case !isName(x.Name):
		return bad("name: got %.60q, want letters a-z, digits and hyphens", x.Name)
	case !isVersion(x.Version):
		return bad("version: got %.60q, want MAJOR.MINOR.PATCH", x.Version)
	case !isPlatform(x.Platform):
		return bad("platform: got %.60q, want OS/ARCH", x.Platform)
	case !isTime(x.Created):
		return bad("created: got %.60q, want a time like 2006-01-02T15:04:05Z", x.Created)
	case !isDigest(x.Inputs):
		return bad("inputs: got %.70q, want 64 lower-case hex digits", x.Inputs)
	}
	for k, v := range x.Variables {
		if k == "" || !isText(k) || !isText(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(v)) {
			return bad("variable %.60q: got a control character or invalid UTF-8", k)
		}
	}
	if err := checkPaths(x.Files); err != nil {
		return err
	}
	for _, f := range x.Files {
		if err := f.check(x.Files); err != nil {
			return err
		}
	}
	return nil
}

// check looks at everything but the path.
func (f File) check(all []File) error {
	switch {
	case f.Size < 0:
		return formatErrorf(f.Path, "size: got %d", f.Size)
	case !isDigest(f.SHA256):
		return formatErrorf(f.Path, "sha256: got %.70q, want 64 lower-case hex digits", f.SHA256)
	case f.Mode != "0644" && f.Mode != "0755":
		return formatErrorf(f.Path, "mode: got %.60q, want 0644 or 0755", f.Mode)
	case !isKind(f.Kind):
		return formatErrorf(f.Path, "kind: got %.60q, which is not one of the format", f.Kind)
	case !isText(f.Origin):
		return formatErrorf(f.Path, "origin: got a control character or invalid UTF-8")
	case !isText(f.Verified):
		return formatErrorf(f.Path, "verified: got a control character or invalid UTF-8")
	}
	for i, e := range f.Evidence {
		if i > 0 && f.Evidence[i-1] >= e {
			return formatErrorf(f.Path, "evidence: %.60q is not after %.60q", e, f.Evidence[i-1])
		}
		if _, ok := find(all, e); !ok {
			return formatErrorf(f.Path, "evidence: %.200q is not in the bundle", e)
		}
	}
	return nil
}

// find looks a path up in files sorted by path.
func find(files []File, path string) (File, bool) {
	i, ok := slices.BinarySearchFunc(files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return files[i], true
}

// checkPaths checks that paths are sorted, well formed, and make the same tree on a file system that does not tell
// upper from lower case: no two paths are equal there, none is a folder of another, and a folder has one spelling.
func checkPaths(files []File) error {
	fold := cases.Fold()
	folders := map[string]string{} // by folded path, as spelled
	seen := map[string]string{}    // files, likewise
	for i, f := range files {
		folded := fold.String(f.Path)
		if err := checkPath(f.Path, folded); err != nil {
			return err
		}
		if i > 0 && files[i-1].Path >= f.Path {
			return formatErrorf(f.Path, "in the index after %.200q, want paths sorted and each once", files[i-1].Path)
		}
		if other, ok := seen[folded]; ok {
			return formatErrorf(f.Path, "differs from %.200q by case only", other)
		}
		seen[folded] = f.Path
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			folded := fold.String(dir)
			other, ok := folders[folded]
			if ok && other != dir {
				return formatErrorf(f.Path, "folder %.200q differs from %.200q by case only", dir, other)
			}
			if ok {
				break // and so are those above it
			}
			folders[folded] = dir
		}
	}
	for _, f := range files {
		if dir, ok := folders[fold.String(f.Path)]; ok {
			return formatErrorf(f.Path, "is a file, and %.200q a folder", dir)
		}
	}
	return nil
}

// checkPath checks one path of an index: relative, clean, NFC, printable, portable, not a name of the format's own.
func checkPath(p, folded string) error {
	bad := func(what string) error { return formatErrorf(p, "path %s", what) }
	switch {
	case p == "" || p == ".":
		return bad("is empty")
	case len(p) > maxPath:
		return bad("is too long")
	case !isText(p):
		return bad("has a control or invisible character or invalid UTF-8")
	case strings.Contains(p, `\`):
		return bad("has a backslash")
	case !norm.NFC.IsNormalString(p):
		return bad("is not in Unicode normal form C")
	case strings.HasPrefix(p, "/"):
		return bad("is absolute")
	case path.Clean(p) != p:
		return bad("is not clean")
	case p == ".." || strings.HasPrefix(p, "../"):
		return bad("leaves the bundle")
	case isReserved(folded):
		return bad("is reserved for the bundle's own files")
	}
	for elem := range strings.SplitSeq(p, "/") {
		if len(elem) > maxName {
			return bad("has a name that is too long")
		}
	}
	return nil
}

// isReserved tells whether a path, case-folded, is bundle.json, a signature (also of a later form) or SHA256SUMS, or
// is below such a name.
func isReserved(folded string) bool {
	top, _, _ := strings.Cut(folded, "/")
	return top == IndexFile || strings.HasPrefix(top, signaturePrefix) || top == "sha256sums"
}

// isText tells whether s is UTF-8 that a terminal and a line of SHA256SUMS show as it is: no control character, no
// line separator, no invisible formatting such as a change of direction.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}

func isVersion(s string) bool {
	v := "v" + s
	// Canonical completes v1 and v1.0, which x/mod takes for semver, and drops the build part.
	return len(s) <= maxName && semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}

func isPlatform(s string) bool {
	os, arch, ok := strings.Cut(s, "/")
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return ok && os != "" && arch != "" && len(s) <= maxName &&
		strings.Trim(os, letters) == "" && strings.Trim(arch, letters) == ""
}

func isTime(s string) bool {
	t, err := time.Parse(time.RFC3339, s)
	return err == nil && t.UTC().Format(time.RFC3339) == s
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

func isKind(s string) bool {
	switch s {
	case manifest.KindHashiCorp, manifest.KindProvider, manifest.KindRPM, manifest.KindContainer, manifest.KindFile,
		manifest.KindEvidence, manifest.KindUnpacked, manifest.KindRepodata, manifest.KindTerraform,
		manifest.KindLocal, manifest.KindMeta:
		return true
	}
	return false
}
