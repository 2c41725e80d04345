package rpm

import (
	"strconv"
	"strings"
)

// File is one path of a package. What a header does not say of it is empty.
type File struct {
	Path  string
	Mode  uint16 // st_mode
	Ghost bool   // owned but not in the payload

	Size        int64 // bytes; of a symbolic link, those of its target
	User, Group string
	Link        string // target of a symbolic link
	Digest      string // of a regular file's content, lower-case hexadecimal
	Device      uint16 // st_rdev of a device
	Color       uint8  // 1 for an ELF file of 32 bits, 2 for one of 64
}

// Dir says whether the path is a directory.
func (f File) Dir() bool { return f.Mode&typeMask == typeDirectory }

const fileGhost = 1 << 6 // RPMFILE_GHOST

// maxPath is Linux's PATH_MAX. A long directory with many names in it would make gigabytes of a small header.
const maxPath = 4096

func (d *decoder) files() []File {
	paths := d.texts(tagOldFilenames)
	if bases := d.texts(tagBaseNames); bases != nil {
		dirs, dirOf := d.texts(tagDirNames), d.numbers(tagDirIndexes)
		if len(dirOf) != len(bases) {
			d.wrong(tagDirIndexes, d.entries[tagDirIndexes], "one for each name")
			return nil
		}
		paths = make([]string, len(bases))
		for i, base := range bases {
			if dirOf[i] >= int64(len(dirs)) {
				d.wrong(tagDirIndexes, d.entries[tagDirIndexes], "indexes of directories")
				return nil
			}
			if len(dirs[dirOf[i]])+len(base) > maxPath {
				d.wrong(tagDirNames, d.entries[tagDirNames], "paths that a file can have")
				return nil
			}
			paths[i] = dirs[dirOf[i]] + base
		}
	}
	modes, flags := d.numbers(tagFileModes), d.numbers(tagFileFlags)
	if len(modes) != len(paths) || len(flags) != len(paths) {
		d.wrong(tagFileModes, d.entries[tagFileModes], "modes and flags for each file")
		return nil
	}
	var files []File
	for i, path := range paths {
		files = append(files, File{Path: path, Mode: uint16(modes[i]), Ghost: flags[i]&fileGhost != 0})
	}
	d.addFileNumbers(files)
	d.addFileTexts(files)
	return files
}

// addFileNumbers adds to files what not every header has.
func (d *decoder) addFileNumbers(files []File) {
	for _, a := range []struct {
		tag tag
		set func(*File, int64)
	}{
		{tagFileSizes, func(f *File, n int64) { f.Size = n }},
		{tagLongFileSizes, func(f *File, n int64) { f.Size = n }},
		{tagFileDevices, func(f *File, n int64) { f.Device = uint16(n) }},
		{tagFileColors, func(f *File, n int64) { f.Color = uint8(n) }},
	} {
		values := d.numbers(a.tag)
		if values != nil && len(values) != len(files) {
			d.wrong(a.tag, d.entries[a.tag], "one for each file")
			return
		}
		for i, n := range values {
			a.set(&files[i], n)
		}
	}
}

func (d *decoder) addFileTexts(files []File) {
	for _, a := range []struct {
		tag tag
		set func(*File, string)
	}{
		{tagFileUsers, func(f *File, s string) { f.User = s }},
		{tagFileGroups, func(f *File, s string) { f.Group = s }},
		{tagFileLinks, func(f *File, s string) { f.Link = s }},
		{tagFileDigests, func(f *File, s string) { f.Digest = strings.ToLower(s) }},
	} {
		values := d.texts(a.tag)
		if values != nil && len(values) != len(files) {
			d.wrong(a.tag, d.entries[a.tag], "one for each file")
			return
		}
		for i, s := range values {
			a.set(&files[i], s)
		}
	}
}

// fileDigestType is the hash of the files' digests, by OpenPGP's number (RFC 4880, section 9.4), MD5 without one.
func (d *decoder) fileDigestType() string {
	number := d.number(tagFileDigestAlgo)
	switch number {
	case 0, 1:
		return "md5"
	case 2:
		return "sha1"
	case 8:
		return "sha256"
	case 9:
		return "sha384"
	case 10:
		return "sha512"
	case 11:
		return "sha224"
	}
	return strconv.FormatInt(number, 10)
}
