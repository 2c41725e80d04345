package modulemd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
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
	full bool // there is more than space and comments
}

func (d *document) add(row []byte) {
	d.text = append(d.text, row...)
	row = bytes.TrimSpace(row)
	d.full = d.full || len(row) > 0 && row[0] != '#'
}

// split cuts a stream of documents at its markers. "---" and "..." at the beginning of a line are markers wherever they
// stand, inside of quoted and block text, too (YAML 1.2, 9.1.2). Cut apart, a document costs the parser no more than its own
// size, and one that cannot be used costs no other. Directives are left out; none changes what is read here.
func split(src []byte) iter.Seq[document] {
	return func(yield func(document) bool) {
		cur, line := document{line: 1}, 0
		for row := range bytes.Lines(src) {
			line++
			switch {
			case isMarker(row, "---"):
				if cur.full && !yield(cur) {
					return
				}
				cur = document{line: line, text: []byte("   ")}
				cur.add(row[3:])
			case isMarker(row, "..."):
				if cur.full && !yield(cur) {
					return
				}
				cur = document{line: line + 1}
			case row[0] == '%' && !cur.full:
				cur.add([]byte("\n"))
			default:
				cur.add(row)
			}
		}
		if cur.full {
			yield(cur)
		}
	}
}

func isMarker(row []byte, marker string) bool {
	rest, found := bytes.CutPrefix(row, []byte(marker))
	return found && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
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
