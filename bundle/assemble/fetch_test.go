package assemble_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/manifest"
)

var update = flag.Bool("update", false, "write the goldens anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", name, diff)
	}
}

// open verifies a bundle and returns it.
func open(t *testing.T, path string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(path)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	_, err = b.Verify(t.Context(), bundle.VerifyOptions{Keys: []sign.Public{testKey(t).Public()}})
	must(t, err)
	return b
}

func TestFetchGolden(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	text, err := lock.Marshal()
	must(t, err)
	golden(t, "manifest.lock", text)
	res, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	must(t, err)
	b := open(t, filepath.Join(w.out, "demo.tar"))
	if want := (assemble.FetchResult{
		Bundle: filepath.Join(w.out, "demo.tar"), Identity: b.Identity(), KeyID: testKey(t).ID(), Files: len(b.Index().Files),
		Bytes: res.Bytes, Reused: res.Reused,
	}); res != want {
		t.Errorf("got %+v, want %+v", res, want)
	}
	golden(t, "bundle.json", indent(t, b.IndexBytes()))
	for _, name := range []string{
		"sbom.cdx.json", "index.html",
		"terraform/registry.terraform.io/hashicorp/null/index.json", "terraform/registry.terraform.io/hashicorp/null/2.1.2.json",
	} {
		data, err := b.ReadFile(name, 1<<20)
		must(t, err)
		golden(t, filepath.Base(name), data)
	}
}

func indent(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Indent(&b, data, "", "  "))
	return b.Bytes()
}

// tree returns mode and content of every file of a tar, in its order.
func tarTree(t *testing.T, path string) (names []string, files map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	files = map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, files
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		names = append(names, h.Name)
		files[h.Name] = string(data)
	}
}

func folderTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	}))
	return files
}

// One lock gives the same bytes, whatever is different around it. (A process reads its time zone once, so that one is
// changed where the program runs: cmd/offbake/testdata/script/same-bytes.txtar.)
func TestFetchSameBytes(t *testing.T) {
	w := newWorld(t, rpmManifest)
	lock := w.mustLock(t)
	_, err := assemble.Fetch(t.Context(), w.options(t, lock, "a.tar"))
	must(t, err)
	first, err := os.ReadFile(filepath.Join(w.out, "a.tar"))
	must(t, err)

	t.Run("another machine", func(t *testing.T) {
		other := newWorld(t, rpmManifest) // other folders, a cold cache
		// The mirror has some of it, and is slower to say that it lacks the rest.
		other.Put(strings.Replace(consul, releases, "https://mirror.example/hashicorp/", 1)+"_linux_amd64.zip", other.Get(consul+"_linux_amd64.zip"))
		t.Setenv("HOME", t.TempDir())
		t.Setenv("TMPDIR", t.TempDir())
		t.Setenv("SOURCE_DATE_EPOCH", "1")
		defer syscall.Umask(syscall.Umask(0o077))
		text, err := lock.Marshal()
		must(t, err)
		again, err := manifest.ParseLock("manifest.lock", text)
		must(t, err)
		rand.Shuffle(len(again.Rows), func(i, j int) { again.Rows[i], again.Rows[j] = again.Rows[j], again.Rows[i] })
		o := other.options(t, again, "b.tar")
		o.Fetcher.Jobs = 1
		_, err = assemble.Fetch(t.Context(), o)
		must(t, err)
		second, err := os.ReadFile(filepath.Join(other.out, "b.tar"))
		must(t, err)
		if !bytes.Equal(first, second) {
			t.Errorf("got other bytes: sha256 %x, want %x", sha256.Sum256(second), sha256.Sum256(first))
		}
	})
	t.Run("a folder", func(t *testing.T) {
		res, err := assemble.Fetch(t.Context(), w.options(t, lock, "folder/"))
		must(t, err)
		if res.Downloaded != 0 || res.Reused == 0 {
			t.Errorf("with a warm cache: got %d bytes downloaded and %d reused, want none and some", res.Downloaded, res.Reused)
		}
		_, want := tarTree(t, filepath.Join(w.out, "a.tar"))
		if diff := cmp.Diff(want, folderTree(t, filepath.Join(w.out, "folder"))); diff != "" {
			t.Error(diff)
		}
		open(t, filepath.Join(w.out, "folder"))
	})
	t.Run("again in the same place", func(t *testing.T) {
		before, err := os.Stat(filepath.Join(w.out, "a.tar"))
		must(t, err)
		_, err = assemble.Fetch(t.Context(), w.options(t, lock, "a.tar"))
		must(t, err)
		after, err := os.Stat(filepath.Join(w.out, "a.tar"))
		must(t, err)
		if !os.SameFile(before, after) {
			t.Error("the same bundle was written again")
		}
	})
	entries, err := os.ReadDir(w.out)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("got %v, want the tar and the folder alone", entries)
	}
}

