package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// kind is what a value is, in words that a message can use.
type kind string

const (
	kindMap   kind = "a mapping"
	kindList  kind = "a list"
	kindText  kind = "text"
	kindInt   kind = "a whole number"
	kindFloat kind = "a number"
	kindBool  kind = "true or false"
	kindNull  kind = "nothing"
)

// node is one value of a YAML document. The tree keeps what the schema needs and nothing of the library's: scalars as
// the text they were written with, so that 1.10 stays 1.10.
type node struct {
	kind  kind
	text  string // of a scalar
	line  int
	col   int
	field string
	pairs []pair  // of a mapping, in file order, keys unique
	items []*node // of a list
}

// pair is one key of a mapping.
type pair struct {
	key       string
	line, col int
	value     *node
}

// lookup returns the value of a key; nil when it is not there, or n is no mapping.
func (n *node) lookup(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// walk calls f for n and all below it, in file order.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, p := range n.pairs {
		p.value.walk(f)
	}
	for _, c := range n.items {
		c.walk(f)
	}
}

const (
	maxDepth = 32 // levels; the deepest of the schema is 5
	maxText  = 64 // characters of a key that a message may repeat
)

// grow reads one YAML document into a tree. The subset is YAML without anchors, aliases, merge keys, tags, directives
// and complex keys, and with one document. A tree comes back with any error that leaves one to look at, so that the
// caller can report its own problems beside these; nil means that the text is no YAML.
//
// The library's tokens are checked before its parser sees them: its time grows with the square of the depth, and its
// decoder would follow aliases and drop what a second document says.
func grow(file string, src []byte, limit int) (*node, Errors) {
	g := grower{file: file}
	if len(src) > limit {
		g.fail(1, 0, "", fmt.Sprintf("got %d bytes, want at most %d", len(src), limit))
		return nil, g.errs
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if line := badText(src); line > 0 {
		g.fail(line, 0, "", "not text in UTF-8 without control characters")
		return nil, g.errs
	}
	tokens := lexer.Tokenize(string(src))
	if !g.scan(tokens) {
		return nil, g.errs
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		g.syntax(err)
		return nil, g.errs
	}
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		return g.value(doc.Body, "", 0), g.errs
	}
	g.fail(1, 1, "", "the file is empty")
	return nil, g.errs
}

// badText returns the first line that holds a byte that no text has, or 0.
func badText(src []byte) int {
	for i, line := range bytes.Split(src, []byte("\n")) {
		if !utf8.Valid(line) || bytes.ContainsFunc(bytes.TrimSuffix(line, []byte("\r")), isControl) {
			return i + 1
		}
	}
	return 0
}

// isControl tells the characters that have no business in a configuration: C0 but tab, DEL, C1, and those that turn
// the direction of text around, which make a file read otherwise than it is.
func isControl(r rune) bool {
	switch {
	case r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

type grower struct {
	file string
	errs Errors
}

func (g *grower) fail(line, col int, field, what string) {
	g.errs = append(g.errs, &Error{File: g.file, Line: line, Col: col, Field: field, What: what})
}

// scan refuses what the subset leaves out. It reports false where the parser must not see the tokens.
func (g *grower) scan(tokens token.Tokens) bool {
	if bad := tokens.InvalidToken(); bad != nil {
		g.fail(bad.Position.Line, bad.Position.Column, "", "not YAML: "+unquoted(bad.Error))
		return false
	}
	depth, content, parse := 0, false, true
	for _, t := range tokens {
		no := func(what string) {
			g.fail(t.Position.Line, t.Position.Column, "", what)
			parse = false
		}
		switch t.Type {
		case token.AnchorType, token.AliasType:
			no("anchors and aliases are not allowed")
		case token.TagType:
			no("tags are not allowed")
		case token.MergeKeyType:
			no("merge keys are not allowed")
		case token.DirectiveType:
			no("directives are not allowed")
		case token.MappingKeyType:
			no("a key must be plain text")
		case token.DocumentHeaderType:
			if content {
				no("a second document is not allowed")
			}
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth == maxDepth {
				no("nested too deep")
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		content = content || t.Type != token.CommentType
	}
	return parse
}

// syntax reports the library's error without the source lines that it would print.
func (g *grower) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		g.fail(1, 1, "", "not YAML")
		return
	}
	at := e.GetToken().Position
	g.fail(at.Line, at.Column, "", "not YAML: "+unquoted(e.GetMessage()))
}

// unquoted cuts off a message of the library where it begins to quote the source.
func unquoted(msg string) string {
	if i := strings.IndexAny(msg, "\"`"); i >= 0 {
		msg = msg[:i] + "..."
	}
	return strings.TrimSpace(strings.ToValidUTF8(msg, ""))
}

// value turns a parsed node and all below it into ours.
func (g *grower) value(v ast.Node, field string, depth int) *node {
	at := v.GetToken().Position
	n := &node{line: at.Line, col: at.Column, field: field}
	if depth == maxDepth {
		g.fail(n.line, n.col, "", "nested too deep")
		n.kind = kindNull
		return n
	}
	switch v := v.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			// The library places a block mapping at its first colon.
			at := v.Values[0].Key.GetToken().Position
			n.line, n.col = at.Line, at.Column
		}
		g.mapping(n, v.Values, depth)
	case *ast.MappingValueNode:
		g.mapping(n, []*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		n.kind = kindList
		for i, item := range v.Values {
			n.items = append(n.items, g.value(item, fmt.Sprintf("%s[%d]", field, i), depth+1))
		}
	case *ast.StringNode:
		n.kind, n.text = kindText, v.Value
	case *ast.LiteralNode:
		n.kind, n.text = kindText, v.Value.Value
	case *ast.IntegerNode:
		n.kind, n.text = kindInt, v.GetToken().Value
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = kindFloat, v.GetToken().Value
	case *ast.BoolNode:
		n.kind, n.text = kindBool, v.GetToken().Value
	case *ast.NullNode:
		n.kind = kindNull
	default:
		g.fail(n.line, n.col, field, "this kind of value is not allowed")
		n.kind = kindNull
	}
	return n
}

// mapping fills n with keys and values; a key that is there already is reported and dropped.
func (g *grower) mapping(n *node, values []*ast.MappingValueNode, depth int) {
	n.kind = kindMap
	seen := make(map[string]int)
	for _, v := range values {
		at := v.Key.GetToken().Position
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			g.fail(at.Line, at.Column, n.field, "a key must be plain text")
			continue
		}
		p := pair{key: key.Value, line: at.Line, col: at.Column}
		field := join(n.field, p.key)
		if line, dup := seen[p.key]; dup {
			g.fail(p.line, p.col, field, fmt.Sprintf("duplicate key, first on line %d", line))
			continue
		}
		seen[p.key] = p.line
		p.value = g.value(v.Value, field, depth+1)
		n.pairs = append(n.pairs, p)
	}
}

// plainKey is what a message may repeat of a key: no more than a name can hold, so that no secret that slipped into
// the place of a key (`{password:x}`) is printed.
var plainKey = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9_-]{1,%d}$`, maxText))

// join appends a key to a field path.
func join(field, key string) string {
	if !plainKey.MatchString(key) {
		key = "?"
	}
	if field == "" {
		return key
	}
	return field + "." + key
}

// sorted puts problems in file order; those of one place stay as they came.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return e
}
