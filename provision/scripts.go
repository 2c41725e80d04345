package provision

import (
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
)

// scriptPackage is a package that a user's script installs.
type scriptPackage struct {
	script, name string
	file         bool // it stands for the file that a variable names
}

// maxScript bounds what is read of a script, bytes.
const maxScript = 1 << 20

// scriptPackages are the packages that the image's scripts name in plain sight, each once.
func (w *work) scriptPackages() ([]scriptPackage, error) {
	variables, err := packageFiles()
	if err != nil {
		return nil, err
	}
	var out []scriptPackage
	files := w.Bundle.Index().Files
	for _, script := range w.plan.Scripts {
		if slices.ContainsFunc(files, func(f bundle.File) bool { return f.Path == script && f.Size > maxScript }) {
			continue // no shell script
		}
		text, err := w.Bundle.ReadFile(script, maxScript)
		if err != nil {
			return nil, err
		}
		for _, p := range installs(string(text), variables) {
			if !slices.ContainsFunc(out, func(other scriptPackage) bool { return other.name == p.name }) {
				p.script = script
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// matches says whether the host has the package or the bundle offers it.
func (p scriptPackage) matches(o rpm.CheckOptions) bool {
	_, err := rpm.Pick(append(o.Offered, &rpm.Repo{Packages: o.Installed}), rpm.PickOptions{Specs: []string{p.name}})
	return err == nil
}

var (
	comment     = regexp.MustCompile(`(?m)(^|[ \t])#.*$`)
	commandEnd  = regexp.MustCompile(`[;&|()\n]`)
	packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// installs are the words that a shell script gives to "yum install" or "dnf install" and that are names of packages as
// they stand, or a variable that stands for a package's file. It sees only what a reader sees at a glance: no loops, no other
// variables, no quotes with spaces in them.
func installs(script string, variables []packageFile) []scriptPackage {
	var out []scriptPackage
	script = strings.ReplaceAll(comment.ReplaceAllString(script, ""), "\\\n", " ")
	for _, command := range commandEnd.Split(script, -1) {
		words := strings.Fields(command)
		i := slices.IndexFunc(words, func(s string) bool { return s == "yum" || s == "dnf" })
		j := slices.Index(words, "install")
		if i < 0 || j < i {
			continue
		}
		for _, word := range words[j+1:] {
			if strings.ContainsAny(word, "<>") {
				break
			}
			word = strings.Trim(word, `"'`)
			for _, v := range variables {
				if name := strings.ToUpper(v.variable); word == "$"+name || word == "${"+name+"}" {
					out = append(out, scriptPackage{name: v.pkg, file: true})
				}
			}
			if packageName.MatchString(word) {
				out = append(out, scriptPackage{name: word})
			}
		}
	}
	return out
}