func TestFetchHoldsWhatLockRead(t *testing.T) {
	w := newWorld(t, rpmManifest)
	_, in := w.load(t)
	f := w.fetcher(t)
	res, err := assemble.Lock(t.Context(), assemble.LockOptions{Inputs: in, Fetcher: f, Now: lockTime()})
	must(t, err)
	defer res.Held.Close()
	o := w.options(t, res.Lock, "a.tar")
	o.Held = res.Held
	// Nothing is read by name any more, from the cache or the network.
	must(t, os.RemoveAll(w.cache))
	must(t, os.MkdirAll(w.cache, 0o755))
	o.Fetcher = f
	got, err := assemble.Fetch(t.Context(), o)
	must(t, err)
	if got.Downloaded == 0 || got.Reused != 0 {
		t.Errorf("got %d bytes downloaded and %d reused, want what the lock downloaded, and none", got.Downloaded, got.Reused)
	}
	open(t, got.Bundle)
}

func TestFetchDefaultOutput(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	o := w.options(t, lock, "")
	t.Chdir(w.out)
	o.Key = nil
	res, err := assemble.Fetch(t.Context(), o)
	must(t, err)
	if res.Bundle != "demo-1.0.0.tar" || res.KeyID != "" {
		t.Errorf("got %+v, want an unsigned demo-1.0.0.tar", res)
	}
	names, _ := tarTree(t, res.Bundle)
	if slices.Contains(names, bundle.SignatureFile) {
		t.Error("an unsigned bundle has a signature")
	}
}

// What DESIGN's layout promises, and nothing else.
func TestFetchLayout(t *testing.T) {
	w := newWorld(t, rpmManifest)
	res, err := assemble.Fetch(t.Context(), w.options(t, w.mustLock(t), "demo.tar"))
	must(t, err)
	b := open(t, res.Bundle)
	var got []string
	for _, f := range b.Index().Files {
		if strings.HasPrefix(f.Path, "rpms/repodata/") && !strings.HasSuffix(f.Path, "repomd.xml") {
			f.Path = "rpms/repodata/DIGEST" + f.Path[len("rpms/repodata/")+64:]
		}
		got = append(got, fmt.Sprintf("%s %s %s", f.Path, f.Mode, f.Kind))
	}
	slices.Sort(got)
	want := `base/centos.rpmqa 0644 local
evidence/hashicorp/consul/1.6.1/consul_1.6.1_SHA256SUMS 0644 evidence
evidence/hashicorp/consul/1.6.1/consul_1.6.1_SHA256SUMS.sig 0644 evidence
evidence/providers/registry.terraform.io/hashicorp/null/2.1.2/terraform-provider-null_2.1.2_SHA256SUMS 0644 evidence
evidence/providers/registry.terraform.io/hashicorp/null/2.1.2/terraform-provider-null_2.1.2_SHA256SUMS.sig 0644 evidence
files/cfssl_linux-amd64 0755 file
files/consul_1.6.1_linux_amd64 0755 unpacked
files/consul_1.6.1_linux_amd64.zip 0644 hashicorp
files/containerd.io-1.4.13-1.x86_64.rpm 0644 rpm
files/docker-ce-19.03.15-3.el7.x86_64.rpm 0644 rpm
files/terraform-provider-null_v2.1.2_x4 0755 unpacked
index.html 0644 meta
keys/rpm.asc 0644 local
keys/vendor.asc 0644 local
manifest.lock 0644 meta
manifest.yaml 0644 meta
rpms/Packages/containerd.io-1.4.13-1.x86_64.rpm 0644 rpm
rpms/Packages/docker-ce-19.03.15-3.el7.x86_64.rpm 0644 rpm
rpms/Packages/wget-1.14-1.noarch.rpm 0644 rpm
rpms/keys/RPM-GPG-KEY-base 0644 repodata
rpms/offbake.conf 0644 repodata
rpms/repodata/DIGEST-filelists.xml.gz 0644 repodata
rpms/repodata/DIGEST-other.xml.gz 0644 repodata
rpms/repodata/DIGEST-primary.xml.gz 0644 repodata
rpms/repodata/repomd.xml 0644 repodata
sbom.cdx.json 0644 meta
scripts/motd.sh 0644 local
terraform/registry.terraform.io/hashicorp/null/2.1.2.json 0644 terraform
terraform/registry.terraform.io/hashicorp/null/index.json 0644 terraform
terraform/registry.terraform.io/hashicorp/null/terraform-provider-null_2.1.2_linux_amd64.zip 0644 provider`
	if diff := cmp.Diff(strings.Split(want, "\n"), got); diff != "" {
		t.Error(diff)
	}
	repo, err := buildRepo()
	must(t, err)
	for _, f := range b.Index().Files {
		if f.Path == "files/docker-ce-19.03.15-3.el7.x86_64.rpm" {
			want := bundle.File{Path: f.Path, Size: f.Size, SHA256: f.SHA256, Mode: "0644", Kind: "rpm", Verified: "rpm-pgp " + repo.id,
				Origin: "rpms/Packages/docker-ce-19.03.15-3.el7.x86_64.rpm", Evidence: []string{"keys/rpm.asc"}}
			if diff := cmp.Diff(want, f); diff != "" {
				t.Error(diff)
			}
		}
	}
	program, err := b.ReadFile("files/consul_1.6.1_linux_amd64", 1<<20)
	if err != nil || !strings.Contains(string(program), "Consul v1.6.1") {
		t.Errorf("the unpacked program: got %q, %v", program, err)
	}
	bom, err := b.ReadFile("sbom.cdx.json", 1<<20)
	if err != nil || !strings.Contains(string(bom), `"pkg:rpm/docker-ce@19.03.15-3.el7?arch=x86_64&epoch=3"`) {
		t.Errorf("the SBOM lacks docker-ce: %v", err)
	}
	text, err := b.ReadFile("manifest.yaml", 1<<20)
	if err != nil || !strings.Contains(string(text), "${consul_version}") {
		t.Errorf("manifest.yaml is expanded, or lost: %v", err)
	}
}

