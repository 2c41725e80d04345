package sandbox

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// spec is what a host was asked to be.
type spec struct {
	name, tag, charge string
	count             int
	image             *image
	machine           string // N, C or O
	cpu, memory       int    // memory in MB
	disks             []disk
	password          string
	userData          []byte
	vpc, subnet       string
	eip               *eipSpec // nil for none
}

// disk is one disk of a host; size in GB.
type disk struct {
	id, kind string
	size     int
	boot     bool
}

type eipSpec struct {
	bandwidth      int
	mode, operator string
}

// bootDisk is the one disk that boots; a spec that was accepted has it.
func (h *uhost) bootDisk() disk {
	i := slices.IndexFunc(h.spec.disks, func(d disk) bool { return d.boot })
	return h.spec.disks[i]
}

// readSpec reads what CreateUHostInstance or GetUHostInstancePrice asks for. The image must be there.
func (c *call) readSpec() (spec, error) {
	p := spec{
		name:   cmp.Or(c.p.text("Name"), "UHost"),
		tag:    cmp.Or(c.p.text("Tag"), "Default"),
		charge: c.p.oneOf("ChargeType", "Month", "Year", "Month", "Dynamic", "Postpay", "Spot"),
		count:  c.p.number("MaxCount", 1, 1),
	}
	if !matches(`^[A-Za-z0-9\p{Han}\-_.]{1,63}$`, p.name) {
		c.p.bad("Name", "want 1 to 63 letters, digits and -_.")
	}
	c.p.number("Quantity", 1, 0)
	id := c.p.required("ImageId")
	if c.p.err != nil {
		return p, c.p.err
	}
	if p.image = c.findImage(id); p.image == nil {
		return p, &apiError{8889, "image [" + id + "] not found"}
	}
	p.image.state.advance(c.s.o.Polls)
	switch {
	case p.image.state.state != stateAvailable:
		return p, &apiError{8889, "image [" + id + "] is " + p.image.state.state}
	case p.image.base() && p.image.Zone != c.zone:
		return p, &apiError{8889, "image [" + id + "] is not one of zone " + c.zone}
	case p.image.OsType != "Linux":
		return p, &apiError{8833, "the sandbox has no room for " + p.image.OsType}
	}
	c.readMachine(&p)
	c.readLogin(&p)
	c.readUserData(&p)
	if err := c.readNetwork(&p); err != nil {
		return p, err
	}
	if err := c.readDisks(&p); err != nil {
		return p, err
	}
	return p, c.p.err
}

// readMachine reads machine type, processors and memory (the documentation's page on machine types).
func (c *call) readMachine(p *spec) {
	p.machine = c.p.oneOf("MachineType", "N", "N", "C", "O")
	p.cpu, p.memory = c.p.number("CPU", 4, 1), c.p.number("Memory", 8192, 1024)
	if p.cpu != 1 && p.cpu%2 != 0 || p.machine != "O" && p.cpu > 32 ||
		p.machine == "O" && !slices.Contains([]int{2, 4, 8, 16, 32, 64, 96}, p.cpu) {
		c.p.bad("CPU", fmt.Sprintf("machine type %s has none with %d", p.machine, p.cpu))
	}
	// packer-plugin-ucloud v1.0.9 builder/ucloud/common/types.go:81 has the ratio.
	if p.memory%1024 != 0 || p.memory*2 < p.cpu*1024 || p.memory > p.cpu*12*1024 || p.memory > 768*1024 {
		c.p.bad("Memory", fmt.Sprintf("got %d MB for %d CPU", p.memory, p.cpu))
	}
	if p.image == nil {
		return
	}
	rssd := slices.Contains(p.image.Features, featureRssd)
	switch {
	case p.machine == "O" && !rssd:
		c.p.bad("ImageId", "machine type O needs an image with RssdAttachable")
	case p.machine != "O" && strings.HasPrefix(p.image.Name, "高内核"):
		c.p.bad("ImageId", "an image with 高内核 is for machine type O only")
	}
}

// readLogin reads the password, which comes in base64.
func (c *call) readLogin(p *spec) {
	switch c.p.required("LoginMode") {
	case "Password":
		text, err := base64.StdEncoding.DecodeString(c.p.required("Password"))
		if err != nil || !goodPassword(string(text)) {
			c.p.bad("Password", "want base64 of 8 to 30 characters of two kinds")
		}
		p.password = string(text)
	case "ImagePasswd":
		if p.image.base() {
			c.p.bad("LoginMode", "a base image has no password")
		}
	case "KeyPair":
		c.p.bad("KeyPairId", "the sandbox keeps no key pairs")
	default:
		c.p.bad("LoginMode", "want Password, ImagePasswd or KeyPair")
	}
}

