package manifest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// BareBase is the value of rpms.base that stands for a base image with no packages at all.
const BareBase = "bare"

const (
	slug         = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
	slugWords    = "a name of a-z, 0-9 and - (63 at most, no - at an end)"
	noProtocol   = 5  // Terraform's plugin protocol where a provider does not say
	noPriority   = 99 // yum's own default
	lowProtocol  = 4
	highProtocol = 6
)

var (
	slugName   = matches(`^`+slug+`$`, slugWords)
	platform   = oneOf("linux/amd64", "linux/arm64")
	digest     = matches(`^[0-9a-f]{64}$`, "64 lower-case hex digits")
	fileMode   = oneOf("0644", "0755")
	sourceName = matches(`^([a-z0-9][a-z0-9.-]*(:[0-9]+)?/)?`+slug+`/`+slug+`$`, "[registry/]namespace/type in lower case")
	repoName   = matches(`^[A-Za-z0-9][A-Za-z0-9_.:-]*$`, "an id of letters, digits and _ . : -")
	// An RPM name, N-V, N-V-R or E:V-R form, glob or provided name or path, but no option of a package manager.
	rpmSpec = matches(`^[A-Za-z0-9_/(*?\[][A-Za-z0-9_.+:~^*?/()\[\]-]*$`, "a package name, or name-version, without spaces")
	// The name of a package alone: an exception to checking signatures is not given to a pattern.
	rpmName = matches(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`, "the name of a package, without version and pattern")
	modSpec = matches(`^[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9_.+-]+)?(/[A-Za-z0-9_.+-]+)?$`, "name:stream[/profile]")
	imgRef  = matches(`^[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`,
		"a whole image reference, such as docker.io/library/redis:5")
)

// Inputs expands the part of the manifest that decides what a bundle holds. A variable without a value is an error at
// the place that uses it. Mirrors leave no trace in Variables, for they leave none in a bundle.
func (m *Manifest) Inputs(v *Vars) (*Inputs, error) { return m.expandInputs(v, true) }

// Made is Inputs without Mirrors, for a bundle that is made: its index records the variables that the artifacts used, and
// none of those that led to mirrors.
func (m *Manifest) Made(v *Vars) (*Inputs, error) { return m.expandInputs(v, false) }

func (m *Manifest) expandInputs(v *Vars, mirrors bool) (*Inputs, error) {
	used := make(map[string]string)
	d := decoder{file: m.File, value: v.lookup(""), used: used}
	in := d.inputs(m.root)
	if mirrors {
		in.Mirrors = d.mirrors(m.root)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	in.Variables, in.Dir = used, m.Dir
	return in, nil
}

func (d *decoder) inputs(root *node) *Inputs {
	in := &Inputs{
		Name:      d.text(root.lookup("name"), slugName),
		Version:   d.text(root.lookup("version"), semantic),
		Platform:  d.text(root.lookup("platform"), platform),
		Artifacts: Artifacts{},
	}
	d.folded = make(map[string]string)
	if a := d.object(root.lookup("artifacts"), nil, "hashicorp", "providers", "rpms", "containers", "files"); a != nil {
		in.Artifacts = d.artifacts(a, in.Platform)
	}
	return in
}

func (d *decoder) mirrors(root *node) []Mirror {
	var out []Mirror
	used := d.used
	d.used = nil
	for _, item := range d.list(root.lookup("mirrors")) {
		if n := d.object(item, []string{"from", "to"}); n != nil {
			url := prefix(location("http", "https"))
			out = append(out, Mirror{From: d.text(n.lookup("from"), url), To: d.texts(n.lookup("to"), url)})
		}
	}
	d.used = used
	return out
}

func (d *decoder) artifacts(a *node, platform string) Artifacts {
	var out Artifacts
	for _, item := range d.list(a.lookup("hashicorp")) {
		h := HashiCorp{}
		if n := d.object(item, []string{"product", "version"}, "key"); n != nil {
			h.Product = d.text(n.lookup("product"), slugName)
			h.Version = d.text(n.lookup("version"), semantic)
			h.Key = d.literal(n.lookup("key"), localPath)
		}
		if h.Product != "" && h.Version != "" && platform != "" {
			d.claim(item, h.Zip(platform), h.Binary(platform))
		}
		out.HashiCorp = append(out.HashiCorp, h)
	}
	for _, item := range d.list(a.lookup("providers")) {
		p := d.provider(item)
		if p.Source != "" && p.Version != "" {
			d.claim(item, p.Flat())
		}
		out.Providers = append(out.Providers, p)
	}
	for _, item := range d.list(a.lookup("files")) {
		out.Files = append(out.Files, d.plainFile(item))
	}
	out.Containers = d.texts(a.lookup("containers"), imgRef)
	if n := d.object(a.lookup("rpms"), []string{"repos", "base", "install"}, "upgrade", "weak", "exclude", "modules", "unsigned"); n != nil {
		out.RPMs = d.rpms(n)
	}
	return out
}

func (d *decoder) provider(item *node) Provider {
	var p Provider
	n := d.object(item, []string{"source", "version"}, "protocols", "key")
	if n == nil {
		return p
	}
	p.Source = d.text(n.lookup("source"), sourceName)
	p.Version = d.text(n.lookup("version"), semantic)
	p.Key = d.literal(n.lookup("key"), localPath)
	for _, x := range d.list(n.lookup("protocols")) {
		p.Protocols = append(p.Protocols, d.number(x, lowProtocol, lowProtocol, highProtocol))
	}
	slices.Sort(p.Protocols)
	p.Protocols = slices.Compact(p.Protocols)
	return p
}

func (d *decoder) plainFile(item *node) File {
	f := File{Mode: "0644"}
	n := d.object(item, []string{"url", "path"}, "sha256", "mode")
	if n == nil {
		return f
	}
	f.URL = d.text(n.lookup("url"), location("http", "https"))
	f.SHA256 = d.text(n.lookup("sha256"), maybe(digest))
	f.Path = d.text(n.lookup("path"), CheckPath)
	if mode := n.lookup("mode"); mode != nil {
		f.Mode = d.text(mode, fileMode)
	}
	if f.Path != "" {
		d.claim(n.lookup("path"), f.Path)
	}
	return f
}

func (d *decoder) rpms(n *node) RPMs {
	r := RPMs{
		Base:     d.literal(n.lookup("base"), basePath),
		Install:  d.texts(n.lookup("install"), rpmSpec),
		Upgrade:  d.texts(n.lookup("upgrade"), rpmSpec),
		Exclude:  d.texts(n.lookup("exclude"), rpmSpec),
		Modules:  d.texts(n.lookup("modules"), modSpec),
		Unsigned: d.texts(n.lookup("unsigned"), rpmName),
		Weak:     d.truth(n.lookup("weak"), false),
	}
	repos := d.list(n.lookup("repos"))
	if install := n.lookup("install"); len(install.list()) > 0 && len(repos) == 0 {
		d.fail(install, "want a repo to install from")
	}
	ids := make(map[string]bool)
	for _, item := range repos {
		repo := d.repo(item)
		if id := strings.ToLower(repo.ID); id != "" {
			if ids[id] {
				d.fail(item.lookup("id"), "another repo has this id")
			}
			ids[id] = true
		}
		r.Repos = append(r.Repos, repo)
	}
	return r
}

func basePath(s string) string {
	if s == BareBase {
		return ""
	}
	if what := localPath(s); what != "" {
		return what + ", or `bare`"
	}
	return ""
}

func (d *decoder) repo(item *node) Repo {
	r := Repo{GPGCheck: true, Priority: noPriority}
	n := d.object(item, []string{"id", "baseurl"}, "gpgkey", "gpgcheck", "repo_gpgcheck", "priority")
	if n == nil {
		return r
	}
	r.ID = d.text(n.lookup("id"), repoName)
	r.BaseURL = d.text(n.lookup("baseurl"), location("http", "https", "file"))
	r.GPGKey = d.literal(n.lookup("gpgkey"), localPath)
	r.GPGCheck = d.truth(n.lookup("gpgcheck"), true)
	r.RepoGPGCheck = d.truth(n.lookup("repo_gpgcheck"), false)
	r.Priority = d.number(n.lookup("priority"), noPriority, 1, 99)
	switch key, off, meta := n.lookup("gpgkey"), n.lookup("gpgcheck"), n.lookup("repo_gpgcheck"); {
	case key == nil && off == nil:
		d.fail(n, "want a gpgkey, or `gpgcheck: false` where packages are to be taken unverified")
	case key == nil && r.GPGCheck && d.knows(off):
		d.fail(n, "want a gpgkey to check packages with")
	case key == nil && r.RepoGPGCheck && d.knows(meta):
		d.fail(meta, "want a gpgkey to check repomd.xml with")
	case key != nil && !r.GPGCheck && !r.RepoGPGCheck && (meta == nil || d.knows(meta)):
		d.fail(off, "got a gpgkey and `gpgcheck: false`, want one of them")
	}
	return r
}

// knows reports whether the value of a truth is known: it is written out, or this is the pass with variables.
func (d *decoder) knows(n *node) bool {
	return n.kind == kindBool || d.value != nil
}

// claim notes that an artifact takes paths of one tree. It reports a path that is taken already, that would be a file
// and a folder at once, or that spells a folder otherwise: upper and lower case make no difference.
func (d *decoder) claim(n *node, paths ...string) {
	for _, p := range paths {
		folded := FoldPath(p)
		if _, taken := d.folded[folded]; taken || !d.claimFolders(path.Dir(p)) {
			d.fail(n, "another artifact has this path, case aside, or one is a folder of the other")
			return
		}
		d.folded[folded] = p
	}
}

// claimFolders notes dir and those above it, each with a slash that tells it from a file.
func (d *decoder) claimFolders(dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		folded := FoldPath(dir)
		if old, ok := d.folded[folded]; ok && old != dir+"/" {
			return false
		}
		d.folded[folded] = dir + "/"
	}
	return true
}

// Warnings tells what the inputs ask for that weakens the chain of trust, a line each.
func (in *Inputs) Warnings() []string {
	var out []string
	for _, r := range in.Artifacts.RPMs.Repos {
		if !r.GPGCheck {
			out = append(out, fmt.Sprintf("packages of repo %q are taken without checking signatures", r.ID))
		}
	}
	return out
}

// Paths returns the paths in the bundle that the inputs are sure to give, sorted: all but the packages and the evidence,
// which depend on what upstream holds.
func (in *Inputs) Paths() []string {
	set := make(map[string]bool)
	for _, h := range in.Artifacts.HashiCorp {
		set[FilesDir+"/"+h.Zip(in.Platform)] = true
		set[FilesDir+"/"+h.Binary(in.Platform)] = true
	}
	for _, p := range in.Artifacts.Providers {
		set[FilesDir+"/"+p.Flat()] = true
	}
	for _, f := range in.Artifacts.Files {
		set[FilesDir+"/"+f.Path] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// FilesDir is the flat file server's folder in a bundle.
const FilesDir = "files"

// Zip is the name of the product's archive, upstream and under FilesDir: consul_1.6.1_linux_amd64.zip.
func (h HashiCorp) Zip(platform string) string { return h.Binary(platform) + ".zip" }

// Binary is the name of the unpacked program under FilesDir: consul_1.6.1_linux_amd64.
func (h HashiCorp) Binary(platform string) string {
	return h.Product + "_" + h.Version + "_" + strings.ReplaceAll(platform, "/", "_")
}

// Type is the last part of the source: null for hashicorp/null.
func (p Provider) Type() string { return path.Base(p.Source) }

// Flat is the name of the unpacked plugin under FilesDir: terraform-provider-null_v2.1.2_x4. The number is the lowest
// plugin protocol that the provider speaks, as its own releases have it.
func (p Provider) Flat() string {
	low := noProtocol
	if len(p.Protocols) > 0 {
		low = slices.Min(p.Protocols)
	}
	return fmt.Sprintf("terraform-provider-%s_v%s_x%d", p.Type(), p.Version, low)
}
