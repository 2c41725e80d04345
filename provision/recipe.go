package provision

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// texts are the shell files that offbake runs on hosts: recipes/NAME.sh, recipes/checks/NAME.sh, recipes/trials/NAME.sh
// (both optional), and steps/ for what surrounds them.
//
//go:embed recipes/*.sh recipes/checks/*.sh recipes/trials/*.sh steps/*.sh
var texts embed.FS

// text returns an embedded shell file, "" when there is none.
func text(name string) string {
	data, err := texts.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(data)
}

// program is a shell file as hosts run it: with the functions of the prelude before it; "" when there is none.
func program(name string) string {
	if t := text(name); t != "" {
		return text("steps/prelude.sh") + t
	}
	return ""
}

// Recipes returns the names of all recipes, sorted.
func Recipes() []string {
	files, err := fs.Glob(texts, "recipes/*.sh")
	if err != nil {
		panic(err) // the pattern is malformed
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".sh")
	}
	slices.Sort(files)
	return files
}

// recipe is what the header of a recipe's file declares, in comments of their own:
//
//	# needs file NAME [unless empty]       a file of the bundle's files/; ${variable} stands for its value
//	# needs package NAME [as VARIABLE]     a package; VARIABLE takes the URL of its file on the file server
//	# after RECIPE                         RECIPE stands before this one in an image
type recipe struct {
	name  string
	needs []need
	after []string
}

// need is one "needs" line.
type need struct {
	file      string // with ${variable}
	mayBeNone bool   // "unless empty": an empty variable means that the file is not wanted
	pkg       string
	as        string // the variable that takes the URL of the package's file
}

var (
	needsFile    = regexp.MustCompile(`^# needs file ([A-Za-z0-9_.$\{}-]+)( unless empty)?$`)
	needsPackage = regexp.MustCompile(`^# needs package ([A-Za-z0-9_.+-]+)(?: as ([a-z][a-z0-9_]*))?$`)
	afterRecipe  = regexp.MustCompile(`^# after ([a-z0-9-]+)$`)
	directive    = regexp.MustCompile(`^#[ \t]*(needs|after)[ \t]`)
	reference    = regexp.MustCompile(`\$\{([a-z_][a-z0-9_]*)\}`)
)

// parseRecipe reads the header of a recipe: its lines up to the first that is not a comment. A comment that begins like
// a directive and is none is an error.
func parseRecipe(name, text string) (recipe, error) {
	r := recipe{name: name}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "#") {
			break
		}
		switch {
		case needsFile.MatchString(line):
			m := needsFile.FindStringSubmatch(line)
			if strings.ContainsAny(reference.ReplaceAllString(m[1], ""), "${}") {
				return recipe{}, fmt.Errorf("reading recipe %q: line %d: want ${variable} in %q", name, n, m[1])
			}
			r.needs = append(r.needs, need{file: m[1], mayBeNone: m[2] != ""})
		case needsPackage.MatchString(line):
			m := needsPackage.FindStringSubmatch(line)
			r.needs = append(r.needs, need{pkg: m[1], as: m[2]})
		case afterRecipe.MatchString(line):
			r.after = append(r.after, afterRecipe.FindStringSubmatch(line)[1])
		case directive.MatchString(line):
			return recipe{}, fmt.Errorf("reading recipe %q: line %d: unknown directive %q", name, n, line)
		}
	}
	return r, nil
}

// recipesOf reads the recipes of an image. All that is wrong with their names and their order is in the error.
func recipesOf(img manifest.Image) ([]recipe, error) {
	var out []recipe
	var errs faults
	for i, name := range img.Recipes {
		if !slices.Contains(Recipes(), name) {
			errs.add(&RecipeError{Image: img.Name, Recipe: name, What: "no such recipe; there are " + strings.Join(Recipes(), ", ")})
			continue
		}
		if slices.Contains(img.Recipes[:i], name) {
			errs.add(&RecipeError{Image: img.Name, Recipe: name, What: "is there twice"})
		}
		r, err := parseRecipe(name, text("recipes/"+name+".sh"))
		errs.add(err)
		for _, other := range r.after {
			if !slices.Contains(img.Recipes[:i], other) {
				errs.add(&RecipeError{Image: img.Name, Recipe: name, What: fmt.Sprintf("recipe %q must stand before it", other)})
			}
		}
		out = append(out, r)
	}
	return out, errs.err()
}

