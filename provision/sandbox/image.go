package sandbox

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// States of images.
const (
	stateMaking      = "Making"
	stateCopying     = "Copying"
	stateAvailable   = "Available"
	stateUnavailable = "Unavailable"
)

// Features of images.
const (
	featureCloudInit = "CloudInit"
	featureRssd      = "RssdAttachable"
)

// image is one image of the API, in one region. The exported part is what a custom image's file keeps.
type image struct {
	ID, Name, Description, Tag string
	Region, Zone               string
	Project                    string // "" for base images, which all projects see
	OsType, OsName             string
	Features                   []string
	Size                       int // GB
	Created                    int64
	BaseID, BaseName           string // the base image that it comes from
	Boots                      bool   // it has a root file system

	root   string // a folder or a tar file; "" where it does not boot
	state  phase
	cancel func() // ends the work behind state; nil where there is none
}

func (m *image) base() bool { return m.Project == "" }

func (m *image) kind() string {
	if m.base() {
		return "Base"
	}
	return "Custom"
}

// imageEntry is an image as DescribeImage tells it.
type imageEntry struct {
	Zone, ImageId, ImageName, OsType, OsName, ImageType string
	Features                                            []string
	FuncType, State, ImageDescription                   string
	ImageSize                                           int
	CreateTime                                          int64
	MinimalCPU, MaintainEol, IntegratedSoftware         string
	Vendor, Links, Tag, PrimarySoftware                 string
	SceneCategories, SupportedGPUTypes, DataSnapshotIds []string
	PriceSet                                            []int
}

func (m *image) entry() imageEntry {
	eol := ""
	if m.base() {
		eol = "2024/06/30"
	}
	none := []string{}
	return imageEntry{Zone: m.Zone, ImageId: m.ID, ImageName: m.Name, OsType: m.OsType, OsName: m.OsName,
		ImageType: m.kind(), Features: m.Features, FuncType: "uhost", State: m.state.state, ImageDescription: m.Description,
		ImageSize: m.Size, CreateTime: m.Created, MaintainEol: eol, Tag: m.Tag,
		SceneCategories: none, SupportedGPUTypes: none, DataSnapshotIds: none, PriceSet: []int{}}
}

// firstBase is the base image that most clients want.
const firstBase = "CentOS 7.9 64位"

// baseImages are the images that every zone has from the start, all with the one root file system root. They are more
// than a page of DescribeImage, in an order that tells nothing, and some are there to be passed over: too old a name,
// not Available, for other machine types, not Linux.
func baseImages(root string, cloudInit bool) []*image {
	names := []string{"Ubuntu 20.04 64位", "Ubuntu 22.04 64位", "Ubuntu 24.04 64位", "Debian 10.0 64位", "Debian 11.0 64位",
		"Debian 12.0 64位", "RockyLinux 8.5 64位", "RockyLinux 9.0 64位", "AlmaLinux 9.0 64位", "openSUSE 15.5 64位",
		"Anolis 8.8 64位", "Windows 2016 64位 中文版", "Windows 2019 64位 中文版", "Windows 2022 64位 中文版",
		"CentOS 6.5 64位", "CentOS 6.10 64位", "CentOS 7.0 64位", "CentOS 7.2 64位", "CentOS 7.4 64位", "CentOS 7.6 64位",
		"CentOS 7.8 64位", "高内核CentOS 7.6 64位", "高内核CentOS 7.9 64位", firstBase, "CentOS 8.3 64位"}
	var all []*image
	for _, r := range regions() {
		for _, zone := range r.zones {
			for i, name := range names {
				m := newBase(name, root)
				m.ID, m.Region, m.Zone, m.Created = baseID(zone, name), r.name, zone, epoch+int64(i)*86400
				m.BaseID, m.BaseName = m.ID, m.Name
				if cloudInit && m.OsType == "Linux" {
					m.Features = append([]string{featureCloudInit}, m.Features...)
				}
				all = append(all, m)
			}
		}
	}
	return all
}

