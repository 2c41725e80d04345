package manifest

import "fmt"

var (
	imageKey    = slugName
	recipeName  = slugName
	imageName   = matches(`^[A-Za-z0-9\p{Han}_\[\]:,.-]{1,63}$`, "a name of at most 63 letters, digits and - _ . , : [ ]")
	diskType    = maybe(oneOf("cloud_ssd", "cloud_rssd", "local_normal", "local_ssd"))
	chargeType  = maybe(oneOf("Dynamic", "Month", "Year"))
	machineType = maybe(matches(`^[a-z0-9]+(-[a-z0-9]+)+$`, "an instance type, such as n-basic-2"))
	userName    = maybe(matches(`^[a-z_][a-z0-9_-]{0,31}$`, "a user name"))
)

const (
	sshPort      = 22
	maxDisk      = 32000 // GiB
	maxBandwidth = 10000 // Mbit/s
)

// Store expands where bundles are pushed. Its URL is "" when the manifest has none.
func (m *Manifest) Store(v *Vars) (Store, error) {
	d := decoder{file: m.store.file, value: v.lookup("")}
	s := d.store(m.store.node)
	if err := d.err(); err != nil {
		return Store{}, err
	}
	return s, nil
}

func (d *decoder) store(n *node) Store {
	if d.object(n, []string{"url"}, "endpoint") == nil {
		return Store{}
	}
	return Store{URL: d.text(n.lookup("url"), storeURL), Endpoint: d.text(n.lookup("endpoint"), endpoint)}
}

// Upgrade expands the names of packages that bake may upgrade, and nothing else of the inputs: where they were fetched
// from is of no concern to a bake.
func (m *Manifest) Upgrade(v *Vars) ([]string, error) {
	d := decoder{file: m.File, value: v.lookup("")}
	names := d.texts(m.root.lookup("artifacts").lookup("rpms").lookup("upgrade"), rpmSpec)
	return names, d.err()
}

// Weak reports whether weak dependencies of packages come too: rpms.weak.
func (m *Manifest) Weak() bool {
	var d decoder // the manifest is checked, so nothing is left to report
	return d.truth(m.root.lookup("artifacts").lookup("rpms").lookup("weak"), false)
}

// Cloud expands where and how hosts are made, without what single images override.
func (m *Manifest) Cloud(v *Vars) (Cloud, error) {
	c := newCloud()
	d := decoder{file: m.cloud.file, value: v.lookup("")}
	d.cloud(m.cloud.node, &c)
	if err := d.err(); err != nil {
		return Cloud{}, err
	}
	return c, nil
}

// newCloud is what holds where a manifest says nothing.
func newCloud() Cloud {
	return Cloud{ChargeType: "Dynamic", SSH: SSH{User: "root", Port: sshPort}}
}

// Image expands one image with the variables that it sees: the cloud's keys, its own over them, and the base image's id
// from the variable image_id where that is not empty.
func (m *Manifest) Image(name string, v *Vars) (Image, error) {
	n := m.root.lookup("images").lookup(name)
	if n == nil {
		return Image{}, fmt.Errorf("image %q: the manifest has no such image", name)
	}
	img := Image{Name: name, ImageName: name, Variables: v.For(name), Cloud: newCloud()}
	d := decoder{file: m.cloud.file, value: v.lookup(name)}
	d.cloud(m.cloud.node, &img.Cloud)
	d.file = m.File
	d.image(n, &img)
	if id := img.Variables["image_id"]; id != "" {
		if what := word(id); what != "" {
			return Image{}, fmt.Errorf("image %q: variable image_id: %s", name, what)
		}
		img.Base = Base{ID: id}
	}
	if err := d.err(); err != nil {
		return Image{}, err
	}
	return img, nil
}

// image decodes an image over what img holds already.
func (d *decoder) image(n *node, img *Image) {
	if d.object(n, nil, append([]string{"image_name", "base", "recipes", "scripts", "check"}, cloudKeys()...)...) == nil {
		return
	}
	if s := d.text(n.lookup("image_name"), imageName); s != "" {
		img.ImageName = s
	}
	if b := d.object(n.lookup("base"), nil, "id", "name"); b != nil {
		img.Base = Base{ID: d.text(b.lookup("id"), word), Name: d.text(b.lookup("name"), glob)}
		if (b.lookup("id") == nil) == (b.lookup("name") == nil) {
			d.fail(b, "want one of id and name")
		}
	}
	img.Recipes = d.literals(n.lookup("recipes"), recipeName)
	img.Scripts = d.literals(n.lookup("scripts"), localPath)
	img.Check = d.texts(n.lookup("check"), command)
	d.cloudInto(n, &img.Cloud)
}

// cloudKeys are the keys of cloud, which an image may hold too.
func cloudKeys() []string {
	return []string{"api", "region", "zone", "project", "instance_type", "boot_disk", "vpc", "subnet", "security_group",
		"charge_type", "eip", "ssh", "copy_to"}
}

func (d *decoder) cloud(n *node, c *Cloud) {
	if d.object(n, nil, cloudKeys()...) != nil {
		d.cloudInto(n, c)
	}
}

// cloudInto decodes the keys of cloud that n holds over what c has; the others stay.
func (d *decoder) cloudInto(n *node, c *Cloud) {
	set := func(to *string, key string, ck check) {
		if v := n.lookup(key); v != nil {
			*to = d.text(v, ck)
		}
	}
	set(&c.API, "api", maybe(location("http", "https")))
	set(&c.Region, "region", word)
	set(&c.Zone, "zone", word)
	set(&c.Project, "project", word)
	set(&c.InstanceType, "instance_type", machineType)
	set(&c.VPC, "vpc", word)
	set(&c.Subnet, "subnet", word)
	set(&c.SecurityGroup, "security_group", word)
	set(&c.ChargeType, "charge_type", chargeType)
	if v := n.lookup("copy_to"); v != nil {
		c.CopyTo = d.texts(v, word)
	}
	if b := d.object(n.lookup("boot_disk"), nil, "type", "size"); b != nil {
		if v := b.lookup("type"); v != nil {
			c.BootDisk.Type = d.text(v, diskType)
		}
		c.BootDisk.Size = d.number(b.lookup("size"), c.BootDisk.Size, 0, maxDisk)
	}
	if e := d.object(n.lookup("eip"), nil, "bandwidth"); e != nil {
		c.EIP.Bandwidth = d.number(e.lookup("bandwidth"), c.EIP.Bandwidth, 0, maxBandwidth)
	}
	if s := d.object(n.lookup("ssh"), nil, "user", "password", "private_ip", "port"); s != nil {
		d.ssh(s, &c.SSH)
	}
}

func (d *decoder) ssh(n *node, s *SSH) {
	if v := n.lookup("user"); v != nil {
		s.User = d.text(v, userName)
	}
	if v := n.lookup("password"); v != nil {
		s.Password = d.password(v)
	}
	s.PrivateIP = d.truth(n.lookup("private_ip"), s.PrivateIP)
	s.Port = d.number(n.lookup("port"), s.Port, 1, 65535)
}
