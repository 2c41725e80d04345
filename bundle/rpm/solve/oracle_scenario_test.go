package solve_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// scenario is a small world to solve jobs in. Its text form, of String and parseScenario, is what a difference is told in.
type scenario struct {
	Note      string
	Installed []*rpm.Package // Files are all their files
	Repos     []scenarioRepo
	Exclude   []string
	Enable    []string // module streams, "name:stream"
	Jobs      []scenarioJob
}

type scenarioRepo struct {
	ID       string
	Priority int
	Packages []*rpm.Package // Files are all their files, those outside of primary metadata, too
	Modules  string         // modules.yaml, "" for none; not part of the text form
	Hotfixes bool           // module_hotfixes
}

type scenarioJob struct {
	Install, Upgrade []string
	Weak             bool
}

func (j scenarioJob) String() string {
	var b strings.Builder
	for _, s := range j.Install {
		b.WriteString(" +" + s)
	}
	for _, s := range j.Upgrade {
		b.WriteString(" ^" + s)
	}
	if j.Weak {
		b.WriteString(" weak")
	}
	return b.String()
}

// depKinds are the lists of a package by the name of their element in primary metadata.
func depKinds(p *rpm.Package) []struct {
	name string
	list *[]rpm.Dep
} {
	return []struct {
		name string
		list *[]rpm.Dep
	}{
		{"provides", &p.Provides}, {"requires", &p.Requires}, {"conflicts", &p.Conflicts}, {"obsoletes", &p.Obsoletes},
		{"recommends", &p.Recommends}, {"suggests", &p.Suggests}, {"supplements", &p.Supplements}, {"enhances", &p.Enhances},
	}
}

func nameEVR(p *rpm.Package) rpm.Dep { return rpm.Dep{Name: p.Name, EVR: &p.EVR, Flags: rpm.Equal} }

func (s *scenario) String() string {
	var b strings.Builder
	if s.Note != "" {
		fmt.Fprintf(&b, "# %s\n", s.Note)
	}
	if len(s.Installed) > 0 {
		b.WriteString("installed\n")
		writePackages(&b, s.Installed)
	}
	for _, r := range s.Repos {
		fmt.Fprintf(&b, "repo %s %d\n", r.ID, r.Priority)
		writePackages(&b, r.Packages)
	}
	for _, x := range s.Exclude {
		fmt.Fprintf(&b, "exclude %s\n", x)
	}
	for _, x := range s.Enable {
		fmt.Fprintf(&b, "enable %s\n", x)
	}
	for _, j := range s.Jobs {
		b.WriteString("job\n")
		for _, i := range j.Install {
			fmt.Fprintf(&b, "  install %s\n", i)
		}
		for _, u := range j.Upgrade {
			fmt.Fprintf(&b, "  upgrade %s\n", u)
		}
		if j.Weak {
			b.WriteString("  weak\n")
		}
	}
	return b.String()
}

func writePackages(b *strings.Builder, packages []*rpm.Package) {
	for _, p := range packages {
		fmt.Fprintf(b, "pkg %s %s %s %s %s\n", p.Name, cmp.Or(p.EVR.Epoch, "0"), p.EVR.Version, p.EVR.Release, p.Arch)
		for _, kind := range depKinds(p) {
			for _, d := range *kind.list {
				if kind.name != "provides" || d.String() != nameEVR(p).String() {
					fmt.Fprintf(b, "  %s %s\n", kind.name, d)
				}
			}
		}
		for _, f := range p.Files {
			fmt.Fprintf(b, "  file %s\n", f)
		}
	}
}

