package solve

import (
	"slices"
	"strings"
)

// sentence tells of the clause that cannot hold: every literal of it is the wrong way.
func (t *teller) sentence(b branch, i int) tale {
	c := &t.clauses[i]
	out := tale{kind: c.kind}
	if c.pkg != 0 {
		out.Package = t.pkgs[c.pkg].NEVRA()
	}
	if c.dep != 0 {
		out.Dep = t.deps[c.dep].dep.String()
	}
	switch c.kind {
	case kindNothingProvides:
		out.Problem = t.lack(c.pkg, c.dep, t.why(b, c.pkg))
		out.lacks = c.pkg
		out.root, out.rootWhy = t.root(b, c.pkg)
	case kindJob:
		out.Text = t.barredAll(b, c.lits)
		if len(c.lits) == 1 {
			out.Package = t.pkgs[c.lits[0]].NEVRA()
		}
	case kindUpdate, kindFeature:
		if at, known := b.why[c.pkg]; known && t.clauses[at].pkg == c.pkg && t.clauses[at].dep != 0 {
			out.Dep = t.deps[t.clauses[at].dep].dep.String()
		}
		out.Text = t.refuse(b, c.pkg) + t.successor(b, c)
	default:
		out.Text = t.clash(b, c)
	}
	out.Text += t.elsewhere(b, c, out.Text)
	return out
}

// elsewhere tells, of the packages that a sentence is about, why others cannot come in their place.
func (t *teller) elsewhere(b branch, c *clause, told string) string {
	text := ""
	seen := map[int]bool{}
	for open := []pid{c.pkg, c.other}; len(open) > 0; open = open[1:] {
		at, known := b.why[open[0]]
		if !known || seen[at] || b.value[open[0]] < 0 {
			continue
		}
		seen[at] = true
		by := &t.clauses[at]
		if by.kind != kindRequires && by.kind != kindJob {
			continue
		}
		open = append(open, by.pkg)
		var rest []lit
		for _, l := range by.lits {
			if l > 0 && b.value[l] < 0 {
				rest = append(rest, l)
			}
		}
		if len(rest) > 0 {
			if more := t.barredAll(b, rest); !strings.Contains(told, more) {
				text += "; " + more
			}
		}
	}
	return text
}

// clash tells of a package that is there and a rule of it that does not hold.
func (t *teller) clash(b branch, c *clause) string {
	who := t.name(b, c.pkg)
	switch c.kind {
	case kindRequires, kindYumObsoletes:
		text := who + " requires " + t.deps[c.dep].dep.String() + t.unheard(c.dep)
		if c.kind == kindYumObsoletes {
			text = who + " obsoletes " + t.deps[c.dep].dep.String() + " together with others"
		}
		if rest := t.barredAll(b, others(c)); rest != "" {
			text += ", but " + rest
		}
		return text
	case kindConflicts:
		text := who + " conflicts with " + t.deps[c.dep].dep.String()
		if c.other == 0 {
			return text + ", and " + t.barredAll(b, others(c))
		}
		return text + ", that is " + t.name(b, c.other)
	case kindObsoletes:
		return who + " obsoletes " + t.deps[c.dep].dep.String() + ", that is " + t.name(b, c.other)
	case kindSameName:
		return t.sameNameClash(b, c)
	case kindArch:
		text := who + " is for " + t.pkgs[c.pkg].Arch + ", and " + t.pkgs[c.pkg].Name + " is there for a better architecture"
		if rest := others(c); len(rest) > 0 {
			text += ", beside which alone it can come; but " + t.barredAll(b, rest)
		}
		return text
	}
	if x := t.wants(b, c.pkg); x != "" {
		return x + ", but " + t.pkgs[c.pkg].NEVRA() + " " + t.barred(c.pkg)
	}
	return who + " " + t.barred(c.pkg)
}

