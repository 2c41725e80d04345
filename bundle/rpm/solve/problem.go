package solve

import (
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// missing is the problem that a spec means nothing.
func (p *Pool) missing(spec string) Problem {
	text := strconv.Quote(spec) + " is neither installed nor offered"
	if d, ok := parseRequest(spec); ok {
		name := d.Name
		for name != "" {
			if id, ok := p.names[name]; ok && len(p.named(id)) > 0 {
				text += "; there are " + strings.Join(p.nevras(p.named(id)), ", ")
				break
			}
			i := max(strings.LastIndexByte(name, '-'), strings.LastIndexByte(name, '.'))
			name = name[:max(i, 0)]
		}
	}
	return Problem{Package: spec, Missing: true, Text: text}
}

// explain tells what keeps the job from being done: of each proof the requirements that nothing meets and the packages
// that exclude each other, else all of its requirements.
func (s *solver) explain() []Problem {
	var out []Problem
	add := func(p Problem) {
		if !slices.ContainsFunc(out, func(o Problem) bool { return o.Text == p.Text }) {
			out = append(out, p)
		}
	}
	for _, c := range s.problems {
		parents := s.parents(c)
		hard := false
		for _, i := range c.proof {
			switch r := &s.rules[i]; r.kind {
			case kindUninstallable, kindNothingProvides, kindConflicts, kindObsoletes, kindSameName, kindArch:
				hard = true
				add(s.problem(r, parents))
			}
		}
		for _, i := range c.proof {
			if r := &s.rules[i]; r.kind == kindRequires && (!hard || s.installed(r.pkg)) {
				add(s.problem(r, parents))
			}
		}
		if len(out) == 0 {
			out = append(out, Problem{Text: "what is asked for excludes itself"})
		}
	}
	return out
}

// parents are, for each package in a proof, the specs that it is wanted for.
func (s *solver) parents(c conflict) map[pid]string {
	out := map[pid]string{}
	for _, i := range c.proof {
		if s.jobs.has(i) {
			w := s.job.wanted[s.jobOf[i-s.jobs.from]]
			for _, q := range w.pkgs {
				out[q] = w.spec
			}
		}
	}
	for more := true; more; {
		more = false
		for _, i := range c.proof {
			r := &s.rules[i]
			spec, known := out[r.pkg]
			if r.kind != kindRequires || !known {
				continue
			}
			r.each(func(l lit) bool {
				if _, has := out[l]; l > 0 && !has {
					out[l] = spec
					more = true
				}
				return true
			})
		}
	}
	return out
}

func (s *solver) problem(r *rule, parents map[pid]string) Problem {
	who := s.describe(r.pkg, parents)
	p := Problem{Package: s.pkgs[r.pkg].NEVRA()}
	if r.dep != 0 {
		p.Dep = s.deps[r.dep].dep.String()
	}
	switch r.kind {
	case kindUninstallable:
		p.Text = who + " is excluded"
		if s.pkgs[r.pkg].rank == rankNone {
			p.Text = who + " is for another architecture"
		}
	case kindNothingProvides:
		p.Text = who + " requires " + p.Dep + ", " + s.known(r.dep)
	case kindRequires:
		p.Text = who + " requires " + p.Dep + ", " + s.known(r.dep)
		if s.installed(r.pkg) {
			p.Text += s.successorsOf(r.pkg)
		}
	case kindConflicts:
		p.Text = who + " conflicts with " + p.Dep + ", and " + s.describe(r.other, parents) + " is that"
		if r.other == 0 {
			p.Text = who + " conflicts with " + p.Dep
		}
	case kindObsoletes:
		p.Text = who + " obsoletes " + s.describe(r.other, parents)
	case kindSameName:
		p.Text = who + " and " + s.describe(r.other, parents) + " cannot be there at once"
	case kindArch:
		p.Text = who + " has an inferior architecture"
	}
	return p
}

// describe names a package, whose it is, and what it comes for.
func (s *solver) describe(q pid, parents map[pid]string) string {
	if q == 0 {
		return ""
	}
	e := &s.pkgs[q]
	if s.installed(q) {
		return e.NEVRA() + " of the host"
	}
	text := e.NEVRA()
	if e.repo.ID != "" {
		text += " of " + e.repo.ID
	}
	if spec := parents[q]; spec != "" && spec != e.Name {
		text += " (for " + spec + ")"
	}
	return text
}

// successorsOf tells what is offered in place of an installed package.
func (s *solver) successorsOf(i pid) string {
	offered := keep(slices.Clone(s.named(s.pkgs[i].name)), func(q pid) bool { return !s.installed(q) })
	if len(offered) == 0 {
		return "; no other " + s.pkgs[i].Name + " is offered"
	}
	return "; offered are " + strings.Join(s.nevras(offered), ", ")
}

// known tells what is installed and what is offered of what a requirement names.
func (s *solver) known(id depID) string {
	leaves := []depID{id}
	if tree := s.deps[id].rich; tree != nil {
		leaves = tree.leaves(nil)
	}
	var host, offered []pid
	for _, leaf := range leaves {
		for _, q := range s.providers(s.depOf(rpm.Dep{Name: s.deps[leaf].dep.Name})) {
			list := &offered
			if s.installed(q) {
				list = &host
			}
			if !slices.Contains(*list, q) {
				*list = append(*list, q)
			}
		}
	}
	switch {
	case len(host) == 0 && len(offered) == 0:
		return "which is neither installed nor offered"
	case len(offered) == 0:
		return "where the host has " + strings.Join(s.nevras(host), ", ") + " and nothing is offered"
	case len(host) == 0:
		return "where " + strings.Join(s.nevras(offered), ", ") + " is offered"
	}
	return "where the host has " + strings.Join(s.nevras(host), ", ") + " and " + strings.Join(s.nevras(offered), ", ") + " is offered"
}

func (p *Pool) nevras(list []pid) []string {
	var out []string
	for _, q := range list {
		if n := p.pkgs[q].NEVRA(); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
