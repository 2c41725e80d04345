package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
)

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

// perm is the mode of the file as a number.
func (f File) perm() fs.FileMode {
	if f.Mode == "0755" {
		return 0o755
	}
	return 0o644
}

// Marshal returns the bytes of bundle.json: JSON without HTML escaping and one line end. They are a pure function of
// the index. An index that breaks a rule of the format is a *FormatError.
func (x Index) Marshal() ([]byte, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	return x.encode()
}

func (x Index) encode() ([]byte, error) {
	if x.Variables == nil {
		x.Variables = map[string]string{}
	}
	if x.Files == nil {
		x.Files = []File{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		return nil, fmt.Errorf("encoding %q: %w", IndexFile, err)
	}
	return b.Bytes(), nil
}

// ParseIndex reads bundle.json. It takes the bytes that Marshal makes and no others: whatever it accepts is
// encoded to the same bytes again, so a field it does not know, a second spelling or a duplicate is an error.
// Its errors are *FormatError.
func ParseIndex(data []byte) (Index, error) {
	if len(data) > MaxIndex {
		return Index{}, formatErrorf(IndexFile, "got %d bytes, want at most %d", len(data), MaxIndex)
	}
	var x Index
	if err := json.Unmarshal(data, &x); err != nil {
		return Index{}, formatErrorf(IndexFile, "not the JSON of an index")
	}
	if x.Schema != Schema { // first: a later format is not "not canonical"
		return Index{}, formatErrorf(IndexFile, "schema: got %.60q, want %q", x.Schema, Schema)
	}
	again, err := x.encode()
	if err != nil {
		return Index{}, err
	}
	if !bytes.Equal(again, data) {
		return Index{}, formatErrorf(IndexFile, "got other bytes than its content encodes to, first at byte %d", firstDiff(again, data))
	}
	if err := x.check(); err != nil {
		return Index{}, err
	}
	return x, nil
}

func firstDiff(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Identity is what names a bundle: the sha256, in lower-case hex, of the bytes of its bundle.json.
func Identity(indexBytes []byte) string {
	sum := sha256.Sum256(indexBytes)
	return hex.EncodeToString(sum[:])
}

// TrustedComment is the trusted comment that every signature of the bundle carries.
func TrustedComment(x Index) string {
	return fmt.Sprintf("name:%s version:%s created:%s", x.Name, x.Version, x.Created)
}

// Sums returns the text of SHA256SUMS: the files of the index in its order, as `sha256sum -c` reads them.
func (x Index) Sums() []byte {
	var b bytes.Buffer
	for _, f := range x.Files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Path)
	}
	return b.Bytes()
}
