package rpm

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Header is what the headers of an RPM file say. A field that the file lacks is empty.
type Header struct {
	Name string
	EVR  EVR    // Epoch "" when the package has none
	Arch string // "src" for a source package

	Summary, Description           string
	URL, License, Vendor, Packager string
	Group, BuildHost, SourceRPM    string
	BuildTime                      int64 // Unix seconds
	InstalledSize, ArchiveSize     int64 // bytes: of all files, of the uncompressed payload
	Start, End                     int64 // byte range of the main header within the file
	Provides, Requires             []Dep // as stored: with rpmlib() and what the package provides itself
	Conflicts, Obsoletes           []Dep
	Recommends, Suggests           []Dep
	Supplements, Enhances          []Dep
	Files                          []File
	FileDigests                    string   // the hash that the files' digests are of, as Digest.Type; also "md5"
	Changelog                      []Change // newest first, as packagers write it
}

// Change is an entry of a package's change log.
type Change struct {
	Author string
	Time   int64 // Unix seconds
	Text   string
}

// NEVRA names the package in full, as Package.NEVRA does.
func (h *Header) NEVRA() string { return h.Name + "-" + h.EVR.String() + "." + h.Arch }

// ReadHeader reads the headers of the RPM file of size bytes in r. It checks their form only; see Verify for whether they
// are genuine.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	raw, err := readRaw(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("reading RPM header: %w", err)
	}
	h, err := raw.decode()
	if err != nil {
		return nil, fmt.Errorf("reading RPM header: %w", err)
	}
	return h, nil
}

// rawHeader is the part of an RPM file before the payload.
type rawHeader struct {
	sig, main  *index
	start, end int64 // of main within the file
}

const leadSize = 96

// readRaw reads lead, signature header and main header, and leaves r at the payload.
func readRaw(r io.Reader) (*rawHeader, error) {
	lead := make([]byte, leadSize)
	if _, err := io.ReadFull(r, lead); err != nil {
		return nil, fmt.Errorf("reading lead: %w", unexpectedEOF(err))
	}
	// As rpm: magic, major version, and that the signature is a header; no other byte of the lead means anything.
	if !bytes.Equal(lead[:4], []byte{0xed, 0xab, 0xee, 0xdb}) || lead[4] < 3 || lead[4] > 4 || lead[78] != 0 || lead[79] != 5 {
		return nil, fmt.Errorf("reading lead: got %x, signature type %x, want an RPM version 3 or 4 file, type 5: %w",
			lead[:5], lead[78:80], ErrMalformed)
	}
	sig, err := readIndex(r, tagHeaderSignatures)
	if err != nil {
		return nil, fmt.Errorf("reading signature header: %w", err)
	}
	padding := make([]byte, -len(sig.blob)&7)
	if _, err := io.ReadFull(r, padding); err != nil {
		return nil, fmt.Errorf("reading signature header: %w", unexpectedEOF(err))
	}
	if !isZero(padding) {
		return nil, fmt.Errorf("reading signature header: got padding %x, want zeros: %w", padding, ErrMalformed)
	}
	main, err := readIndex(r, tagHeaderImmutable)
	if err != nil {
		return nil, fmt.Errorf("reading main header: %w", err)
	}
	start := int64(leadSize + len(sig.blob) + len(padding))
	return &rawHeader{sig: sig, main: main, start: start, end: start + int64(len(main.blob))}, nil
}

