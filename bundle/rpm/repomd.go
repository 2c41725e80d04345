package rpm

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// record is one file that repomd.xml names.
type record struct {
	kind     string // "primary", "filelists", ...
	href     string
	digest   Digest // as stored
	open     Digest // uncompressed; Type "" when not given
	size     int64  // bytes; negative when not given
	openSize int64
	problem  error // why it cannot be used; it counts when somebody wants to
}

// parseRepomd reads repomd.xml. Records of one kind may come in several forms (xml, zchunk, sqlite under other kinds); the
// first of a kind counts, as in dnf.
func parseRepomd(r io.Reader) (map[string]record, error) {
	records := map[string]record{}
	var current *record
	var text strings.Builder
	digestType := ""
	err := walkXML(r, func(t xml.Token) error {
		switch t := t.(type) {
		case xml.StartElement:
			text.Reset()
			switch t.Name.Local {
			case "data":
				current = &record{kind: attr(t, "type"), size: -1, openSize: -1}
			case "checksum", "open-checksum":
				digestType = attr(t, "type")
			case "location":
				if current != nil {
					current.href = attr(t, "href")
				}
			}
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if current == nil {
				return nil
			}
			if t.Name.Local == "data" {
				if _, seen := records[current.kind]; !seen {
					records[current.kind] = current.checked()
				}
				current = nil
				return nil
			}
			current.set(t.Name.Local, strings.TrimSpace(text.String()), digestType)
		}
		return nil
	})
	return records, err
}

func (r *record) set(element, text, digestType string) {
	var err error
	switch element {
	case "checksum":
		r.digest, err = parseDigest(digestType, text)
	case "open-checksum":
		r.open, err = parseDigest(digestType, text)
	case "size":
		r.size, err = parseSize(text)
	case "open-size":
		r.openSize, err = parseSize(text)
	}
	if r.problem == nil {
		r.problem = err
	}
}

// checked is r with what it lacks as its problem.
func (r *record) checked() record {
	if r.problem == nil {
		r.problem = checkHref(r.href)
	}
	if r.problem == nil && r.digest.Type == "" {
		r.problem = errors.New("no checksum")
	}
	return *r
}

// checkHref refuses what would lead out of the repository.
func checkHref(href string) error {
	if href == "" || href != path.Clean(href) || path.IsAbs(href) || strings.HasPrefix(href, "..") || strings.ContainsAny(href, ":\\?#") {
		return fmt.Errorf("got location %q, want a clean relative path", href)
	}
	return nil
}

func parseDigest(kind, text string) (Digest, error) {
	d := Digest{Type: kind, Hex: strings.ToLower(text)}
	sum, err := d.NewHash()
	if err != nil {
		return Digest{}, err
	}
	if len(d.Hex) != 2*sum.Size() || strings.Trim(d.Hex, "0123456789abcdef") != "" {
		return Digest{}, fmt.Errorf("got %s %q, want %d hexadecimal digits", kind, text, 2*sum.Size())
	}
	return d, nil
}

func parseSize(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("got size %q, want a whole number of bytes", text)
	}
	return int64(n), nil
}

// maxTokenBytes bounds one XML token, and so the memory that one takes: the longest real ones are descriptions.
const maxTokenBytes = 4 << 20

var errTokenTooLong = errors.New("XML token too long")

// tokenLimit fails a read that would take a token beyond maxTokenBytes. encoding/xml itself has no bound.
type tokenLimit struct {
	r    io.Reader
	left int
}

func (l *tokenLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTokenTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// walkXML calls visit for every token of a whole, well nested document. The token is valid until visit returns.
func walkXML(r io.Reader, visit func(xml.Token) error) error {
	limit := &tokenLimit{r: r}
	dec := xml.NewDecoder(limit)
	var open []string
	seen := false
	for {
		limit.left = maxTokenBytes
		t, err := dec.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(open) == 0 && seen {
				return fmt.Errorf("got a second root element %q", t.Name.Local)
			}
			seen = true
			open = append(open, t.Name.Local)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != t.Name.Local {
				return fmt.Errorf("got unexpected end of element %q", t.Name.Local)
			}
			open = open[:len(open)-1]
		}
		if err := visit(t); err != nil {
			return fmt.Errorf("at byte %d: %w", dec.InputOffset(), err)
		}
	}
	if len(open) > 0 || !seen {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
