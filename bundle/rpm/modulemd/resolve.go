package modulemd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// Options say what there is and what is wanted.
type Options struct {
	// Indexes are all repositories, those without module metadata, too: their packages are hidden by modules of others.
	Indexes []RepoIndex
	// Enable are specs "name" or "name:stream", each with or without "/profile". A name alone means the default stream, or
	// the only one.
	Enable []string
	// Platform is the module that the system is, as "platform:el8"; "" means that of the packages (see Platform).
	Platform string
	Arch     string // of the host; "" means x86_64
}

// RepoIndex is a repository and its module metadata.
type RepoIndex struct {
	Repo     *rpm.Repo
	Index    *Index // nil where the repository has none
	Hotfixes bool   // module_hotfixes: nothing of this repository is hidden
}

// Set is what is active of a system's modules.
type Set struct {
	Streams  []Active // sorted by module
	Install  []string // names of the packages of the profiles that were asked for, sorted
	Warnings []string // why defaults do not count that the repositories have

	hidden  map[*rpm.Package]bool
	modular map[*rpm.Package]bool
}

// Active is a stream whose packages are offered.
type Active struct {
	Name, Stream string
	Enabled      bool      // asked for, or required by one that was; else it is a default, or required by one
	Builds       []*Stream // that count, of all repositories
}

// ID is what people call the stream, "nodejs:18".
func (a Active) ID() string { return a.Name + ":" + a.Stream }

// Hidden says that a package does not count as offered: it belongs to a stream that is not active, or has or provides the
// name of a package of one that is. Packages that Options.Indexes does not have are not hidden.
func (s *Set) Hidden(p *rpm.Package) bool { return s.hidden[p] }

// Modular says that a package belongs to an active stream. dnf refuses to install a package whose header has a modularity label
// where this is false, unless its repository is one of hotfixes.
func (s *Set) Modular(p *rpm.Package) bool { return s.modular[p] }

// Resolve finds the streams that are active: those enabled, what they require, and defaults that fit. Errors, joined where
// there are several, are a *SpecError for a spec that means nothing, or a *DependencyError.
func Resolve(o Options) (*Set, error) {
	r, err := newResolver(o)
	if err != nil {
		return nil, err
	}
	wanted, err := r.specs(o.Enable)
	if err != nil {
		return nil, err
	}
	set := &Set{}
	if r.warning != "" {
		set.Warnings = append(set.Warnings, r.warning)
	}
	live, warnings, err := r.solve()
	if err != nil {
		return nil, err
	}
	set.Warnings = append(set.Warnings, warnings...)
	active := r.activate(live)
	r.filter(set, active)
	set.Streams = r.streams(active)
	set.Install, err = r.profiles(wanted, active)
	return set, err
}

// resolver is one call of Resolve.
type resolver struct {
	problem
	indexes  []RepoIndex
	platform string
	defaults map[string]Defaults
	enabled  map[string]string // by module: the stream
	warning  string
}

func newResolver(o Options) (*resolver, error) {
	r := &resolver{indexes: o.Indexes, platform: o.Platform, enabled: make(map[string]string)}
	r.arch = cmp.Or(o.Arch, "x86_64")
	if r.platform == "" {
		r.platform = Platform(o.Indexes, nil)
	}
	r.defaults, r.warning = mergeDefaults(o.Indexes)
	r.builds = []build{{Stream: &Stream{}}} // numbers begin at 1
	r.byModule = make(map[string][]int)
	for _, static := range []bool{true, false} {
		r.addBuilds(static)
	}
	if len(r.builds) > maxDocuments {
		return nil, fmt.Errorf("resolving modules: got more than %d builds", maxDocuments)
	}
	if r.platform == "" {
		return r, nil
	}
	name, stream, found := strings.Cut(r.platform, ":")
	if !found || name == "" || stream == "" {
		return nil, fmt.Errorf("resolving modules: got platform %q, want one such as platform:el8", r.platform)
	}
	r.problem.platform = len(r.builds)
	r.addBuild(build{Stream: &Stream{Name: name, Stream: stream}, repo: -1, key: r.platform + ":00000000"})
	return r, nil
}

