package faulttest

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// RPMSpec is a package for rpmbuild to build. Only Name is needed; dependencies are written as in a spec file, and none is
// found by itself but the interpreter of scriptlets.
type RPMSpec struct {
	Name    string
	Version string // "" is 1.0
	Release string // "" is 1
	Epoch   int
	Arch    string // "" is noarch

	Summary, Description string
	Provides, Requires   []string
	PreRequires          []string // Requires(pre) and Requires(post)
	Conflicts, Obsoletes []string
	Recommends, Suggests []string
	Supplements          []string
	Enhances             []string

	Files     map[string]RPMFile // by absolute path
	Pre, Post string             // scriptlets, run by /bin/sh
	Preun     string
	Changelog string    // text of %changelog
	Tags      string    // further lines of the preamble
	BuildTime time.Time // zero is one fixed time
}

// RPMFile is one path of a package. The zero value is an empty file.
type RPMFile struct {
	Content string
	Mode    os.FileMode // permission bits; 0 is 0644, or 0755 for a directory
	Dir     bool
	Ghost   bool
	Config  bool
	Link    string // target: the path is a symbolic link
}

// SigningKey signs RPMs, through gpg and rpmsign as packagers do, and documents.
type SigningKey struct {
	Entity *openpgp.Entity
}

// KeyOptions say what key NewSigningKey makes. The zero value is an EdDSA key of 2024 that never expires.
type KeyOptions struct {
	RSA      bool // RSA of 2048 bits instead of EdDSA
	Created  time.Time
	Lifetime time.Duration
}

// NewSigningKey makes an OpenPGP key.
func NewSigningKey(opts KeyOptions) (*SigningKey, error) {
	created := opts.Created
	if created.IsZero() {
		created = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	config := &packet.Config{
		Algorithm:       packet.PubKeyAlgoEdDSA,
		DefaultHash:     crypto.SHA256,
		RSABits:         2048,
		Time:            func() time.Time { return created },
		KeyLifetimeSecs: uint32(opts.Lifetime / time.Second),
	}
	if opts.RSA {
		config.Algorithm = packet.PubKeyAlgoRSA
	}
	entity, err := openpgp.NewEntity("Stand-in packager", "", "packager@vendor.example", config)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return &SigningKey{Entity: entity}, nil
}

// Armored is the public key as a gpgkey file.
func (k *SigningKey) Armored() ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(k.Entity.Serialize(w), w.Close()); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// KeyID is the key id, 16 upper-case hex digits.
func (k *SigningKey) KeyID() string { return k.Entity.PrimaryKey.KeyIdString() }

// SignDocument makes an armored detached signature, as of a repository's repomd.xml.asc.
func (k *SigningKey) SignDocument(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, k.Entity, bytes.NewReader(document), &packet.Config{DefaultHash: crypto.SHA256}); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return b.Bytes(), nil
}

// SignRPMs signs RPM files in place. args go to rpmsign, as "--rpmv3" for signatures over header and payload too. Nothing
// of gpg is left behind, neither files nor its agent.
func (k *SigningKey) SignRPMs(files []string, args ...string) (err error) {
	// Not below a test's directory: the agent's socket is in here, and the path of a socket may have 108 bytes. And not
	// kept for another time: an agent takes a while to end, and would fail whoever finds it there.
	home, err := os.MkdirTemp("", "gnupg")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, runIn(home, exec.Command("gpgconf", "--kill", "gpg-agent")), os.RemoveAll(home))
	}()
	var secret bytes.Buffer
	if err := k.Entity.SerializePrivate(&secret, &packet.Config{DefaultHash: crypto.SHA256}); err != nil {
		return fmt.Errorf("writing a signing key: %w", err)
	}
	load := exec.Command("gpg", "--batch", "--quiet", "--import")
	load.Stdin = &secret
	if err := runIn(home, load); err != nil {
		return fmt.Errorf("importing a signing key: %w", err)
	}
	args = append([]string{"--addsign", "--define", "_gpg_name " + k.KeyID(), "--define", "__gpg /usr/bin/gpg",
		"--define", "_gpg_sign_cmd_extra_args --batch --quiet"}, args...)
	if err := runIn(home, exec.Command("rpmsign", append(args, files...)...)); err != nil {
		return fmt.Errorf("signing RPMs: %w", err)
	}
	return nil
}

// runIn runs cmd with home as its home directory, so that nothing of the user's counts.
func runIn(home string, cmd *exec.Cmd) error {
	cmd.Env = append(os.Environ(), "HOME="+home, "GNUPGHOME="+home, "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(out))
	}
	return nil
}

