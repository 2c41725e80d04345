package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
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
	kindBad   kind = "" // reported already
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

// list returns the items of a list; none for anything else.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

const (
	maxDepth = 32  // levels; the deepest of the schema is 5
	maxText  = 64  // characters of a key that a message may repeat
	maxOdd   = 100 // odd tokens before the rest is not worth a look

	secondDocument = "a second document is not allowed"
	textKey        = "a key must be plain text"
)

// grow reads one YAML document into a tree. The subset is YAML with text keys and without anchors, aliases, merge keys,
// tags and directives. A tree comes back beside errors where there is one to look at, so that the caller can report its
// own problems with these; nil means that the text is no YAML.
//
// The library's tokens are looked at before its parser sees them, for two reasons: its time grows with the square of the
// depth, and its tree tells less than the tokens do about what was left out.
func grow(file string, src []byte, limit int) (*node, Errors) {
	g := grower{file: file}
	if len(src) > limit {
		g.fail(1, 0, "", fmt.Sprintf("got %d bytes, want at most %d", len(src), limit))
		return nil, g.errs
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")) // the library counts these twice in quoted text
	if line := badText(src); line > 0 {
		g.fail(line, 0, "", "want text in UTF-8 without tabs, control and invisible characters")
		return nil, g.errs
	}
	tokens := lexer.Tokenize(string(src))
	if !g.scan(tokens) {
		return nil, g.errs
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		g.errs = nil // a syntax error comes alone: what surrounds it may be read wrongly
		g.syntax(err)
		return nil, g.errs
	}
	return g.document(f), g.errs
}

// badText returns the first line that holds a character that no text has, or a tab, or 0. The library drops some tabs.
func badText(src []byte) int {
	for i, line := range bytes.Split(src, []byte("\n")) {
		if !isText(string(line)) {
			return i + 1
		}
	}
	return 0
}

// isText tells whether s is UTF-8 that a terminal shows as it is: no control character, no line separator, nothing
// invisible such as a change of direction.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

type grower struct {
	file string
	errs Errors
}

func (g *grower) fail(line, col int, field, what string) {
	g.errs = append(g.errs, &Error{File: g.file, Line: line, Col: col, Field: field, What: what})
}

// once is fail for what the tokens mostly have told already: one problem a place is enough.
func (g *grower) once(at *token.Position, field, what string) {
	if !slices.ContainsFunc(g.errs, func(e *Error) bool { return e.Line == at.Line }) {
		g.fail(at.Line, at.Column, field, what)
	}
}

// scan reports what the subset leaves out. It returns false where the parser must not see the tokens.
func (g *grower) scan(tokens token.Tokens) bool {
	if bad := tokens.InvalidToken(); bad != nil {
		g.fail(bad.Position.Line, bad.Position.Column, "", "not YAML: "+unquoted(bad.Error))
		return false
	}
	flow, dashes, content, directive := 0, 0, false, false
	for i, t := range tokens {
		at := t.Position
		if what := odd(tokens, i); what != "" {
			g.fail(at.Line, at.Column, "", what)
		}
		switch t.Type {
		case token.DirectiveType:
			directive = true
		case token.DocumentHeaderType:
			if content && !directive {
				g.fail(at.Line, at.Column, "", secondDocument)
			}
			directive = false
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		if dashes++; t.Type != token.SequenceEntryType || i > 0 && tokens[i-1].Position.Line != at.Line {
			dashes = 0
		}
		if flow > maxDepth || dashes > maxDepth {
			g.fail(at.Line, at.Column, "", "nested too deep")
			return false
		}
		if len(g.errs) > maxOdd {
			return false
		}
		content = content || t.Type != token.CommentType
	}
	return true
}

// odd says what is wrong with a token by itself: what the subset leaves out, and what the library reads otherwise than
// YAML says (found by comparing it with another reader).
func odd(tokens token.Tokens, i int) string {
	t := tokens[i]
	switch t.Type {
	case token.AnchorType, token.AliasType:
		return "anchors and aliases are not allowed"
	case token.TagType:
		return "tags are not allowed"
	case token.MergeKeyType:
		return "merge keys are not allowed"
	case token.DirectiveType:
		return "directives are not allowed"
	case token.MappingKeyType:
		return textKey
	case token.StringType:
		block := i > 0 && (tokens[i-1].Type == token.LiteralType || tokens[i-1].Type == token.FoldedType)
		if t.Value == "?" {
			return textKey
		}
		if !block && strings.Contains(strings.TrimSpace(t.Origin), "\n") {
			return "want text of several lines quoted, or as a block behind | or >"
		}
	case token.LiteralType, token.FoldedType:
		if strings.Trim(t.Value, "|>-") != "" {
			return "want a block to begin with |, |-, > or >-"
		}
	case token.MappingValueType:
		if glued(tokens, i) {
			return "want a space after the colon"
		}
	}
	return ""
}

// glued tells a colon that follows a plain key and has its value right behind it, as in {a:b}. To YAML that is no colon
// but part of a key; the library takes it for one.
func glued(tokens token.Tokens, colon int) bool {
	if colon == 0 || colon+1 == len(tokens) {
		return false
	}
	switch tokens[colon-1].Type {
	case token.DoubleQuoteType, token.SingleQuoteType:
		return false
	}
	at, next := tokens[colon].Position, tokens[colon+1]
	switch next.Type {
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
		return false
	}
	return next.Position.Line == at.Line && next.Position.Column == at.Column+1
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
	return strings.NewReplacer("\t", `\t`, "\n", `\n`).Replace(strings.TrimSpace(strings.ToValidUTF8(msg, "")))
}

// document returns the one document of a file; nil, with an error, when there is none.
func (g *grower) document(f *ast.File) *node {
	var root *node
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			at := doc.Body.GetToken().Position
			if !slices.ContainsFunc(g.errs, func(e *Error) bool { return e.What == secondDocument }) {
				g.fail(at.Line, at.Column, "", secondDocument)
			}
			break
		}
		root = g.value(doc.Body, "", 0)
	}
	if root == nil && len(g.errs) == 0 {
		g.fail(1, 1, "", "the file is empty")
	}
	return root
}

// value turns a parsed node and all below it into ours.
func (g *grower) value(v ast.Node, field string, depth int) *node {
	at := v.GetToken().Position
	n := &node{line: at.Line, col: at.Column, field: field}
	if depth > maxDepth {
		g.fail(n.line, n.col, "", "nested too deep")
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
		n.kind, n.text = kindInt, v.Token.Value
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind = kindFloat
	case *ast.BoolNode:
		n.kind, n.text = kindBool, v.Token.Value
	case *ast.NullNode:
		n.kind = kindNull
	case *ast.AnchorNode:
		g.once(at, field, "anchors and aliases are not allowed")
		return g.value(v.Value, field, depth+1)
	case *ast.TagNode:
		g.once(at, field, "tags are not allowed")
	default:
		g.once(at, field, "this kind of value is not allowed")
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
			g.once(at, n.field, textKey)
			continue
		}
		field := join(n.field, key.Value)
		if line, dup := seen[key.Value]; dup {
			g.fail(at.Line, at.Column, field, fmt.Sprintf("duplicate key, first on line %d", line))
			continue
		}
		seen[key.Value] = at.Line
		n.pairs = append(n.pairs, pair{key.Value, at.Line, at.Column, g.value(v.Value, field, depth+1)})
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
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return e
}
