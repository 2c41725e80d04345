package rpm

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const xmlSpace = " \t\r\n"

// parseAttrs reads the attributes of a tag into x.attrs: each after white space, quoted either way.
func (x *xmlReader) parseAttrs(raw []byte) error {
	x.attrs = x.attrs[:0]
	for {
		rest := skipSpace(raw)
		if len(rest) == 0 {
			return nil
		}
		n := nameLength(rest)
		name := rest[:n]
		value := skipSpace(rest[n:])
		if len(rest) == len(raw) || !validName(name) || len(value) == 0 || value[0] != '=' {
			return fmt.Errorf("got attribute %.40q: %w", rest, errXML)
		}
		value = skipSpace(value[1:])
		if len(value) == 0 || value[0] != '"' && value[0] != '\'' {
			return fmt.Errorf("got unquoted attribute %.40q: %w", rest, errXML)
		}
		end := bytes.IndexByte(value[1:], value[0])
		if end < 0 {
			return fmt.Errorf("got attribute %.40q without end: %w", rest, errXML)
		}
		text := value[1 : 1+end]
		raw = value[1+end+1:]
		if bytes.IndexByte(text, '<') >= 0 {
			return fmt.Errorf("got < in attribute %q: %w", name, errXML)
		}
		text, err := x.unescape(text)
		if err != nil {
			return err
		}
		x.attrs = append(x.attrs, xmlAttr{name: localName(name), value: text})
	}
}

func skipSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\n' || s[0] == '\t' || s[0] == '\r') {
		s = s[1:]
	}
	return s
}

func nameLength(s []byte) int {
	i := 0
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '_' || s[i] == ':' || s[i] == '-' || s[i] == '.') {
		i++
	}
	return i
}

// validName says whether a name begins as one and has at most one prefix.
func validName(name []byte) bool {
	if len(name) == 0 || !isLetter(name[0]) && name[0] != '_' {
		return false
	}
	i := bytes.IndexByte(name, ':')
	return i < 0 || i < len(name)-1 && bytes.IndexByte(name[i+1:], ':') < 0
}

func localName(name []byte) []byte { return name[bytes.IndexByte(name, ':')+1:] }

// unescape is raw with its references replaced, raw itself when there are none. Line ends become "\n" (XML 1.0, section 2.11).
func (x *xmlReader) unescape(raw []byte) ([]byte, error) {
	i := bytes.IndexByte(raw, '&')
	if i < 0 {
		return x.plainNewlines(raw), nil
	}
	start := len(x.scratch)
	for ; i >= 0; i = bytes.IndexByte(raw, '&') {
		x.scratch = appendPlain(x.scratch, raw[:i])
		raw = raw[i+1:]
		end := bytes.IndexByte(raw, ';')
		if end < 0 {
			return nil, fmt.Errorf("got a bare &: %w", errXML)
		}
		r, ok := reference(raw[:end])
		if !ok {
			return nil, fmt.Errorf("got reference %.20q: %w", raw[:end], errXML)
		}
		x.scratch = utf8.AppendRune(x.scratch, r)
		raw = raw[end+1:]
	}
	x.scratch = appendPlain(x.scratch, raw)
	return x.scratch[start:], nil
}

func (x *xmlReader) plainNewlines(raw []byte) []byte {
	if bytes.IndexByte(raw, '\r') < 0 {
		return raw
	}
	start := len(x.scratch)
	x.scratch = appendPlain(x.scratch, raw)
	return x.scratch[start:]
}

// appendPlain appends s with "\n" for every kind of line end.
func appendPlain(to, s []byte) []byte {
	for i, c := range s {
		switch {
		case c != '\r':
			to = append(to, c)
		case i+1 == len(s) || s[i+1] != '\n':
			to = append(to, '\n')
		}
	}
	return to
}

// reference is the character that &name; stands for.
func reference(name []byte) (rune, bool) {
	switch string(name) {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, numeric := bytes.CutPrefix(name, []byte("#"))
	if !numeric {
		return 0, false
	}
	base := 10
	if hex, ok := bytes.CutPrefix(digits, []byte("x")); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(string(digits), base, 31)
	return rune(n), err == nil && isXMLChar(rune(n))
}

// checkChars refuses what is no UTF-8, and characters that XML 1.0 has not.
func checkChars(s []byte) error {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return fmt.Errorf("got character %#x: %w", c, errXML)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 || !isXMLChar(r) {
			return fmt.Errorf("got bytes %x, want UTF-8: %w", s[i:i+n], errXML)
		}
		i += n
	}
	return nil
}

// isXMLChar says whether XML 1.0 has a character (section 2.2).
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || ' ' <= r && r <= 0xd7ff || 0xe000 <= r && r <= 0xfffd || 0x10000 <= r && r <= utf8.MaxRune
}
