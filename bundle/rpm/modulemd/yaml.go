package modulemd

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
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

const (
	maxDepth  = 64  // levels
	maxIndent = 256 // columns before the first word of a line
)

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

// parse reads a document into a tree; nil for one without content. An error says that it is no YAML.
func (d document) parse() (*node, error) {
	if !utf8.Valid(d.text) || bytes.IndexByte(d.text, 0) >= 0 {
		return nil, fmt.Errorf("reading the document at line %d: want text in UTF-8", d.line)
	}
	tokens := lexer.Tokenize(string(d.text))
	if err := d.checkTokens(tokens); err != nil {
		return nil, err
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if !errors.As(err, &e) || e.GetToken() == nil {
			return nil, fmt.Errorf("reading the document at line %d: not YAML", d.line)
		}
		return nil, d.errorAt(e.GetToken(), "not YAML: "+e.GetMessage())
	}
	for _, doc := range f.Docs {
		if doc.Body != nil {
			return grow(doc.Body, 0)
		}
	}
	return nil, nil
}

// checkTokens refuses what would take the parser long or deep: its time grows with the square of the depth.
func (d document) checkTokens(tokens token.Tokens) error {
	if bad := tokens.InvalidToken(); bad != nil {
		return d.errorAt(bad, "not YAML: "+bad.Error)
	}
	flow, dashes, row := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		first := t.Position.Line != row
		row = t.Position.Line
		switch {
		case t.Type == token.SequenceEntryType && !first:
			dashes++
		case first:
			dashes = 0
		}
		if flow > maxDepth || dashes > maxDepth || flow == 0 && first && t.Position.Column > maxIndent {
			return d.errorAt(t, "nested too deep")
		}
	}
	return nil
}

// errorAt places a problem in the file. What the source says there is not repeated: it may be long, or not for terminals.
func (d document) errorAt(t *token.Token, what string) error {
	if i := strings.IndexAny(what, "\"`'\n"); i >= 0 {
		what = strings.TrimSpace(what[:i])
	}
	return fmt.Errorf("reading line %d: %s", d.line+t.Position.Line-1, what)
}

var errDeep = errors.New("nested too deep")

// grow turns a parsed value and all below it into ours.
func grow(v ast.Node, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch v := v.(type) {
	case *ast.MappingNode:
		return growMap(v.Values, depth)
	case *ast.MappingValueNode:
		return growMap([]*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		n := &node{kind: kindList}
		for _, item := range v.Values {
			child, err := grow(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, child)
		}
		return n, nil
	case *ast.AnchorNode:
		return grow(v.Value, depth+1)
	case *ast.TagNode:
		return grow(v.Value, depth+1)
	case *ast.AliasNode, *ast.MergeKeyNode:
		return &node{kind: kindOther}, nil
	}
	return &node{kind: kindScalar, text: scalar(v)}, nil
}

func growMap(values []*ast.MappingValueNode, depth int) (*node, error) {
	n := &node{kind: kindMap}
	for _, v := range values {
		child, err := grow(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		n.keys = append(n.keys, scalar(v.Key))
		n.items = append(n.items, child)
	}
	return n, nil
}

// scalar is the text of a scalar. A value that is not there is the empty text.
func scalar(v ast.Node) string {
	switch v := v.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	case *ast.NullNode:
		if v.Token != nil && v.Token.Type == token.ImplicitNullType {
			return ""
		}
	case *ast.MappingKeyNode:
		return scalar(v.Value)
	}
	if t := v.GetToken(); t != nil {
		return t.Value
	}
	return ""
}
