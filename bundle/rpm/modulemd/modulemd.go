// Package modulemd knows module metadata of yum repositories (modules.yaml): it reads the documents, finds the streams that
// are active when some are enabled, and from these the packages that do not count as offered.
//
// It means by modules what dnf 4.14 with libdnf 0.69 and libmodulemd 2.14 means by them. Everything read is taken for
// hostile: sizes, counts and depths are bounded. The package opens nothing; callers hand in readers and repositories.
package modulemd

import (
	"strings"
)

// Index is the module metadata of one repository.
type Index struct {
	// Streams are the builds of streams: several of one stream differ in context, version or architecture. They are
	// sorted by module, then as they were read.
	Streams  []*Stream
	Defaults []Defaults // sorted by module, one a module
	Skipped  []Skipped  // documents that do not count, in file order
}

// Stream is one build of a module stream: a modulemd document of version 1 or 2.
type Stream struct {
	Name    string
	Stream  string // as it is written: 1.10 is not 1.1
	Version uint64
	Context string // "" where the document has none
	Arch    string // "" where the document has none, which counts as noarch
	// Static says that Context tells builds of this stream apart; otherwise what they require does.
	Static bool

	Requires []Requirement // all of them must be met
	Profiles []Profile     // sorted by name

	Artifacts     []string // packages, as "name-epoch:version-release.arch", source packages included
	Demodularized []string // names of packages that left the module
	API           []string // names of packages
}

// ID is what people call a stream, "nodejs:18".
func (s *Stream) ID() string { return s.Name + ":" + s.Stream }

// FullID adds version, context and architecture, as "nodejs:18:8080020230106:63b34585:x86_64".
func (s *Stream) FullID() string {
	return strings.Join([]string{s.ID(), formatVersion(s.Version), s.Context, s.Arch}, ":")
}

// Requirement is a module that must be active, too: in one of Streams, or in any where Streams is empty. A stream that
// begins with "-" must not be active.
type Requirement struct {
	Module  string
	Streams []string // sorted
}

// String is the requirement as the documents have it: "perl: [5.24, 5.26]".
func (r Requirement) String() string { return r.Module + ": [" + strings.Join(r.Streams, ", ") + "]" }

// Profile is a set of packages that serves a purpose.
type Profile struct {
	Name     string
	Packages []string // sorted names
}

// Defaults says which stream of a module is active without having been enabled: a modulemd-defaults document.
type Defaults struct {
	Module   string
	Stream   string // "" for none
	Modified uint64
	Profiles map[string][]string // by stream: names of the profiles that stand for it, sorted
}

// Skipped is a document that does not count, as libmodulemd does not count it.
type Skipped struct {
	Line   int // where the document begins
	Reason string
}
