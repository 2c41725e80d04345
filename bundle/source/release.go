package source

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// releasesURL is where HashiCorp publishes its products and, in the same layout, Terraform providers.
const releasesURL = "https://releases.hashicorp.com/"

// The key that offbake was built with is pinned by the lock like what is downloaded, for it comes from outside too. Its
// bytes are never downloaded: a key from the place of what it vouches for would vouch for nothing.
const (
	BuiltinKeyPath = "evidence/keys/hashicorp.asc"
	builtinKeyURL  = "https://www.hashicorp.com/.well-known/pgp-key.txt" // where HashiCorp publishes it
)

//go:embed keys/hashicorp.asc
var builtinHashiCorp []byte

// Release is one zip of the releases layout: https://releases.hashicorp.com/NAME/VERSION/NAME_VERSION_OS_ARCH.zip, which
// a SHA256SUMS document lists and a signature of that document vouches for.
type Release struct {
	Name     string // what the user calls it: "consul 1.6.1", "provider hashicorp/null 2.1.2"
	Kind     string // manifest.KindHashiCorp or KindProvider
	Version  string
	Path     string // of the zip in the bundle
	Unpacked string // path in the bundle of the program in the zip
	Zip      string // file name of the zip, as SHA256SUMS lists it
	URL      string // of the folder that holds zip, sums and signature; ends in a slash
	Key      string // local path of the key; "" for the built-in one

	product  string            // first part of all file names
	evidence string            // folder in the bundle
	platform string            // providers only
	provider manifest.Provider // providers only
}

// Releases lists what the manifest's hashicorp and providers entries stand for, in its order.
func Releases(in *manifest.Inputs) []Release {
	platform := strings.ReplaceAll(in.Platform, "/", "_")
	var all []Release
	for _, h := range in.Artifacts.HashiCorp {
		r := newRelease(h.Product, h.Version, h.Key, h.Zip(in.Platform))
		r.Name = h.Product + " " + h.Version
		r.Kind = manifest.KindHashiCorp
		r.Path = path.Join(manifest.FilesDir, r.Zip)
		r.Unpacked = path.Join(manifest.FilesDir, h.Binary(in.Platform))
		r.evidence = path.Join("evidence/hashicorp", h.Product, h.Version)
		all = append(all, r)
	}
	for _, p := range in.Artifacts.Providers {
		product := "terraform-provider-" + p.Type()
		r := newRelease(product, p.Version, p.Key, product+"_"+p.Version+"_"+platform+".zip")
		r.Name = "provider " + p.Source + " " + p.Version
		r.Kind = manifest.KindProvider
		r.Path = path.Join("terraform", fullSource(p.Source), r.Zip)
		r.Unpacked = path.Join(manifest.FilesDir, p.Flat())
		r.evidence = path.Join("evidence/providers", fullSource(p.Source), p.Version)
		r.platform, r.provider = platform, p
		all = append(all, r)
	}
	return all
}

func newRelease(product, version, key, zip string) Release {
	return Release{Version: version, Key: key, Zip: zip, URL: releasesURL + product + "/" + version + "/", product: product}
}

// fullSource is a provider's source address with its registry, which is Terraform's when it names none.
func fullSource(source string) string {
	if strings.Count(source, "/") == 1 {
		return "registry.terraform.io/" + source
	}
	return source
}

// IsMember tells whether name is the file in the zip that the release is about: a product's program has its name, a
// plugin's its version too, and mostly the lowest protocol that it speaks.
func (r *Release) IsMember(name string) bool {
	rest, ok := strings.CutPrefix(name, r.product)
	if r.Kind == manifest.KindHashiCorp {
		return ok && rest == ""
	}
	rest, versioned := strings.CutPrefix(rest, "_v"+r.Version)
	protocol, named := strings.CutPrefix(rest, "_x")
	return ok && versioned && (rest == "" || named && protocol != "" && strings.Trim(protocol, "0123456789") == "")
}

