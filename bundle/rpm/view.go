package rpm

import (
	"slices"
	"strings"
)

// view is a set of packages to hold dependencies against.
type view struct {
	*checker
	has func(*Package) bool
}

// met says whether a package of the set other than except provides what a plain dependency names.
func (v view) met(d Dep, except *Package) bool {
	d.Name = place(d.Name)
	return slices.ContainsFunc(v.provides[d.Name], func(p provide) bool {
		return p.pkg != except && v.has(p.pkg) && p.dep.Meets(d)
	})
}

// unknowable says that only rpm, or metadata that was not read, could tell whether a dependency is met.
func unknowable(d Dep) bool {
	return strings.HasPrefix(d.Name, "rpmlib(") || strings.HasPrefix(d.Name, "/") && !isPrimaryFile(d.Name)
}

// holds says whether the set, without except, satisfies a dependency (rpm's rpmdepsRichDep for the operators).
func (v view) holds(t *tree, except *Package) bool {
	arg := func(i int) bool { return i < len(t.args) && v.holds(t.args[i], except) }
	switch t.op {
	case "and":
		return !slices.ContainsFunc(t.args, func(t *tree) bool { return !v.holds(t, except) })
	case "or":
		return slices.ContainsFunc(t.args, func(t *tree) bool { return v.holds(t, except) })
	case "if":
		if arg(1) {
			return arg(0)
		}
		return len(t.args) < 3 || arg(2)
	case "unless":
		if arg(1) {
			return arg(2)
		}
		return arg(0)
	case "with", "without":
		return slices.ContainsFunc(v.meeting(t), func(p *Package) bool { return p != except && v.has(p) })
	}
	return unknowable(t.dep) || v.met(t.dep, except)
}

// meeting are the packages, in the set or not, that could make a dependency hold or bring it closer to that.
func (v view) meeting(t *tree) []*Package {
	var out []*Package
	switch t.op {
	case "and":
		for _, arg := range t.args {
			if !v.holds(arg, nil) {
				return v.meeting(arg)
			}
		}
	case "or":
		for _, arg := range t.args {
			out = append(out, v.meeting(arg)...)
		}
	case "if", "unless":
		branch := t.args[0]
		if v.holds(t.args[1], nil) != (t.op == "if") {
			if len(t.args) < 3 {
				return nil
			}
			branch = t.args[2]
		}
		return v.meeting(branch)
	case "with", "without":
		for _, p := range v.meeting(t.args[0]) {
			if p.matchesAll(t, v) {
				out = append(out, p)
			}
		}
	default:
		d := t.dep
		d.Name = place(d.Name)
		for _, p := range v.provides[d.Name] {
			if p.dep.Meets(d) {
				out = append(out, p.pkg)
			}
		}
	}
	return out
}

// matchesAll says whether p itself meets the operands of "with", or the first and not the second of "without".
func (p *Package) matchesAll(t *tree, v view) bool {
	alone := view{v.checker, func(q *Package) bool { return q == p }}
	for i, arg := range t.args {
		if alone.holds(arg, nil) != (t.op == "with" || i == 0) {
			return false
		}
	}
	return true
}

// against are the packages of the set that p's conflict d is about, p itself never.
func (v view) against(p *Package, d Dep) []*Package {
	t := v.tree(d)
	if t == nil || t.op != "" && !v.holds(t, p) {
		return nil
	}
	var out []*Package
	for _, leaf := range t.leaves() {
		for _, q := range v.meeting(leaf) {
			if q != p && v.has(q) && !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}
