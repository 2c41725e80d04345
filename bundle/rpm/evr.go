package rpm

import (
	"cmp"
	"strings"
)

// EVR is a package version: epoch, version, release. An empty epoch counts as 0; an empty release, as dependencies may
// have, as any.
type EVR struct {
	Epoch, Version, Release string
}

// ParseEVR splits "[epoch:]version[-release]". Every text has an EVR: what is not digits before the first colon is part of
// the version, and so is all without a hyphen (rpm's parseEVR).
func ParseEVR(s string) EVR {
	var e EVR
	if epoch, rest, found := strings.Cut(s, ":"); found && strings.Trim(epoch, "0123456789") == "" {
		e.Epoch, s = epoch, rest
	}
	e.Version = s
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		e.Version, e.Release = s[:i], s[i+1:]
	}
	return e
}

// String is "epoch:version-release" without an epoch of 0 and without an empty release.
func (e EVR) String() string {
	s := e.Version
	if epoch := strings.TrimLeft(e.Epoch, "0"); epoch != "" {
		s = epoch + ":" + s
	}
	if e.Release != "" {
		s += "-" + e.Release
	}
	return s
}

// Compare is negative when e is older than other, 0 when they are the same version, positive when e is newer. Releases
// count only where both sides have one, as rpm compares dependencies.
func (e EVR) Compare(other EVR) int {
	if c := compareSegments(cmp.Or(e.Epoch, "0"), cmp.Or(other.Epoch, "0")); c != 0 {
		return c
	}
	if c := compareSegments(e.Version, other.Version); c != 0 || e.Release == "" || other.Release == "" {
		return c
	}
	return compareSegments(e.Release, other.Release)
}

// compareSegments orders two versions or two releases as rpm 4.18 does (rpmio/rpmvercmp.c): runs of digits by value, runs
// of letters by their bytes, digits after letters, and all else between them only separates. "~" sorts before
// everything, the end of the text included; "^" after the end but before any further run.
func compareSegments(a, b string) int {
	for {
		a, b = skipSeparators(a), skipSeparators(b)
		if lead(a) == '~' || lead(b) == '~' {
			if lead(a) != lead(b) {
				return tieBreak(lead(a) == '~', -1)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if lead(a) == '^' || lead(b) == '^' {
			switch {
			case a == "" || b == "":
				return tieBreak(a == "", -1)
			case lead(a) != lead(b):
				return tieBreak(lead(a) == '^', -1)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		var segA, segB string
		numeric := isDigit(a[0])
		class := isLetter
		if numeric {
			class = isDigit
		}
		segA, a = cutSegment(a, class)
		segB, b = cutSegment(b, class)
		if segB == "" { // digits against letters: digits are newer
			return tieBreak(numeric, 1)
		}
		if c := compareSegment(segA, segB, numeric); c != 0 {
			return c
		}
	}
}

func compareSegment(a, b string, numeric bool) int {
	if numeric {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

// tieBreak is sign when first holds, else its opposite.
func tieBreak(first bool, sign int) int {
	if first {
		return sign
	}
	return -sign
}

func skipSeparators(s string) string {
	for i := range len(s) {
		if c := s[i]; isDigit(c) || isLetter(c) || c == '~' || c == '^' {
			return s[i:]
		}
	}
	return ""
}

func cutSegment(s string, class func(byte) bool) (segment, rest string) {
	i := 0
	for i < len(s) && class(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// lead is the first byte of s, 0 when there is none.
func lead(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
