package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// VarOptions says where values come from besides the manifest's own defaults.
type VarOptions struct {
	// Files are FILE.json, for all images, or IMAGE=FILE.json, for that image alone. What stands before the first = is
	// an image when it has the form of an image's name: a path like that is written ./a=b.json.
	Files []string
	// Set is what the command line says: NAME=VALUE.
	Set []string
	// Recorded is what a bundle's inputs were expanded with, so that a bake of it sees the same versions unasked.
	Recorded map[string]string
	// Getenv reads the environment; nil is an empty one.
	Getenv func(string) string
}

// Vars holds the values of variables. They may be secret (Secret tells by the name) and are never printed here.
//
// The later of these wins: defaults under vars; what a bundle records; UCLOUD_PUBKEY and UCLOUD_SECRET of the environment, for the key pair;
// FILE.json in the order given; IMAGE=FILE.json, for that image; NAME=VALUE, for it is what the user typed last. An
// empty value of the key pair in a file leaves what the environment has: example files come with it empty.
type Vars struct {
	global map[string]string
	image  map[string]map[string]string
	set    map[string]string
}

const (
	publicKey  = "ucloud_public_key"
	privateKey = "ucloud_private_key"
	maxVarFile = 1 << 20
)

// knownVariables are the names that the recipes and the builders know, declared in a manifest or not.
func knownVariables() []string {
	names := []string{publicKey, privateKey, "ucloud_project_id", "region", "az", "image_id", "ssh_user", "ssh_password",
		"use_ssh_private_ip", "vpc_id", "subnet_id", "consul_version", "nomad_version", "yum_base", "yum_docker",
		"docker_rpm", "docker_cli_rpm", "file_server", "cfssl_tool_server"}
	for _, p := range []string{"consul", "nomad", "null", "template", "ucloud", "external", "local"} {
		names = append(names, "tf_plugin_"+p+"_version")
	}
	return names
}

// Vars gathers the values. The warnings name variables and files that deserve a look: a name that nothing knows, a file
// that others may read or that git tracks. An unreadable file, a broken one, and an image that the manifest lacks are
// errors.
func (m *Manifest) Vars(o VarOptions) (*Vars, []string, error) {
	var d decoder // the manifest is checked, so nothing is left to report
	defaults := d.defaults(m.root.lookup("vars"))
	known := slices.AppendSeq(knownVariables(), maps.Keys(defaults))
	v := &Vars{global: defaults, image: make(map[string]map[string]string), set: make(map[string]string)}
	maps.Copy(v.global, o.Recorded)
	known = slices.AppendSeq(known, maps.Keys(o.Recorded))
	if o.Getenv != nil {
		put(v.global, publicKey, o.Getenv("UCLOUD_PUBKEY"))
		put(v.global, privateKey, o.Getenv("UCLOUD_SECRET"))
	}
	var warnings []string
	for _, arg := range o.Files {
		image, file := splitVarFile(arg)
		into := v.global
		if image != "" {
			if !slices.Contains(m.ImageNames(), image) {
				return nil, nil, fmt.Errorf("reading variables for image %q: the manifest has no such image", image)
			}
			if v.image[image] == nil {
				v.image[image] = make(map[string]string)
			}
			into = v.image[image]
		}
		more, err := readVarFile(file, known, into)
		if err != nil {
			return nil, nil, fmt.Errorf("reading variables: %w", err)
		}
		for _, w := range more {
			if !slices.Contains(warnings, w) { // one file may serve several images
				warnings = append(warnings, w)
			}
		}
	}
	for _, arg := range o.Set {
		name, value, ok := strings.Cut(arg, "=")
		if what := variableName(name); !ok || what != "" {
			// The argument is not repeated: it may be a value alone.
			return nil, nil, errors.New("reading variables: want NAME=VALUE with a name of a-z, 0-9 and _")
		}
		if !slices.Contains(known, name) {
			warnings = append(warnings, fmt.Sprintf("variable %q of the command line is not known to the manifest", name))
		}
		v.set[name] = value
	}
	return v, warnings, nil
}

func put(into map[string]string, name, value string) {
	if value != "" {
		into[name] = value
	}
}

// variableName says what keeps a name from being a variable's.
func variableName(s string) string {
	switch {
	case !variable.MatchString(s):
		return "want a name of a-z, 0-9 and _ that does not begin with a digit"
	case reserved(s):
		return "this name means something else to scripts: choose another"
	}
	return ""
}

