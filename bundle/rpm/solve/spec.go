package solve

import (
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// match is what a spec means.
type match struct {
	pkgs     []pid // in the order of their numbers
	nevra    bool  // by name and version, not by what packages provide
	justName bool  // the spec is a name, or a pattern of one
}

// nevra is a spec in its parts, each a pattern. Epoch is as it was written, "" for any.
type nevra struct{ name, epoch, version, release, arch string }

// find gives the packages that a spec means to dnf (libdnf sack/query.cpp, filterSubject): by name, version and
// architecture; else by what they provide; else by their files.
func (p *Pool) find(spec string) match {
	if m := p.matchNEVRA(spec); len(m.pkgs) > 0 {
		return m
	}
	if m := p.matchProvides(spec); len(m) > 0 {
		return match{pkgs: m}
	}
	if strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, "*/") {
		return match{pkgs: p.matchFile(spec)}
	}
	return match{}
}

// considered says whether a package counts where specs are looked up.
func (p *Pool) considered(i pid) bool { return p.indexed(i) && !p.pkgs[i].hidden }

func (p *Pool) matchNEVRA(spec string) match {
	for _, form := range []func(string) (nevra, bool){fullForm, nameArchForm, nameForm, releaseForm, versionForm} {
		if n, ok := form(spec); ok {
			if pkgs := p.matchParts(n); len(pkgs) > 0 {
				return match{pkgs: pkgs, nevra: true, justName: n == nevra{name: n.name}}
			}
		}
	}
	if strings.ContainsAny(spec, "(/=<> ") {
		return match{}
	}
	if isGlob(spec) {
		return match{nevra: true, pkgs: p.all(func(i pid) bool {
			e := &p.pkgs[i]
			epoch := ""
			if strings.Contains(spec, ":") {
				epoch = strconv.Itoa(epochOf(e.EVR.Epoch)) + ":"
			}
			return globMatch(spec, e.Name+"-"+epoch+e.EVR.Version+"-"+e.EVR.Release+"."+e.Arch)
		})}
	}
	// yum 3.4 has the epoch in front, too.
	if epoch, rest, found := strings.Cut(spec, ":"); found && isNumber(epoch) {
		for _, form := range []func(string) (nevra, bool){fullForm, releaseForm, versionForm} {
			if n, ok := form(rest); ok && n.epoch == "" {
				n.epoch = epoch
				if pkgs := p.matchParts(n); len(pkgs) > 0 {
					return match{pkgs: pkgs, nevra: true}
				}
			}
		}
	}
	return match{}
}

// all are the packages that count and of which f says so.
func (p *Pool) all(f func(pid) bool) []pid {
	var out []pid
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		if p.considered(i) && f(i) {
			out = append(out, i)
		}
	}
	return out
}

func (p *Pool) matchParts(n nevra) []pid {
	fits := func(i pid) bool {
		e := &p.pkgs[i]
		return (n.epoch == "" || epochOf(n.epoch) == epochOf(e.EVR.Epoch)) && fitsPart(n.version, e.EVR.Version) &&
			fitsPart(n.release, e.EVR.Release) && (n.arch == "" || globMatch(n.arch, e.Arch))
	}
	if isGlob(n.name) {
		return p.all(func(i pid) bool { return globMatch(n.name, p.pkgs[i].Name) && fits(i) })
	}
	id, ok := p.names[n.name]
	if !ok {
		return nil
	}
	var out []pid
	for _, i := range p.named(id) {
		if p.considered(i) && fits(i) {
			out = append(out, i)
		}
	}
	return out
}

// fitsPart says whether a version or a release is what a pattern means: without glob characters, one that compares as
// equal.
func fitsPart(pattern, part string) bool {
	if pattern == "" || isGlob(pattern) {
		return pattern == "" || globMatch(pattern, part)
	}
	return rpm.EVR{Version: pattern}.Compare(rpm.EVR{Version: part}) == 0
}

func epochOf(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func nameForm(s string) (nevra, bool) { return nevra{name: s}, isPart(s, ":(/=<> ") }

func nameArchForm(s string) (nevra, bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return nevra{}, false
	}
	n, ok := nameForm(s[:i])
	n.arch = s[i+1:]
	return n, ok && isPart(n.arch, "-:.(/=<> ")
}

func versionForm(s string) (nevra, bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return nevra{}, false
	}
	n, ok := nameForm(s[:i])
	n.version = s[i+1:]
	if epoch, version, found := strings.Cut(n.version, ":"); found {
		n.epoch, n.version = epoch, version
		ok = ok && isNumber(epoch)
	}
	return n, ok && isPart(n.version, "-:(/=<> ")
}

func releaseForm(s string) (nevra, bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return nevra{}, false
	}
	n, ok := versionForm(s[:i])
	n.release = s[i+1:]
	return n, ok && isPart(n.release, "-:(/=<> ")
}

func fullForm(s string) (nevra, bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return nevra{}, false
	}
	n, ok := releaseForm(s[:i])
	n.arch = s[i+1:]
	return n, ok && isPart(n.arch, "-:.(/=<> ")
}

func isPart(s, forbidden string) bool { return s != "" && !strings.ContainsAny(s, forbidden) }

