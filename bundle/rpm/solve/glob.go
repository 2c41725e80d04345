package solve

import "strings"

// isGlob says whether text has characters that stand for others.
func isGlob(text string) bool { return strings.ContainsAny(text, "*?[") }

// globMatch is fnmatch(3) without flags, as dnf matches names: "*" and "?" stand for slashes and dots, too.
func globMatch(pattern, text string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			pattern = strings.TrimLeft(pattern, "*")
			for i := 0; i <= len(text); i++ {
				if globMatch(pattern, text[i:]) {
					return true
				}
			}
			return false
		case '[':
			if rest, ok, closed := matchClass(pattern[1:], text); closed {
				if !ok {
					return false
				}
				pattern, text = rest, text[1:]
				continue
			}
			if text == "" || text[0] != '[' {
				return false
			}
		case '?':
			if text == "" {
				return false
			}
		default:
			if pattern[0] == '\\' && len(pattern) > 1 {
				pattern = pattern[1:]
			}
			if text == "" || text[0] != pattern[0] {
				return false
			}
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

// matchClass matches the first byte of text with what is after an opening bracket. closed is false where the bracket is
// never closed and so stands for itself.
func matchClass(class, text string) (rest string, ok, closed bool) {
	negated := class != "" && (class[0] == '!' || class[0] == '^')
	if negated {
		class = class[1:]
	}
	found := false
	for i := 0; i < len(class); {
		if class[i] == ']' && i > 0 {
			return class[i+1:], text != "" && found != negated, true
		}
		low := class[i]
		high := low
		i++
		if i+1 < len(class) && class[i] == '-' && class[i+1] != ']' {
			high = class[i+1]
			i += 2
		}
		if text != "" && low <= text[0] && text[0] <= high {
			found = true
		}
	}
	return "", false, false
}
