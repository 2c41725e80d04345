package rpm

import (
	"errors"
	"fmt"
	"strings"
)

// tree is a dependency in its parts: rpm's "boolean dependencies" (rpm 4.13 and later, docs/manual/boolean_dependencies.md
// of its source). A plain dependency is a leaf.
type tree struct {
	op   string // "", "and", "or", "if", "unless", "with" or "without"
	dep  Dep    // of a leaf
	args []*tree
}

// maxRich bounds the depth of a rich dependency. Real ones have two or three levels.
const maxRich = 32

var errRich = errors.New("reading rich dependency")

// parseRich reads a dependency, rich or plain. What it returns has as many operands as its operator takes: two, of "and",
// "or" and "with" more, and a third of "if" and "unless" is what stands after "else".
func parseRich(d Dep) (*tree, error) {
	if !strings.HasPrefix(d.Name, "(") {
		return &tree{dep: d}, nil
	}
	p := richParser{rest: d.Name}
	r, err := p.expression(0)
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%w: got %.40q after its end", errRich, p.rest)
	}
	return r, err
}

type richParser struct{ rest string }

// expression reads "(operand operator operand …)", or a leaf.
func (p *richParser) expression(depth int) (*tree, error) {
	if depth > maxRich {
		return nil, fmt.Errorf("%w: got more than %d levels", errRich, maxRich)
	}
	p.space()
	rest, found := strings.CutPrefix(p.rest, "(")
	if !found {
		return p.leaf()
	}
	p.rest = rest
	first, err := p.expression(depth + 1)
	if err != nil {
		return nil, err
	}
	r := &tree{args: []*tree{first}}
	for {
		p.space()
		if rest, found := strings.CutPrefix(p.rest, ")"); found {
			p.rest = rest
			return r.done()
		}
		if err := r.join(p.word()); err != nil {
			return nil, err
		}
		next, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		r.args = append(r.args, next)
	}
}

// join takes the operator before another operand.
func (r *tree) join(op string) error {
	switch op {
	case "and", "or", "with":
		if r.op == "" || r.op == op {
			r.op = op
			return nil
		}
	case "if", "unless", "without":
		if r.op == "" {
			r.op = op
			return nil
		}
	case "else":
		if (r.op == "if" || r.op == "unless") && len(r.args) == 2 {
			return nil
		}
	}
	return fmt.Errorf("%w: got operator %.40q after %q", errRich, op, r.op)
}

// done is the expression when its closing parenthesis was read: one operand in parentheses is that operand.
func (r *tree) done() (*tree, error) {
	if r.op == "" {
		return r.args[0], nil
	}
	return r, nil
}

// leaf reads a name, in which parentheses are in pairs, and a comparison if one follows.
func (p *richParser) leaf() (*tree, error) {
	name := p.word()
	if name == "" {
		return nil, fmt.Errorf("%w: got %.40q, want a name", errRich, p.rest)
	}
	d := Dep{Name: name}
	before := p.rest
	p.space()
	flags, err := parseOperator(p.word())
	if err != nil || flags == 0 {
		p.rest = before
		return &tree{dep: d}, nil
	}
	p.space()
	version := p.word()
	if version == "" {
		return nil, fmt.Errorf("%w: got no version of %q", errRich, name)
	}
	evr := ParseEVR(version)
	d.EVR, d.Flags = &evr, flags
	return &tree{dep: d}, nil
}

// word reads up to white space or a parenthesis that closes what it did not open.
func (p *richParser) word() string {
	open := 0
	for i, c := range p.rest {
		switch {
		case c == '(':
			open++
		case c == ')' && open > 0:
			open--
		case c == ')' || c == ' ' || c == '\t':
			word := p.rest[:i]
			p.rest = p.rest[i:]
			return word
		}
	}
	word := p.rest
	p.rest = ""
	return word
}

func (p *richParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// leaves are the plain dependencies in t, none of nil.
func (t *tree) leaves() []*tree {
	if t == nil {
		return nil
	}
	if t.op == "" {
		return []*tree{t}
	}
	var out []*tree
	for _, arg := range t.args {
		out = append(out, arg.leaves()...)
	}
	return out
}
