package assemble

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
)

// plugin is one provider zip in the bundle's terraform/ folder.
type plugin struct {
	path     string // of the zip, in its provider's folder
	version  string
	platform string // os_arch
	sha256   string
	h1       string
}

// The files of Terraform's provider network mirror protocol
// (developer.hashicorp.com/terraform/internals/provider-network-mirror-protocol).
type mirrorIndex struct {
	Versions map[string]struct{} `json:"versions"`
}

type mirrorVersion struct {
	Archives map[string]mirrorArchive `json:"archives"`
}

type mirrorArchive struct {
	Hashes []string `json:"hashes"`
	URL    string   `json:"url"`
}

// mirrorFiles makes the documents that turn the folders of the zips, a filesystem mirror by their names alone, into a
// network mirror: index.json and VERSION.json in each provider's folder. Both hash schemes are given, so that a lock
// file made with the public registry fits.
func mirrorFiles(plugins []plugin) (map[string][]byte, error) {
	indexes := map[string]*mirrorIndex{}
	versions := map[string]*mirrorVersion{}
	for _, p := range plugins {
		dir := path.Dir(p.path)
		index := indexes[path.Join(dir, "index.json")]
		if index == nil {
			index = &mirrorIndex{Versions: map[string]struct{}{}}
			indexes[path.Join(dir, "index.json")] = index
		}
		index.Versions[p.version] = struct{}{}
		version := versions[path.Join(dir, p.version+".json")]
		if version == nil {
			version = &mirrorVersion{Archives: map[string]mirrorArchive{}}
			versions[path.Join(dir, p.version+".json")] = version
		}
		version.Archives[p.platform] = mirrorArchive{Hashes: []string{p.h1, "zh:" + p.sha256}, URL: path.Base(p.path)}
	}
	files := map[string][]byte{}
	for name, doc := range indexes {
		if err := encode(files, name, doc); err != nil {
			return nil, err
		}
	}
	for name, doc := range versions {
		if err := encode(files, name, doc); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func encode(files map[string][]byte, name string, doc any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("encoding %q: %w", name, err)
	}
	files[name] = b.Bytes()
	return nil
}
