package provision

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/offbake/offbake/bundle"
)

// task is one program that a bake runs on the host: a recipe, a user's script or a check.
type task struct {
	title  string // gerund and object: `running recipe "consul"`
	name   string // what an attempt to leave the seal is charged to
	file   string // where the host has it, below Root
	sha256 string
	open   func() (io.ReadCloser, error)
}

// tasks are the programs of an image in the order that they run.
func (p *ImagePlan) tasks(b *bundle.Bundle) []task {
	var out []task
	add := func(title, name, file, content string) {
		if content != "" {
			open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
			out = append(out, task{title, name, file, hexSHA256(content), open})
		}
	}
	for _, name := range p.Recipes {
		add(fmt.Sprintf("running recipe %q", name), name, "run/"+name, program("recipes/"+name+".sh"))
	}
	digests := map[string]string{}
	for _, f := range b.Index().Files {
		digests[f.Path] = f.SHA256
	}
	for i, name := range p.Scripts {
		out = append(out, task{fmt.Sprintf("running script %q", name), name, fmt.Sprintf("scripts/%d/%s", i+1, path.Base(name)),
			digests[name], func() (io.ReadCloser, error) { return b.Open(name) }})
	}
	for _, name := range p.Recipes {
		add(fmt.Sprintf("checking %q", name), name, "run/check-"+name, program("recipes/checks/"+name+".sh"))
	}
	for i, command := range p.img.Check {
		add(fmt.Sprintf("checking %q", command), command, fmt.Sprintf("run/check-%d", i+1), "#!/bin/sh\n"+command+"\n")
	}
	return out
}