// CheckMember compares the protocol that the name of a provider's member tells with the manifest's word, by which
// Terraform 0.12 finds the unpacked plugin.
func (r *Release) CheckMember(name string) error {
	_, protocol, named := strings.Cut(strings.TrimPrefix(name, r.product+"_v"+r.Version), "_x")
	if r.Kind != manifest.KindProvider || !named {
		return nil
	}
	want := r.provider.Protocols
	if len(want) == 0 {
		want = []int{5} // what manifest.Provider.Flat takes
	}
	if n, err := strconv.Atoi(protocol); err != nil || !slices.Contains(want, n) {
		return fmt.Errorf("the plugin is for protocol %s, want %v as the manifest's protocols say", protocol, want)
	}
	return nil
}

// Platform is the provider's platform as Terraform writes it, os_arch; "" for a product.
func (r *Release) Platform() string { return r.platform }

// Evidence is what vouches for a release.
type Evidence struct {
	Sums, Signature []byte
	Keys            Keys
}

func (r *Release) sumsName() string { return r.product + "_" + r.Version + "_SHA256SUMS" }

// SumsPath is where the vendor's list of digests lies in the bundle.
func (r *Release) SumsPath() string { return path.Join(r.evidence, r.sumsName()) }

// SignaturePath is where the signature of the sums lies in the bundle.
func (r *Release) SignaturePath() string { return r.SumsPath() + ".sig" }

// KeyPath is where the key that made the signature lies in the bundle.
func (r *Release) KeyPath() string {
	if r.Key == "" {
		return BuiltinKeyPath
	}
	return r.Key // local files keep their paths
}

// Check verifies the evidence, and returns the digest of the zip that it vouches for and how, as a lock says it:
// "hashicorp-pgp KEYID". A signature that does not hold is a *SignatureError.
func (r *Release) Check(e Evidence) (digest, verified string, err error) {
	id, err := e.Keys.Verify(e.Sums, e.Signature)
	if err != nil {
		return "", "", fmt.Errorf("verifying %q: %w", r.sumsName(), err)
	}
	sums, err := ParseSums(e.Sums)
	if err != nil {
		return "", "", fmt.Errorf("reading %q: %w", r.sumsName(), err)
	}
	digest, ok := sums[r.Zip]
	if !ok {
		return "", "", fmt.Errorf("reading %q: it does not list %q", r.sumsName(), r.Zip)
	}
	how := "hashicorp-pgp "
	if r.Kind == manifest.KindProvider {
		how = "provider-pgp "
	}
	return digest, how + id, nil
}

// ReadKeys reads who may sign the release: the keys in its local file, or HashiCorp's. lock may be nil; see BuiltinKey.
func (r *Release) ReadKeys(local *Local, lock *manifest.Lock) (Keys, error) {
	read := func() ([]byte, error) { return local.Read(r.Key) }
	if r.Key == "" {
		read = func() ([]byte, error) { return BuiltinKey(lock) }
	}
	data, err := read()
	if err != nil {
		return Keys{}, err
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return Keys{}, fmt.Errorf("reading key %q: %w", r.KeyPath(), err)
	}
	return keys, nil
}

// BuiltinKey returns HashiCorp's key: the one for new locks where lock is nil, else the one that the lock pins. Where
// offbake was built without that one the error is a *KeyChangedError.
func BuiltinKey(lock *manifest.Lock) ([]byte, error) {
	got := hexSum(builtinHashiCorp)
	if lock != nil {
		for _, row := range lock.Rows {
			if row.Path == BuiltinKeyPath && row.SHA256 != got {
				return nil, &KeyChangedError{Got: got, Want: row.SHA256}
			}
		}
	}
	return builtinHashiCorp, nil
}

// KeyChangedError says that the key that offbake was built with is not the one that the lock pins.
type KeyChangedError struct{ Got, Want string }

func (e *KeyChangedError) Error() string {
	return fmt.Sprintf("HashiCorp's key in this offbake is not the one in the lock: got sha256 %s, want %s", e.Got, e.Want)
}
