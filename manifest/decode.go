package manifest

import (
	"slices"
	"strconv"
	"strings"
)

// check looks at a value and says what is wrong with it; "" when nothing is. It never repeats the value.
type check func(string) string

// decoder turns a tree into typed values and gathers every problem on the way. The same decoding runs twice: while
// parsing, without values, when whatever holds a reference stays unchecked; and for a verb, with them.
type decoder struct {
	file   string
	value  func(name string) (string, bool) // nil while parsing
	used   map[string]string                // the variables that were expanded, where somebody asks
	errs   Errors
	leaky  map[int]bool      // lines on which leaks has reported what a check would report again
	folded map[string]string // artifact paths and their folders, folded, to their spelling
}

func (d *decoder) fail(n *node, what string) {
	d.errs = append(d.errs, &Error{File: d.file, Line: n.line, Col: n.col, Field: n.field, What: what})
}

// err returns what was gathered, in file order.
func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	return d.errs.sorted()
}

// is reports whether n has the kind, and complains when it has another. A nil node is a key that is not there.
func (d *decoder) is(n *node, want kind) bool {
	switch {
	case n == nil || n.kind == kindBad:
		return false
	case n.kind == want:
		return true
	case want == kindText && n.kind != kindMap && n.kind != kindList && n.kind != kindNull:
		d.fail(n, "got "+string(n.kind)+", want text: quote it")
	default:
		d.fail(n, "got "+string(n.kind)+", want "+string(want))
	}
	return false
}

// object checks that n is a mapping that holds no key but these; each of need must be there. It returns n, or nil
// where there is nothing to look into.
func (d *decoder) object(n *node, need []string, may ...string) *node {
	if !d.is(n, kindMap) {
		return nil
	}
	known := slices.Concat(need, may)
	for _, p := range n.pairs {
		if !slices.Contains(known, p.key) {
			at := &node{line: p.line, col: p.col, field: join(n.field, p.key)}
			d.fail(at, "unknown key, want one of "+strings.Join(known, ", "))
		}
	}
	for _, key := range need {
		if n.lookup(key) == nil {
			d.fail(&node{line: n.line, col: n.col, field: join(n.field, key)}, "missing")
		}
	}
	return n
}

// list returns the items of a list.
func (d *decoder) list(n *node) []*node {
	if !d.is(n, kindList) {
		return nil
	}
	return n.items
}

// text decodes a text value: references are replaced, then c looks at the result. It returns "" for what is absent,
// wrong, or not known yet.
func (d *decoder) text(n *node, c check) string {
	if !d.is(n, kindText) {
		return ""
	}
	s, ok := d.expand(n)
	if !ok || !d.passes(n, s, c) {
		return ""
	}
	return s
}

// literal decodes a text value that may not hold references: the name of a thing that is looked up before variables
// are known, or of a file that the bundle carries.
func (d *decoder) literal(n *node, c check) string {
	if !d.is(n, kindText) {
		return ""
	}
	if strings.Contains(n.text, "${") {
		d.fail(n, "a variable is not allowed here")
		return ""
	}
	if !d.passes(n, n.text, c) {
		return ""
	}
	return n.text
}

func (d *decoder) passes(n *node, s string, c check) bool {
	what := c(s)
	if what != "" && !d.leaky[n.line] {
		d.fail(n, what)
	}
	return what == ""
}

// texts decodes a list of text values. What is wrong or not known yet is left out.
func (d *decoder) texts(n *node, c check) []string {
	var out []string
	for _, item := range d.list(n) {
		if s := d.text(item, c); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// literals is texts without references.
func (d *decoder) literals(n *node, c check) []string {
	var out []string
	for _, item := range d.list(n) {
		if s := d.literal(item, c); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// number decodes a whole number from low to high, or text that a reference makes one. It returns old when n is absent.
func (d *decoder) number(n *node, old, low, high int) int {
	s, ok := d.scalar(n, kindInt)
	if !ok {
		return old
	}
	i, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(i) != s || i < low || i > high {
		d.fail(n, "want a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
		return old
	}
	return i
}

// truth decodes true or false, or text that a reference makes one. It returns old when n is absent.
func (d *decoder) truth(n *node, old bool) bool {
	s, ok := d.scalar(n, kindBool)
	if !ok {
		return old
	}
	if s != "true" && s != "false" {
		d.fail(n, "want true or false")
		return old
	}
	return s == "true"
}

// scalar returns the text of a value of kind want; text takes its place when it holds a reference.
func (d *decoder) scalar(n *node, want kind) (string, bool) {
	if n != nil && n.kind == kindText && strings.Contains(n.text, "${") {
		return d.expand(n)
	}
	if !d.is(n, want) {
		return "", false
	}
	return n.text, true
}
