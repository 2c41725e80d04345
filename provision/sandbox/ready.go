package sandbox

// Ready is what a client needs to know, as `offbake sandbox` prints it.
type Ready struct {
	API        string       `json:"api"`
	Endpoint   string       `json:"endpoint"` // of the object store
	Bucket     string       `json:"bucket"`
	PublicKey  string       `json:"public_key"`
	PrivateKey string       `json:"private_key"` // secret
	Project    string       `json:"project"`
	Region     string       `json:"region"`
	Zone       string       `json:"zone"`
	VPC        string       `json:"vpc"`
	Subnet     string       `json:"subnet"`
	Images     []ReadyImage `json:"images"` // those that hosts can be made of in Zone, the base image of most use first
}

// ReadyImage is one image that hosts can be made of.
type ReadyImage struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Ready tells how to reach the sandbox.
func (s *Sandbox) Ready() Ready {
	place := regions()[0]
	r := Ready{API: "http://" + s.api.String() + "/", Endpoint: "http://" + s.ufile.String(), Bucket: s.bucket(),
		PublicKey: s.key.Public, PrivateKey: s.key.Private, Project: projects()[0], Region: place.name, Zone: place.zones[0],
		VPC: place.vpc(), Subnet: place.subnet()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.images {
		m.state.advance(s.o.Polls)
		visible := m.base() && m.Zone == r.Zone || m.Project == r.Project && m.Region == r.Region
		if !visible || !m.Boots || m.state.state != stateAvailable {
			continue
		}
		one := ReadyImage{m.ID, m.Name}
		if m.Name == firstBase {
			r.Images = append([]ReadyImage{one}, r.Images...)
		} else {
			r.Images = append(r.Images, one)
		}
	}
	return r
}

// Image is a custom image as Images tells it.
type Image struct {
	ID, Name, Description string
	State                 string
	Region, Zone, Project string
}

// Images are the custom images, in all regions, in the order in which they were made; those of earlier runs first.
func (s *Sandbox) Images() []Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Image
	for _, m := range s.images {
		m.state.advance(s.o.Polls)
		if !m.base() {
			all = append(all, Image{m.ID, m.Name, m.Description, m.state.state, m.Region, m.Zone, m.Project})
		}
	}
	return all
}
