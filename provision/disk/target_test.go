package disk_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
)

// target is a cloud and its store in a folder: objects are files in store/, an image is a file in images/ with its request
// beside it, made of what its URL gives.
type target struct {
	dir    string
	server *httptest.Server
	// whole has bytes travel; otherwise files are linked, to spare the time.
	whole bool

	mu    sync.Mutex
	calls []string
	// fault is called after each step is done, but before anything is deleted.
	fault func(ctx context.Context, step string) error
}

func newTarget(dir string) *target {
	f := &target{dir: dir}
	f.server = httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "store"))))
	return f
}

func (f *target) target() disk.Target {
	return disk.Target{Upload: f.upload, URL: f.url, Delete: f.delete, Import: f.importDisk, Find: f.find, Discard: f.discard}
}

func (f *target) step(ctx context.Context, step string) error {
	f.mu.Lock()
	f.calls = append(f.calls, step)
	fault := f.fault
	f.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx, step)
}

// failAt makes a step fail; nil for none.
func (f *target) failAt(fault func(ctx context.Context, step string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.fault = nil, fault
}

func (f *target) upload(ctx context.Context, key string, file *os.File, sum string) error {
	path := filepath.Join(f.dir, "store", key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if !f.whole {
		return errors.Join(os.Link(file.Name(), path), f.step(ctx, "upload"))
	}
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	defer to.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, h), io.NewSectionReader(file, 0, info.Size())); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("got sha256 %s, want %s", sum, got)
	}
	return f.step(ctx, "upload")
}

func (f *target) url(ctx context.Context, key string) (string, error) {
	return f.server.URL + "/" + key, f.step(ctx, "url")
}

func (f *target) delete(ctx context.Context, key string) error {
	if err := f.step(ctx, "delete"); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(f.dir, "store", key))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// importDisk keeps Target's word: on error no image is left.
func (f *target) importDisk(ctx context.Context, r disk.ImportRequest) (provision.Made, error) {
	path := filepath.Join(f.dir, "images", r.Name)
	err := f.take(ctx, r, path)
	if err != nil {
		return provision.Made{}, errors.Join(err, f.remove(path))
	}
	return provision.Made{ID: "uimage-" + r.Name, Region: "cn-bj2"}, nil
}

// take gets a disk by its URL.
func (f *target) take(ctx context.Context, r disk.ImportRequest, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	resp, err := http.Get(r.URL)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	defer to.Close()
	if f.whole {
		if _, err := io.Copy(to, resp.Body); err != nil {
			return err
		}
	}
	text := fmt.Appendf(nil, "%s|%s|%s|%s|%s", r.Description, r.Format, r.System.Type, r.System.Name, r.Image.Name)
	if err := os.WriteFile(path+".request", text, 0o644); err != nil {
		return err
	}
	return f.step(ctx, "import")
}

func (f *target) remove(path string) error {
	return errors.Join(os.Remove(path), os.RemoveAll(path+".request"))
}

// each goes over the images' requests.
func (f *target) each(do func(path, request string) error) error {
	found, err := filepath.Glob(filepath.Join(f.dir, "images", "*.request"))
	for _, path := range found {
		text, readErr := os.ReadFile(path)
		if err = errors.Join(err, readErr); err == nil {
			err = do(strings.TrimSuffix(path, ".request"), string(text))
		}
	}
	return err
}

func (f *target) find(_ context.Context, _ manifest.Image, key string) (made provision.Made, ok bool, err error) {
	err = f.each(func(path, request string) error {
		if strings.Contains(request, " "+key+" ") {
			made, ok = provision.Made{ID: "uimage-" + filepath.Base(path), Region: "cn-bj2"}, true
		}
		return nil
	})
	return made, ok, err
}

func (f *target) discard(ctx context.Context, host string, _ []string) error {
	err := f.each(func(path, request string) error {
		if strings.Contains(request, " "+host+"|") {
			return f.remove(path)
		}
		return nil
	})
	return errors.Join(err, f.step(ctx, "discard"))
}

// holds lists objects and images.
func (f *target) holds(t testing.TB) string {
	t.Helper()
	var all []string
	for _, sub := range []string{"store", "images"} {
		err := filepath.WalkDir(filepath.Join(f.dir, sub), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, strings.TrimPrefix(path, f.dir+"/"))
			}
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(all, " ")
}
