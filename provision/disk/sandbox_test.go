package disk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
	"github.com/offbake/offbake/provision/local"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// account is a UCloud on this machine, its store, and what goes wrong there.
type account struct {
	*sandbox.Sandbox
	store store.Store
	cloud *ucloud.Cloud
	fault atomic.Pointer[sandbox.Fault] // of ImportCustomImage
}

func newAccount(t testing.TB) *account {
	t.Helper()
	a := &account{}
	s, err := sandbox.New(sandbox.Options{Dir: t.TempDir(), Base: t.TempDir(), Fault: func(c sandbox.Call) sandbox.Fault {
		if f := a.fault.Load(); f != nil && c.Action == "ImportCustomImage" {
			return *f
		}
		return sandbox.Fault{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r := s.Ready()
	a.Sandbox = s
	a.store, err = store.Open("ufile://"+r.Bucket+"/bundles", store.Options{Endpoint: r.Endpoint, PublicKey: r.PublicKey, PrivateKey: r.PrivateKey})
	if err != nil {
		t.Fatal(err)
	}
	a.cloud, err = ucloud.New(ucloud.Config{PublicKey: r.PublicKey, PrivateKey: r.PrivateKey, BaseURL: r.API,
		Patience: ucloud.Patience{Poll: 5 * time.Millisecond, Retry: 5 * time.Millisecond, Seen: 100 * time.Millisecond}}, a.place())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *account) place() manifest.Cloud {
	r := a.Ready()
	return manifest.Cloud{Region: r.Region, Zone: r.Zone, Project: r.Project}
}

func (a *account) target() disk.Target {
	return disk.Target{
		Upload: func(ctx context.Context, key string, f *os.File, sha256 string) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return a.store.Put(ctx, store.Upload{Key: key, Body: f, Size: info.Size(), SHA256: sha256})
		},
		URL:    func(ctx context.Context, key string) (string, error) { return a.store.URL(ctx, key, 24*time.Hour) },
		Delete: func(ctx context.Context, key string) error { return a.store.Delete(ctx, key) },
		Import: func(ctx context.Context, r disk.ImportRequest) (provision.Made, error) {
			return a.cloud.Import(ctx, ucloud.Import{Name: r.Name, Description: r.Description, URL: r.URL, Format: string(r.Format),
				OSType: r.System.Type, OSName: r.System.Name})
		},
		Find:    a.cloud.Find,
		Discard: a.cloud.Discard,
	}
}

// holds lists images and objects.
func (a *account) holds(t testing.TB) []string {
	t.Helper()
	all := []string{}
	for _, i := range a.Images() {
		all = append(all, i.Name+" "+i.State)
	}
	for o, err := range a.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Key)
	}
	return all
}

// newBundle is an unsigned bundle of files.
func newBundle(t testing.TB, files map[string]string) *bundle.Bundle {
	t.Helper()
	o := bundle.Output{Contents: map[string]bundle.Content{}, Index: bundle.Index{Schema: bundle.Schema, Name: "cluster",
		Version: "1.0.0", Platform: "linux/amd64", Created: "2026-01-02T03:04:05Z", Inputs: strings.Repeat("0", 64)}}
	for path, text := range files {
		sum := sha256.Sum256([]byte(text))
		o.Index.Files = append(o.Index.Files, bundle.File{Path: path, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
			Mode: "0644", Kind: manifest.KindFile})
		o.Contents[path] = bundle.Content{Data: []byte(text)}
	}
	slices.SortFunc(o.Index.Files, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := bundle.WriteDir(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if _, err := b.Trust(nil, true); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBakeOnSandbox bakes from a bundle into the sandbox's cloud: first where the import fails, then where it works, then
// once more.
func TestBakeOnSandbox(t *testing.T) {
	a, work := newAccount(t), newWork(t)
	b := newBundle(t, map[string]string{"files/tool": "a tool", "scripts/one.sh": `#!/bin/sh
		curl -sSf -o /usr/local/bin/tool "$FILE_SERVER/tool"`})
	var out bytes.Buffer
	tell := progress.New(&out, progress.Options{})
	cloud := mustOpen(t, disk.Config{Base: theBase(t), Work: work, Handler: serve.Bundle(b), Target: a.target(), Format: disk.QCOW2, Progress: tell})
	img := manifest.Image{Name: "one", ImageName: "one-1.0", Scripts: []string{"scripts/one.sh"}, Check: []string{"grep 'a tool' /usr/local/bin/tool"},
		Cloud: a.place()}
	journal := t.TempDir()
	bake := func() (provision.Result, error) {
		return provision.Bake(t.Context(), provision.Request{Bundle: b, Images: []manifest.Image{img}, Cloud: cloud,
			Files: local.Files{Source: b.Open}, Offline: true, Journal: journal, Progress: tell})
	}
	a.fault.Store(&sandbox.Fault{Kind: sandbox.FaultUnavailable})
	_, err := bake()
	var step *provision.StepError
	var state *ucloud.StateError
	if !errors.As(err, &step) || step.Image != "one" || step.Step != "capturing" || !errors.As(err, &state) || state.State != "Unavailable" {
		t.Errorf("import that fails: got %v, want that it is Unavailable", err)
	}
	if diff := cmp.Diff([]string{}, a.holds(t)); diff != "" {
		t.Errorf("after an import that failed (-want +got):\n%s", diff)
	}
	a.fault.Store(nil)
	res, err := bake()
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	image := a.Images()[0]
	if got := res.Images[0]; got.ID != image.ID || got.Region != image.Region || got.Reused || got.Base == "" {
		t.Errorf("got %+v, want image %+v", got, image)
	}
	if diff := cmp.Diff([]string{"one-1.0 Available"}, a.holds(t)); diff != "" {
		t.Errorf("after a bake (-want +got):\n%s", diff)
	}
	again, err := bake()
	if err != nil || !again.Images[0].Reused || again.Images[0].ID != image.ID {
		t.Errorf("once more: got %+v, %v, want the same image", again, err)
	}
	for _, dir := range []string{journal, filepath.Join(work, "hosts")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("in %s: got %v, %v, want nothing", dir, left, err)
		}
	}
	if strings.Contains(out.String(), "Signature=") || strings.Contains(out.String(), a.Ready().PrivateKey) {
		t.Errorf("told a secret:\n%s", &out)
	}
}
