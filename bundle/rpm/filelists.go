package rpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrNoFileLists says that a repository has no file lists: what its packages have beyond the files of primary metadata
// nobody can know.
var ErrNoFileLists = errors.New("repository without file lists")

// Paths looks up which packages of the repository have one of the paths, be it as a file, a directory or a ghost, in its
// file lists. These stream through, with the checks of LoadRepo; open may be another than LoadRepo was given. The paths of
// a package are in the order of its list, each once.
//
// File lists name packages by the checksum of primary metadata. As with dnf (libsolv's repo_rpmmd.c), entries of packages
// that primary does not have are passed over, and a package without an entry has no files. A repository whose repomd.xml
// names no file lists gives ErrNoFileLists.
func (r *Repo) Paths(ctx context.Context, open Opener, paths []string) (map[*Package][]string, error) {
	p := &pathParser{wanted: map[string]bool{}, packages: map[string][]*Package{}, found: map[*Package][]string{}}
	for _, path := range paths {
		p.wanted[path] = true
	}
	for _, pkg := range r.Packages {
		p.packages[pkg.Checksum.Hex] = append(p.packages[pkg.Checksum.Hex], pkg)
	}
	err := r.read(ctx, "filelists", open, func(stream io.Reader) error { return walkXML(stream, p.token) })
	switch {
	case errors.Is(err, errNoRecord):
		return nil, fmt.Errorf("reading repository %q: %w", r.ID, ErrNoFileLists)
	case err != nil:
		return nil, fmt.Errorf("reading file lists of repository %q: %w", r.ID, err)
	}
	return p.found, nil
}

// pathParser looks for paths in the tokens of filelists.xml.
type pathParser struct {
	wanted   map[string]bool
	packages map[string][]*Package // by checksum; more than one where a repository has a file at two places
	found    map[*Package][]string

	current []*Package // whose entry is being read
	text    []byte
	inFile  bool
}

func (p *pathParser) token(t *xmlToken) error {
	switch {
	case t.kind == charData:
		if p.inFile {
			p.text = append(p.text, t.text...)
		}
	case t.kind == startElement && string(t.name) == "package":
		p.current = p.packages[strings.ToLower(string(t.attr("pkgid")))]
	case string(t.name) == "package":
		p.current = nil
	case string(t.name) == "file" && p.current != nil:
		p.inFile = t.kind == startElement
		if !p.inFile && p.wanted[string(p.text)] {
			p.add(string(p.text))
		}
		p.text = p.text[:0]
	}
	return nil
}

func (p *pathParser) add(path string) {
	for _, pkg := range p.current {
		if !slices.Contains(p.found[pkg], path) {
			p.found[pkg] = append(p.found[pkg], path)
		}
	}
}