// parseScenario reads what String writes. Every package provides its name and version.
func parseScenario(r io.Reader) (*scenario, error) {
	p := scenarioParser{s: &scenario{}}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := p.line(strings.TrimSpace(lines.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return p.s, lines.Err()
}

type scenarioParser struct {
	s   *scenario
	in  *[]*rpm.Package
	pkg *rpm.Package
	job *scenarioJob
}

func (p *scenarioParser) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	fields := strings.Fields(rest)
	switch {
	case line == "" || word == "#":
	case word == "installed":
		p.in = &p.s.Installed
	case word == "repo" && len(fields) == 2:
		priority, err := strconv.Atoi(fields[1])
		if err != nil {
			return err
		}
		p.s.Repos = append(p.s.Repos, scenarioRepo{ID: fields[0], Priority: priority})
		p.in = &p.s.Repos[len(p.s.Repos)-1].Packages
	case word == "pkg" && len(fields) == 5 && p.in != nil:
		p.pkg = newPackage(fields[0], rpm.EVR{Epoch: fields[1], Version: fields[2], Release: fields[3]}, fields[4])
		*p.in = append(*p.in, p.pkg)
	case word == "exclude":
		p.s.Exclude = append(p.s.Exclude, rest)
	case word == "enable":
		p.s.Enable = append(p.s.Enable, rest)
	case word == "job":
		p.s.Jobs = append(p.s.Jobs, scenarioJob{})
		p.job = &p.s.Jobs[len(p.s.Jobs)-1]
	case p.job != nil && word == "install":
		p.job.Install = append(p.job.Install, rest)
	case p.job != nil && word == "upgrade":
		p.job.Upgrade = append(p.job.Upgrade, rest)
	case p.job != nil && word == "weak":
		p.job.Weak = true
	case p.pkg != nil && word == "file":
		p.pkg.Files = append(p.pkg.Files, rest)
	case p.pkg != nil:
		kinds := depKinds(p.pkg)
		i := slices.IndexFunc(kinds, func(k struct {
			name string
			list *[]rpm.Dep
		}) bool {
			return k.name == word
		})
		if i < 0 {
			return fmt.Errorf("got %q", line)
		}
		*kinds[i].list = append(*kinds[i].list, parseDep(rest))
	default:
		return fmt.Errorf("got %q", line)
	}
	return nil
}

func newPackage(name string, evr rpm.EVR, arch string) *rpm.Package {
	p := &rpm.Package{Name: name, EVR: evr, Arch: arch}
	p.Provides = []rpm.Dep{nameEVR(p)}
	return p
}

// parseDep reads "name", "name operator version" or a rich dependency.
func parseDep(s string) rpm.Dep {
	f := strings.Fields(s)
	if len(f) != 3 || strings.HasPrefix(s, "(") {
		return rpm.Dep{Name: s}
	}
	flags, ok := map[string]rpm.Flags{"=": rpm.Equal, "<": rpm.Less, ">": rpm.Greater, "<=": rpm.Less | rpm.Equal,
		">=": rpm.Greater | rpm.Equal}[f[1]]
	if !ok {
		return rpm.Dep{Name: s}
	}
	evr := rpm.ParseEVR(f[2])
	return rpm.Dep{Name: f[0], EVR: &evr, Flags: flags}
}

// clone is a copy whose lists may be cut without harm to s.
func (s *scenario) clone() *scenario {
	c := *s
	copyAll := func(list []*rpm.Package) []*rpm.Package {
		var out []*rpm.Package
		for _, p := range list {
			q := *p
			for _, kind := range depKinds(&q) {
				*kind.list = slices.Clone(*kind.list)
			}
			q.Files = slices.Clone(q.Files)
			out = append(out, &q)
		}
		return out
	}
	c.Installed = copyAll(s.Installed)
	c.Repos = slices.Clone(s.Repos)
	for i := range c.Repos {
		c.Repos[i].Packages = copyAll(c.Repos[i].Packages)
	}
	c.Exclude, c.Jobs = slices.Clone(s.Exclude), slices.Clone(s.Jobs)
	for i := range c.Jobs {
		c.Jobs[i].Install, c.Jobs[i].Upgrade = slices.Clone(c.Jobs[i].Install), slices.Clone(c.Jobs[i].Upgrade)
	}
	return &c
}
