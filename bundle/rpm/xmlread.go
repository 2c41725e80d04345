package rpm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// xmlReader splits a document into tokens. Metadata runs to hundreds of megabytes of small elements, most of which nobody
// wants; encoding/xml allocates for each. This reads the part of XML 1.0 that metadata is written in, without allocating
// and in a quarter of the time. What it takes, encoding/xml takes too and reads
// the same (FuzzXML); anything beyond, such as document types and their entities, is refused.
type xmlReader struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what of buf is not yet used
	base     int64 // of buf[0] in the document

	token   xmlToken
	attrs   []xmlAttr // backs token.attrs
	scratch []byte    // backs values that had to be unescaped

	names     []byte // of the open elements, with prefix, one after the other
	starts    []int  // where each of them begins
	seenRoot  bool
	selfClose bool // the last start was of an empty element: its end comes next
}

// xmlToken is a part of a document. Its bytes are valid until the next one is read.
type xmlToken struct {
	kind  tokenKind
	name  []byte    // of an element, without prefix
	attrs []xmlAttr // of a start
	text  []byte
}

type tokenKind uint8

const (
	startElement tokenKind = iota
	endElement
	charData
)

type xmlAttr struct {
	name, value []byte // name without prefix
}

// attr is the value of the first attribute of that name, nil if there is none.
func (t *xmlToken) attr(name string) []byte {
	for _, a := range t.attrs {
		if string(a.name) == name {
			return a.value
		}
	}
	return nil
}

const (
	// maxTokenBytes bounds one token, and so the memory that one takes: the longest real ones are descriptions.
	maxTokenBytes = 4 << 20
	maxDepth      = 32
)

var (
	errTokenTooLong = errors.New("XML token too long")
	errXML          = errors.New("malformed XML")
)

// walkXML calls visit for every token of a whole document. Text may come in several tokens.
func walkXML(r io.Reader, visit func(*xmlToken) error) error {
	x := &xmlReader{r: r, buf: make([]byte, 64<<10)}
	for {
		err := x.next()
		if err == io.EOF && x.seenRoot && len(x.starts) == 0 {
			return nil
		}
		if err == nil {
			err = visit(&x.token)
		}
		if err != nil {
			return fmt.Errorf("at byte %d: %w", x.base+int64(x.pos), unexpectedEOF(err))
		}
	}
}

// next reads the next token. It returns io.EOF where a document may end.
func (x *xmlReader) next() error {
	if x.selfClose {
		x.selfClose = false
		return x.closeElement(x.names[x.starts[len(x.starts)-1]:])
	}
	x.scratch = x.scratch[:0]
	for {
		lead, err := x.peek(len("<![CDATA["))
		switch {
		case err != nil:
			return err
		case lead[0] != '<':
			return x.readText()
		case bytes.HasPrefix(lead, []byte("<?")):
			err = x.skipDeclaration()
		case bytes.HasPrefix(lead, []byte("<!--")):
			err = x.skipComment()
		case bytes.HasPrefix(lead, []byte("<![CDATA[")):
			return x.readCDATA()
		case bytes.HasPrefix(lead, []byte("</")):
			return x.readEnd()
		default:
			return x.readStart()
		}
		if err != nil {
			return err
		}
	}
}

// fill reads more, keeping what is unused.
func (x *xmlReader) fill() error {
	copy(x.buf, x.buf[x.pos:x.end])
	x.base += int64(x.pos)
	x.end -= x.pos
	x.pos = 0
	if x.end == len(x.buf) {
		if len(x.buf) >= maxTokenBytes {
			return errTokenTooLong
		}
		x.buf = append(x.buf, make([]byte, len(x.buf))...)
	}
	n, err := io.ReadAtLeast(x.r, x.buf[x.end:], 1)
	x.end += n
	return err
}

// peek is the next n bytes, fewer before the end, io.EOF at it.
func (x *xmlReader) peek(n int) ([]byte, error) {
	for x.end-x.pos < n {
		if err := x.fill(); err != nil {
			if err == io.EOF && x.end > x.pos {
				break
			}
			return nil, err
		}
	}
	return x.buf[x.pos:min(x.pos+n, x.end)], nil
}

// take is the bytes up to mark, which begins from bytes ahead or later; it and they are used.
func (x *xmlReader) take(mark string, from int) ([]byte, error) {
	for {
		if from <= x.end-x.pos {
			if i := bytes.Index(x.buf[x.pos+from:x.end], []byte(mark)); i >= 0 {
				taken := x.buf[x.pos : x.pos+from+i]
				x.pos += len(taken) + len(mark)
				return taken, checkChars(taken)
			}
			from = max(from, x.end-x.pos-len(mark)+1)
		}
		if err := x.fill(); err != nil {
			return nil, unexpectedEOF(err)
		}
	}
}

