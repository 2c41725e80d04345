package provision_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// clusterVariables are those of the three images.
func clusterVariables() map[string]string {
	return map[string]string{
		"consul_version": "1.6.1", "nomad_version": "0.9.4", "yum_base": "", "yum_docker": "", "docker_rpm": "",
		"docker_cli_rpm": "", "file_server": "", "cfssl_tool_server": "", "greeting": "it's $HOME `here`\n",
		"tf_plugin_consul_version": "2.6.0", "tf_plugin_nomad_version": "1.4.2", "tf_plugin_null_version": "2.1.2",
		"tf_plugin_template_version": "2.1.3", "tf_plugin_ucloud_version": "1.15.1", "tf_plugin_external_version": "1.2.0",
		"tf_plugin_local_version": "1.4.0", "ssh_password": sshPassword, "ucloud_private_key": apiKey,
	}
}

const (
	sshPassword = "correct-horse-battery"
	apiKey      = "3xample+ApiKey=="
)

func image(name string, recipes ...string) manifest.Image {
	return manifest.Image{Name: name, ImageName: name + "-1", Base: manifest.Base{Name: "*"}, Recipes: recipes,
		Cloud: manifest.Cloud{Region: "cn-bj2", SSH: manifest.SSH{Password: sshPassword}}, Variables: clusterVariables()}
}

func consulServer() manifest.Image { return image("consul-server", "yum", "consul", "consul-server") }

func nomadServer() manifest.Image {
	return image("nomad-server", "yum", "consul", "nomad", "consul-agent", "nomad-server")
}

func nomadClient() manifest.Image {
	return image("nomad-client", "yum", "consul", "nomad", "docker", "consul-agent", "nomad-client", "terraform-plugins")
}

// clusterFiles are the files of a bundle that serves the three images; programs are small scripts.
func clusterFiles() map[string]string {
	program := func(name, version string) string {
		return "#!/bin/sh\n# " + name + "\n[ \"$1\" != version ] || echo \"" + name + " v" + version + "\"\n"
	}
	files := map[string]string{
		"files/consul_1.6.1_linux_amd64":        program("Consul", "1.6.1"),
		"files/consul_1.6.1_linux_amd64.zip":    "zip",
		"files/nomad_0.9.4_linux_amd64":         program("Nomad", "0.9.4"),
		"files/cfssl_linux-amd64":               program("cfssl", "1"),
		"files/cfssl-certinfo_linux-amd64":      program("cfssl-certinfo", "1"),
		"files/cfssljson_linux-amd64":           program("cfssljson", "1"),
		"files/docker-ce-19.03.15-3.x86_64.rpm": "docker-ce",
		"rpms/Packages/docker-ce.rpm":           "docker-ce",
		"rpms/keys/docker.asc":                  "key",
		"scripts/motd.sh":                       "#!/bin/sh\nprintf '%s' \"$GREETING$FILE_SERVER\" >/etc/motd\n",
	}
	vars := clusterVariables()
	for _, p := range []string{"consul", "nomad", "null", "template", "ucloud", "external", "local"} {
		v := vars["tf_plugin_"+p+"_version"]
		files["files/terraform-provider-"+p+"_v"+v+"_x4"] = program("provider "+p, v)
	}
	maps.Copy(files, repository(offer("yum-utils", "device-mapper-persistent-data", "lvm2", "wget", "sed", "unzip", "vim", "docker-ce",
		"docker-ce-cli")...))
	return files
}

