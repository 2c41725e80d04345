package provision

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// ExitError is a command that ran on a host and failed. Host.Run returns it; Bake adds what the command printed.
type ExitError struct {
	Code int // exit status; 128 and the signal's number for a command that a signal ended
}

func (e *ExitError) Error() string { return "exit status " + strconv.Itoa(e.Code) }

// EgressError is a sealed command that tried to reach what the seal forbids. Host.Run leaves Script empty; Bake fills
// it in. Attempts has at least one element.
type EgressError struct {
	Script   string // recipe or path of the user's script, as the manifest has it
	Attempts []Attempt
}

func (e *EgressError) Error() string {
	tries := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		tries[i] = a.String()
	}
	who := "a command"
	if e.Script != "" {
		who = strconv.Quote(e.Script)
	}
	return fmt.Sprintf("%s tried to reach %s", who, strings.Join(tries, ", "))
}

// SealError is a sealed command after which its host was not sealed any more. Host.Run leaves Script empty; Bake fills it in.
type SealError struct {
	Script string // as that of EgressError
	What   string // what is wrong with the seal
}

func (e *SealError) Error() string {
	who := "a command"
	if e.Script != "" {
		who = strconv.Quote(e.Script)
	}
	return fmt.Sprintf("%s broke the seal: %s", who, e.What)
}

// String is the attempt for people: `203.0.113.7 port 443 (tcp, "example.com")`.
func (a Attempt) String() string {
	s := a.Address
	if net.ParseIP(a.Address) == nil { // what a host prints is not trusted to be an address
		s = strconv.Quote(a.Address)
	}
	if a.Port != 0 {
		s += " port " + strconv.Itoa(a.Port)
	}
	s += " (" + a.Proto
	if a.Name != "" {
		s += ", " + strconv.Quote(a.Name)
	}
	return s + ")"
}

// RecipeError is an image whose recipes cannot be run as they stand: the manifest is wrong.
type RecipeError struct{ Image, Recipe, What string }

func (e *RecipeError) Error() string {
	return fmt.Sprintf("image %q: recipe %q: %s", e.Image, e.Recipe, e.What)
}

// ImageNameError is two images of one bake that would have the same name: the later would replace the earlier.
type ImageNameError struct{ Image, Other, Name string }

func (e *ImageNameError) Error() string {
	return fmt.Sprintf("image %q: image_name %q is that of image %q, too", e.Image, e.Name, e.Other)
}

// VariableError is a variable whose value cannot serve: the manifest or the command line is wrong.
type VariableError struct {
	Image    string
	Recipe   string // "" when it is no recipe that reads it
	Variable string
	What     string // what is the matter with it, for example "is empty"
}

func (e *VariableError) Error() string {
	if e.Recipe == "" {
		return fmt.Sprintf("image %q: variable %q %s", e.Image, e.Variable, e.What)
	}
	return fmt.Sprintf("image %q: recipe %q: variable %q %s", e.Image, e.Recipe, e.Variable, e.What)
}

// NeedError is a file that an image takes and the bundle does not hold.
type NeedError struct {
	manifest.Need
	Value string   // of Need.Variable
	Have  []string // what the bundle holds of that kind, sorted
}

func (e *NeedError) Error() string {
	s := fmt.Sprintf("image %q: ", e.Image)
	if e.Recipe != "" {
		s += fmt.Sprintf("recipe %q takes ", e.Recipe)
	}
	s += fmt.Sprintf("%q", e.Path)
	if e.Variable != "" {
		s += fmt.Sprintf(" (variable %s is %q)", e.Variable, e.Value)
	}
	s += ", which the bundle does not hold"
	if len(e.Have) > 0 {
		s += "; it holds " + strings.Join(e.Have, ", ")
	}
	return s
}

// IsPlanError reports whether an error, or one of those that it joins, is the user's manifest or variables and not what
// happened to a host.
func IsPlanError(err error) bool {
	var recipe *RecipeError
	var name *ImageNameError
	var variable *VariableError
	var need *NeedError
	return errors.As(err, &recipe) || errors.As(err, &name) || errors.As(err, &variable) || errors.As(err, &need)
}

// PackageError is a host on which what an image takes cannot be installed from the bundle. Nothing on it was changed. At
// least one of the lists has an element.
type PackageError struct {
	Missing  []manifest.Need // packages that neither the host has nor the bundle
	Problems []solve.Problem //  what keeps others from being installed
}

func (e *PackageError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		names := make([]string, len(e.Missing))
		for i, n := range e.Missing {
			names[i] = fmt.Sprintf("%s (recipe %s)", n.Package, n.Recipe)
		}
		parts = append(parts, "neither the host nor the bundle has "+strings.Join(names, ", "))
	}
	for _, p := range e.Problems {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, "; ")
}

// StepError is where the making of one image ended.
type StepError struct {
	Image string
	Step  string   // gerund and object: `running recipe "consul"`
	Tail  []string // the last lines that the host printed, without secrets
	Kept  string   // name of the host, when it was kept to look at
	Err   error
}

func (e *StepError) Error() string {
	s := fmt.Sprintf("baking %q: %s: %v", e.Image, e.Step, e.Err)
	if len(e.Tail) > 0 {
		s += fmt.Sprintf(", after %q", strings.Join(e.Tail, "\n"))
	}
	if e.Kept != "" {
		s += fmt.Sprintf("; host %q is kept", e.Kept)
	}
	return s
}

func (e *StepError) Unwrap() error { return e.Err }

// faults gathers errors of the same standing, to tell all at once.
type faults []error

func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f faults) err() error { return errors.Join(f...) }