// matchProvides are the packages that provide what a spec names: "name", "name = version", a rich dependency, or a pattern
// of names.
func (p *Pool) matchProvides(spec string) []pid {
	if strings.HasPrefix(spec, "(") {
		return p.meeting(rpm.Dep{Name: spec})
	}
	d, ok := parseRequest(spec)
	if !ok {
		return nil
	}
	if !isGlob(d.Name) {
		return p.meeting(d)
	}
	var out []pid
	for name := range p.names {
		if globMatch(d.Name, name) {
			out = append(out, p.meeting(rpm.Dep{Name: name, EVR: d.EVR, Flags: d.Flags})...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *Pool) meeting(d rpm.Dep) []pid {
	var out []pid
	for _, i := range p.providers(p.depOf(d)) {
		if p.considered(i) {
			out = append(out, i)
		}
	}
	return out
}

// parseRequest reads "name", or "name comparison version" with a space after the name.
func parseRequest(s string) (rpm.Dep, bool) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return rpm.Dep{Name: s}, s != ""
	}
	d := rpm.Dep{Name: s[:i]}
	rest := strings.TrimSpace(s[i:])
	for rest != "" {
		flag := compareFlag(rest[0])
		if flag == 0 {
			break
		}
		d.Flags |= flag
		rest = rest[1:]
	}
	version := strings.TrimSpace(rest)
	if d.Name == "" || d.Flags == 0 && version != "" || d.Flags != 0 && (version == "" || strings.ContainsAny(version, " \t")) {
		return rpm.Dep{}, false
	}
	if d.Flags != 0 {
		evr := rpm.ParseEVR(version)
		d.EVR = &evr
	}
	return d, true
}

// matchFile are the packages that have a file. A pattern is held against what primary metadata lists.
func (p *Pool) matchFile(spec string) []pid {
	if len(spec) > 1 {
		spec = strings.TrimSuffix(spec, "/")
	}
	if !isGlob(spec) {
		return keep(slices.Clone(p.owners(spec)), p.considered)
	}
	return p.all(func(i pid) bool {
		return slices.ContainsFunc(p.pkgs[i].Files, func(f string) bool { return globMatch(spec, f) })
	})
}

// alsoObsoleting adds to packages, by name, those that obsolete them, as dnf does: what they were is asked for under the old
// name.
func (p *Pool) alsoObsoleting(pkgs []pid) []pid {
	all := slices.Clone(pkgs)
	for _, q := range pkgs {
		for _, o := range p.obsolet[p.pkgs[q].Name] {
			if p.considered(o) && p.obsoletes(o, q) {
				all = append(all, o)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// wants are the packages that a spec of Job.Install means, none when it means nothing that could come or is there. A
// pattern asks for one package of each name that it matches.
func (p *Pool) wants(spec string) []want {
	m := p.find(spec)
	if len(m.pkgs) == 0 {
		return nil
	}
	if !isGlob(spec) || strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, "*/") {
		if m.justName {
			m.pkgs = p.alsoObsoleting(m.pkgs)
		}
		return []want{{spec: spec, pkgs: m.pkgs}}
	}
	offered := map[nameID]bool{}
	for _, q := range m.pkgs {
		if !p.installed(q) {
			offered[p.pkgs[q].name] = true
		}
	}
	var names []nameID // in the order of all their packages, those installed first
	for _, q := range m.pkgs {
		if name := p.pkgs[q].name; offered[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var out []want
	for _, name := range names {
		group := keep(slices.Clone(m.pkgs), func(q pid) bool { return p.pkgs[q].name == name })
		if m.justName {
			group = p.alsoObsoleting(group)
		}
		out = append(out, want{spec: spec, pkgs: group})
	}
	return out
}

// renews are the packages that a spec of Job.Upgrade means: installed ones and what may take their place; none where
// nothing of it is installed (dnf base.py, upgrade).
func (p *Pool) renews(spec string) []pid {
	m := p.find(spec)
	hostNames := map[nameID]bool{}
	for i := pid(1); i <= p.host; i++ {
		hostNames[p.pkgs[i].name] = true
	}
	related := func(q pid) bool {
		return hostNames[p.pkgs[q].name] || len(p.replaced(q)) > 0
	}
	if !slices.ContainsFunc(m.pkgs, related) {
		return nil
	}
	all := slices.Clone(m.pkgs)
	if m.justName {
		about := keep(slices.Clone(m.pkgs), func(q pid) bool {
			return hostNames[p.pkgs[q].name] && (p.installed(q) || p.newerThanHost(q))
		})
		for _, q := range p.alsoObsoleting(about) {
			if !p.installed(q) {
				all = append(all, q)
			}
		}
	}
	names := map[nameID]bool{}
	for _, q := range all {
		names[p.pkgs[q].name] = true
	}
	for i := pid(1); i <= p.host; i++ {
		latest := !slices.ContainsFunc(p.named(p.pkgs[i].name), func(o pid) bool { return p.installed(o) && p.compareEVR(o, i) > 0 })
		if names[p.pkgs[i].name] && latest && p.considered(i) {
			all = append(all, i)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// newerThanHost says whether an offered package would upgrade installed ones.
func (p *Pool) newerThanHost(q pid) bool {
	older := false
	for _, i := range p.named(p.pkgs[q].name) {
		arch := p.pkgs[i].Arch
		if !p.installed(i) || arch != p.pkgs[q].Arch && arch != "noarch" && p.pkgs[q].Arch != "noarch" {
			continue
		}
		if p.compareEVR(i, q) >= 0 {
			return false
		}
		older = true
	}
	return older
}
