package rpm

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// primaryParser builds packages from the tokens of primary.xml.
type primaryParser struct {
	add func(*Package) error

	strings map[string]string // interned: names and versions repeat by the hundred
	evrs    map[EVR]*EVR

	pkg  *Package
	deps *[]Dep           // the list that rpm:entry adds to
	text *strings.Builder // set where the element's text is wanted
	buf  strings.Builder
}

// parsePrimary calls add for every package of a primary.xml, in its order.
func parsePrimary(r io.Reader, add func(*Package) error) error {
	p := &primaryParser{add: add, strings: map[string]string{}, evrs: map[EVR]*EVR{}}
	return walkXML(r, p.token)
}

func (p *primaryParser) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.CharData:
		if p.text != nil {
			p.text.Write(t)
		}
	case xml.EndElement:
		return p.end(t.Name.Local)
	}
	return nil
}

func (p *primaryParser) start(e xml.StartElement) error {
	if e.Name.Local == "package" {
		if p.pkg != nil {
			return fmt.Errorf("got a package inside package %q", p.pkg.Name)
		}
		p.pkg = &Package{}
		return nil
	}
	if p.pkg == nil {
		return nil
	}
	var err error
	switch e.Name.Local {
	case "name", "arch", "sourcerpm", "file":
		p.want()
	case "checksum":
		p.pkg.Checksum.Type = p.intern(attr(e, "type"))
		p.want()
	case "version":
		p.pkg.EVR = p.evr(e)
	case "size":
		p.pkg.Size, err = parseSize(attr(e, "package"))
	case "location":
		p.pkg.Href, p.pkg.Base = attr(e, "href"), attr(e, "base")
	case "header-range":
		if p.pkg.HeaderStart, err = parseSize(attr(e, "start")); err == nil {
			p.pkg.HeaderEnd, err = parseSize(attr(e, "end"))
		}
	case "entry":
		return p.entry(e)
	default:
		if list := p.pkg.depList(e.Name.Local); list != nil {
			p.deps = list
		}
	}
	return err
}

// want starts to collect the text of the element that was just opened.
func (p *primaryParser) want() {
	p.buf.Reset()
	p.text = &p.buf
}

func (p *primaryParser) end(name string) error {
	if p.pkg == nil {
		return nil
	}
	if name == "package" {
		pkg := p.pkg
		p.pkg, p.text, p.deps = nil, nil, nil
		return p.finish(pkg)
	}
	if p.text == nil {
		return nil
	}
	text := strings.TrimSpace(p.text.String())
	p.text = nil
	switch name {
	case "name":
		p.pkg.Name = p.intern(text)
	case "arch":
		p.pkg.Arch = p.intern(text)
	case "sourcerpm":
		p.pkg.SourceRPM = p.intern(text)
	case "file":
		p.pkg.Files = append(p.pkg.Files, p.intern(text))
	case "checksum":
		d, err := parseDigest(p.pkg.Checksum.Type, text)
		p.pkg.Checksum = d
		return err
	}
	return nil
}

func (p *primaryParser) finish(pkg *Package) error {
	switch {
	case pkg.Name == "" || pkg.Arch == "" || pkg.EVR.Version == "" || pkg.EVR.Release == "":
		return fmt.Errorf("got package %q without name, architecture, version or release", pkg.NEVRA())
	case pkg.Href == "":
		return fmt.Errorf("got package %q without location", pkg.NEVRA())
	case pkg.Checksum.Type == "":
		return fmt.Errorf("got package %q without checksum", pkg.NEVRA())
	}
	return p.add(pkg)
}

func (p *primaryParser) entry(e xml.StartElement) error {
	if p.deps == nil {
		return nil
	}
	flags, err := parseFlags(attr(e, "flags"))
	if err != nil {
		return err
	}
	d := Dep{Name: p.intern(attr(e, "name")), Flags: flags}
	if d.Name == "" {
		return fmt.Errorf("got dependency without name in package %q", p.pkg.Name)
	}
	if flags != 0 {
		evr := p.evr(e)
		if d.EVR = p.evrs[evr]; d.EVR == nil {
			d.EVR = &evr
			p.evrs[evr] = d.EVR
		}
	}
	if pre := attr(e, "pre"); pre != "" && pre != "0" {
		d.Flags |= Pre
	}
	*p.deps = append(*p.deps, d)
	return nil
}

func (p *primaryParser) evr(e xml.StartElement) EVR {
	return EVR{Epoch: p.intern(attr(e, "epoch")), Version: p.intern(attr(e, "ver")), Release: p.intern(attr(e, "rel"))}
}

func (p *primaryParser) intern(s string) string {
	if known, ok := p.strings[s]; ok {
		return known
	}
	p.strings[s] = s
	return s
}

// depList is the list that an element of primary.xml fills, nil for other elements.
func (p *Package) depList(element string) *[]Dep {
	switch element {
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