// unheard tells what of a rich dependency nothing provides.
func (t *teller) unheard(id depID) string {
	var out []string
	for _, leaf := range t.deps[id].rich.leaves(nil) {
		if len(t.providers(leaf)) == 0 {
			out = append(out, t.deps[leaf].dep.String())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ", of which nothing provides " + strings.Join(out, " or ")
}

// sameNameClash tells of two versions of a name, and of who wants which.
func (t *teller) sameNameClash(b branch, c *clause) string {
	one, two := c.pkg, c.other
	if t.installed(one) {
		one, two = two, one
	}
	if t.installed(two) {
		return t.name(b, one) + " would replace " + t.name(b, two)
	}
	if t.compareEVR(one, two) > 0 {
		one, two = two, one
	}
	if t.isAsked(b, one) && t.isAsked(b, two) {
		return t.pkgs[one].NEVRA() + " and " + t.pkgs[two].NEVRA() + " are both asked for, and cannot both be there"
	}
	end := t.pkgs[one].NEVRA() + " and " + t.pkgs[two].NEVRA() + " cannot both be there"
	if x, y := t.wants(b, one), t.wants(b, two); x != "" && y != "" {
		return x + ", and " + y + ": " + end
	}
	return t.name(b, one) + " and " + t.name(b, two) + " cannot both be there"
}

func (t *teller) isAsked(b branch, i pid) bool {
	at, known := b.why[i]
	return known && t.clauses[at].kind == kindJob
}

// wants tells who requires a package, and how; "" where nobody does.
func (t *teller) wants(b branch, i pid) string {
	at, known := b.why[i]
	if !known {
		return ""
	}
	switch c := &t.clauses[at]; c.kind {
	case kindJob:
		return t.pkgs[i].NEVRA() + " is " + t.asked(i, c.spec)
	case kindRequires:
		return t.name(b, c.pkg) + " requires " + t.deps[c.dep].dep.String()
	}
	return ""
}

// others are the literals of a clause but for that of the package whose rule it is.
func others(c *clause) []lit {
	return slices.DeleteFunc(slices.Clone(c.lits), func(l lit) bool { return l == -c.pkg })
}

// refusal is why a package cannot be there: a sentence with a gap for the package, so that several fit in.
type refusal struct{ before, who, after string }

// barredAll tells of literals that each is the wrong way, a few of them. Those that are so for one reason are told at once.
func (t *teller) barredAll(b branch, lits []lit) string {
	lits = slices.Clone(lits)
	slices.SortStableFunc(lits, t.prefer)
	var parts []refusal
	var names [][]string
	left := 0
	for _, l := range lits {
		next := refusal{who: t.name(b, max(l, -l)), after: " is there"}
		if l > 0 {
			next = t.refusal(b, l)
		}
		same := slices.IndexFunc(parts, func(r refusal) bool { return r.before == next.before && r.after == next.after })
		switch {
		case same >= 0:
			names[same] = append(names[same], next.who)
		case len(parts) == maxSome:
			left++
		default:
			parts, names = append(parts, next), append(names, []string{next.who})
		}
	}
	var texts []string
	for i, r := range parts {
		texts = append(texts, r.before+some(slices.Compact(names[i]))+r.after)
	}
	text := strings.Join(texts, " and ")
	if left > 0 {
		text += " and " + count(left, "other package is", "other packages are") + " no better"
	}
	return text
}

func (t *teller) refuse(b branch, i pid) string {
	r := t.refusal(b, i)
	return r.before + r.who + r.after
}

// refusal tells why a package cannot be there.
func (t *teller) refusal(b branch, i pid) refusal {
	out := refusal{who: t.subject(i, ""), after: " cannot be there"}
	at, known := b.why[i]
	if !known {
		return out
	}
	c := &t.clauses[at]
	dep := ""
	if c.dep != 0 {
		dep = t.deps[c.dep].dep.String()
	}
	other := c.other
	if other == i {
		other = c.pkg
	}
	switch c.kind {
	case kindNothingProvides:
		return refusal{before: t.lack(i, c.dep, "").Text}
	case kindRequires, kindYumObsoletes:
		if c.pkg != i { // the condition of a rich dependency
			return refusal{before: t.clash(b, c)}
		}
		out.after = " requires " + dep + ", but " + t.barredAll(b, others(c))
	case kindSameName:
		out.after = " cannot be there beside " + t.name(b, other)
		if t.installed(i) {
			return refusal{t.name(b, other) + " would replace ", out.who, ""}
		}
	case kindObsoletes:
		if c.pkg != i {
			return refusal{t.name(b, other) + " obsoletes ", out.who, ""}
		}
		out.after = " obsoletes " + t.name(b, other)
	case kindConflicts:
		if other == 0 {
			return refusal{before: t.clash(b, c)}
		}
		if c.pkg != i {
			return refusal{t.name(b, c.pkg) + " conflicts with " + dep + ", that is ", out.who, ""}
		}
		out.after = " conflicts with " + dep + ", that is " + t.name(b, c.other)
	case kindUninstallable:
		out.after = " " + t.barred(i)
	case kindArch:
		return refusal{before: t.clash(b, c)}
	}
	return out
}

// successor tells what there is in place of an installed package that cannot stay.
func (t *teller) successor(b branch, c *clause) string {
	rest := slices.DeleteFunc(slices.Clone(c.lits), func(l lit) bool { return l == c.pkg })
	if len(rest) > 0 {
		return t.nor(b, c.pkg, rest)
	}
	var offered []pid
	for _, q := range t.named(t.pkgs[c.pkg].name) {
		if !t.installed(q) {
			offered = append(offered, q)
		}
	}
	if len(offered) == 0 {
		return "; no other " + t.pkgs[c.pkg].Name + " is offered"
	}
	return "; offered of " + t.pkgs[c.pkg].Name + " is only " + some(t.labels(offered))
}

// nor tells of packages that could come in place of an installed one why they cannot: in few words where it is for the
// same reason.
func (t *teller) nor(b branch, i pid, rest []lit) string {
	same := func(l lit) bool {
		x, okX := b.why[i]
		y, okY := b.why[max(l, -l)]
		cx, cy := &t.clauses[x], &t.clauses[y]
		return okX && okY && cx.kind == cy.kind && cx.dep != 0 && cx.dep == cy.dep
	}
	var alike []pid
	rest = slices.DeleteFunc(rest, func(l lit) bool {
		if same(l) {
			alike = append(alike, l)
			return true
		}
		return false
	})
	text := ""
	if len(alike) > 0 {
		text = "; no better is " + some(t.labels(alike))
	}
	if len(rest) > 0 {
		text += "; " + t.barredAll(b, rest)
	}
	return text
}

// name is a package, whether it is installed or why it comes.
func (t *teller) name(b branch, i pid) string { return t.subject(i, t.why(b, i)) }

// maxWhy bounds how far back a package's reasons are told.
const maxWhy = 4

// why tells for what a package comes: the package that requires it, the one that requires that, and what was asked for.
func (t *teller) why(b branch, i pid) string {
	var parts []string
	for seen := map[pid]bool{}; !t.installed(i) && !seen[i]; {
		seen[i] = true
		at, known := b.why[i]
		if !known {
			break
		}
		c := &t.clauses[at]
		switch c.kind {
		case kindJob:
			parts = append(parts, t.asked(i, c.spec))
		case kindUpdate, kindFeature:
			parts = append(parts, "in place of installed "+t.pkgs[c.pkg].NEVRA())
		case kindRequires, kindYumObsoletes:
			parts = append(parts, "for "+t.short(c.pkg))
			i = c.pkg
		case kindArch:
			parts = append(parts, "beside "+t.pkgs[c.pkg].NEVRA())
			i = c.pkg
		}
	}
	return reasons(parts)
}

// reasons joins why a package comes, the middle of many left out.
func reasons(parts []string) string {
	if len(parts) > maxWhy {
		parts = slices.Concat(parts[:maxWhy-2], []string{"…"}, parts[len(parts)-2:])
	}
	return strings.Join(parts, ", ")
}

// root is where why ends, and how that comes.
func (t *teller) root(b branch, i pid) (pid, string) {
	for seen := map[pid]bool{}; !seen[i]; {
		seen[i] = true
		at, known := b.why[i]
		if !known {
			break
		}
		c := &t.clauses[at]
		if c.kind != kindRequires && c.kind != kindArch || t.installed(c.pkg) {
			break
		}
		i = c.pkg
	}
	return i, t.why(b, i)
}

// short names a package by its name where the proof is about one of that name.
func (t *teller) short(i pid) string {
	switch {
	case t.installed(i):
		return "installed " + t.pkgs[i].NEVRA()
	case t.versions[t.pkgs[i].name] > 1:
		return t.pkgs[i].NEVRA()
	}
	return t.pkgs[i].Name
}

// asked tells how a package was asked for, where it does not show.
func (t *teller) asked(i pid, spec string) string {
	e := &t.pkgs[i]
	if spec == e.Name || strings.HasPrefix(e.NEVRA(), spec) || strings.HasPrefix(e.Name+"-"+e.EVR.Version+"-"+e.EVR.Release+"."+e.Arch, spec) ||
		spec == e.Name+"."+e.Arch {
		return "asked for"
	}
	return "asked for as \"" + spec + "\""
}
