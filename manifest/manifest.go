// Package manifest reads what the user wrote: manifest.yaml, the variables that fill it, and the lock that pins
// what it resolved to.
//
// Parsing is strict and reports all problems at once, each with file, line, column and field, never quoting the
// source (it may hold a secret). Nothing here touches the network; only Load, LoadLock and variable files read disk.
package manifest

// Schema is the value that a manifest's schema field must have.
const Schema = "offbake/v1"

// Inputs is the expanded part of a manifest that decides what a bundle holds: what lock and fetch read.
type Inputs struct {
	Name     string // [a-z0-9-]+
	Version  string // semver, without a leading v
	Platform string // os/arch
	// Variables are those that the inputs used, by name. None is secret: a secret variable here is an error.
	Variables map[string]string
	Mirrors   []Mirror
	Artifacts Artifacts
	// Dir is the folder of the manifest; local paths (keys, base) are relative to it.
	Dir string
}

// Mirror says that a URL that starts with From is tried with each To in its place first, then as it is.
type Mirror struct {
	From string   `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
}

// Artifacts is every outside file that the manifest asks for. The JSON names are the manifest's own keys; the form is
// what Inputs.Digest reads, so that a field that is left out says nothing to it.
type Artifacts struct {
	HashiCorp []HashiCorp `json:"hashicorp,omitempty"`
	Providers []Provider  `json:"providers,omitempty"`
	RPMs      RPMs        `json:"rpms,omitzero"`
	// Containers are image references as the user wrote them.
	Containers []string `json:"containers,omitempty"`
	Files      []File   `json:"files,omitempty"`
}

// HashiCorp is one product of the HashiCorp releases layout.
type HashiCorp struct {
	Product string `json:"product,omitempty"`
	Version string `json:"version,omitempty"`
	Key     string `json:"key,omitempty"` // local path of an armored OpenPGP key that replaces the built-in one; "" for HashiCorp's own
}

// Provider is one Terraform or OpenTofu provider plugin.
type Provider struct {
	Source    string `json:"source,omitempty"` // [registry/]namespace/type
	Version   string `json:"version,omitempty"`
	Protocols []int  `json:"protocols,omitempty"`
	Key       string `json:"key,omitempty"` // as HashiCorp.Key
}

// RPMs is the set of packages that the images install.
type RPMs struct {
	Repos   []Repo   `json:"repos,omitempty"`
	Base    string   `json:"base,omitempty"` // local path of a `rpm -qa` dump or an rpmdb file, or "bare"; "" when there are no rpms
	Install []string `json:"install,omitempty"`
	Upgrade []string `json:"upgrade,omitempty"`
	Weak    bool     `json:"weak,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	Modules []string `json:"modules,omitempty"` // name:stream[/profile]
	// Unsigned are the names of packages that may lack a signature although their repository's are checked.
	Unsigned []string `json:"unsigned,omitempty"`
}

// Repo is one yum repository.
type Repo struct {
	ID       string `json:"id,omitempty"`
	BaseURL  string `json:"baseurl,omitempty"` // http(s) or file
	GPGKey   string `json:"gpgkey,omitempty"`  // local path; "" only where nothing is checked
	GPGCheck bool   `json:"gpgcheck,omitempty"`
	// RepoGPGCheck says that GPGKey must have signed repomd.xml, too.
	RepoGPGCheck bool `json:"repo_gpgcheck,omitempty"`
	Priority     int  `json:"priority,omitempty"` // 1..99, lower wins; 99 when not given
}

// File is one plain file pinned by its digest.
type File struct {
	URL    string `json:"url,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // 64 lower-case hex digits; "" when the lock is to pin it at first use
	Path   string `json:"path,omitempty"`   // under files/ of the bundle
	Mode   string `json:"mode,omitempty"`   // "0644" or "0755"
}

// Store is where bundles are pushed.
type Store struct {
	URL      string // ufile://BUCKET/PREFIX or dir:PATH; "" when the manifest has none
	Endpoint string
}

// Cloud says where and how hosts are made. An image's own keys override the manifest's.
type Cloud struct {
	API           string
	Region        string
	Zone          string
	Project       string
	InstanceType  string
	BootDisk      BootDisk
	VPC           string
	Subnet        string
	SecurityGroup string
	ChargeType    string
	EIP           EIP
	SSH           SSH
	CopyTo        []string
}

// BootDisk is the system disk of a host; Size is in GiB, 0 for the base image's own.
type BootDisk struct {
	Type string
	Size int
}

// EIP is the public address of a host; Bandwidth is in Mbit/s.
type EIP struct{ Bandwidth int }

// SSH is how a host is reached. Password is secret.
type SSH struct {
	User      string
	Password  string
	PrivateIP bool
	Port      int
}

// Image is one image to bake, with everything expanded and the cloud keys merged.
type Image struct {
	Name      string // the key under images:
	ImageName string // what the finished image is called
	Base      Base
	Recipes   []string
	Scripts   []string // local paths, relative to the manifest
	Check     []string // commands that must succeed on the finished host
	Cloud     Cloud
	// Variables are all variables as this image sees them, secret ones included; Secret tells which.
	Variables map[string]string
}

// Base chooses the base image: by id or by a name pattern (path.Match syntax).
type Base struct {
	ID   string
	Name string
}
