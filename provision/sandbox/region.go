package sandbox

// region is one of the places that the sandbox has.
type region struct {
	id    int
	name  string
	short string // in the ids of its network
	zones []string
}

// regions are all of them; the first is the default.
func regions() []region {
	return []region{
		{6001, "cn-bj2", "bj2", []string{"cn-bj2-02", "cn-bj2-05"}},
		{8001, "cn-sh2", "sh2", []string{"cn-sh2-02"}},
		{3001, "hk", "hk", []string{"hk-02"}},
	}
}

func findRegion(name string) (region, bool) {
	for _, r := range regions() {
		if r.name == name {
			return r, true
		}
	}
	return region{}, false
}

func (r region) vpc() string    { return "uvnet-" + r.short }
func (r region) subnet() string { return "subnet-" + r.short }
func (r region) firewalls() []string {
	return []string{"firewall-nonweb-" + r.short, "firewall-web-" + r.short}
}

// projects are the ids that requests may name; the first is the default.
func projects() []string { return []string{"org-sandbox", "org-sandbox2"} }

// epoch is when all that the sandbox has from the start was made.
const epoch = 1577808000

func getRegion(c *call) (fields, error) {
	type entry struct {
		RegionId   int
		RegionName string
		IsDefault  bool
		BitMaps    string
		Region     string
		Zone       string
	}
	var all []entry
	for i, r := range regions() {
		for _, zone := range r.zones {
			all = append(all, entry{r.id, r.name, i == 0, "", r.name, zone})
		}
	}
	return fields{"Regions": all}, nil
}

func getProjectList(c *call) (fields, error) {
	type entry struct {
		ProjectId, ProjectName, ParentId, ParentName string
		CreateTime                                   int
		IsDefault                                    bool
		ResourceCount, MemberCount                   int
	}
	var all []entry
	for i, id := range projects() {
		name := "Default"
		if i > 0 {
			name = id
		}
		all = append(all, entry{ProjectId: id, ProjectName: name, CreateTime: epoch, IsDefault: i == 0, MemberCount: 1})
	}
	return fields{"ProjectCount": len(all), "ProjectSet": all}, nil
}
