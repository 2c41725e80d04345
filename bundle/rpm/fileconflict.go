package rpm

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// FileConflict is a path that two packages bring differently, so that rpm would not install one beside the other.
type FileConflict struct {
	Path     string
	Packages [2]*Header // sorted by NEVRA; the same one twice when it conflicts with itself by a link to a directory
	Differs  string     // in what: "type", "mode", "size", "content", "target", "device", "owner" or "group"
}

// String says who conflicts over what, in one line.
func (c FileConflict) String() string {
	return c.Path + " (" + c.Differs + ") is in " + c.Packages[0].NEVRA() + " and in " + c.Packages[1].NEVRA()
}

// FileConflicts says which files of packages that are to be on one host together are in each other's way, whether one
// transaction brings them or several. It judges as rpm 4.18 does for hosts that run 64-bit programs and 32-bit ones too
// (lib/rpmfi.c, rpmfilesCompare; lib/transaction.c, handleOverlappedFiles; lib/fprint.c): what is the same in both is
// shared, ghosts are in nobody's way, and of two ELF files the one of 64 bits wins. A symbolic link that a package brings
// in place of a directory counts for the paths below it, in all packages. Neither the order of packages nor repetition
// counts: where more than two packages have a path, rpm holds each against the one before it alone, and this against all.
//
// What packages not among these have on the host, with links to directories, is not known here. The list is sorted by
// path, then by the packages' NEVRAs.
func FileConflicts(packages []*Header) []FileConflict {
	owners := fileOwners(packages)
	var found []FileConflict
	for at, list := range owners {
		for i, b := range list {
			for _, a := range list[:i] {
				differs := a.conflict(b)
				same := a.pkg != b.pkg && a.pkg.NEVRA() == b.pkg.NEVRA() // one package, given twice
				if differs != "" && !same {
					pair := [2]*Header{a.pkg, b.pkg}
					slices.SortFunc(pair[:], func(a, b *Header) int { return cmp.Compare(a.NEVRA(), b.NEVRA()) })
					found = append(found, FileConflict{Path: at, Packages: pair, Differs: differs})
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b FileConflict) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Packages[0].NEVRA(), b.Packages[0].NEVRA()),
			cmp.Compare(a.Packages[1].NEVRA(), b.Packages[1].NEVRA()), cmp.Compare(a.Differs, b.Differs))
	})
	return slices.CompactFunc(found, func(a, b FileConflict) bool {
		return a.Path == b.Path && a.Packages[0].NEVRA() == b.Packages[0].NEVRA() && a.Packages[1].NEVRA() == b.Packages[1].NEVRA()
	})
}

// ownedFile is a file with its package.
type ownedFile struct {
	*File
	pkg *Header
}

// fileOwners are the files that share a path with others, by that path.
func fileOwners(packages []*Header) map[string][]ownedFile {
	links := dirLinks{}
	for _, p := range packages {
		for i := range p.Files {
			if f := &p.Files[i]; f.Link != "" {
				if _, known := links[f.Path]; !known || links[f.Path] > f.Link { // one of two, the same in any order
					links[f.Path] = f.Link
				}
			}
		}
	}
	first := map[string]ownedFile{}
	shared := map[string][]ownedFile{}
	for _, p := range packages {
		lastDir, resolved := "", "" // files of one directory follow each other
		for i := range p.Files {
			f := ownedFile{File: &p.Files[i], pkg: p}
			dir, base := path.Split(f.Path)
			if dir != lastDir {
				lastDir, resolved = dir, links.resolve(dir)
			}
			at := f.Path
			if resolved != dir {
				at = resolved + base
			}
			list := shared[at]
			if list == nil {
				before, again := first[at]
				if !again {
					first[at] = f
					continue
				}
				list = []ownedFile{before}
			}
			shared[at] = append(list, f)
		}
	}
	return shared
}

// dirLinks are symbolic links that packages bring, path and target.
type dirLinks map[string]string

// maxLinks is how many links of a path are followed, as in rpm: there may be a circle.
const maxLinks = 50

// resolve is the directory, which ends in a slash, that dir means once the links are there.
func (l dirLinks) resolve(dir string) string {
	for range maxLinks {
		next := l.follow(dir)
		if next == "" {
			return dir
		}
		dir = next
	}
	return dir
}

// follow replaces the first link in dir, "" when there is none.
func (l dirLinks) follow(dir string) string {
	for i := 1; i < len(dir); i++ {
		if dir[i] != '/' {
			continue
		}
		target, is := l[dir[:i]]
		if !is {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Dir(dir[:i]) + "/" + target
		}
		if next := path.Join(target, dir[i:]); next != "/" {
			return next + "/"
		}
		return "/"
	}
	return ""
}

// preferredColor is that of programs of 64 bits.
const preferredColor = 2

// conflict says in what two files for one path differ, "" when both can be there.
func (f ownedFile) conflict(other ownedFile) string {
	const knownColors = 1 | preferredColor
	differs := f.compare(other)
	a, b := f.Color&knownColors, other.Color&knownColors
	if a != 0 && b != 0 && a != b && (a|b)&preferredColor != 0 {
		return "" // one of them is left out
	}
	return differs
}

// Types of files, in the upper bits of st_mode.
const (
	typeMask      = 0o170000
	typeLink      = 0o120000
	typeRegular   = 0o100000
	typeBlockDev  = 0o060000
	typeDirectory = 0o040000
	typeCharDev   = 0o020000
)

func (f ownedFile) compare(other ownedFile) string {
	kind := f.Mode & typeMask
	switch {
	case f.Ghost || other.Ghost:
		return ""
	case kind != other.Mode&typeMask:
		return "type"
	case f.Mode != other.Mode && kind != typeLink:
		return "mode"
	case (kind == typeRegular || kind == typeLink) && f.Size != other.Size:
		if kind == typeLink {
			return "target"
		}
		return "size"
	case f.User != other.User:
		return "owner"
	case f.Group != other.Group:
		return "group"
	case kind == typeLink && f.Link != other.Link:
		return "target"
	case kind == typeRegular && (f.Digest != other.Digest || f.Digest != "" && f.pkg.FileDigests != other.pkg.FileDigests):
		return "content"
	case (kind == typeBlockDev || kind == typeCharDev) && f.Device != other.Device:
		return "device"
	}
	return ""
}
