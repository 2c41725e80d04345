package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
)

// Request is what to bake.
type Request struct {
	Bundle *bundle.Bundle   // after Trust
	Images []manifest.Image // at least one, each name once
	Cloud  Cloud
	Files  Files
	// At is the cloud for a target of the images: there Bake looks for what earlier runs left, and Cloud may look in one
	// place only. Nil where Cloud looks in each.
	At func(Target) (Cloud, error)
	// Owner goes into the journal with each host.
	Owner Owner
	// Verify reads the whole bundle and checks it against its index. It is called before anything is made, and not where
	// there is nothing to make; nil leaves it to the hosts, which check what they take.
	Verify func(context.Context) error
	// Upgrade names the packages that may be upgraded when Offline: rpms.upgrade of the manifest.
	Upgrade []string
	// Weak says that weak dependencies of packages come when Offline, as they were locked: rpms.weak of the manifest.
	Weak bool
	// Offline seals the hosts before recipes run. Otherwise recipes may also use what the variables yum_base, yum_docker,
	// docker_rpm, docker_cli_rpm, file_server and cfssl_tool_server name.
	Offline  bool
	Transfer Transfer
	// KeepOnError leaves the hosts of failed images running and in the journal, until the image is baked again.
	KeepOnError bool
	// Rebuild makes images that are there already, unchanged, once more.
	Rebuild bool
	// Parallel is how many images are made at once; all of them when not positive.
	Parallel int
	// Journal is a folder, made if need be, that names every host that may exist. Each target (this machine, a cloud) has
	// one of its own; several processes may share it.
	Journal  string
	Progress *progress.Reporter
	// Verbose also tells each line that hosts print.
	Verbose bool
}

// Transfer says how the bundle's files get to a host.
type Transfer string

const (
	ByStore Transfer = ""    // the host takes them from the file server
	BySSH   Transfer = "ssh" // through the connection
)

// Plan is what Bake would do. Its JSON form is for --dry-run.
type Plan struct {
	Name    string       `json:"name"`    // of the bundle
	Version string       `json:"version"` // of the bundle
	Bundle  string       `json:"bundle"`  // its identity
	Offline bool         `json:"offline"`
	Images  []*ImagePlan `json:"images"`

	repo   *repository
	server FileServer
}

// ImagePlan is what Bake would do for one image.
type ImagePlan struct {
	Name      string   `json:"name"`
	ImageName string   `json:"image_name"`
	Base      string   `json:"base"`   // name of the base image
	Inputs    string   `json:"inputs"` // the input address
	Recipes   []string `json:"recipes"`
	Scripts   []string `json:"scripts"`
	Files     int      `json:"files"` // that the host takes
	Bytes     int64    `json:"bytes"` // of those
	// Exists is the image that is there already with the same inputs; Bake returns it and makes none.
	Exists *Made `json:"exists,omitempty"`
	// Detail is what Explain has found out.
	Detail *Detail `json:"detail,omitempty"`

	img    manifest.Image
	base   Base
	needs  []manifest.Need
	take   []bundle.File     // sorted by path
	served map[string]string // variable to the bundle path whose URL it takes, or ""
}

