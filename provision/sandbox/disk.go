package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/atomicfile"
)

// What is in Options.Dir.
const (
	lockName    = "lock"
	keysName    = "keys.json"
	imagesDir   = "images"   // ID.json and ID.tar of each custom image; the JSON comes last
	storeDir    = "store"    // of bundle/serve
	machinesDir = "machines" // of the hosts, empty before and after
)

// openDir makes the folder, takes its lock and makes what is in it.
func openDir(dir string) (*os.File, error) {
	for _, d := range []string{dir, filepath.Join(dir, imagesDir), filepath.Join(dir, machinesDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil { // images may hold secrets of their makers
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ours, err := atomicfile.TryLock(lock)
	if err == nil && !ours {
		err = fmt.Errorf("locking %q: another sandbox has it", lock.Name())
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// loadKeys reads the key pair of dir, or makes one.
func loadKeys(dir string) (ufile.KeyPair, error) {
	var file struct {
		Public  string `json:"public_key"`
		Private string `json:"private_key"`
	}
	path := filepath.Join(dir, keysName)
	data, err := os.ReadFile(path)
	if err == nil {
		if json.Unmarshal(data, &file) != nil || file.Public == "" || file.Private == "" {
			return ufile.KeyPair{}, fmt.Errorf("reading %q: got no key pair; remove it to have a new one made", path)
		}
		return ufile.KeyPair(file), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return ufile.KeyPair{}, err
	}
	file.Public, file.Private = "sandbox-"+rand.Text(), rand.Text()
	if data, err = json.Marshal(file); err != nil {
		return ufile.KeyPair{}, err
	}
	return ufile.KeyPair(file), atomicfile.WriteFile(path, append(data, '\n'), 0o600)
}

func (s *Sandbox) imageFile(id, suffix string) string {
	return filepath.Join(s.o.Dir, imagesDir, id+suffix)
}

// saveImage writes what makes an image's file an image.
func (s *Sandbox) saveImage(m *image) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(s.imageFile(m.ID, ".json"), data, 0o600)
}

// drop is dropImage where nobody is left to tell an error to but the log.
func (s *Sandbox) drop(id string) {
	if err := s.dropImage(id); err != nil {
		s.o.Log.LogAttrs(context.Background(), slog.LevelError, "removing image", slog.String("image", id), slog.Any("cause", err))
	}
}

// dropImage removes all of an image, JSON first.
func (s *Sandbox) dropImage(id string) error {
	var errs []error
	for _, suffix := range []string{".json", ".tar", ".part"} {
		if err := os.Remove(s.imageFile(id, suffix)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// loadImages reads the custom images of an earlier sandbox, and removes what is left of those that were not finished.
func (s *Sandbox) loadImages() error {
	dir := filepath.Join(s.o.Dir, imagesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		m, err := s.loadImage(id)
		if err != nil {
			return fmt.Errorf("reading image %q: %w", id, err)
		}
		known[id] = true
		s.images = append(s.images, m)
	}
	for _, e := range entries {
		id, suffix, _ := strings.Cut(e.Name(), ".")
		if !known[id] || suffix != "json" && suffix != "tar" {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sandbox) loadImage(id string) (*image, error) {
	data, err := os.ReadFile(s.imageFile(id, ".json"))
	if err != nil {
		return nil, err
	}
	m := &image{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	if m.ID != id || m.Project == "" {
		return nil, fmt.Errorf("got the image %q", m.ID)
	}
	m.state = phase{state: stateAvailable}
	if !m.Boots {
		return m, nil
	}
	m.root = s.imageFile(id, ".tar")
	_, err = os.Stat(m.root)
	return m, err
}

// syncFile has a file's bytes on disk before its name says that it is whole.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
