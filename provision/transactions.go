package provision

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// Transactions returns, for each image of a manifest in its order, the calls of yum or dnf that an offline bake of it will
// make: those of its recipes, and those that its scripts make in plain sight. files are the paths of the bundle, scripts are
// read from the manifest's folder. A variable that names the file of a package which the bundle will not have is an error of
// all images for which IsPlanError is true, as for a bake. A script's call that foresees no failure is not lenient.
func Transactions(m *manifest.Manifest, vars *manifest.Vars, files []string) ([]solve.Plan, error) {
	upgrade, err := m.Upgrade(vars)
	if err != nil {
		return nil, err
	}
	read := func(name string) ([]byte, error) {
		file := filepath.Join(m.Dir, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && info.Size() > maxScript {
			return nil, errNoScript
		}
		return os.ReadFile(file)
	}
	var out []solve.Plan
	var errs faults
	for _, name := range m.ImageNames() {
		img := manifest.Image{Name: name, Recipes: m.Recipes(name), Scripts: m.Scripts(name), Variables: vars.For(name)}
		served, _, err := servePackages(img, files)
		if err != nil {
			errs.add(err)
			continue
		}
		calls, err := transactions(installer{img: img, served: served, upgrade: upgrade, weak: m.Weak(), strict: true, read: read})
		if err != nil {
			return nil, err
		}
		out = append(out, solve.Plan{Name: name, Calls: calls})
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// installer is an image as far as it installs packages.
type installer struct {
	img     manifest.Image
	served  map[string]string // variables, and the package files of the bundle whose URLs they take
	upgrade []string
	weak    bool
	strict  bool                                // what scripts install has to be there where they do not foresee that it is not
	read    func(script string) ([]byte, error) // errNoScript for one too large to be read
}

var errNoScript = errors.New("too large for a shell script")

// transactions are an image's calls of yum or dnf, in order. What recipes install is what their headers say; how they do
// it, steps/prelude.sh, yum.sh and docker.sh.
func transactions(i installer) ([]solve.Call, error) {
	recipes, err := recipesOf(i.img)
	if err != nil {
		return nil, err
	}
	var out []solve.Call
	for _, r := range recipes {
		by := fmt.Sprintf("recipe %q", r.name)
		if r.name == "yum" {
			for _, name := range i.upgrade {
				out = append(out, solve.Call{By: by, Upgrade: []string{name}})
			}
		}
		files, names := solve.Call{By: by}, solve.Call{By: by, Absent: true}
		for _, n := range r.needs {
			if n.pkg != "" {
				names.Install = append(names.Install, n.pkg)
			}
			if file := i.served[n.as]; file != "" {
				files.Files = append(files.Files, solve.File{Path: file, Package: n.pkg})
			}
		}
		if len(files.Files) > 0 {
			out = append(out, files)
		}
		if len(names.Install) > 0 {
			out = append(out, names)
		}
	}
	scripts, err := i.scripts()
	out = append(out, scripts...)
	for n := range out {
		out[n].Weak = i.weak
	}
	return out, err
}

// scripts are the calls that the image's scripts make in plain sight.
func (i installer) scripts() ([]solve.Call, error) {
	variables, err := packageFiles()
	if err != nil {
		return nil, err
	}
	var out []solve.Call
	for _, script := range i.img.Scripts {
		text, err := i.read(script)
		if errors.Is(err, errNoScript) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading script %q: %w", script, err)
		}
		for _, c := range installs(string(text), variables, i.served) {
			c.By = fmt.Sprintf("script %q", script)
			c.Lenient = c.Lenient || !i.strict
			out = append(out, c)
		}
	}
	return out, nil
}

// transactions are those of an image that is planned. A name that nothing has was told when the bundle was made; here yum
// judges, for the bundle cannot be changed any more.
func (w *work) transactions() ([]solve.Call, error) {
	i := installer{img: w.plan.img, served: w.plan.served}
	if w.Offline {
		i.upgrade, i.weak = w.Upgrade, w.Weak
	}
	files := w.Bundle.Index().Files
	i.read = func(script string) ([]byte, error) {
		if slices.ContainsFunc(files, func(f bundle.File) bool { return f.Path == script && f.Size > maxScript }) {
			return nil, errNoScript
		}
		return w.Bundle.ReadFile(script, maxScript)
	}
	return transactions(i)
}

// servePackages chooses the file for each variable that takes the URL of a package's: the one that the variable's own
// value names, or the only one of that package. Where there is none, or there are several, the repository serves. files are
// the paths of the bundle; take are those that recipes of the image use. What is found comes beside an error, too.
func servePackages(img manifest.Image, files []string) (served map[string]string, take []string, err error) {
	all, err := packageFiles()
	if err != nil {
		return nil, nil, err
	}
	served = map[string]string{}
	var errs faults
	for _, f := range all {
		if !slices.Contains(img.Recipes, f.recipe) {
			f.recipe = ""
		}
		file, err := f.choose(img, files)
		errs.add(err)
		served[f.variable] = file
		if file != "" && f.recipe != "" {
			take = append(take, file)
		}
	}
	return served, take, errs.err()
}

// choose is the file that the variable takes, "" for none.
func (f packageFile) choose(img manifest.Image, all []string) (string, error) {
	var files, names []string
	for _, file := range all {
		rest, ok := strings.CutPrefix(file, manifest.FilesDir+"/"+f.pkg+"-")
		if ok && strings.HasSuffix(rest, ".rpm") && rest[0] >= '0' && rest[0] <= '9' {
			files, names = append(files, file), append(names, path.Base(file))
		}
	}
	value := img.Variables[f.variable]
	if value == "" {
		if len(files) == 1 {
			return files[0], nil
		}
		return "", nil
	}
	url, _, _ := strings.Cut(value, "?") // a signature in it may hold slashes
	want := manifest.Need{Image: img.Name, Recipe: f.recipe, Variable: f.variable, Path: manifest.FilesDir + "/" + path.Base(url)}
	if !slices.Contains(files, want.Path) {
		return "", &NeedError{Need: want, Value: value, Have: names}
	}
	return want.Path, nil
}
