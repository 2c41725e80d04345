package source_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/internal/faulttest"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
)

// world is a small internet, a client that reaches nothing else, and a folder for a manifest.
type world struct {
	*faulttest.Internet
	server *faulttest.Server
	dir    string
	cache  string
}

const (
	consul  = "https://releases.hashicorp.com/consul/1.6.1/consul_1.6.1"
	plain   = "https://files.example/cfssl"
	rpmBase = "https://rpms.example/el7/"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	n, err := faulttest.NewInternet(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.PutProduct("consul", "1.6.1", []byte("consul")); err != nil {
		t.Fatal(err)
	}
	if err := n.PutProvider("null", "2.1.2", 4, []byte("null")); err != nil {
		t.Fatal(err)
	}
	n.Put(plain, []byte("cfssl"))
	w := &world{Internet: n, server: faulttest.NewServer(t, n), dir: t.TempDir(), cache: t.TempDir()}
	key, err := n.Key()
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "keys/vendor.asc", key)
	return w
}

func (w *world) write(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w *world) fetcher(t *testing.T) *fetch.Fetcher {
	t.Helper()
	rt, err := w.RoundTripper(w.server.URL, transport.RoundTripper(transport.Options{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := fetch.OpenCache(w.cache)
	if err != nil {
		t.Fatal(err)
	}
	return &fetch.Fetcher{Cache: cache, Client: &http.Client{Transport: rt}, Tries: 1, Backoff: time.Millisecond}
}

// inputs parses artifacts, the YAML below `artifacts:`.
func (w *world) inputs(t *testing.T, artifacts string) *manifest.Inputs {
	t.Helper()
	text := "schema: offbake/v1\nname: demo\nversion: 1.0.0\nplatform: linux/amd64\nartifacts:\n" + artifacts
	m, err := manifest.Parse(filepath.Join(w.dir, "manifest.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	vars, _, err := m.Vars(manifest.VarOptions{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.Inputs(vars)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (w *world) resolve(t *testing.T, artifacts string) (*source.Resolution, error) {
	t.Helper()
	res, err := source.Resolve(t.Context(), w.fetcher(t), w.inputs(t, artifacts))
	if err == nil {
		t.Cleanup(func() { res.Close() })
	}
	return res, err
}

const (
	consulEntry = "  hashicorp:\n    - {product: consul, version: 1.6.1, key: keys/vendor.asc}\n"
	nullEntry   = "  providers:\n    - {source: hashicorp/null, version: 2.1.2, protocols: [4], key: keys/vendor.asc}\n"
	plainEntry  = "  files:\n    - {url: " + plain + ", path: cfssl_linux-amd64, mode: \"0755\"}\n"
)

func TestResolve(t *testing.T) {
	w := newWorld(t)
	res, err := w.resolve(t, consulEntry+nullEntry+plainEntry)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range res.Rows {
		if b := res.Blobs[r.SHA256]; b == nil || b.Size != r.Size {
			t.Errorf("%s: its blob is not held", r.Path)
		}
		got = append(got, fmt.Sprintf("%s %s %q %s %s %s", r.Path, r.Kind, r.Name, r.URL, r.Mode, r.Verified), strings.Join(r.Evidence, " "))
	}
	const null = "https://releases.hashicorp.com/terraform-provider-null/2.1.2/terraform-provider-null_2.1.2"
	h, p := "hashicorp-pgp "+w.KeyID(), "provider-pgp "+w.KeyID()
	consulEvidence, nullEvidence := "evidence/hashicorp/consul/1.6.1/consul_1.6.1_SHA256SUMS",
		"evidence/providers/registry.terraform.io/hashicorp/null/2.1.2/terraform-provider-null_2.1.2_SHA256SUMS"
	want := []string{
		consulEvidence + ` evidence "consul 1.6.1" ` + consul + "_SHA256SUMS 0644 " + h, "",
		consulEvidence + `.sig evidence "consul 1.6.1" ` + consul + "_SHA256SUMS.sig 0644 " + h, "",
		nullEvidence + ` evidence "provider hashicorp/null 2.1.2" ` + null + "_SHA256SUMS 0644 " + p, "",
		nullEvidence + `.sig evidence "provider hashicorp/null 2.1.2" ` + null + "_SHA256SUMS.sig 0644 " + p, "",
		`files/cfssl_linux-amd64 file "cfssl_linux-amd64" ` + plain + " 0755 first-use", "",
		`files/consul_1.6.1_linux_amd64.zip hashicorp "consul 1.6.1" ` + consul + "_linux_amd64.zip 0644 " + h,
		consulEvidence + " " + consulEvidence + ".sig",
		`terraform/registry.terraform.io/hashicorp/null/terraform-provider-null_2.1.2_linux_amd64.zip provider "provider hashicorp/null 2.1.2" ` +
			null + "_linux_amd64.zip 0644 " + p,
		nullEvidence + " " + nullEvidence + ".sig",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "first use") {
		t.Errorf("got warnings %q, want one of the file at first use", res.Warnings)
	}
}

func TestResolveTellsAllFailures(t *testing.T) {
	w := newWorld(t)
	w.Remove(consul + "_linux_amd64.zip")
	w.Remove(plain)
	w.write(t, "keys/vendor2.asc", nil)
	_, err := w.resolve(t, consulEntry+"    - {product: nomad, version: 0.9.4, key: keys/vendor2.asc}\n"+nullEntry+plainEntry)
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	starts := []string{`locking "consul 1.6.1": fetching`, `locking "nomad 0.9.4": reading key`, `locking "cfssl_linux-amd64": fetching`}
	if len(lines) != len(starts) {
		t.Fatalf("got %d lines, want %d:\n%v", len(lines), len(starts), err)
	}
	for i, start := range starts {
		if !strings.HasPrefix(lines[i], start) {
			t.Errorf("line %d: got %q, want it to begin with %q", i, lines[i], start)
		}
	}
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("got %v, want a StatusError 404 in it", err)
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, w *world)
		want  func(err error) bool
	}{
		{"a list that was altered after it was signed", func(t *testing.T, w *world) {
			w.Put(consul+"_SHA256SUMS", append(w.Get(consul+"_SHA256SUMS"), strings.Repeat("0", 64)+"  x.zip\n"...))
		}, isSignature(source.ErrBadSignature)},
		{"a list that another vendor signed", func(t *testing.T, w *world) {
			other, err := faulttest.NewInternet("other")
			if err != nil {
				t.Fatal(err)
			}
			sig, err := other.Sign(w.Get(consul + "_SHA256SUMS"))
			if err != nil {
				t.Fatal(err)
			}
			w.Put(consul+"_SHA256SUMS.sig", sig)
		}, isSignature(source.ErrUnknownKey)},
		{"a zip that is not the one in the list", func(t *testing.T, w *world) {
			w.Put(consul+"_linux_amd64.zip", []byte("another"))
		}, func(err error) bool { var m *fetch.MismatchError; return errors.As(err, &m) }},
		{"a list without the platform's zip", func(t *testing.T, w *world) {
			if err := w.PutSums(consul+"_SHA256SUMS", []byte(strings.Repeat("0", 64)+"  consul_1.6.1_windows_amd64.zip\n")); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool {
			return strings.Contains(err.Error(), `does not list "consul_1.6.1_linux_amd64.zip"`)
		}},
		{"a signed list that is none", func(t *testing.T, w *world) {
			if err := w.PutSums(consul+"_SHA256SUMS", []byte("<html>\n")); err != nil {
				t.Fatal(err)
			}
		}, func(err error) bool { return strings.Contains(err.Error(), "line 1: want a SHA-256 digest") }},
		{"no signature", func(t *testing.T, w *world) { w.Remove(consul + "_SHA256SUMS.sig") }, func(err error) bool {
			var s *transport.StatusError
			return errors.As(err, &s) && s.Code == 404
		}},
		{"an endless signature", func(t *testing.T, w *world) { w.Put(consul+"_SHA256SUMS.sig", make([]byte, 1<<20)) }, func(err error) bool {
			return strings.Contains(err.Error(), "65536 bytes")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.spoil(t, w)
			res, err := w.resolve(t, consulEntry)
			if err == nil || !row.want(err) || !strings.HasPrefix(err.Error(), `locking "consul 1.6.1": `) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
}

func isSignature(cause error) func(error) bool {
	return func(err error) bool {
		var typed *source.SignatureError
		return errors.As(err, &typed) && errors.Is(err, cause)
	}
}

// HashiCorp left signatures by its old key in place and put one by the new key beside it.
func TestResolveTakesTheSignatureOfOurKey(t *testing.T) {
	w := newWorld(t)
	other, err := faulttest.NewInternet("other")
	if err != nil {
		t.Fatal(err)
	}
	old, err := other.Sign(w.Get(consul + "_SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	named := consul + "_SHA256SUMS." + w.KeyID()[8:] + ".sig"
	w.Put(named, w.Get(consul+"_SHA256SUMS.sig"))
	w.Put(consul+"_SHA256SUMS.sig", old)
	res, err := w.resolve(t, consulEntry)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Rows[1].URL; got != named {
		t.Errorf("got the signature %s, want %s", got, named)
	}
}

func TestResolveBuiltinKey(t *testing.T) {
	w := newWorld(t)
	_, err := w.resolve(t, strings.ReplaceAll(consulEntry, ", key: keys/vendor.asc", ""))
	if !isSignature(source.ErrUnknownKey)(err) || !strings.Contains(err.Error(), "34365D9472D7468F") {
		t.Errorf("a stand-in's signature with HashiCorp's key: got %v, want ErrUnknownKey", err)
	}
	// The real document of a provider, whose zip nobody can offer here.
	const null = "https://releases.hashicorp.com/terraform-provider-null/3.1.0/terraform-provider-null_3.1.0_SHA256SUMS"
	w.Put(null, readFile(t, "testdata/terraform-provider-null_3.1.0_SHA256SUMS"))
	w.Put(null+".sig", readFile(t, "testdata/terraform-provider-null_3.1.0_SHA256SUMS.sig"))
	_, err = w.resolve(t, "  providers:\n    - {source: hashicorp/null, version: 3.1.0}\n")
	var status *transport.StatusError
	if !errors.As(err, &status) || !strings.HasSuffix(status.URL, "terraform-provider-null_3.1.0_linux_amd64.zip") {
		t.Errorf("HashiCorp's own signature: got %v, want it to pass and the zip to be missing", err)
	}
}

func TestBuiltinKeyIsPinned(t *testing.T) {
	key, err := source.BuiltinKey(nil)
	if err != nil || len(key) == 0 {
		t.Fatal(err)
	}
	_, err = source.BuiltinKey(&manifest.Lock{Rows: []manifest.Row{{Path: source.BuiltinKeyPath, SHA256: strings.Repeat("0", 64)}}})
	var changed *source.KeyChangedError
	if !errors.As(err, &changed) {
		t.Errorf("a lock with another key: got %v, want KeyChangedError", err)
	}
}

func TestResolveContainers(t *testing.T) {
	_, err := newWorld(t).resolve(t, "  containers:\n    - docker.io/library/redis:5\n")
	var bad *manifest.Error
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "containers are not supported by this version") {
		t.Errorf("got %v, want a manifest error", err)
	}
}

func TestResolveCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, err := source.Resolve(ctx, w.fetcher(t), w.inputs(t, consulEntry)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v, want context.Canceled alone", res, err)
	}
}

func TestURLs(t *testing.T) {
	mirrors := []manifest.Mirror{
		{From: "https://releases.hashicorp.com/", To: []string{"https://a.example/h/", "http://b.example/"}},
		{From: "https://other.example/", To: []string{"https://c.example/"}},
		{From: "https://releases.hashicorp.com/consul/", To: []string{"https://d.example/c/"}},
	}
	got := source.URLs("https://releases.hashicorp.com/consul/x.zip", mirrors)
	want := []string{"https://a.example/h/consul/x.zip", "http://b.example/consul/x.zip", "https://d.example/c/x.zip", "https://releases.hashicorp.com/consul/x.zip"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := source.URLs("https://github.com/x", mirrors); !slices.Equal(got, []string{"https://github.com/x"}) {
		t.Errorf("no mirror covers it: got %q", got)
	}
}