// addBuilds adds those with a context of their own, or all others. These are told apart by what they require, and share the
// context of one of the first kind that requires the same (libdnf, addVersion2Modules).
func (r *resolver) addBuilds(static bool) {
	contexts := make(map[string]string)
	for _, b := range slices.Backward(r.builds) { // backward, so that the first counts
		if !static {
			contexts[b.ID()+"\n"+b.needs()] = b.Context
		}
	}
	for i, idx := range r.indexes {
		if idx.Index == nil {
			continue
		}
		for _, s := range idx.Index.Streams {
			if s.Static != static {
				continue
			}
			context := s.Context
			if !static {
				var found bool
				if context, found = contexts[s.ID()+"\n"+s.needs()]; !found {
					context = cmp.Or(s.needs(), "NoRequires")
				}
			}
			// An empty context of a build means the one that it has.
			r.addBuild(build{Stream: s, repo: i, key: s.ID() + ":" + cmp.Or(context, s.Context)})
		}
	}
}

func (r *resolver) addBuild(b build) {
	b.rank = archRank(r.arch, b.Arch)
	r.byModule[b.Name] = append(r.byModule[b.Name], len(r.builds))
	r.builds = append(r.builds, b)
}

// needs is what a build requires beside the platform, in one text.
func (s *Stream) needs() string {
	var needs []string
	for _, req := range s.Requires {
		switch {
		case req.Module == "platform":
		case len(req.Streams) == 0:
			needs = append(needs, req.Module)
		default:
			needs = append(needs, req.Module+":["+strings.Join(req.Streams, ",")+"]")
		}
	}
	slices.Sort(needs)
	return strings.Join(needs, ";")
}

// solve decides what is active. First everything must fit in its newest version; then defaults may be given up, which is told.
func (r *resolver) solve() (live []int, warnings []string, err error) {
	r.jobs = nil
	for i, b := range r.builds {
		stream, enabled := r.enabled[b.Name]
		switch {
		case i == 0 || i == r.problem.platform:
		case enabled && b.Stream.Stream == stream:
			r.jobs = append(r.jobs, job{b.Name, stream, false})
		case !enabled && r.defaults[b.Name].Stream == b.Stream.Stream: // a stream "" is the default of a module without
			r.jobs = append(r.jobs, job{b.Name, b.Stream.Stream, true})
		}
	}
	if len(r.jobs) == 0 {
		return nil, nil, nil
	}
	live, failed, err := r.attempt(false)
	if err != nil || len(failed) == 0 {
		return live, nil, err
	}
	for _, set := range failed {
		warnings = append(warnings, "default modules: "+r.explainSet(set))
	}
	live, failed, err = r.attempt(true)
	if err != nil || len(failed) == 0 {
		return live, warnings, err
	}
	e := &DependencyError{}
	for _, set := range failed {
		if text := r.explainSet(set); !slices.Contains(e.Problems, text) {
			e.Problems = append(e.Problems, text)
		}
	}
	return nil, nil, e
}

var errTooMany = errors.New("resolving modules: there are too many builds and requirements to search")

func (r *resolver) attempt(soft bool) (live []int, failed [][]int, err error) {
	if !r.formulate(true, soft) {
		return nil, nil, errTooMany
	}
	live, failed, ok := r.problem.solve()
	if !ok && len(failed) == 0 {
		return nil, nil, errTooMany
	}
	return live, failed, nil
}

// activate finds all builds by the name of one that the search made active: other versions, of any repository and architecture.
func (r *resolver) activate(live []int) []bool {
	keys := make(map[string]bool)
	for _, i := range live {
		keys[r.builds[i].key] = true
	}
	active := make([]bool, len(r.builds))
	for i, b := range r.builds {
		active[i] = i > 0 && i != r.problem.platform && keys[b.key]
	}
	return active
}

// streams lists what is active. What an enabled stream requires counts as enabled, too (libdnf, enableDependencyTree).
func (r *resolver) streams(active []bool) []Active {
	enabled, seen := make(map[string]bool), make([]bool, len(r.builds))
	var follow func(i int)
	follow = func(i int) {
		b := r.builds[i]
		enabled[b.Name], seen[i] = true, true
		for _, req := range b.Requires {
			have, _ := req.split()
			for _, o := range r.providers(req.Module, have) {
				if active[o] && !seen[o] {
					follow(o)
				}
			}
		}
	}
	for i, b := range r.builds {
		if stream, found := r.enabled[b.Name]; found && active[i] && stream == b.Stream.Stream {
			follow(i)
		}
	}
	var list []Active
	for i, on := range active {
		if !on {
			continue
		}
		b := r.builds[i]
		at := slices.IndexFunc(list, func(a Active) bool { return a.Name == b.Name })
		if at < 0 {
			at = len(list)
			list = append(list, Active{Name: b.Name, Stream: b.Stream.Stream, Enabled: enabled[b.Name]})
		}
		list[at].Builds = append(list[at].Builds, b.Stream)
	}
	slices.SortFunc(list, func(a, b Active) int { return strings.Compare(a.Name, b.Name) })
	return list
}
