// Package rpm knows RPM packages and yum repositories: it reads repository metadata and what a host has installed, reads
// and verifies RPM files, and writes the repository of a bundle. What a transaction would do package solve finds out.
//
// Everything read is taken for hostile: sizes are bounded before memory is taken, digests are checked while the bytes
// pass, and nothing is returned before they agree. The package itself opens no file and no connection; callers hand in
// an Opener or an io.ReaderAt. It does not unpack payloads.
package rpm

// Package is one RPM as a repository's primary metadata describes it. Strings are shared between packages; callers
// must not modify any slice.
type Package struct {
	Name string
	EVR  EVR
	Arch string

	Href     string // location, relative to the repository or to Base; unchecked, the caller resolves it within bounds
	Base     string // xml:base of the location, mostly ""
	Size     int64  // of the RPM file, bytes
	Checksum Digest // of the RPM file

	HeaderStart, HeaderEnd int64 // byte range of the main header within the file
	SourceRPM              string

	Provides, Requires, Conflicts, Obsoletes    []Dep
	Recommends, Suggests, Supplements, Enhances []Dep

	// Files are the paths that primary lists: those in /etc and bin directories, and /usr/lib/sendmail.
	Files []string
}

// NEVRA names the package in full, as "docker-ce-3:19.03.15-3.el7.x86_64"; an epoch of 0 is left out.
func (p *Package) NEVRA() string { return p.Name + "-" + p.EVR.String() + "." + p.Arch }
