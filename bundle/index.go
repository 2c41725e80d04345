package bundle

// Schema is the schema field of bundle.json.
const Schema = "offbake/bundle/1"

// Index is bundle.json: what the bundle is and every file in it but itself, its signatures and SHA256SUMS.
// The signature over its exact bytes covers, by digest, all the rest.
type Index struct {
	Schema    string            `json:"schema"`
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Platform  string            `json:"platform"`
	Created   string            `json:"created"`   // RFC 3339, UTC, whole seconds
	Inputs    string            `json:"inputs"`    // sha256 of the expanded inputs, as in the lock
	Variables map[string]string `json:"variables"` // those that the inputs used
	Files     []File            `json:"files"`     // sorted by path, bytewise
}

// File is one file of a bundle.
type File struct {
	Path     string   `json:"path"`
	Size     int64    `json:"size"` // bytes
	SHA256   string   `json:"sha256"`
	Mode     string   `json:"mode"`               // "0644" or "0755"
	Kind     string   `json:"kind"`               // a manifest.Kind constant
	Origin   string   `json:"origin,omitempty"`   // canonical URL, or the path of the file it was derived from
	Verified string   `json:"verified,omitempty"` // as manifest.Row.Verified
	Evidence []string `json:"evidence,omitempty"` // paths in this bundle
}
