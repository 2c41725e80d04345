package solve

import (
	"cmp"
	"fmt"
	"slices"
)

// lit is a literal: a package that is there, or with a minus one that is not.
type lit = int32

// normal is a dependency in normal form. As a conjunction every block must have a literal that holds; as a disjunction
// one block must hold with all of its literals. Blocks are sorted.
type normal struct {
	truth  truth
	blocks [][]lit
}

// truth says that a normal form holds whatever is installed, or never, or by its blocks.
type truth int8

const (
	byBlocks truth = iota
	never
	always
)

// invert turns a conjunction into the disjunction of its opposite, and the other way round.
func (n normal) invert() normal {
	switch n.truth {
	case never:
		return normal{truth: always}
	case always:
		return normal{truth: never}
	}
	out := normal{blocks: make([][]lit, len(n.blocks))}
	for i, block := range n.blocks {
		turned := make([]lit, len(block))
		for k, l := range block {
			turned[len(block)-1-k] = -l
		}
		out.blocks[i] = turned
	}
	return out
}

// maxBlocks bounds a normal form: nested dependencies can make it grow without measure. Real ones have some ten blocks.
const maxBlocks = 1 << 18

var errLarge = fmt.Errorf("%w: got more than %d parts in normal form", errRich, maxBlocks)

// distribute combines each block of a with each of b (the distributive law). A block that holds a literal and its
// opposite says nothing and goes.
func (p *Pool) distribute(a, b normal, disjunction bool) normal {
	var out normal
	if len(a.blocks)*len(b.blocks) > maxBlocks {
		p.err = cmp.Or(p.err, errLarge)
		return normal{truth: never}
	}
	for _, x := range a.blocks {
		for _, y := range b.blocks {
			if block := union(x, y); !contradicts(block) {
				out.blocks = append(out.blocks, slices.Clone(block))
			}
		}
	}
	if len(out.blocks) == 0 {
		out.truth = always
		if disjunction {
			out.truth = never
		}
	}
	return out
}

func contradicts(block []lit) bool {
	for i, j := 0, len(block)-1; i < j; {
		switch {
		case -block[i] == block[j]:
			return true
		case -block[i] > block[j]:
			i++
		default:
			j--
		}
	}
	return false
}

// normalize brings a dependency to normal form, as a conjunction of blocks or as a disjunction.
func (p *Pool) normalize(t *rich, disjunction bool) normal {
	if !t.complex() {
		return p.simple(t, disjunction)
	}
	switch t.op {
	case "and":
		return p.both(t.left, t.right, disjunction, false)
	case "or":
		return p.either(t.left, t.right, disjunction, false)
	}
	condition, other := t.otherwise()
	if t.op == "if" {
		// A if B: A or not B. With else C: and besides C or B.
		first := p.either(t.left, condition, disjunction, true)
		if other == nil || first.truth == never {
			return first
		}
		return p.conjoin(first, p.either(condition, other, disjunction, false), disjunction)
	}
	// A unless B: A and not B. With else C: or else C and B.
	first := p.both(t.left, condition, disjunction, true)
	if other == nil || first.truth == always {
		return first
	}
	return p.disjoin(first, p.both(condition, other, disjunction, false), disjunction)
}

// simple is the normal form of a dependency that is met by any one of a set of packages.
func (p *Pool) simple(t *rich, disjunction bool) normal {
	if t != nil && t.op == "" && t.leaf != 0 {
		if p.providers(t.leaf); p.deps[t.leaf].always {
			return normal{truth: always}
		}
	}
	who := p.richProviders(t)
	switch {
	case len(who) == 0:
		return normal{truth: never}
	case !disjunction:
		return normal{blocks: [][]lit{who}}
	}
	var out normal
	for i := range who {
		out.blocks = append(out.blocks, who[i:i+1])
	}
	return out
}

// side is the normal form of a right operand, of its opposite when not.
func (p *Pool) side(t *rich, disjunction, not bool) normal {
	if not {
		return p.normalize(t, !disjunction).invert()
	}
	return p.normalize(t, disjunction)
}

func (p *Pool) either(left, right *rich, disjunction, not bool) normal {
	a := p.normalize(left, disjunction)
	if a.truth == always {
		return a
	}
	return p.disjoin(a, p.side(right, disjunction, not), disjunction)
}

func (p *Pool) both(left, right *rich, disjunction, not bool) normal {
	a := p.normalize(left, disjunction)
	if a.truth == never {
		return a
	}
	return p.conjoin(a, p.side(right, disjunction, not), disjunction)
}

func (p *Pool) disjoin(a, b normal, disjunction bool) normal {
	switch {
	case a.truth == always || b.truth == always:
		return normal{truth: always}
	case a.truth == never:
		return b
	case b.truth == never:
		return a
	case disjunction:
		return normal{blocks: slices.Concat(a.blocks, b.blocks)}
	}
	return p.distribute(a, b, disjunction)
}

func (p *Pool) conjoin(a, b normal, disjunction bool) normal {
	switch {
	case a.truth == never || b.truth == never:
		return normal{truth: never}
	case a.truth == always:
		return b
	case b.truth == always:
		return a
	case !disjunction:
		return normal{blocks: slices.Concat(a.blocks, b.blocks)}
	}
	return p.distribute(a, b, disjunction)
}
