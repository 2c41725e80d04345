package rpm

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// primaryParser builds packages from the tokens of primary.xml.
type primaryParser struct {
	add func(*Package) error

	shared *interner

	pkg     *Package
	deps    []Dep  // of the list that is being read
	inList  *[]Dep // where they go
	text    []byte
	collect bool // the text of the element that is being read is wanted
}

// parsePrimary calls add for every package of a primary.xml, in its order. size is about that of the document, in bytes;
// negative when nobody knows.
func parsePrimary(r io.Reader, size int64, add func(*Package) error) error {
	p := &primaryParser{add: add, shared: newInterner(size)}
	return walkXML(r, p.token)
}

func (p *primaryParser) token(t *xmlToken) error {
	switch {
	case t.kind == startElement && string(t.name) == "package":
		if p.pkg != nil {
			return fmt.Errorf("got a package inside package %q", p.pkg.Name)
		}
		p.pkg = &Package{}
		return nil
	case p.pkg == nil:
		return nil
	case t.kind == startElement:
		return p.start(t)
	case t.kind == endElement:
		return p.end(t)
	}
	if p.collect {
		p.text = append(p.text, t.text...)
	}
	return nil
}

func (p *primaryParser) start(t *xmlToken) (err error) {
	p.collect = false
	switch string(t.name) {
	case "name", "arch", "sourcerpm", "file":
		p.want()
	case "checksum":
		p.pkg.Checksum.Type = p.intern(t.attr("type"))
		p.want()
	case "version":
		p.pkg.EVR = *p.evr(t)
	case "size":
		p.pkg.Size, err = parseSize(string(t.attr("package")))
	case "location":
		p.pkg.Href, p.pkg.Base = string(t.attr("href")), p.intern(t.attr("base"))
	case "header-range":
		if p.pkg.HeaderStart, err = parseSize(string(t.attr("start"))); err == nil {
			p.pkg.HeaderEnd, err = parseSize(string(t.attr("end")))
		}
	case "entry":
		if p.inList != nil {
			err = p.entry(t)
		}
	default:
		if list := p.pkg.depList(t.name); list != nil {
			p.inList, p.deps = list, p.deps[:0]
		}
	}
	return err
}

// want starts to collect the text of the element that was just opened.
func (p *primaryParser) want() { p.collect, p.text = true, p.text[:0] }

func (p *primaryParser) end(t *xmlToken) (err error) {
	if string(t.name) == "package" {
		pkg := p.pkg
		p.pkg, p.inList, p.collect = nil, nil, false
		return p.finish(pkg)
	}
	if p.inList != nil && p.pkg.depList(t.name) == p.inList {
		*p.inList = append(*p.inList, p.deps...)
		p.inList = nil
	}
	if !p.collect {
		return nil
	}
	p.collect = false
	text := bytes.Trim(p.text, xmlSpace)
	switch string(t.name) {
	case "name":
		p.pkg.Name = p.intern(text)
	case "arch":
		p.pkg.Arch = p.intern(text)
	case "sourcerpm":
		p.pkg.SourceRPM = p.intern(text)
	case "file":
		p.pkg.Files = append(p.pkg.Files, p.intern(text))
	case "checksum":
		p.pkg.Checksum, err = parseDigest(p.pkg.Checksum.Type, string(text))
	}
	return err
}

func (p *primaryParser) finish(pkg *Package) error {
	switch {
	case !isWord(pkg.Name) || !isWord(pkg.Arch) || !isWord(pkg.EVR.Version) || !isWord(pkg.EVR.Release):
		return fmt.Errorf("got package %q with bad name, architecture, version or release", pkg.NEVRA())
	case !printable(pkg.Href):
		return fmt.Errorf("got package %q with bad location %q", pkg.NEVRA(), pkg.Href)
	case pkg.Checksum.Type == "":
		return fmt.Errorf("got package %q without checksum", pkg.NEVRA())
	}
	pkg.Files = slices.Clip(pkg.Files)
	return p.add(pkg)
}

func (p *primaryParser) entry(t *xmlToken) error {
	flags, err := parseFlags(string(t.attr("flags")))
	if err != nil {
		return err
	}
	d := Dep{Name: p.intern(t.attr("name")), Flags: flags}
	if d.Name == "" {
		return fmt.Errorf("got dependency without name in package %q", p.pkg.Name)
	}
	if flags != 0 {
		d.EVR = p.evr(t)
	}
	if pre := t.attr("pre"); len(pre) > 0 && string(pre) != "0" {
		d.Flags |= Pre
	}
	p.deps = append(p.deps, d)
	return nil
}

// evr is the version that an element's attributes state.
func (p *primaryParser) evr(t *xmlToken) *EVR {
	return p.shared.evr(t.attr("epoch"), t.attr("ver"), t.attr("rel"))
}

func (p *primaryParser) intern(s []byte) string { return p.shared.text(s) }

// depList is the list that an element of primary.xml fills, nil for other elements.
func (p *Package) depList(element []byte) *[]Dep {
	switch string(element) {
	case "provides":
		return &p.Provides
	case "requires":
		return &p.Requires
	case "conflicts":
		return &p.Conflicts
	case "obsoletes":
		return &p.Obsoletes
	case "recommends":
		return &p.Recommends
	case "suggests":
		return &p.Suggests
	case "supplements":
		return &p.Supplements
	case "enhances":
		return &p.Enhances
	}
	return nil
}