// Preflight finds out, before anything is made, whether the images can be baked from the bundle and what that takes. All
// that is wrong with manifest, variables and bundle is in one error for which IsPlanError is true. The cloud is asked for the
// base images and for images that are there already, nothing else.
func Preflight(ctx context.Context, r *Request) (*Plan, error) {
	repo, err := openRepository(ctx, r.Bundle.Index().Files, r.Bundle.Open)
	if err != nil {
		return nil, err
	}
	x := r.Bundle.Index()
	plan := &Plan{Name: x.Name, Version: x.Version, Bundle: r.Bundle.Identity(), Offline: r.Offline, repo: repo}
	if plan.server, err = serverOf(ctx, r); err != nil {
		return nil, err
	}
	var errs faults
	names := map[string]string{}
	for _, img := range r.Images {
		if other, ok := names[img.ImageName]; ok {
			errs.add(&ImageNameError{Image: img.Name, Other: other, Name: img.ImageName})
		}
		names[img.ImageName] = img.Name
		p, err := planImage(img, r, x, plan.server.Disk)
		errs.add(err)
		plan.Images = append(plan.Images, p)
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	for _, p := range plan.Images {
		if err := p.locate(ctx, r); err != nil {
			return nil, fmt.Errorf("planning %q: %w", p.Name, err)
		}
	}
	anew := func(p *ImagePlan) bool { return p.Exists == nil }
	if r.Verify != nil && slices.ContainsFunc(plan.Images, anew) {
		if err := r.Verify(ctx); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// planImage looks only at the image and the index. Without a file server, onDisk, users' scripts find all files on the
// host.
func planImage(img manifest.Image, r *Request, x bundle.Index, onDisk bool) (*ImagePlan, error) {
	p := &ImagePlan{Name: img.Name, ImageName: img.ImageName, Recipes: append([]string{}, img.Recipes...),
		Scripts: append([]string{}, img.Scripts...), img: img, served: map[string]string{}}
	var errs faults
	if r.Offline {
		for _, name := range []string{"yum_base", "yum_docker"} {
			if img.Variables[name] != "" {
				errs.add(&VariableError{Image: img.Name, Variable: name, What: "must be empty offline: packages come from the bundle"})
			}
		}
	}
	for name, value := range variables(img) {
		if strings.ContainsRune(value, 0) {
			errs.add(&VariableError{Image: img.Name, Variable: name, What: "holds a NUL, which no environment can"})
		}
	}
	needs, err := takes(img)
	errs.add(err)
	var paths []string
	for _, n := range needs {
		p.needs = append(p.needs, n.Need)
		if n.Path != "" {
			paths = append(paths, n.Path)
			errs.add(held(x, n.Need, n.kind, img.Variables[n.Variable]))
		}
	}
	if r.Offline {
		all := make([]string, len(x.Files))
		for i, f := range x.Files {
			all[i] = f.Path
		}
		served, files, err := servePackages(img, all)
		errs.add(err)
		p.served = served
		paths = append(paths, files...)
	}
	for _, script := range img.Scripts {
		errs.add(held(x, manifest.Need{Image: img.Name, Path: script}, path.Dir(script)+"/", ""))
	}
	p.staged(x, paths, onDisk && len(img.Scripts) > 0)
	return p, errs.err()
}

// held is nil when the bundle holds what is needed. kind is what the paths of files of its kind begin with, value that of
// the need's variable.
func held(x bundle.Index, n manifest.Need, kind, value string) error {
	if slices.ContainsFunc(x.Files, func(f bundle.File) bool { return f.Path == n.Path }) {
		return nil
	}
	e := &NeedError{Need: n, Value: value}
	for _, f := range x.Files {
		if strings.HasPrefix(f.Path, kind) {
			e.Have = append(e.Have, path.Base(f.Path))
		}
	}
	return e
}

// staged sets what the host takes: the files that recipes need, or all of them, and the whole repository.
func (p *ImagePlan) staged(x bundle.Index, paths []string, all bool) {
	for _, f := range x.Files {
		dir, _, _ := strings.Cut(f.Path, "/")
		if dir == "rpms" || slices.Contains(paths, f.Path) || all && dir == manifest.FilesDir {
			p.take = append(p.take, f)
			p.Bytes += f.Size
		}
	}
	p.Files = len(p.take)
}

// locate asks the cloud for the base and for an image with the same inputs.
func (p *ImagePlan) locate(ctx context.Context, r *Request) error {
	var err error
	if p.base, err = r.Cloud.Base(ctx, p.img); err != nil {
		return fmt.Errorf("finding the base image: %w", err)
	}
	p.Base = cmp.Or(p.base.Name, p.base.ID)
	if p.Inputs, err = p.address(r); err != nil || r.Rebuild {
		return err
	}
	made, ok, err := r.Cloud.Find(ctx, p.img, p.Inputs)
	if err != nil {
		return fmt.Errorf("looking for an unchanged image: %w", err)
	}
	if ok {
		p.Exists = &made
	}
	return nil
}

// address is the input address: a digest of everything that decides what the image holds. Two bakes with the same one
// would make the same image, so the second need not be.
func (p *ImagePlan) address(r *Request) (string, error) {
	values := variables(p.img)
	if r.Offline { // where the bundle is served from decides nothing
		for name := range p.served {
			values[name] = p.served[name]
		}
		delete(values, "file_server")
		delete(values, "cfssl_tool_server")
	}
	scripts := map[string]string{}
	for _, f := range r.Bundle.Index().Files {
		if slices.Contains(p.Scripts, f.Path) {
			scripts[f.Path] = f.SHA256
		}
	}
	data, err := json.Marshal(struct {
		Schema, Base, Bundle   string
		Offline                bool
		Recipes, Order, Check  []string
		Upgrade                []string
		Texts, Scripts, Values map[string]string
	}{"offbake/image/1", p.base.ID, r.Bundle.Identity(), r.Offline, p.Recipes, p.Scripts, p.img.Check, r.Upgrade,
		digests(p.img), scripts, values})
	if err != nil {
		return "", fmt.Errorf("encoding the inputs: %w", err)
	}
	return hexSHA256(string(data)), nil
}

// Lines is the plan for people: a line for each image, and below it the lines of its detail, if it has one.
func (p *Plan) Lines() []string {
	var out []string
	for _, i := range p.Images {
		var programs []string
		if len(i.Recipes) > 0 {
			programs = append(programs, "recipes "+strings.Join(i.Recipes, " "))
		}
		programs = append(programs, i.Scripts...)
		line := fmt.Sprintf("%s: %s from %s", i.Name, i.ImageName, i.Base)
		if len(programs) > 0 {
			line += ", " + strings.Join(programs, ", then ")
		}
		line += fmt.Sprintf("; %d files, %s", i.Files, humanize.IBytes(uint64(i.Bytes)))
		if i.Exists != nil {
			line += "; unchanged: " + cmp.Or(i.Exists.ID, i.Exists.Path)
		}
		out = append(out, line)
		if i.Detail != nil {
			out = append(out, i.Detail.lines()...)
		}
	}
	return out
}
