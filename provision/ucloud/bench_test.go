package ucloud_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// bench is a sandbox and all that a bake takes beside it.
type bench struct {
	t       testing.TB
	dir     string
	sandbox *sandbox.Sandbox
	ready   sandbox.Ready
	park    *park
	bundle  *bundle.Bundle

	bundleDir string
	tune      func(*ucloud.Config)
	out       lines // what a bake prints

	// What goes wrong; nil for nothing.
	fault    atomic.Pointer[func(sandbox.Call) sandbox.Fault]
	sshFault atomic.Pointer[func(n int, what string) sandbox.SSHFault]
}

// newBench has machines in this process; with a base in the options they are real guests.
func newBench(t testing.TB, o sandbox.Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), park: newPark(t.TempDir())}
	o.Dir = filepath.Join(b.dir, "sandbox")
	if o.Base == "" {
		o.Base, o.Boot = t.TempDir(), b.park.boot
	}
	o.Fault = func(c sandbox.Call) sandbox.Fault {
		if f := b.fault.Load(); f != nil {
			return (*f)(c)
		}
		return sandbox.Fault{}
	}
	o.SSHFault = func(n int, what string) sandbox.SSHFault {
		if f := b.sshFault.Load(); f != nil {
			return (*f)(n, what)
		}
		return ""
	}
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the sandbox: %v", err)
		}
	})
	b.sandbox, b.ready = s, s.Ready()
	return b
}

func (b *bench) journal() string { return filepath.Join(b.dir, "journal") }

func (b *bench) place() manifest.Cloud {
	return manifest.Cloud{Region: b.ready.Region, Zone: b.ready.Zone, Project: b.ready.Project}
}

func (b *bench) cloud() *ucloud.Cloud {
	b.t.Helper()
	c := ucloud.Config{PublicKey: b.ready.PublicKey, PrivateKey: b.ready.PrivateKey, BaseURL: b.ready.API, Agent: "/bin/true",
		Progress: progress.New(&b.out, progress.Options{}), Verbose: true, Patience: quick()}
	if b.tune != nil {
		b.tune(&c)
	}
	out, err := ucloud.New(c, b.place())
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// image is one of name whose host has a private address in a VPC.
func (b *bench) image(name string, change func(*manifest.Image)) manifest.Image {
	img := manifest.Image{Name: name, ImageName: name + "-1", Base: manifest.Base{Name: "CentOS 7.*"}, Cloud: b.place(),
		Scripts: []string{"scripts/motd.sh"}, Check: []string{"true"}, Variables: map[string]string{"greeting": "hello"}}
	img.Cloud.InstanceType, img.Cloud.VPC, img.Cloud.Subnet = "n-basic-2", b.ready.VPC, b.ready.Subnet
	img.Cloud.SSH = manifest.SSH{User: "root", Port: 22, PrivateIP: true}
	if change != nil {
		change(&img)
	}
	return img
}

// open makes the bundle.
func (b *bench) open() {
	b.t.Helper()
	if b.bundle == nil {
		b.bundleDir = filepath.Join(b.dir, "bundle")
		b.bundle = newBundle(b.t, b.bundleDir, map[string]string{"files/tool": "a tool", "scripts/motd.sh": "#!/bin/sh\necho hi >/etc/motd\n"})
	}
}

// request bakes images with a new cloud, as a new process would.
func (b *bench) request(images ...manifest.Image) provision.Request {
	b.t.Helper()
	b.open()
	return provision.Request{Bundle: b.bundle, Images: images, Cloud: b.cloud(), Files: files(b.bundle), Offline: true,
		Journal: b.journal(), Progress: progress.New(&b.out, progress.Options{}), Verbose: true}
}

func files(b *bundle.Bundle) ucloud.Files {
	return ucloud.Files{Source: b.Open, Store: func(_ context.Context, path string) (string, error) {
		return "http://192.0.2.7/" + path + "?UCloudPublicKey=x&Signature=" + urlSignature, nil
	}}
}

// urlSignature is in the presigned URLs of files.
const urlSignature = "c2lnbmF0dXJlLW9mLWEtdXJs"

// left tells what is in the cloud and in the journal that should not be; images are those that may stay.
func (b *bench) left(images ...provision.Made) error {
	var errs []error
	for _, h := range b.sandbox.Hosts() {
		errs = append(errs, fmt.Errorf("host left: %+v", h))
	}
	for _, e := range b.sandbox.EIPs() {
		errs = append(errs, fmt.Errorf("EIP left: %+v", e))
	}
	for name := range b.park.machines() {
		errs = append(errs, fmt.Errorf("machine left: %s", name))
	}
	var may, have []string
	for _, m := range images {
		may = append(may, m.ID)
		for _, c := range m.Copies {
			may = append(may, c.ID)
		}
	}
	for _, i := range b.sandbox.Images() {
		have = append(have, i.ID)
	}
	slices.Sort(may)
	slices.Sort(have)
	if !slices.Equal(may, have) {
		errs = append(errs, fmt.Errorf("images: got %v, want %v", have, may))
	}
	entries, err := os.ReadDir(b.journal())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") { // half written when the process was killed: nothing was asked for yet
			errs = append(errs, fmt.Errorf("journal entry left: %s", e.Name()))
		}
	}
	return errors.Join(errs...)
}

