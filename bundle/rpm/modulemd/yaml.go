package modulemd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// kind is what a YAML value is, in words that a message can use.
type kind string

const (
	kindMap    kind = "a mapping"
	kindList   kind = "a list"
	kindScalar kind = "a scalar"
	kindOther  kind = "an alias"
)

// node is one value of a document. Scalars are the text that they were written with, so that 1.10 stays 1.10; for
// libmodulemd there are no others.
type node struct {
	kind  kind
	text  string
	keys  []string // of a mapping, in file order, beside items
	items []*node
}

// lookup returns the value of a key, of the last where it is there twice; nil when it is not there, or n is no mapping.
func (n *node) lookup(key string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.keys) - 1; i >= 0; i-- {
		if n.keys[i] == key {
			return n.items[i]
		}
	}
	return nil
}

// maxDepth bounds the levels of a document.
const maxDepth = 64

// document is the text of one YAML document.
type document struct {
	line int // where text begins in the file, from 1
	text []byte
}

// split cuts a stream of documents at its markers. "---" and "..." at the beginning of a line are markers wherever they
// stand, inside of quoted and block text, too (YAML 1.2, 9.1.2). Cut apart, a document costs the parser no more than its own
// size, and one that cannot be used costs no other.
func split(src []byte) []document {
	var docs []document
	cur, closed := document{line: 1}, false
	flush := func(next int) {
		if hasContent(cur.text) || closed {
			docs = append(docs, cur)
		}
		cur, closed = document{line: next}, false
	}
	line := 0
	for len(src) > 0 {
		line++
		end := bytes.IndexByte(src, '\n') + 1
		if end == 0 {
			end = len(src)
		}
		row := src[:end]
		src = src[end:]
		switch {
		case isMarker(row, "---"):
			flush(line)
			cur.text = append(cur.text, "   "...)
			cur.text = append(cur.text, row[3:]...)
		case isMarker(row, "..."):
			flush(line + 1)
		case bytes.HasPrefix(row, []byte("%")) && !hasContent(cur.text):
			cur.text = append(cur.text, '\n') // a directive; none changes what is read here
		default:
			cur.text = append(cur.text, row...)
		}
	}
	flush(line)
	return docs
}

func isMarker(row []byte, marker string) bool {
	rest, found := bytes.CutPrefix(row, []byte(marker))
	return found && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// hasContent tells whether there is more than space and comments.
func hasContent(text []byte) bool {
	for row := range bytes.Lines(text) {
		if row = bytes.TrimSpace(row); len(row) > 0 && row[0] != '#' {
			return true
		}
	}
	return false
}

// parse reads a document into a tree; nil for one without content. An error says that it is no YAML. The reader is the one
// that libmodulemd has, libyaml, in Go.
func (d document) parse() (*node, error) {
	if !utf8.Valid(d.text) || bytes.IndexByte(d.text, 0) >= 0 {
		return nil, fmt.Errorf("reading the document at line %d: want text in UTF-8", d.line)
	}
	var root yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(d.text)).Decode(&root)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the document at line %d: %w", d.line, plainError(err))
	}
	n, err := grow(&root, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the document at line %d: %w", d.line, err)
	}
	return n, nil
}

// plainError leaves out what the reader's message quotes: it may be long, or not for terminals.
func plainError(err error) error {
	text := err.Error()
	if i := strings.IndexAny(text, "\"`'\n"); i >= 0 {
		text = strings.TrimSpace(text[:i])
	}
	return errors.New("not YAML: " + strings.TrimPrefix(text, "yaml: "))
}

// grow turns a parsed value and all below it into ours.
func grow(v *yaml.Node, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	n := &node{text: v.Value, kind: kindScalar}
	switch v.Kind {
	case yaml.DocumentNode:
		return grow(v.Content[0], depth)
	case yaml.MappingNode:
		n.kind = kindMap
	case yaml.SequenceNode:
		n.kind = kindList
	case yaml.AliasNode:
		n.kind = kindOther
		return n, nil
	}
	for i, child := range v.Content {
		if n.kind == kindMap && i%2 == 0 {
			n.keys = append(n.keys, child.Value)
			continue
		}
		item, err := grow(child, depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	return n, nil
}