// newBundle makes a bundle of these files in a folder and opens it.
func newBundle(t testing.TB, files map[string]string, changes ...func(*bundle.Index)) *bundle.Bundle {
	t.Helper()
	o := bundle.Output{Contents: map[string]bundle.Content{}, Index: bundle.Index{Schema: bundle.Schema, Name: "cluster",
		Version: "1.0.0", Platform: "linux/amd64", Created: "2026-01-02T03:04:05Z", Inputs: strings.Repeat("0", 64)}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := bundle.File{Path: path, Size: int64(len(files[path])), SHA256: digest(files[path]), Mode: "0644", Kind: manifest.KindFile}
		if strings.HasSuffix(path, ".rpm") {
			f.Kind, f.Verified = manifest.KindRPM, "rpm-pgp 0123456789ABCDEF"
		}
		o.Index.Files = append(o.Index.Files, f)
		o.Contents[path] = bundle.Content{Data: []byte(files[path])}
	}
	for _, change := range changes {
		change(&o.Index)
	}
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

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

var errInjected = errors.New("injected fault")

// fake is a cloud, its hosts and its file server: they do nothing but keep to the protocol and watch that others do.
// Call number failAt fails; call number cancelAt cancels.
type fake struct {
	t       testing.TB
	bundle  *bundle.Bundle
	journal string

	copyTo           []string // what Discard must be given
	failAt, cancelAt int
	cancel           context.CancelFunc
	// listing is what rpm prints of each host's packages.
	listing string
	// command, if set, decides what a command does beside being looked at.
	command func(c provision.Command, stdin string) error

	mu     sync.Mutex
	calls  []string
	hosts  map[string]*fakeHost
	images map[string]provision.Made // by key
	from   map[string]string         // host to the key of the image captured from it
	seen   strings.Builder           // all arguments and all that was fed to commands
}

func newFake(t testing.TB, b *bundle.Bundle) *fake {
	return &fake{t: t, bundle: b, listing: "P|filesystem|0|3.2|25.el7|x86_64\np|filesystem|=|3.2-25.el7\n", journal: filepath.Join(t.TempDir(), "journal"), hosts: map[string]*fakeHost{},
		images: map[string]provision.Made{}, from: map[string]string{}}
}

func (f *fake) request(images ...manifest.Image) provision.Request {
	return provision.Request{Bundle: f.bundle, Images: images, Cloud: f, Files: f, Offline: true, Journal: f.journal, Parallel: 1}
}

// call counts a call and says how it ends. The caller holds the lock.
func (f *fake) call(ctx context.Context, name string) error {
	f.calls = append(f.calls, name)
	if len(f.calls) == f.cancelAt {
		f.cancel()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(f.calls) == f.failAt {
		return errInjected
	}
	return nil
}

func (f *fake) journalled(host string) bool {
	_, err := os.Stat(filepath.Join(f.journal, host+".json"))
	return err == nil
}

func (f *fake) Base(ctx context.Context, img manifest.Image) (provision.Base, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return provision.Base{ID: "base-7", Name: "CentOS 7"}, f.call(ctx, "base "+img.Name)
}

func (f *fake) Find(ctx context.Context, img manifest.Image, key string) (provision.Made, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call(ctx, "find "+img.Name); err != nil {
		return provision.Made{}, false, err
	}
	made, ok := f.images[key]
	return made, ok, nil
}

// Create leaves the host there even when it fails: the cloud may have heard what it did not answer.
func (f *fake) Create(ctx context.Context, name string, base provision.Base, img manifest.Image) (provision.Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.journalled(name) {
		f.t.Errorf("host %q is asked for before it is in the journal", name)
	}
	if f.hosts[name] != nil {
		f.t.Errorf("host %q is asked for twice", name)
	}
	h := &fakeHost{f: f, name: name}
	f.hosts[name] = h
	return h, f.call(ctx, "create "+img.Name)
}

func (f *fake) Capture(ctx context.Context, host provision.Host, c provision.Capture) (provision.Made, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := host.(*fakeHost)
	if !h.sealed || !h.cleaned || h.closed {
		f.t.Errorf("host %q is captured sealed %v, cleaned %v, closed %v", h.name, h.sealed, h.cleaned, h.closed)
	}
	if c.Description != "offbake "+c.Key+" "+h.name || len(c.Key) != 64 || !strings.Contains(c.Trial, "steady") {
		f.t.Errorf("capture %+v: want a key of 64 digits and the host in the description, and a trial", c)
	}
	if err := f.call(ctx, "capture"); err != nil {
		return provision.Made{}, err
	}
	made := provision.Made{ID: fmt.Sprintf("uimage-%d", len(f.images)+1), Region: "cn-bj2"}
	f.images[c.Key], f.from[h.name] = made, c.Key
	return made, nil
}

func (f *fake) Discard(ctx context.Context, name string, copyTo []string) error {
	err := f.Terminate(ctx, name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(copyTo, f.copyTo) {
		f.t.Errorf("host %q is discarded with copies in %v, want %v", name, copyTo, f.copyTo)
	}
	if err == nil {
		delete(f.images, f.from[name])
	}
	return err
}

func (f *fake) Intend(context.Context, provision.Base, manifest.Image, provision.Capture) (provision.Intent, error) {
	return provision.Intent{Calls: []provision.Call{{Action: "create"}}, Price: "0.35 an hour"}, nil
}

func (f *fake) Terminate(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.journalled(name) {
		f.t.Errorf("host %q left the journal before it is gone", name)
	}
	if _, ok := ctx.Deadline(); !ok && f.cancelAt > 0 {
		f.t.Errorf("host %q is ended in a context without a deadline", name)
	}
	if err := f.call(ctx, "terminate"); err != nil {
		return err
	}
	delete(f.hosts, name)
	return nil
}

func (f *fake) URL(ctx context.Context, path string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "http://10.0.0.1:80/b/" + path + "?Signature=x%2By", f.call(ctx, "url")
}

func (f *fake) Server(ctx context.Context) (provision.FileServer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := provision.FileServer{URL: "http://10.0.0.1:80/b/files", Allow: netip.MustParseAddrPort("10.0.0.1:80")}
	return s, f.call(ctx, "server")
}

func (f *fake) Open(path string) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call(context.Background(), "open"); err != nil {
		return nil, err
	}
	return f.bundle.Open(path)
}

type fakeHost struct {
	f                       *fake
	name                    string
	sealed, cleaned, closed bool
	staged                  bool
}

func (h *fakeHost) Name() string { return h.name }

func (h *fakeHost) Run(ctx context.Context, c provision.Command) error {
	var stdin []byte
	if c.Stdin != nil {
		var err error
		if stdin, err = io.ReadAll(c.Stdin); err != nil {
			return err
		}
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	fmt.Fprintf(&h.f.seen, "%q\n%s\n", c.Argv, stdin)
	h.watch(c, string(stdin))
	if err := h.f.call(ctx, "run "+strings.Join(c.Argv[:min(2, len(c.Argv))], " ")); err != nil {
		return err
	}
	if isQuery(c) {
		_, err := io.WriteString(c.Stdout, h.f.listing)
		return err
	}
	if h.f.command != nil {
		return h.f.command(c, string(stdin))
	}
	return nil
}

// isQuery says whether a command asks what is installed.
func isQuery(c provision.Command) bool { return c.Argv[len(c.Argv)-1] == rpm.QueryFormat }

// watch checks the order of steps by what the commands are.
func (h *fakeHost) watch(c provision.Command, stdin string) {
	t := h.f.t
	if h.closed || h.f.hosts[h.name] != h {
		t.Errorf("host %q: command after its end: %q", h.name, c.Argv)
	}
	program := strings.Contains(stdin, "\nexec '/var/lib/offbake/")
	if c.Sealed != program {
		t.Errorf("host %q: sealed %v: %q %.200q", h.name, c.Sealed, c.Argv, stdin)
	}
	switch {
	case program && (!h.sealed || !h.staged):
		t.Errorf("host %q: a program runs sealed %v, staged %v", h.name, h.sealed, h.staged)
	case strings.Contains(stdin, "\ntake 'http://"):
		h.staged = true
	case strings.Contains(stdin, "\nrm -rf \"$OFFBAKE\"\n"):
		h.cleaned = true
	case len(c.Argv) == 7 && c.Argv[3] == "receive" && digest(stdin) != c.Argv[5]:
		t.Errorf("host %q: %q: got sha256 %s, want %s", h.name, c.Argv[4], digest(stdin), c.Argv[5])
	}
}

func (h *fakeHost) Seal(ctx context.Context, allow netip.AddrPort) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.sealed || !h.staged || allow.String() != "10.0.0.1:80" {
		h.f.t.Errorf("host %q: sealed for %s, sealed before %v, staged %v", h.name, allow, h.sealed, h.staged)
	}
	h.sealed = true
	return h.f.call(ctx, "seal")
}

func (h *fakeHost) Background(ctx context.Context) ([]provision.Attempt, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return []provision.Attempt{{Address: "192.0.2.123", Port: 123, Proto: "udp"}}, h.f.call(ctx, "background")
}

func (h *fakeHost) Close() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	h.closed = true
	return h.f.call(context.Background(), "close")
}
