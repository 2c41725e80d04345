package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxManifest bounds the text of a manifest: people write them, and for odd texts the library takes time in the square of
// their length.
const maxManifest = 256 << 10

// Manifest is a manifest as it was written: checked as far as that goes without variables, which each verb brings for
// the part that it reads. It is immutable.
type Manifest struct {
	File string // as the user named it
	Dir  string // its folder; local paths are relative to it
	Raw  []byte // the text, which a bundle carries

	root         *node
	store, cloud part
}

// part is a piece of a manifest that may come from another one.
type part struct {
	file string
	node *node
}

// Load reads and parses the manifest at path. Problems of its text are an Errors.
func Load(path string) (*Manifest, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return Parse(path, src)
}

// Parse checks the text of a manifest; file names it in errors and tells its folder. All problems come back at once, as
// Errors. A value that holds references is checked when a verb expands it.
func Parse(file string, src []byte) (*Manifest, error) {
	root, errs := grow(file, src, maxManifest)
	if root == nil {
		return nil, errs
	}
	leaks := leaks(file, src)
	d := decoder{file: file, errs: append(errs, leaks...), leaky: make(map[int]bool)}
	for _, e := range leaks {
		d.leaky[e.Line] = true
	}
	d.document(root)
	if err := d.err(); err != nil {
		return nil, err
	}
	return &Manifest{File: file, Dir: filepath.Dir(file), Raw: slices.Clone(src), root: root,
		store: part{file, root.lookup("store")}, cloud: part{file, root.lookup("cloud")}}, nil
}

// Override returns m with the store and the cloud of o, each where o has it: what may differ from site to site, while
// the rest is what the bundle was made of.
func (m *Manifest) Override(o *Manifest) *Manifest {
	out := *m
	if o.store.node != nil {
		out.store = o.store
	}
	if o.cloud.node != nil {
		out.cloud = o.cloud
	}
	return &out
}

// document decodes everything without values, for the problems alone.
func (d *decoder) document(root *node) {
	if d.object(root, []string{"schema", "name", "version", "platform"},
		"vars", "mirrors", "artifacts", "store", "cloud", "images") == nil {
		return
	}
	d.literal(root.lookup("schema"), oneOf(Schema))
	d.defaults(root.lookup("vars"))
	d.inputs(root)
	d.mirrors(root)
	d.store(root.lookup("store"))
	d.cloud(root.lookup("cloud"), &Cloud{})
	if images := root.lookup("images"); d.is(images, kindMap) {
		for _, p := range images.pairs {
			if what := imageKey(p.key); what != "" {
				d.fail(&node{line: p.line, col: p.col, field: join("images", p.key)}, what)
			}
			d.image(p.value, &Image{})
		}
	}
	d.sameCase(root)
}

// defaults decodes vars: the variables' names with the values that hold where nothing else says otherwise.
func (d *decoder) defaults(n *node) map[string]string {
	out := make(map[string]string)
	if !d.is(n, kindMap) {
		return out
	}
	for _, p := range n.pairs {
		at := &node{line: p.line, col: p.col, field: join("vars", p.key)}
		switch {
		case variableName(p.key) != "":
			d.fail(at, variableName(p.key))
		case !d.is(p.value, kindText):
		case Secret(p.key) && p.value.text != "":
			d.fail(p.value, "a secret does not belong into a manifest: leave it empty and give a variable file")
		default:
			out[p.key] = d.literal(p.value, anyText)
		}
	}
	return out
}

func anyText(string) string { return "" }

// ImageNames returns the images of the manifest in file order.
func (m *Manifest) ImageNames() []string {
	var names []string
	if images := m.root.lookup("images"); images != nil {
		for _, p := range images.pairs {
			names = append(names, p.key)
		}
	}
	return names
}

// Recipes returns the recipes of an image, in their order: they are literal, so that lock can ask what they take without
// the variables that only bake has.
func (m *Manifest) Recipes(image string) []string {
	var d decoder // the manifest is checked, so nothing is left to report
	return d.literals(m.root.lookup("images").lookup(image).lookup("recipes"), recipeName)
}

// Scripts returns the local paths of an image's scripts, in their order.
func (m *Manifest) Scripts(image string) []string {
	var d decoder // as in Recipes
	return d.literals(m.root.lookup("images").lookup(image).lookup("scripts"), localPath)
}

// LocalFiles returns every file beside the manifest that it names (keys, base, scripts), sorted, each once, as clean
// paths with slashes that are relative to Dir. Whether they exist is the caller's to see.
func (m *Manifest) LocalFiles() []string {
	var files []string
	for _, n := range localNodes(m.root) {
		files = append(files, n.text)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// CheckFiles reports every file beside the manifest that it names and that is not there, or is no file.
func (m *Manifest) CheckFiles() error {
	d := decoder{file: m.File}
	for _, n := range localNodes(m.root) {
		fi, err := os.Stat(filepath.Join(m.Dir, filepath.FromSlash(n.text)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.fail(n, "there is no such file beside the manifest")
		case err != nil:
			d.fail(n, "the file cannot be looked at")
		case !fi.Mode().IsRegular():
			d.fail(n, "want a file")
		}
	}
	return d.err()
}

// localNodes returns the values of a manifest that name local files, in file order.
func localNodes(root *node) []*node {
	var out []*node
	add := func(n *node) {
		if n != nil && n.kind == kindText && n.text != "" {
			out = append(out, n)
		}
	}
	artifacts := root.lookup("artifacts")
	for _, part := range []string{"hashicorp", "providers"} {
		for _, item := range artifacts.lookup(part).list() {
			add(item.lookup("key"))
		}
	}
	rpms := artifacts.lookup("rpms")
	for _, repo := range rpms.lookup("repos").list() {
		add(repo.lookup("gpgkey"))
	}
	if base := rpms.lookup("base"); base != nil && base.text != BareBase {
		add(base)
	}
	if images := root.lookup("images"); images != nil {
		for _, p := range images.pairs {
			for _, script := range p.value.lookup("scripts").list() {
				add(script)
			}
		}
	}
	return out
}

// sameCase reports local files whose paths differ in case alone: a bundle could not hold both.
func (d *decoder) sameCase(root *node) {
	first := make(map[string]string)
	for _, n := range localNodes(root) {
		folded := FoldPath(n.text)
		if old, ok := first[folded]; ok && old != n.text {
			d.fail(n, "another local file has this path but for upper and lower case")
			continue
		}
		first[folded] = n.text
	}
}