// baseID is another in every zone, and the same at every start.
func baseID(zone, name string) string {
	return fmt.Sprintf("uimage-%x", sha256.Sum256([]byte(zone+"\n"+name)))[:len("uimage-")+10]
}

func newBase(name, root string) *image {
	m := &image{Name: name, Tag: "Default", OsType: "Linux", OsName: name, Features: []string{"NetEnhanced", "HotPlug"},
		Size: 20, Boots: true, root: root, state: phase{state: stateAvailable}}
	switch {
	case matches(`^Windows`, name):
		m.OsType, m.Size, m.Boots, m.root = "Windows", 40, false, ""
	case matches(`^CentOS (6|8|7\.[0-8])`, name):
		m.state.state = stateUnavailable
	}
	if matches(`^高内核|^Ubuntu|^RockyLinux`, name) {
		m.Features = append(m.Features, featureRssd)
	}
	return m
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// findImage finds what a request of this place may name; nil for none.
func (c *call) findImage(id string) *image {
	for _, m := range c.s.images {
		if m.ID == id && m.Region == c.region.name && (m.base() || m.Project == c.project) {
			return m
		}
	}
	return nil
}

func describeImage(c *call) (fields, error) {
	ids := c.p.list("ImageIds")
	if id := c.p.text("ImageId"); id != "" {
		ids = append(ids, id)
	}
	kind := c.p.oneOf("ImageType", "", "Base", "Business", "Custom")
	osType, tag := c.p.oneOf("OsType", "", "Linux", "Windows"), c.p.text("Tag")
	var found []*image
	for _, m := range c.s.images {
		if c.findImage(m.ID) != m || kind != "" && kind != m.kind() || osType != "" && osType != m.OsType ||
			tag != "" && tag != m.Tag || len(ids) > 0 && !slices.Contains(ids, m.ID) ||
			c.zone != "" && m.base() && c.zone != m.Zone {
			continue
		}
		found = append(found, m)
	}
	from, to := c.p.page(len(found), 20)
	if c.p.err != nil {
		return nil, c.p.err
	}
	entries := []imageEntry{}
	for _, m := range found[from:to] {
		m.state.advance(c.s.o.Polls)
		entries = append(entries, m.entry())
		m.state.seen++
	}
	return fields{"TotalCount": len(found), "ImageSet": entries}, nil
}

// describeUK8SImage answers that there are none: clients ask it for an image that DescribeImage does not know.
func describeUK8SImage(c *call) (fields, error) {
	return fields{"Message": "", "ImageSet": []int{}, "PHostImageSet": []int{}}, nil
}

// imageName is the parameter of a new image's name.
func (p *params) imageName(name, def string) string {
	v := p.text(name)
	if v == "" {
		v = def
	}
	if !matches(`^[A-Za-z0-9\p{Han}\-_\[\]:,.]{1,63}$`, v) {
		p.bad(name, "want 1 to 63 letters, digits and -_[]:,.")
	}
	return v
}

// newImage makes a custom image of base's kind in state, which becomes Available.
func (c *call) newImage(state string, of *image) *image {
	m := *of
	m.ID, m.Created, m.Project, m.Region = newID("uimage"), time.Now().Unix(), c.project, c.region.name
	m.Tag, m.Description, m.root, m.cancel = "Default", "", "", nil
	m.Features = slices.Clone(of.Features)
	m.state = phase{state: state, next: stateAvailable, busy: true}
	switch c.fault.Kind {
	case FaultStuck:
		m.state.stuck = true
	case FaultUnavailable:
		m.state.next = stateUnavailable
	}
	return &m
}

// roomForImage says whether n more custom images may be had.
func (c *call) roomForImage(n int) error {
	for _, m := range c.s.images {
		if !m.base() {
			n++
		}
	}
	if n > c.s.o.Images {
		return &apiError{8095, fmt.Sprintf("quota of %d custom images exceeded", c.s.o.Images)}
	}
	return nil
}
