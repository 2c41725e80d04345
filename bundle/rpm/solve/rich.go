package solve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// rich is a rich ("boolean") dependency in its parts: rpm's docs/manual/boolean_dependencies.md. A chain such as
// (A and B and C) nests to the right, and "else" is the right side of "if" and "unless".
type rich struct {
	op          string // "" for a leaf, else "and", "or", "if", "unless", "else", "with" or "without"
	leaf        depID
	left, right *rich
}

// maxRich bounds the depth of a rich dependency. Real ones have two or three levels.
const maxRich = 100

var errRich = errors.New("reading rich dependency")

// parseRich reads a rich dependency. It takes what libsolv takes, which is a little more than rpm does.
func (p *Pool) parseRich(text string) (*rich, error) {
	r := richReader{rest: text, leaf: p.depOf}
	tree, err := r.group(1)
	if err == nil && r.rest != "" {
		err = fmt.Errorf("%w: got %.40q after its end", errRich, r.rest)
	}
	return tree, err
}

type richReader struct {
	rest string
	leaf func(rpm.Dep) depID
}

// group reads "(operand operator operand …)".
func (r *richReader) group(depth int) (*rich, error) {
	rest, found := strings.CutPrefix(r.rest, "(")
	if !found {
		return nil, fmt.Errorf("%w: got %.40q, want an opening parenthesis", errRich, r.rest)
	}
	r.rest = rest
	return r.chain("", depth)
}

// chain reads operands up to the closing parenthesis. after is the operator before the first one.
func (r *richReader) chain(after string, depth int) (*rich, error) {
	if depth > maxRich {
		return nil, fmt.Errorf("%w: got more than %d levels", errRich, maxRich)
	}
	r.space()
	var left *rich
	var err error
	if strings.HasPrefix(r.rest, "(") {
		left, err = r.group(depth + 1)
	} else {
		left, err = r.operand()
	}
	if err != nil {
		return nil, err
	}
	r.space()
	if rest, found := strings.CutPrefix(r.rest, ")"); found {
		r.rest = rest
		return left, nil
	}
	op, rest, _ := strings.Cut(r.rest, " ")
	if !follows(after, op) {
		return nil, fmt.Errorf("%w: got operator %.40q after %q", errRich, op, after)
	}
	r.rest = rest
	right, err := r.chain(op, depth+1)
	if err != nil {
		return nil, err
	}
	return &rich{op: op, left: left, right: right}, nil
}

// follows says whether op may come after another operator without parentheses between.
func follows(after, op string) bool {
	if !slices.Contains([]string{"and", "or", "if", "unless", "else", "with", "without"}, op) {
		return false
	}
	return after == "" || after == op || op == "else" && (after == "if" || after == "unless")
}

// operand reads a name, in which parentheses are in pairs, and a comparison if one follows.
func (r *richReader) operand() (*rich, error) {
	name := r.word()
	if name == "" {
		return nil, fmt.Errorf("%w: got %.40q, want a name", errRich, r.rest)
	}
	d := rpm.Dep{Name: name}
	r.space()
	for r.rest != "" {
		flag := compareFlag(r.rest[0])
		if flag == 0 {
			break
		}
		d.Flags |= flag
		r.rest = r.rest[1:]
	}
	if d.Flags != 0 {
		r.space()
		version := r.word()
		if version == "" {
			return nil, fmt.Errorf("%w: got no version of %.40q", errRich, name)
		}
		evr := rpm.ParseEVR(version)
		d.EVR = &evr
	}
	return &rich{leaf: r.leaf(d)}, nil
}

func compareFlag(c byte) rpm.Flags {
	switch c {
	case '<':
		return rpm.Less
	case '>':
		return rpm.Greater
	case '=':
		return rpm.Equal
	}
	return 0
}

// word reads up to a space, a comma or a parenthesis that closes what it did not open.
func (r *richReader) word() string {
	open := 0
	end := len(r.rest)
scan:
	for i := range len(r.rest) {
		switch c := r.rest[i]; {
		case c == '(':
			open++
		case c == ')' && open > 0:
			open--
		case c == ')' || c == ' ' || c == ',':
			end = i
			break scan
		}
	}
	word := r.rest[:end]
	r.rest = r.rest[end:]
	return word
}

func (r *richReader) space() { r.rest = strings.TrimLeft(r.rest, " ") }

// leaves adds the plain dependencies in t.
func (t *rich) leaves(to []depID) []depID {
	if t == nil {
		return to
	}
	if t.op == "" {
		return append(to, t.leaf)
	}
	return t.right.leaves(t.left.leaves(to))
}

// otherwise are the two parts of what is right of "if" or "unless": the condition, and what is after "else" or nil.
func (t *rich) otherwise() (condition, other *rich) {
	if t.right.op == "else" {
		return t.right.left, t.right.right
	}
	return t.right, nil
}

// complex says whether a dependency takes more than one of a set of packages: then it has to be brought to normal form.
func (t *rich) complex() bool {
	switch {
	case t == nil:
		return false
	case t.op == "and" || t.op == "if" || t.op == "unless":
		return true
	case t.op != "or":
		return false
	}
	return t.left.complex() || t.right.complex()
}

// richProviders are the packages that meet t, or a part of it where it is complex.
func (p *Pool) richProviders(t *rich) []pid {
	if t == nil {
		return nil
	}
	switch t.op {
	case "":
		return p.providers(t.leaf)
	case "with", "without":
		return filter(p.richProviders(t.left), p.richProviders(t.right), t.op == "with")
	case "and", "or":
		return union(p.richProviders(t.left), p.richProviders(t.right))
	case "if", "unless":
		_, other := t.otherwise()
		return union(p.richProviders(t.left), p.richProviders(other))
	}
	return nil
}
