package solve

import (
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// fileIndex says who has the paths that some dependency in the pool names, and no others: all paths would be too many.
type fileIndex struct {
	owners   map[string][]pid
	unlisted []string // paths that only file lists know, not yet asked for
}

// owners are the packages that have a file. Paths outside primary metadata are asked of PoolOptions.Files, all at once
// that any dependency in the pool names.
func (p *Pool) owners(path string) []pid {
	if p.files == nil {
		p.indexFiles()
	}
	f := p.files
	if _, known := f.owners[path]; !known {
		p.addPath(path)
	}
	if slices.Contains(f.unlisted, path) {
		p.askFiles()
	}
	return f.owners[path]
}

// indexFiles finds the owners, in primary metadata and on the host, of all paths that dependencies name.
func (p *Pool) indexFiles() {
	f := &fileIndex{owners: map[string][]pid{}}
	p.files = f
	want := func(deps []rpm.Dep) {
		for i := range deps {
			switch name := deps[i].Name; {
			case strings.HasPrefix(name, "/"):
				f.want(name)
			case strings.HasPrefix(name, "("):
				p.wantRich(name)
			}
		}
	}
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		e := &p.pkgs[i]
		for _, deps := range [][]rpm.Dep{e.Requires, e.Conflicts, e.Recommends, e.Suggests, e.Supplements, e.Enhances} {
			want(deps)
		}
	}
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		if !p.indexed(i) {
			continue
		}
		for _, path := range p.pkgs[i].Files {
			if list, wanted := f.owners[path]; wanted && (len(list) == 0 || list[len(list)-1] != i) {
				f.owners[path] = append(list, i)
			}
		}
	}
}

func (f *fileIndex) want(path string) {
	if _, known := f.owners[path]; known {
		return
	}
	f.owners[path] = nil
	if !primaryLists(path) {
		f.unlisted = append(f.unlisted, path)
	}
}

// wantRich adds the paths in a rich dependency.
func (p *Pool) wantRich(text string) {
	if !strings.Contains(text, "/") {
		return
	}
	tree, err := p.parseRich(text)
	if err != nil {
		return
	}
	for _, leaf := range tree.leaves(nil) {
		if name := p.deps[leaf].dep.Name; strings.HasPrefix(name, "/") {
			p.files.want(name)
		}
	}
}

// addPath adds a path that no dependency names, such as one that a user asks for.
func (p *Pool) addPath(path string) {
	p.files.want(path)
	for i := pid(1); i < pid(len(p.pkgs)); i++ {
		if p.indexed(i) && slices.Contains(p.pkgs[i].Files, path) {
			p.files.owners[path] = append(p.files.owners[path], i)
		}
	}
}

func (p *Pool) askFiles() {
	f := p.files
	paths := f.unlisted
	f.unlisted = nil
	if p.o.Files == nil || p.err != nil {
		return
	}
	slices.Sort(paths)
	found, err := p.o.Files(paths)
	if err != nil {
		p.err = err
		return
	}
	for i := p.host + 1; i < pid(len(p.pkgs)); i++ {
		if !p.indexed(i) {
			continue
		}
		for _, path := range found[p.pkgs[i].Package] {
			f.owners[path] = union(f.owners[path], []pid{i})
		}
	}
}

// primaryLists says whether primary metadata lists a path: createrepo's rule.
func primaryLists(path string) bool {
	return strings.HasPrefix(path, "/etc/") || strings.Contains(path, "bin/") || path == "/usr/lib/sendmail"
}