// newBundle makes a bundle of these files in a folder and opens it.
func newBundle(t testing.TB, dir string, files map[string]string) *bundle.Bundle {
	t.Helper()
	o := bundle.Output{Contents: map[string]bundle.Content{}, Index: bundle.Index{Schema: bundle.Schema, Name: "small",
		Version: "1.0.0", Platform: "linux/amd64", Created: "2026-01-02T03:04:05Z", Inputs: strings.Repeat("0", 64)}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		o.Index.Files = append(o.Index.Files, bundle.File{Path: path, Size: int64(len(files[path])), SHA256: digest(files[path]),
			Mode: "0644", Kind: manifest.KindFile})
		o.Contents[path] = bundle.Content{Data: []byte(files[path])}
	}
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

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// lines takes what is printed.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// park makes machines in this process: they take commands, say what the host agent would, and have few files.
type park struct {
	dir string

	mu   sync.Mutex
	up   map[string]bool
	seen strings.Builder // all command lines
}

func newPark(dir string) *park { return &park{dir: dir, up: map[string]bool{}} }

func (p *park) boot(_ context.Context, c sandbox.BootConfig) (*sandbox.Machine, error) {
	root := filepath.Join(p.dir, c.Name)
	for _, dir := range []string{"etc/ssh", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up[c.Name] = true
	return &sandbox.Machine{
		Exec:  func(ctx context.Context, e sandbox.Exec) (int, error) { return p.exec(ctx, root, e) },
		Root:  root,
		Start: func(context.Context) error { return nil },
		Stop:  func(context.Context) error { return nil },
		Pack: func(_ context.Context, w io.Writer) error {
			t := tar.NewWriter(w)
			return errors.Join(t.AddFS(os.DirFS(root)), t.Close())
		},
		Close: func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.up, c.Name)
			return os.RemoveAll(root)
		},
	}, nil
}

// exec is a host with an agent on it, as far as a bake can tell.
func (p *park) exec(ctx context.Context, root string, e sandbox.Exec) (int, error) {
	p.mu.Lock()
	fmt.Fprintln(&p.seen, e.Command)
	p.mu.Unlock()
	stdin, err := io.ReadAll(e.Stdin)
	switch {
	case err != nil || ctx.Err() != nil:
		return 0, errors.Join(err, ctx.Err())
	case strings.Contains(e.Command, "SSH_CONNECTION"):
		for _, v := range e.Env {
			if name, value, _ := strings.Cut(v, "="); name == "SSH_CONNECTION" {
				fmt.Fprint(e.Stdout, value)
			}
		}
	case strings.Contains(e.Command, "echo same"):
		fmt.Fprintln(e.Stdout, "same")
	case strings.Contains(e.Command, "host-agent background"), strings.Contains(e.Command, "'background'"):
		fmt.Fprintln(e.Stdout, "[]")
	case strings.Contains(e.Command, "rpm"):
		fmt.Fprintln(e.Stdout, "glibc")
	case bytes.Contains(stdin, []byte("rm -f /etc/ssh/ssh_host_*")): // steps/clean.sh
		return 0, errors.Join(os.RemoveAll(filepath.Join(root, "etc/ssh")), os.RemoveAll(filepath.Join(root, "root/.ssh")))
	}
	return 0, nil
}

func (p *park) machines() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.up)
}

func (p *park) commands() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}
