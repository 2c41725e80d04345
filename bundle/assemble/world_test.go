package assemble_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
)

const (
	releases = "https://releases.hashicorp.com/"
	consul   = releases + "consul/1.6.1/consul_1.6.1"
	null     = releases + "terraform-provider-null/2.1.2/terraform-provider-null_2.1.2"
	cfssl    = "https://files.example/cfssl_1.4.1"
	rpmBase  = "https://rpms.example/el7/"
)

// rpmRepo is a repository of signed packages, and a key that did not sign them; it takes long to make, and the tests only
// read it.
type rpmRepo struct {
	dir           string
	asc           []byte // signature of its repomd.xml
	key, stranger []byte
	id            string
}

var buildRepo = sync.OnceValues(func() (r rpmRepo, err error) {
	if r.dir, err = os.MkdirTemp("", "assemble-rpms"); err != nil {
		return r, err
	}
	key, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return r, err
	}
	stranger, err := faulttest.NewSigningKey(faulttest.KeyOptions{})
	if err != nil {
		return r, err
	}
	r.id = key.KeyID()
	if r.key, err = key.Armored(); err != nil {
		return r, err
	}
	if r.stranger, err = stranger.Armored(); err != nil {
		return r, err
	}
	err = faulttest.BuildRepo(r.dir, key,
		faulttest.RPMSpec{Name: "docker-ce", Version: "19.03.15", Release: "3.el7", Epoch: 3, Arch: "x86_64",
			Requires: []string{"containerd.io", "/usr/share/containerd/shim"}}, // a path that only the file lists have
		faulttest.RPMSpec{Name: "containerd.io", Version: "1.4.13", Arch: "x86_64", Files: map[string]faulttest.RPMFile{"/usr/share/containerd/shim": {}}},
		faulttest.RPMSpec{Name: "wget", Version: "1.14", Files: map[string]faulttest.RPMFile{"/usr/bin/wget": {Content: "#!/bin/sh\n", Mode: 0o755}}})
	if err != nil {
		return r, err
	}
	repomd, err := os.ReadFile(filepath.Join(r.dir, "repodata/repomd.xml"))
	if err != nil {
		return r, err
	}
	r.asc, err = key.SignDocument(repomd)
	return r, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if r, err := buildRepo(); err == nil {
		os.RemoveAll(r.dir)
	}
	os.Exit(code)
}

// world is a small internet, a manifest's folder, a cache and a folder for output.
type world struct {
	*faulttest.Internet
	handler http.Handler // the internet, or what stands before it
	seed    string

	dir, cache, out string
	manifest        string // text
}

const basicManifest = `schema: offbake/v1
name: demo
version: 1.0.0
platform: linux/amd64
vars:
  consul_version: 1.6.1
mirrors:
  - {from: "https://releases.hashicorp.com/", to: ["https://mirror.example/hashicorp/"]}
artifacts:
  hashicorp:
    - {product: consul, version: "${consul_version}", key: keys/vendor.asc}
  providers:
    - {source: hashicorp/null, version: 2.1.2, protocols: [4, 5], key: keys/vendor.asc}
  files:
    - {url: "https://files.example/cfssl_1.4.1", path: cfssl_linux-amd64, mode: "0755", sha256: cb3c31bb01b824c9bf8c199469243cc5b3447fa9924a2b87acdff091450f7c12}
`

const rpmManifest = basicManifest + `  rpms:
    repos:
      - {id: base, baseurl: "https://rpms.example/el7/", gpgkey: keys/rpm.asc}
    base: base/centos.rpmqa
    install: [docker-ce-19.03.15, wget]
images:
  one:
    base: {name: "*"}
    recipes: []
    scripts: [scripts/motd.sh]
`