// taken is a need of one image with its variables filled in.
type taken struct {
	manifest.Need
	kind string // what the paths of files of this kind begin with
}

// packageFile is a variable that takes the URL of a package's file.
type packageFile struct{ variable, pkg, recipe string }

// packageFiles returns those of all recipes: users' scripts rely on the variables in images without the recipe, too.
func packageFiles() ([]packageFile, error) {
	var out []packageFile
	for _, name := range Recipes() {
		r, err := parseRecipe(name, text("recipes/"+name+".sh"))
		if err != nil {
			return nil, err
		}
		for _, n := range r.needs {
			if n.as != "" {
				out = append(out, packageFile{n.as, n.pkg, name})
			}
		}
	}
	return out, nil
}

// takes returns what the recipes of an image take, in their order.
func takes(img manifest.Image) ([]taken, error) {
	recipes, err := recipesOf(img)
	var errs faults
	errs.add(err)
	var out []taken
	for _, r := range recipes {
		for _, n := range r.needs {
			t := taken{Need: manifest.Need{Image: img.Name, Recipe: r.name, Package: n.pkg}}
			if n.pkg == "" {
				variable, file, err := n.expand(img, r.name)
				if err != nil || file == "" {
					errs.add(err)
					continue
				}
				kind, _, _ := strings.Cut(n.file, "$")
				t.Variable, t.Path, t.kind = variable, manifest.FilesDir+"/"+file, manifest.FilesDir+"/"+kind
			}
			out = append(out, t)
		}
	}
	return out, errs.err()
}

// Needs returns what the recipes of an image take, in their order, with the image's variables filled in. It fails, with
// all problems at once, for recipes that are unknown or in the wrong order and for variables without a value.
func Needs(img manifest.Image) ([]manifest.Need, error) {
	all, err := takes(img)
	if err != nil {
		return nil, err
	}
	out := make([]manifest.Need, len(all))
	for i, t := range all {
		out[i] = t.Need
	}
	return out, nil
}

// expand fills in the variables of a file's name. The file is "" when none is wanted; variable is the first that it
// names.
func (n need) expand(img manifest.Image, recipe string) (variable, file string, err error) {
	none := false
	file = reference.ReplaceAllStringFunc(n.file, func(ref string) string {
		name := reference.FindStringSubmatch(ref)[1]
		value, set := img.Variables[name]
		if variable == "" {
			variable = name
		}
		if err == nil && !set {
			err = &VariableError{Image: img.Name, Recipe: recipe, Variable: name, What: "is not set"}
		}
		if err == nil && value == "" && !n.mayBeNone {
			err = &VariableError{Image: img.Name, Recipe: recipe, Variable: name, What: "is empty"}
		}
		none = none || value == ""
		return value
	})
	if err != nil || none {
		return variable, "", err
	}
	return variable, file, nil
}

// trialOf is the script that a finished image must pass where it can be booted.
func trialOf(img manifest.Image) string {
	t := program("steps/trial.sh")
	for _, name := range img.Recipes {
		t += text("recipes/trials/" + name + ".sh")
	}
	return whole(t + "steady\n")
}

// digests returns the sha256 of every embedded text that bears on the image, by name: what a new offbake changes in
// them makes another image.
func digests(img manifest.Image) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"steps/prelude.sh", "steps/repository.sh", "steps/clean.sh"} {
		out[name] = hexSHA256(text(name))
	}
	for _, name := range img.Recipes {
		for _, file := range []string{"recipes/" + name + ".sh", "recipes/checks/" + name + ".sh"} {
			if t := text(file); t != "" {
				out[file] = hexSHA256(t)
			}
		}
	}
	return out
}
