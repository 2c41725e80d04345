package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Need is one thing that a recipe of an image takes: a path of the bundle or a package. Variable is the one whose value
// led to it, for the message; "" when none did.
type Need struct {
	Image    string
	Recipe   string
	Variable string
	Path     string // e.g. files/consul_1.6.1_linux_amd64.zip
	Package  string // a name without a version
}

// MissingError lists what recipes take and the manifest's artifacts do not give.
type MissingError struct{ Needs []Need }

// Error names each missing thing on a line of its own.
func (e *MissingError) Error() string {
	lines := make([]string, len(e.Needs))
	for i, n := range e.Needs {
		what := fmt.Sprintf("%q, which artifacts does not give", n.Path)
		if n.Path == "" {
			what = fmt.Sprintf("package %q, which artifacts.rpms.install does not list", n.Package)
		}
		if n.Variable != "" {
			what += fmt.Sprintf(" (variable %s)", n.Variable)
		}
		lines[i] = fmt.Sprintf("image %q: recipe %q takes %s", n.Image, n.Recipe, what)
	}
	return strings.Join(lines, "\n")
}

// Check reports, as one *MissingError, every need that the inputs do not meet.
func (in *Inputs) Check(needs []Need) error {
	paths := in.Paths()
	var missing []Need
	for _, n := range needs {
		if n.Path != "" && !slices.Contains(paths, n.Path) || n.Package != "" && !in.installs(n.Package) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return &MissingError{Needs: missing}
	}
	return nil
}

// installs reports whether rpms.install asks for a package of this name.
func (in *Inputs) installs(name string) bool {
	return slices.ContainsFunc(in.Artifacts.RPMs.Install, func(spec string) bool { return specNames(spec, name) })
}

// versioned is what follows a package's name in N-V, N-V-R and N-E:V-R, with or without .ARCH: one or two parts that
// begin with a digit or a glob. That tells docker-ce-19.03.15 from docker-ce-cli-19.03.15, of another package.
var versioned = regexp.MustCompile(`^-([0-9]+:)?[0-9*?\[][^-]*(-[0-9*?\[][^-]*)?$`)

// specNames reports whether spec, one of rpms.install, names the package.
func specNames(spec, name string) bool {
	if _, rest, ok := strings.Cut(spec, ":"); ok && strings.Trim(spec[:len(spec)-len(rest)-1], "0123456789") == "" {
		spec = rest // E:N-V-R
	}
	rest, ok := strings.CutPrefix(spec, name)
	return ok && (rest == "" || versioned.MatchString(rest) || slices.Contains([]string{".x86_64", ".aarch64", ".noarch"}, rest))
}
