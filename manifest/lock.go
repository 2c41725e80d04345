package manifest

import "time"

// LockSchema is the schema field of a lock file.
const LockSchema = "offbake/lock/1"

// Lock pins every input of a bundle. Its text is a pure function of its value: rows are sorted by path.
type Lock struct {
	Schema    string
	Name      string
	Version   string
	Platform  string
	Created   time.Time // UTC, whole seconds; stays while no row changes
	Inputs    string    // Inputs.Digest of what was locked
	Variables map[string]string
	Rows      []Row
}

// Row is one outside file: inputs only, never something derived from them.
type Row struct {
	Path     string   // in the bundle, e.g. files/consul_1.6.1_linux_amd64.zip
	Kind     string   // one of the Kind constants
	Name     string   // what the user calls it: "consul 1.6.1", "docker-ce-3:19.03.15-3.el7.x86_64"
	URL      string   // canonical: never the mirror used, no user info, no query
	Size     int64    // bytes
	SHA256   string   // lower-case hex
	Mode     string   // "0644" or "0755"
	Verified string   // "hashicorp-pgp KEYID", "provider-pgp KEYID", "rpm-pgp KEYID", "pinned", "oci-digest", "first-use"
	Evidence []string // paths of the evidence rows that vouch for this one, sorted
}

// Kinds of rows and of the files of a bundle. The first group are inputs, the second derived.
const (
	KindHashiCorp = "hashicorp"
	KindProvider  = "provider"
	KindRPM       = "rpm"
	KindContainer = "container"
	KindFile      = "file"
	KindEvidence  = "evidence"

	KindUnpacked  = "unpacked"
	KindRepodata  = "repodata"
	KindTerraform = "terraform"
	KindLocal     = "local"
	KindMeta      = "meta"
)
