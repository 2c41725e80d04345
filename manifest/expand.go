package manifest

import (
	"strings"
)

// reference is one piece of a value: literal text, or the name of a variable.
type piece struct {
	text string
	name string // "" for literal text
}

// split takes a value apart. `${name}` refers to a variable and `$${` stands for `${`; any other dollar is itself, so
// that shell text like $1 or $(id) needs no escape. It says what is wrong where a reference is broken.
func split(s string) (pieces []piece, wrong string) {
	var text strings.Builder
	for s != "" {
		i := strings.Index(s, "${")
		if i < 0 {
			text.WriteString(s)
			break
		}
		if i > 0 && s[i-1] == '$' {
			text.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		text.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || !variable.MatchString(name) {
			return nil, "want ${name} with a name of a-z, 0-9 and _ (write $${ for a literal ${)"
		}
		if text.Len() > 0 {
			pieces = append(pieces, piece{text: text.String()})
			text.Reset()
		}
		pieces = append(pieces, piece{name: name})
		s = rest
	}
	if text.Len() > 0 {
		pieces = append(pieces, piece{text: text.String()})
	}
	return pieces, ""
}

// expand replaces the references of a value, once: what a variable holds is not looked at again. It reports false when
// the result is not known, because a reference is broken, its variable has no value, or this is the first pass.
func (d *decoder) expand(n *node) (string, bool) {
	pieces, wrong := split(n.text)
	if wrong != "" {
		d.fail(n, wrong)
		return "", false
	}
	var b strings.Builder
	known := true
	for _, p := range pieces {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		if Secret(p.name) {
			d.fail(n, "variable "+p.name+" is secret: only ssh.password may use one")
			known = false
			continue
		}
		s, ok := d.variable(n, p.name)
		b.WriteString(s)
		known = known && ok
	}
	return b.String(), known
}

// variable returns the value of a variable and notes that it was used.
func (d *decoder) variable(n *node, name string) (string, bool) {
	if d.value == nil {
		return "", false
	}
	s, ok := d.value(name)
	if !ok {
		d.fail(n, "variable "+name+" has no value: give it under vars, in a variable file or on the command line")
		return "", false
	}
	if d.used != nil {
		d.used[name] = s
	}
	return s, true
}

// password decodes the one value that a secret variable may fill: exactly one reference, to a variable that is secret
// by its name, or nothing.
func (d *decoder) password(n *node) string {
	if !d.is(n, kindText) || n.text == "" {
		return ""
	}
	pieces, _ := split(n.text)
	if len(pieces) != 1 || pieces[0].name == "" {
		d.fail(n, "want a variable alone, such as ${ssh_password}: the manifest is shipped inside the bundle")
		return ""
	}
	if !Secret(pieces[0].name) {
		d.fail(n, "variable "+pieces[0].name+" is not secret by its name: call it ssh_password or so")
		return ""
	}
	s, _ := d.variable(n, pieces[0].name)
	return s
}
