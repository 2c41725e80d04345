package faulttest

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/flate"
)

// Internet is a small internet: the files of a few vendors under their real addresses, served by one handler. The
// address https://HOST/PATH answers at /HOST/PATH of the handler, so a mirror entry for each of Hosts leads there, or a
// client through RoundTripper. Everything that it makes (keys, signatures, zips) is a pure function of what it is given.
//
// Fill it first, then serve it: it may not change while it serves.
type Internet struct {
	files  map[string]content // by "HOST/PATH"
	vendor *openpgp.Entity
}

type content struct {
	data []byte
	path string // of a file on disk; data is nil then
}

const releases = "https://releases.hashicorp.com/"

// NewInternet returns an empty internet with a vendor's signing key. Internets of one seed have the same key.
func NewInternet(seed string) (*Internet, error) {
	key, err := openpgp.NewEntity("Stand-in for HashiCorp "+seed, "", "security@vendor.example", pgp(seed))
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return &Internet{files: map[string]content{}, vendor: key}, nil
}

// internetTime is when everything in an Internet was made.
func internetTime() time.Time { return time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC) }

// pgp gives what OpenPGP operations take from outside, time and chance, as a function of seed.
func pgp(seed string) *packet.Config {
	return &packet.Config{
		Algorithm:   packet.PubKeyAlgoEdDSA,
		DefaultHash: crypto.SHA256,
		Time:        internetTime,
		Rand:        rand.NewChaCha8(sha256.Sum256([]byte(seed))),
	}
}

// Key is the vendor's public key, armored: what `key:` in a manifest names.
func (n *Internet) Key() ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return nil, err
	}
	if err := n.vendor.Serialize(w); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append(b.Bytes(), '\n'), nil
}

// KeyID is the vendor's key id, 16 upper-case hex digits.
func (n *Internet) KeyID() string { return n.vendor.PrimaryKey.KeyIdString() }

// Put makes address, an http or https URL, answer with data.
func (n *Internet) Put(address string, data []byte) {
	n.files[place(address)] = content{data: data}
}

// PutFolder makes every file below dir answer under the prefix address, which ends in a slash.
func (n *Internet) PutFolder(address, dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		n.files[place(address)+filepath.ToSlash(rel)] = content{path: name}
		return nil
	})
}

// Remove makes address answer 404 again.
func (n *Internet) Remove(address string) { delete(n.files, place(address)) }

// Get returns what address answers, nil if nothing; for tests that alter one byte. It does not read PutFolder's files.
func (n *Internet) Get(address string) []byte { return bytes.Clone(n.files[place(address)].data) }

// PutProduct publishes a HashiCorp product for linux/amd64: zip, SHA256SUMS and its signature.
func (n *Internet) PutProduct(name, version string, binary []byte) error {
	return n.putRelease(name, version, map[string][]byte{name: binary, "LICENSE.txt": []byte("A stand-in; do as you like.\n")})
}

// PutProvider publishes a Terraform provider for linux/amd64, its binary named for the plugin protocol.
func (n *Internet) PutProvider(name, version string, protocol int, binary []byte) error {
	member := fmt.Sprintf("terraform-provider-%s_v%s_x%d", name, version, protocol)
	return n.putRelease("terraform-provider-"+name, version, map[string][]byte{member: binary})
}

func (n *Internet) putRelease(name, version string, members map[string][]byte) error {
	base := fmt.Sprintf("%s%s/%s/%s_%s", releases, name, version, name, version)
	archive, err := Zip(members)
	if err != nil {
		return fmt.Errorf("zipping %q: %w", name, err)
	}
	n.Put(base+"_linux_amd64.zip", archive)
	// A vendor's list names the other platforms too.
	sums := fmt.Sprintf("%x  %s_%s_darwin_amd64.zip\n%x  %s_%s_linux_amd64.zip\n",
		sha256.Sum256([]byte("darwin")), name, version, sha256.Sum256(archive), name, version)
	return n.PutSums(base+"_SHA256SUMS", []byte(sums))
}

// PutSums publishes a SHA256SUMS document and the vendor's signature of it.
func (n *Internet) PutSums(address string, sums []byte) error {
	sig, err := n.Sign(sums)
	if err != nil {
		return err
	}
	n.Put(address, sums)
	n.Put(address+".sig", sig)
	return nil
}

// Sign makes the vendor's detached signature, binary, as HashiCorp publishes it.
func (n *Internet) Sign(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, n.vendor, bytes.NewReader(document), pgp(string(document))); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return b.Bytes(), nil
}

// Zip packs members by name, all mode 0755, with one time.
func Zip(members map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	// A pinned module: the standard library's compressor, and with it the bytes, may change with the toolchain.
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.DefaultCompression) })
	for _, name := range slices.Sorted(maps.Keys(members)) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: internetTime()}
		h.SetMode(0o755)
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(members[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Hosts lists the prefixes https://HOST/ that have files, sorted: the `from` of mirror entries. The `to` that belongs to
// one is the server's base URL, a slash, and the part after https://.
func (n *Internet) Hosts() []string {
	seen := map[string]bool{}
	for key := range n.files {
		host, _, _ := strings.Cut(key, "/")
		seen["https://"+host+"/"] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// Addresses lists all that answers, sorted, as https URLs.
func (n *Internet) Addresses() []string {
	var all []string
	for key := range n.files {
		all = append(all, "https://"+key)
	}
	slices.Sort(all)
	return all
}

func place(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		panic("faulttest: not an address: " + address)
	}
	return rest
}

func (n *Internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	c, ok := n.files[key]
	if !ok {
		http.NotFound(w, r)
		return
	}
	var body io.ReadSeeker = bytes.NewReader(c.data)
	if c.path != "" {
		f, err := os.Open(c.path)
		if err != nil {
			http.Error(w, "stand-in: "+err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		body = f
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, path.Base(key), internetTime(), body)
}

// RoundTripper sends a request for any host to base, the URL at which the internet is served, so that nothing leaves
// the machine. next makes the connection; nil is http.DefaultTransport.
func (n *Internet) RoundTripper(base string, next http.RoundTripper) (http.RoundTripper, error) {
	to, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", base, err)
	}
	if next == nil {
		next = http.DefaultTransport
	}
	return redirected{to, next}, nil
}

type redirected struct {
	to   *url.URL
	next http.RoundTripper
}

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	again := req.Clone(req.Context())
	if req.URL.Host != r.to.Host {
		again.URL.Path = "/" + req.URL.Host + req.URL.Path
		again.URL.RawPath = ""
	}
	again.URL.Scheme, again.URL.Host, again.Host = r.to.Scheme, r.to.Host, ""
	return r.next.RoundTrip(again)
}