// splitVarFile takes IMAGE=FILE apart; image is "" for a file that is for all.
func splitVarFile(arg string) (image, file string) {
	before, after, ok := strings.Cut(arg, "=")
	if ok && imageKey(before) == "" {
		return before, after
	}
	return "", arg
}

// readVarFile reads one JSON file over what into holds.
func readVarFile(file string, known []string, into map[string]string) (warnings []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	src, err := io.ReadAll(io.LimitReader(f, maxVarFile+1))
	if err != nil {
		return nil, err
	}
	values, err := parseVars(file, src)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		warnings = append(warnings, fmt.Sprintf("variable file %q may be read by others: chmod 600 it", file))
	}
	if tracked(file) {
		warnings = append(warnings, fmt.Sprintf("variable file %q is tracked by git: it may hold secrets", file))
	}
	for _, v := range values {
		switch {
		case variableName(v.name) != "":
			warnings = append(warnings, fmt.Sprintf("variable %q of %q is left out: %s", v.name, file, variableName(v.name)))
			continue
		case !slices.Contains(known, v.name):
			warnings = append(warnings, fmt.Sprintf("variable %q of %q is not known to the manifest", v.name, file))
		case v.text == "" && (v.name == publicKey || v.name == privateKey):
			continue
		}
		into[v.name] = v.text
	}
	return warnings, nil
}

// value is one variable of a file.
type value struct{ name, text string }

// parseVars reads one flat JSON object, as Packer's users have them. Numbers keep the text they were written with.
// Problems name line and key, never a value.
func parseVars(file string, src []byte) ([]value, error) {
	if len(src) > maxVarFile {
		return nil, &Error{File: file, What: fmt.Sprintf("got more than %d bytes", maxVarFile)}
	}
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	bad := func(field, what string) error {
		at := bytes.Count(src[:min(dec.InputOffset(), int64(len(src)))], []byte("\n")) + 1
		return &Error{File: file, Line: at, Field: field, What: what}
	}
	const notJSON = "want one JSON object with text, numbers, true and false"
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, bad("", notJSON)
	}
	var out []value
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, bad("", notJSON)
		}
		if seen[name] {
			return nil, bad(join("", name), "duplicate key")
		}
		seen[name] = true
		if t, err = dec.Token(); err != nil {
			return nil, bad("", notJSON)
		}
		text, what := scalarText(t)
		if what != "" {
			return nil, bad(join("", name), what)
		}
		out = append(out, value{name, text})
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad("", notJSON)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("", notJSON)
	}
	return out, nil
}

// scalarText returns the text of a JSON value, or what is wrong with it.
func scalarText(t json.Token) (text, wrong string) {
	switch t := t.(type) {
	case string:
		text = t
	case json.Number:
		text = t.String()
	case bool:
		text = strconv.FormatBool(t)
	default:
		return "", "want text, a number, true or false"
	}
	if strings.ContainsRune(text, 0) {
		return "", "want text without NUL"
	}
	return text, ""
}

// tracked asks git whether it tracks a file. Without git, or outside a work tree, it does not. The file system monitor
// is off because a repository's own settings name the program for it.
func tracked(file string) bool {
	cmd := exec.Command("git", "-c", "core.fsmonitor=false", "ls-files", "--error-unmatch", "--", filepath.Base(file))
	cmd.Dir = filepath.Dir(file)
	return cmd.Run() == nil
}

// For returns the variables as an image sees them; "" for what holds for all. The map is the caller's.
func (v *Vars) For(image string) map[string]string {
	out := maps.Clone(v.global)
	maps.Copy(out, v.image[image])
	maps.Copy(out, v.set)
	return out
}

// lookup is For as the decoder asks.
func (v *Vars) lookup(image string) func(string) (string, bool) {
	all := v.For(image)
	return func(name string) (string, bool) {
		s, ok := all[name]
		return s, ok
	}
}

// Secrets returns every value that is secret, of all images, sorted: what must not come out anywhere.
func (v *Vars) Secrets() []string {
	set := make(map[string]bool)
	add := func(vars map[string]string) {
		for name, s := range vars {
			if Secret(name) && s != "" {
				set[s] = true
			}
		}
	}
	add(v.global)
	add(v.set)
	for _, vars := range v.image {
		add(vars)
	}
	return slices.Sorted(maps.Keys(set))
}