func (raw *rawHeader) decode() (*Header, error) {
	d := &decoder{index: raw.main}
	h := &Header{
		Name:        d.text(tagName),
		EVR:         EVR{Version: d.text(tagVersion), Release: d.text(tagRelease)},
		Arch:        d.text(tagArch),
		Summary:     d.text(tagSummary),
		Description: d.text(tagDescription),
		URL:         d.text(tagURL),
		License:     d.text(tagLicense),
		Vendor:      d.text(tagVendor),
		Packager:    d.text(tagPackager),
		Group:       d.text(tagGroup),
		BuildHost:   d.text(tagBuildHost),
		SourceRPM:   d.text(tagSourceRPM),
		BuildTime:   d.number(tagBuildTime),
		Start:       raw.start,
		End:         raw.end,

		Provides:    d.deps(tagProvideName, tagProvideFlags, tagProvideVersion),
		Requires:    d.deps(tagRequireName, tagRequireFlags, tagRequireVersion),
		Conflicts:   d.deps(tagConflictName, tagConflictFlags, tagConflictVersion),
		Obsoletes:   d.deps(tagObsoleteName, tagObsoleteFlags, tagObsoleteVersion),
		Recommends:  d.deps(tagRecommendName, tagRecommendFlags, tagRecommendVersion),
		Suggests:    d.deps(tagSuggestName, tagSuggestFlags, tagSuggestVersion),
		Supplements: d.deps(tagSupplementName, tagSupplementFlags, tagSupplementVersion),
		Enhances:    d.deps(tagEnhanceName, tagEnhanceFlags, tagEnhanceVersion),
		Files:       d.files(),
		Changelog:   d.changelog(),
	}
	if _, has := raw.main.entries[tagEpoch]; has {
		h.EVR.Epoch = strconv.FormatInt(d.number(tagEpoch), 10)
	}
	if d.number(tagSourcePackage) != 0 || h.SourceRPM == "" {
		h.Arch = "src"
	}
	h.FileDigests = d.fileDigestType()
	h.InstalledSize = max(d.number(tagSize), d.number(tagLongSize))
	sig := &decoder{index: raw.sig}
	h.ArchiveSize = max(d.number(tagArchiveSize), sig.number(sigPayloadSize), sig.number(sigLongArchiveSize))
	if d.err == nil {
		d.err = sig.err
	}
	for _, word := range []string{h.Name, h.EVR.Version, h.EVR.Release, h.Arch} {
		if d.err == nil && !isWord(word) {
			d.err = fmt.Errorf("got %q with bad name, version, release or architecture: %w", h.NEVRA(), ErrMalformed)
		}
	}
	return h, d.err
}

// isWord says whether s can stand in a package's name.
func isWord(s string) bool {
	return printable(s) && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsSpace) && !strings.ContainsAny(s, "\ufffe\uffff")
}

// printable says whether s is without control characters, and something of it can be written as metadata.
func printable(s string) bool {
	return !strings.ContainsFunc(s, unicode.IsControl) && escapeXML(s) != ""
}

// Bits of rpm's RPMSENSE that make a requirement Pre in repository metadata: PREREQ, SCRIPT_PRE, SCRIPT_POST.
const sensePre = 1<<6 | 1<<9 | 1<<10

func (d *decoder) deps(nameTag, flagsTag, versionTag tag) []Dep {
	names, flags, versions := d.texts(nameTag), d.numbers(flagsTag), d.texts(versionTag)
	if len(names) != len(flags) || len(names) != len(versions) {
		d.wrong(nameTag, d.entries[nameTag], "as many flags and versions")
		return nil
	}
	var deps []Dep
	for i, name := range names {
		if !printable(name) || !printable(versions[i]) && versions[i] != "" {
			d.wrong(nameTag, d.entries[nameTag], "printable names and versions")
			return nil
		}
		dep := Dep{Name: name, Flags: Flags(flags[i]) & senseMask}
		if dep.Flags != 0 {
			evr := ParseEVR(versions[i])
			dep.EVR = &evr
		}
		if flags[i]&sensePre != 0 {
			dep.Flags |= Pre
		}
		deps = append(deps, dep)
	}
	return deps
}

func (d *decoder) changelog() []Change {
	times, names, texts := d.numbers(tagChangelogTime), d.texts(tagChangelogName), d.texts(tagChangelogText)
	if len(times) != len(names) || len(times) != len(texts) {
		d.wrong(tagChangelogTime, d.entries[tagChangelogTime], "as many names and texts")
		return nil
	}
	var log []Change
	for i, name := range names {
		log = append(log, Change{Author: name, Time: times[i], Text: texts[i]})
	}
	return log
}
