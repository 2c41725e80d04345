package provision

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/offbake/offbake/internal/atomicfile"
)

// ImageResult is one image of a result; its JSON form is part of bake's.
type ImageResult struct {
	Name string `json:"name"`
	Made
	Base       string    `json:"base"`
	Bundle     string    `json:"bundle"`     // identity
	Inputs     string    `json:"inputs"`     // input address
	Seconds    int64     `json:"seconds"`    // from asking for the host to the image; 0 when reused
	Background []Attempt `json:"background"` // what the base's own daemons tried to reach
	Reused     bool      `json:"reused"`     // it was there already, with the same inputs
}

// String is what the user keeps of an image: its id, or its path.
func (m Made) String() string { return cmp.Or(m.ID, m.Path) }

// Files that WriteResults writes.
const (
	ResultsFile = "offbake-images.json"
	TfvarsFile  = "offbake-images.auto.tfvars.json"
)

// resultsSchema is the schema of ResultsFile.
const resultsSchema = "offbake/images/1"

type resultsFile struct {
	Schema string        `json:"schema"`
	Images []ImageResult `json:"images"` // sorted by name
}

// WriteResults writes the two result files into a folder, which is made if need be; each is there whole or not at all.
// Images that they name already and that are not among images stay: one image made anew does not lose the ids of the
// others, and several processes may write to one folder.
func WriteResults(dir string, images []ImageResult) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %q: %w", dir, err)
	}
	if err := writeResults(filepath.Join(dir, ResultsFile), images); err != nil {
		return fmt.Errorf("writing %q: %w", ResultsFile, err)
	}
	if err := writeTfvars(filepath.Join(dir, TfvarsFile), images); err != nil {
		return fmt.Errorf("writing %q: %w", TfvarsFile, err)
	}
	return nil
}

func writeResults(path string, images []ImageResult) error {
	old := resultsFile{}
	if err := readJSON(path, &old); err != nil {
		return err
	}
	if old.Schema != "" && old.Schema != resultsSchema {
		return fmt.Errorf("what is there: got schema %q, want %q", old.Schema, resultsSchema)
	}
	all := slices.DeleteFunc(old.Images, func(i ImageResult) bool {
		return slices.ContainsFunc(images, func(n ImageResult) bool { return n.Name == i.Name })
	})
	all = append(all, images...)
	slices.SortFunc(all, func(a, b ImageResult) int { return cmp.Compare(a.Name, b.Name) })
	return writeJSON(path, resultsFile{Schema: resultsSchema, Images: all})
}

// writeTfvars writes Terraform variables such as consul_server_image_id.
func writeTfvars(path string, images []ImageResult) error {
	vars := map[string]any{}
	if err := readJSON(path, &vars); err != nil {
		return err
	}
	for _, i := range images {
		vars[strings.ReplaceAll(i.Name, "-", "_")+"_image_id"] = i.Made.String()
	}
	return writeJSON(path, vars)
}

// readJSON leaves v as it is when there is no file.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("what is there: %w", err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, b.Bytes(), 0o644)
}