func TestFetchStockTools(t *testing.T) {
	w := newWorld(t, rpmManifest)
	_, err := assemble.Fetch(t.Context(), w.options(t, w.mustLock(t), "demo/"))
	must(t, err)
	dir := filepath.Join(w.out, "demo")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	run("sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	out := run("dnf", "-q", "-c", "rpms/offbake.conf", "--installroot="+t.TempDir(), "--setopt=cachedir="+t.TempDir(),
		"--setopt=offbake.baseurl=file://"+dir+"/rpms", "--setopt=offbake.gpgkey=file://"+dir+"/rpms/keys/RPM-GPG-KEY-base",
		"--releasever=7", "--forcearch=x86_64", "repoquery", "--requires", "--resolve", "docker-ce")
	if strings.TrimSpace(out) != "containerd.io-0:1.4.13-1.x86_64" {
		t.Errorf("dnf: got %q, want what docker-ce requires", out)
	}
	if got := run("sh", "files/consul_1.6.1_linux_amd64"); got != "Consul v1.6.1\n" {
		t.Errorf("the program: got %q", got)
	}
}

func TestFetchKeepsWhatIsThere(t *testing.T) {
	w := newWorld(t, basicManifest)
	lock := w.mustLock(t)
	must(t, os.WriteFile(filepath.Join(w.out, "demo.tar"), []byte("mine"), 0o644))
	_, err := assemble.Fetch(t.Context(), w.options(t, lock, "demo.tar"))
	var exists *bundle.ExistsError
	if !errors.As(err, &exists) {
		t.Errorf("got %v, want an ExistsError", err)
	}
	if data, err := os.ReadFile(filepath.Join(w.out, "demo.tar")); string(data) != "mine" {
		t.Errorf("what was there is gone: %q, %v", data, err)
	}
	o := w.options(t, lock, "demo.tar")
	o.Force = true
	_, err = assemble.Fetch(t.Context(), o)
	must(t, err)
	open(t, filepath.Join(w.out, "demo.tar"))
	_, err = assemble.Fetch(t.Context(), w.options(t, lock, "no/such/folder.tar"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder for the output: got %v", err)
	}
}

func TestFetchRefusesHostileZip(t *testing.T) {
	zips := map[string][]byte{}
	for name, members := range map[string]map[string][]byte{
		"a path upwards":      {"consul": []byte("x"), "../consul": []byte("evil")},
		"no program":          {"nomad": []byte("x")},
		"another plugin name": {"terraform-provider-null_v2.1.3_x4": []byte("x")},
	} {
		data, err := faulttest.Zip(members)
		must(t, err)
		zips[name] = data
	}
	for name, data := range zips {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, basicManifest)
			base, file := consul, "consul_1.6.1"
			if name == "another plugin name" {
				base, file = null, "terraform-provider-null_2.1.2"
			}
			w.Put(base+"_linux_amd64.zip", data)
			must(t, w.PutSums(base+"_SHA256SUMS", fmt.Appendf(nil, "%x  %s_linux_amd64.zip\n", sha256.Sum256(data), file)))
			_, err := assemble.Fetch(t.Context(), w.options(t, w.mustLock(t), "demo.tar"))
			var hostile *assemble.HostileError
			if !errors.As(err, &hostile) || !strings.HasPrefix(err.Error(), `unpacking "`+file+`_linux_amd64.zip": `) {
				t.Errorf("got %v, want a HostileError", err)
			}
			w.empty(t)
		})
	}
}

func TestFetchRefusesOtherProtocol(t *testing.T) {
	w := newWorld(t, strings.Replace(basicManifest, "[4, 5]", "[5]", 1))
	_, err := assemble.Fetch(t.Context(), w.options(t, w.mustLock(t), "demo.tar"))
	if err == nil || !strings.Contains(err.Error(), "the plugin is for protocol 4, want [5]") {
		t.Errorf("got %v", err)
	}
	w.empty(t)
}
