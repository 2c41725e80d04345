package source

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// releasesURL is where HashiCorp publishes its products and, in the same layout, Terraform providers.
const releasesURL = "https://releases.hashicorp.com/"

// builtinKeyName is how the evidence folder and errors name a key that offbake was built with.
const builtinKeyName = "hashicorp.asc"

//go:embed keys/hashicorp.asc
var builtinHashiCorp []byte

// Release is one zip of the releases layout: https://releases.hashicorp.com/NAME/VERSION/NAME_VERSION_OS_ARCH.zip, which
// a SHA256SUMS document lists and a signature of that document vouches for.
type Release struct {
	Name    string // what the user calls it: "consul 1.6.1", "provider hashicorp/null 2.1.2"
	Kind    string // manifest.KindHashiCorp or KindProvider
	Path    string // of the zip in the bundle
	Version string
	Zip     string // file name of the zip, as SHA256SUMS lists it
	URL     string // of the folder that holds zip, sums and signature; ends in a slash
	Key     string // local path of the key; "" for the built-in one

	// Provider is set for providers only.
	Provider *Provider

	evidence string // folder in the bundle
	product  string
	platform string // os_arch
}

// Provider is what a Terraform provider's release is besides a zip.
type Provider struct {
	Registry, Namespace, Type string
	Platform                  string // os_arch
	Protocols                 []int  // of the plugin protocol, as the manifest has them
}

// Releases lists what the manifest's hashicorp and providers entries stand for, in its order.
func Releases(in *manifest.Inputs) []Release {
	platform := strings.ReplaceAll(in.Platform, "/", "_")
	var all []Release
	for _, h := range in.Artifacts.HashiCorp {
		r := Release{Name: h.Product + " " + h.Version, Kind: manifest.KindHashiCorp, Version: h.Version, Key: h.Key}
		r.place(h.Product, platform)
		r.Path = "files/" + r.Zip
		r.evidence = path.Join("evidence/hashicorp", h.Product, h.Version)
		all = append(all, r)
	}
	for _, p := range in.Artifacts.Providers {
		registry, namespace, kind := SplitSource(p.Source)
		r := Release{Name: "provider " + p.Source + " " + p.Version, Kind: manifest.KindProvider, Version: p.Version, Key: p.Key}
		r.place("terraform-provider-"+kind, platform)
		folder := path.Join(registry, namespace, kind)
		r.Path = path.Join("terraform", folder, r.Zip)
		r.evidence = path.Join("evidence/providers", folder, p.Version)
		r.Provider = &Provider{Registry: registry, Namespace: namespace, Type: kind, Platform: platform, Protocols: p.Protocols}
		all = append(all, r)
	}
	return all
}

func (r *Release) place(product, platform string) {
	r.product, r.platform = product, platform
	r.Zip = fmt.Sprintf("%s_%s_%s.zip", product, r.Version, platform)
	r.URL = releasesURL + product + "/" + r.Version + "/"
}

// SplitSource takes a provider's source address apart; the registry is Terraform's when it names none.
func SplitSource(source string) (registry, namespace, kind string) {
	parts := strings.Split(source, "/")
	if len(parts) == 2 {
		parts = append([]string{"registry.terraform.io"}, parts...)
	}
	if len(parts) != 3 {
		return "", "", source // the manifest refuses it
	}
	return parts[0], parts[1], parts[2]
}

// Member tells whether name is the file in the zip that the release is about.
func (r *Release) Member(name string) bool {
	if r.Provider == nil {
		return name == r.product
	}
	rest, ok := strings.CutPrefix(name, r.product+"_v"+r.Version)
	return ok && regexp.MustCompile(`^(_x[0-9]+)?$`).MatchString(rest)
}

// Unpacked lists the paths in the bundle at which the member lies unpacked: a product's as its zip without ".zip", a
// provider's once per protocol that the manifest gives. The member's own name may tell its protocol; one that the
// manifest does not give is an error.
func (r *Release) Unpacked(member string) ([]string, error) {
	if r.Provider == nil {
		return []string{"files/" + strings.TrimSuffix(r.Zip, ".zip")}, nil
	}
	base, protocol, has := strings.Cut(member, "_x")
	if n, err := strconv.Atoi(protocol); has && len(r.Provider.Protocols) > 0 && (err != nil || !slices.Contains(r.Provider.Protocols, n)) {
		return nil, fmt.Errorf("got plugin protocol %s, want one of %v as the manifest says", protocol, r.Provider.Protocols)
	}
	if len(r.Provider.Protocols) == 0 {
		return []string{"files/" + member}, nil
	}
	var paths []string
	for _, p := range r.Provider.Protocols {
		paths = append(paths, fmt.Sprintf("files/%s_x%d", base, p))
	}
	return paths, nil
}

// Evidence is what vouches for a release: the documents, and where they lie in the bundle.
type Evidence struct {
	Sums, Signature, Key []byte
}

func (r *Release) sumsName() string { return r.product + "_" + r.Version + "_SHA256SUMS" }

// SumsPath, SignaturePath and KeyPath are where the evidence lies in the bundle.
func (r *Release) SumsPath() string { return path.Join(r.evidence, r.sumsName()) }

// SignaturePath is where the signature of the sums lies in the bundle.
func (r *Release) SignaturePath() string { return r.SumsPath() + ".sig" }

// KeyPath is where the key that made the signature lies in the bundle.
func (r *Release) KeyPath() string {
	if r.Key == "" {
		return path.Join(r.evidence, builtinKeyName)
	}
	return path.Join(r.evidence, path.Base(r.Key))
}

// Check verifies the evidence, and returns the digest of the zip that it vouches for and how, as a lock says it:
// "hashicorp-pgp KEYID". A signature that does not hold is a *SignatureError.
func (r *Release) Check(e Evidence) (digest, verified string, err error) {
	keys, err := ParseKeys(e.Key)
	if err != nil {
		return "", "", fmt.Errorf("reading key %q: %w", path.Base(r.KeyPath()), err)
	}
	id, err := keys.Verify(e.Sums, e.Signature)
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

// LocalKey reads a key that the manifest names, or the built-in one where it names none. dir is the manifest's folder.
// With a digest, which a lock has, only a key of that digest is returned: of built-in keys, also an earlier one.
func LocalKey(dir, name, digest string) ([]byte, error) {
	data, shown := builtinHashiCorp, "built-in key"
	if name != "" {
		var err error
		shown = strconv.Quote(name)
		if data, err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return nil, fmt.Errorf("reading key: %w", err)
		}
	}
	if sum := sha256.Sum256(data); digest != "" && hex.EncodeToString(sum[:]) != digest {
		return nil, &KeyChangedError{Key: shown, Got: hex.EncodeToString(sum[:]), Want: digest}
	}
	return data, nil
}

// KeyChangedError says that a key is not the one that the lock pins.
type KeyChangedError struct{ Key, Got, Want string }

func (e *KeyChangedError) Error() string {
	return fmt.Sprintf("key %s is not the locked one: got sha256 %s, want %s", e.Key, e.Got, e.Want)
}