// newWorld makes the world of a manifest. All that is in it is a function of the manifest, but for the RPMs and their key.
func newWorld(t testing.TB, text string) *world {
	t.Helper()
	w := &world{seed: "assemble", manifest: text, dir: t.TempDir(), cache: t.TempDir(), out: t.TempDir()}
	n, err := faulttest.NewInternet(w.seed)
	if err != nil {
		t.Fatal(err)
	}
	w.Internet, w.handler = n, n
	must(t, n.PutProduct("consul", "1.6.1", []byte("#!/bin/sh\necho Consul v1.6.1\n")))
	must(t, n.PutProvider("null", "2.1.2", 4, []byte("#!/bin/sh\nexit 0\n")))
	n.Put(cfssl, []byte("cfssl"))
	key, err := n.Key()
	must(t, err)
	w.write(t, "keys/vendor.asc", key)
	if strings.Contains(text, rpmBase) {
		repo, err := buildRepo()
		must(t, err)
		must(t, n.PutFolder(rpmBase, repo.dir))
		w.write(t, "keys/rpm.asc", repo.key)
		w.write(t, "base/centos.rpmqa", []byte("P|bash|0|4.2.46|34.el7|x86_64\np|bash|=|4.2.46-34.el7\n"))
		w.write(t, "scripts/motd.sh", []byte("echo hello\n"))
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) write(t testing.TB, name string, data []byte) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, data, 0o644))
}

// load parses the manifest and returns it with its inputs.
func (w *world) load(t testing.TB) (*manifest.Manifest, *manifest.Inputs) {
	t.Helper()
	m, err := manifest.Parse(filepath.Join(w.dir, "manifest.yaml"), []byte(w.manifest))
	must(t, err)
	vars, _, err := m.Vars(manifest.VarOptions{Getenv: func(string) string { return "" }})
	must(t, err)
	in, err := m.Inputs(vars)
	must(t, err)
	return m, in
}

// fetcher returns a fetcher whose every connection ends in the world's handler.
func (w *world) fetcher(t testing.TB) *fetch.Fetcher {
	t.Helper()
	server := faulttest.NewServer(t, w.handler)
	return w.fetcherAt(t, server.URL)
}

func (w *world) fetcherAt(t testing.TB, url string) *fetch.Fetcher {
	t.Helper()
	rt, err := w.RoundTripper(url, transport.RoundTripper(transport.Options{Tries: 1}))
	must(t, err)
	cache, err := fetch.OpenCache(w.cache)
	must(t, err)
	return &fetch.Fetcher{Cache: cache, Client: &http.Client{Transport: rt}, Tries: 1, Backoff: time.Millisecond}
}

func lockTime() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// lock locks and lets go of what it held.
func (w *world) lock(t testing.TB, f *fetch.Fetcher) (*assemble.LockResult, error) {
	t.Helper()
	_, in := w.load(t)
	res, err := assemble.Lock(t.Context(), assemble.LockOptions{Inputs: in, Fetcher: f, Now: lockTime()})
	if err == nil {
		must(t, res.Held.Close())
	}
	return res, err
}

func (w *world) mustLock(t testing.TB) *manifest.Lock {
	t.Helper()
	res, err := w.lock(t, w.fetcher(t))
	must(t, err)
	return res.Lock
}

// options are those of a fetch to out, below the world's folder for output.
func (w *world) options(t testing.TB, lock *manifest.Lock, out string) assemble.FetchOptions {
	t.Helper()
	m, in := w.load(t)
	if out != "" {
		out = w.out + "/" + out
	}
	return assemble.FetchOptions{Manifest: m, Inputs: in, Lock: lock, Key: testKey(t), Out: out, Fetcher: w.fetcher(t)}
}

// makeKey makes one key for all runs: a bundle's bytes hold its signature.
var makeKey = sync.OnceValues(func() ([]byte, error) {
	text, _, err := sign.Generate("")
	return text, err
})

func testKey(t testing.TB) *sign.Key {
	t.Helper()
	text, err := makeKey()
	must(t, err)
	path := filepath.Join(t.TempDir(), "test.key")
	must(t, os.WriteFile(path, text, 0o600))
	key, err := sign.LoadKey(path, func() (string, error) { return "", errors.New("the key is not encrypted") })
	must(t, err)
	return key
}

// empty requires that nothing is left in the folder for output.
func (w *world) empty(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(w.out)
	must(t, err)
	for _, e := range entries {
		t.Errorf("%q was left behind", e.Name())
	}
}