func (x *xmlReader) readText() error {
	for {
		raw := x.buf[x.pos:x.end]
		i := bytes.IndexByte(raw, '<')
		if i < 0 {
			err := x.fill()
			if err == nil {
				continue
			}
			if err != io.EOF {
				return err
			}
			raw = x.buf[x.pos:x.end]
			i = len(raw)
		}
		raw = raw[:i]
		x.pos += i
		switch {
		case len(x.starts) == 0 && len(bytes.Trim(raw, xmlSpace)) > 0:
			return fmt.Errorf("got text outside of the root element: %w", errXML)
		case bytes.Contains(raw, []byte("]]>")):
			return fmt.Errorf("got ]]> in text: %w", errXML)
		}
		if err := checkChars(raw); err != nil {
			return err
		}
		text, err := x.unescape(raw)
		x.token = xmlToken{kind: charData, text: text}
		return err
	}
}

func (x *xmlReader) readCDATA() error {
	raw, err := x.take("]]>", len("<![CDATA["))
	if err != nil {
		return err
	}
	if len(x.starts) == 0 {
		return fmt.Errorf("got text outside of the root element: %w", errXML)
	}
	x.token = xmlToken{kind: charData, text: x.plainNewlines(raw[len("<![CDATA["):])}
	return nil
}

func (x *xmlReader) skipComment() error {
	raw, err := x.take("-->", len("<!--"))
	if err == nil && (bytes.Contains(raw[len("<!--"):], []byte("--")) || bytes.HasSuffix(raw[len("<!--"):], []byte("-"))) {
		err = fmt.Errorf("got -- in a comment: %w", errXML)
	}
	return err
}

// skipDeclaration reads <?xml …?>, which may stand only at the start and name only UTF-8.
func (x *xmlReader) skipDeclaration() error {
	at := x.base + int64(x.pos)
	raw, err := x.take("?>", len("<?"))
	if err != nil {
		return err
	}
	rest, isXML := bytes.CutPrefix(raw, []byte("<?xml"))
	if !isXML || at != 0 {
		return fmt.Errorf("got instruction %.20q: %w", raw, errXML)
	}
	if err := x.parseAttrs(rest); err != nil {
		return err
	}
	declared := xmlToken{attrs: x.attrs}
	version, encoding := string(declared.attr("version")), string(declared.attr("encoding"))
	if version != "1.0" || encoding != "" && !strings.EqualFold(encoding, "utf-8") {
		return fmt.Errorf("got XML %q in %q, want 1.0 in UTF-8: %w", version, encoding, errXML)
	}
	return nil
}

func (x *xmlReader) readEnd() error {
	raw, err := x.take(">", len("</"))
	if err != nil {
		return err
	}
	return x.closeElement(bytes.TrimRight(raw[len("</"):], xmlSpace))
}

func (x *xmlReader) closeElement(name []byte) error {
	top := len(x.starts) - 1
	if top < 0 || !bytes.Equal(x.names[x.starts[top]:], name) {
		return fmt.Errorf("got unexpected end of element %q: %w", name, errXML)
	}
	x.token = xmlToken{kind: endElement, name: localName(name)}
	x.names, x.starts = x.names[:x.starts[top]], x.starts[:top]
	return nil
}

func (x *xmlReader) readStart() error {
	raw, err := x.takeTag()
	if err != nil {
		return err
	}
	raw, x.selfClose = bytes.CutSuffix(raw, []byte("/"))
	n := nameLength(raw)
	name := raw[:n]
	switch {
	case !validName(name):
		return fmt.Errorf("got element %.40q: %w", raw, errXML)
	case len(x.starts) == 0 && x.seenRoot:
		return fmt.Errorf("got a second root element %q: %w", name, errXML)
	case len(x.starts) == maxDepth:
		return fmt.Errorf("got elements nested more than %d deep: %w", maxDepth, errXML)
	}
	if err := x.parseAttrs(raw[n:]); err != nil {
		return err
	}
	x.seenRoot = true
	x.starts = append(x.starts, len(x.names))
	x.names = append(x.names, name...)
	x.token = xmlToken{kind: startElement, name: localName(name), attrs: x.attrs}
	return nil
}

// takeTag is what is between "<" and the ">" that ends the tag, which is not one within a quoted value.
func (x *xmlReader) takeTag() ([]byte, error) {
	// Nearly always the next one, outside of quotes.
	if i := bytes.IndexByte(x.buf[x.pos:x.end], '>'); i > 0 {
		raw := x.buf[x.pos+1 : x.pos+i]
		if bytes.Count(raw, []byte(`"`))%2 == 0 && bytes.IndexByte(raw, '\'') < 0 {
			x.pos += i + 1
			return raw, checkChars(raw)
		}
	}
	var quote byte
	for i := 1; ; i++ {
		if x.pos+i == x.end {
			if err := x.fill(); err != nil {
				return nil, unexpectedEOF(err)
			}
		}
		switch c := x.buf[x.pos+i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			raw := x.buf[x.pos+1 : x.pos+i]
			x.pos += i + 1
			return raw, checkChars(raw)
		}
	}
}
