package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// inputsSchema names the encoding that Digest hashes. It changes when the same inputs come to mean another bundle.
const inputsSchema = "offbake/inputs/1"

// Digest returns the sha256, in lower-case hex, of what decides the content of a bundle: name, version, platform and
// artifacts as they are expanded, and the content of the local files that artifacts name. Mirrors, store, cloud and
// images have no part in it. It reads those files and fails when one cannot be read.
func (in *Inputs) Digest() (string, error) {
	sums := make(map[string]string)
	for _, p := range in.LocalFiles() {
		sum, err := hashFile(filepath.Join(in.Dir, filepath.FromSlash(p)))
		if err != nil {
			return "", fmt.Errorf("hashing %q: %w", p, err)
		}
		sums[p] = sum
	}
	text, err := json.Marshal(struct {
		Schema    string            `json:"schema"`
		Name      string            `json:"name"`
		Version   string            `json:"version"`
		Platform  string            `json:"platform"`
		Artifacts Artifacts         `json:"artifacts"`
		Local     map[string]string `json:"local"` // path to sha256; encoding/json sorts it
	}{inputsSchema, in.Name, in.Version, in.Platform, in.Artifacts, sums})
	if err != nil {
		return "", fmt.Errorf("encoding inputs: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// LocalFiles returns the files beside the manifest that the artifacts name, sorted, each once, as paths relative to Dir.
func (in *Inputs) LocalFiles() []string {
	var files []string
	for _, h := range in.Artifacts.HashiCorp {
		files = append(files, h.Key)
	}
	for _, p := range in.Artifacts.Providers {
		files = append(files, p.Key)
	}
	for _, r := range in.Artifacts.RPMs.Repos {
		files = append(files, r.GPGKey)
	}
	if base := in.Artifacts.RPMs.Base; base != BareBase {
		files = append(files, base)
	}
	slices.Sort(files)
	files = slices.Compact(files)
	return slices.DeleteFunc(files, func(s string) bool { return s == "" })
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