// goodPassword knows the service's rule: 8 to 30 characters, two kinds at least of upper case, lower case, digits and
// others.
func goodPassword(text string) bool {
	kinds := map[string]bool{}
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z':
			kinds["lower"] = true
		case r >= 'A' && r <= 'Z':
			kinds["upper"] = true
		case r >= '0' && r <= '9':
			kinds["digit"] = true
		case strings.ContainsRune("()`~!@#$%^&*-+=_|{}[]:;'<>,.?/", r):
			kinds["other"] = true
		default:
			return false
		}
	}
	return len(text) >= 8 && len(text) <= 30 && len(kinds) >= 2
}

func (c *call) readUserData(p *spec) {
	text := c.p.text("UserData")
	if text == "" {
		return
	}
	data, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
		c.p.bad("UserData", "want base64")
	case len(data) > 16<<10:
		c.p.bad("UserData", "want at most 16 KiB")
	case !slices.Contains(p.image.Features, featureCloudInit):
		c.p.bad("UserData", "the image has no CloudInit")
	}
	p.userData = data
}

// readNetwork reads where the host stands.
func (c *call) readNetwork(p *spec) error {
	p.vpc, p.subnet = c.region.vpc(), c.region.subnet()
	for _, given := range []struct {
		name, text string
		known      []string
	}{
		{"VPCId", c.p.text("VPCId"), []string{p.vpc}},
		{"SubnetId", c.p.text("SubnetId"), []string{p.subnet}},
		{"SecurityGroupId", c.p.text("SecurityGroupId"), c.region.firewalls()},
	} {
		if given.text != "" && !slices.Contains(given.known, given.text) {
			return &apiError{54002, "Resource [" + given.text + "] not found"}
		}
	}
	if (c.p.text("VPCId") == "") != (c.p.text("SubnetId") == "") {
		c.p.bad("SubnetId", "want VPCId and SubnetId, or neither")
	}
	const prefix = "NetworkInterface.0.EIP."
	bandwidth := c.p.number(prefix+"Bandwidth", 0, 0)
	if bandwidth == 0 {
		return nil
	}
	operator := "International"
	if strings.HasPrefix(c.region.name, "cn-") {
		operator = "Bgp"
	}
	p.eip = &eipSpec{bandwidth, c.p.oneOf(prefix+"PayMode", "Bandwidth", "Bandwidth", "Traffic", "PostAccurateBandwidth"),
		c.p.oneOf(prefix+"OperatorName", operator, operator)}
	if bandwidth > 1000 {
		c.p.bad(prefix+"Bandwidth", "want at most 1000")
	}
	return nil
}

// readDisks reads the disks: one of them boots and holds the image.
func (c *call) readDisks(p *spec) error {
	boots := 0
	for _, prefix := range c.p.groups("Disks") {
		d := disk{id: newID("bsi"), boot: c.p.yes(prefix + ".IsBoot"), size: c.p.number(prefix+".Size", 0, 0),
			kind: c.p.oneOf(prefix+".Type", "", "LOCAL_NORMAL", "LOCAL_SSD", "CLOUD_NORMAL", "CLOUD_SSD", "CLOUD_RSSD")}
		rssd := d.kind == "CLOUD_RSSD"
		switch {
		case d.kind == "":
			c.p.bad(prefix+".Type", "it is missing")
		case rssd != (p.machine == "O"):
			c.p.bad(prefix+".Type", "machine type O has CLOUD_RSSD, the others all but that")
		case d.size > 8000 || d.size == 0 || d.boot && d.size > 500:
			c.p.bad(prefix+".Size", fmt.Sprintf("got %d GB", d.size))
		}
		if d.boot {
			boots++
			if strings.HasPrefix(d.kind, "LOCAL_") && d.size != p.image.Size {
				return &apiError{8316, fmt.Sprintf("a local boot disk must have the image's %d GB", p.image.Size)}
			}
			if d.size < p.image.Size {
				return &apiError{8315, fmt.Sprintf("the boot disk must have the image's %d GB at least", p.image.Size)}
			}
		}
		p.disks = append(p.disks, d)
	}
	if boots != 1 {
		c.p.bad("Disks", fmt.Sprintf("got %d that boot, want 1", boots))
	}
	return nil
}