// BuildRPMs builds packages with rpmbuild into dir, named NAME-VERSION-RELEASE.ARCH.rpm, and signs them unless key is nil.
// It returns their paths, in the order of specs. The files' times are their build times.
func BuildRPMs(dir string, key *SigningKey, specs ...RPMSpec) ([]string, error) {
	var files []string
	for _, spec := range specs {
		file, err := spec.build(dir)
		if err != nil {
			return nil, fmt.Errorf("building RPM %q: %w", spec.Name, err)
		}
		files = append(files, file)
	}
	if key != nil && len(files) > 0 {
		if err := key.SignRPMs(files); err != nil {
			return nil, err
		}
	}
	for i, file := range files {
		if err := os.Chtimes(file, specs[i].buildTime(), specs[i].buildTime()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// BuildRepo builds packages into dir/Packages and makes dir a yum repository of them, with createrepo_c.
func BuildRepo(dir string, key *SigningKey, specs ...RPMSpec) error {
	packages := filepath.Join(dir, "Packages")
	if err := os.MkdirAll(packages, 0o755); err != nil {
		return err
	}
	if _, err := BuildRPMs(packages, key, specs...); err != nil {
		return err
	}
	return runIn(dir, exec.Command("createrepo_c", "--quiet", "--no-database", dir))
}

// MustBuildRPM is BuildRPMs of one package for tests.
func MustBuildRPM(tb testing.TB, dir string, spec RPMSpec, key *SigningKey) string {
	tb.Helper()
	files, err := BuildRPMs(dir, key, spec)
	if err != nil {
		tb.Fatal(err)
	}
	return files[0]
}

// MustSigningKey is NewSigningKey for tests.
func MustSigningKey(tb testing.TB, opts KeyOptions) *SigningKey {
	tb.Helper()
	key, err := NewSigningKey(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (s RPMSpec) buildTime() time.Time {
	if s.BuildTime.IsZero() {
		return time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)
	}
	return s.BuildTime
}

func (s RPMSpec) build(dir string) (_ string, err error) {
	s.Version, s.Release, s.Arch = cmp.Or(s.Version, "1.0"), cmp.Or(s.Release, "1"), cmp.Or(s.Arch, "noarch")
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	top, err := os.MkdirTemp("", "rpmbuild")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	if err := s.writePayload(filepath.Join(top, "payload")); err != nil {
		return "", err
	}
	specFile := filepath.Join(top, s.Name+".spec")
	if err := os.WriteFile(specFile, []byte(s.text(filepath.Join(top, "payload"))), 0o644); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%s-%s.%s.rpm", s.Name, s.Version, s.Release, s.Arch)
	cmd := exec.Command("rpmbuild", "-bb", "--target", s.Arch,
		"--define", "_topdir "+top, "--define", "_dbpath "+top+"/db", "--define", "_rpmdir "+dir,
		"--define", "_build_name_fmt "+name, "--define", "_buildhost build.vendor.example",
		"--define", "source_date_epoch_from_changelog 0", "--define", "use_source_date_epoch_as_buildtime 1",
		"--define", "clamp_mtime_to_source_date_epoch 1", "--define", "__os_install_post %{nil}",
		"--define", "debug_package %{nil}", specFile)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", s.buildTime().Unix()), "HOME="+top, "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("running rpmbuild: %w: %s", err, bytes.TrimSpace(out))
	}
	return filepath.Join(dir, name), nil
}

func (s RPMSpec) writePayload(root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for path, f := range s.Files {
		name := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		var err error
		switch {
		case f.Dir:
			err = os.MkdirAll(name, 0o755)
		case f.Link != "":
			err = os.Symlink(f.Link, name)
		default:
			err = os.WriteFile(name, []byte(f.Content), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// text is the spec file.
func (s RPMSpec) text(payload string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Name: %s\nVersion: %s\nRelease: %s\n", s.Name, s.Version, s.Release)
	if s.Epoch > 0 {
		fmt.Fprintf(&b, "Epoch: %d\n", s.Epoch)
	}
	fmt.Fprintf(&b, "Summary: %s\nLicense: MIT\nAutoReqProv: no\n", cmp.Or(s.Summary, "A stand-in"))
	fmt.Fprintf(&b, "BuildArch: %s\n", s.Arch)
	for _, list := range []struct {
		tag    string
		values []string
	}{
		{"Provides", s.Provides}, {"Requires", s.Requires}, {"Requires(pre)", s.PreRequires}, {"Requires(post)", s.PreRequires},
		{"Conflicts", s.Conflicts}, {"Obsoletes", s.Obsoletes}, {"Recommends", s.Recommends}, {"Suggests", s.Suggests},
		{"Supplements", s.Supplements}, {"Enhances", s.Enhances},
	} {
		for _, value := range list.values {
			fmt.Fprintf(&b, "%s: %s\n", list.tag, value)
		}
	}
	b.WriteString(s.Tags)
	fmt.Fprintf(&b, "\n%%description\n%s\n", cmp.Or(s.Description, "A stand-in."))
	fmt.Fprintf(&b, "\n%%install\nmkdir -p %%{buildroot}\ncp -a %s/. %%{buildroot}/\n", payload)
	for _, part := range []struct{ name, script string }{{"pre", s.Pre}, {"post", s.Post}, {"preun", s.Preun}} {
		if part.script != "" {
			fmt.Fprintf(&b, "\n%%%s\n%s\n", part.name, part.script)
		}
	}
	b.WriteString("\n%files\n")
	for _, path := range slices.Sorted(maps.Keys(s.Files)) {
		b.WriteString(s.Files[path].line(path))
	}
	if s.Changelog != "" {
		fmt.Fprintf(&b, "\n%%changelog\n%s\n", s.Changelog)
	}
	return b.String()
}

// line is the entry of the file in %files.
func (f RPMFile) line(path string) string {
	mode := cmp.Or(f.Mode.Perm(), 0o644)
	if f.Dir {
		mode = cmp.Or(f.Mode.Perm(), 0o755)
	}
	attrs := fmt.Sprintf("%%attr(%04o, root, root) ", mode)
	if f.Link != "" {
		attrs = ""
	}
	if f.Dir {
		attrs += "%dir "
	}
	if f.Ghost {
		attrs += "%ghost "
	}
	if f.Config {
		attrs += "%config(noreplace) "
	}
	return attrs + `"` + path + "\"\n"
}
