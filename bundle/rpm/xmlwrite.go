package rpm

import (
	"io"
	"strings"
	"unicode/utf8"
)

// xmlWriter writes elements, one to a line without indentation, and keeps the first error. Attributes come as names and
// values in turn.
type xmlWriter struct {
	w   io.Writer
	err error
}

func (x *xmlWriter) put(parts ...string) {
	if x.err == nil {
		_, x.err = io.WriteString(x.w, strings.Join(parts, ""))
	}
}

func (x *xmlWriter) declare() { x.put(`<?xml version="1.0" encoding="UTF-8"?>`, "\n") }

func (x *xmlWriter) open(name string, attrs ...string) { x.put("<", name, attributes(attrs), ">\n") }

func (x *xmlWriter) close(name string) { x.put("</", name, ">\n") }

func (x *xmlWriter) empty(name string, attrs ...string) { x.put("<", name, attributes(attrs), "/>\n") }

func (x *xmlWriter) text(name, text string, attrs ...string) {
	x.put("<", name, attributes(attrs), ">", escapeXML(text), "</", name, ">\n")
}

func attributes(attrs []string) string {
	var b strings.Builder
	for i := 0; i < len(attrs); i += 2 {
		b.WriteString(" " + attrs[i] + `="` + escapeXML(attrs[i+1]) + `"`)
	}
	return b.String()
}

// escapeXML escapes text for content and attributes. Text that is no UTF-8 is taken for Latin-1, of which letters stay, as
// createrepo_c takes it: old change logs have names in it. Characters that XML 1.0 cannot hold are left out.
func escapeXML(s string) string {
	latin1 := !utf8.ValidString(s)
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if latin1 {
			r, n = rune(s[0]), 1
		}
		s = s[n:]
		switch {
		case latin1 && 0x80 <= r && r < 0xc0:
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r == '\r':
			b.WriteString("&#13;")
		case r == '\t' || r == '\n' || r >= ' ' && r != 0xfffe && r != 0xffff:
			b.WriteRune(r)
		}
	}
	return b.String()
}
