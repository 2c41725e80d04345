package provision

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// work is the making of one image on its host.
type work struct {
	*baking
	plan   *ImagePlan
	result *ImageResult
	s      *session
}

// step is one stage of the work. Its name is a gerund with its object.
type step struct {
	name string
	do   func(context.Context) error
}

// run does all steps in order, from the fresh host to the image.
func (w *work) run(ctx context.Context) *StepError {
	steps := []step{
		{"comparing its packages with the bundle", w.compare},
		{"staging files", w.stage},
		{"setting up packages", w.repository},
	}
	if w.Offline {
		steps = append(steps, step{"sealing", w.seal})
	}
	steps = append(steps, w.programs()...)
	steps = append(steps, step{"listing background attempts", w.background}, step{"cleaning", w.clean}, step{"capturing", w.capture})
	for _, s := range steps {
		w.Progress.Line("%s: %s", w.plan.Name, s.name)
		if err := s.do(ctx); err != nil {
			return w.fault(s.name, err)
		}
	}
	return nil
}

func (w *work) fault(name string, err error) *StepError {
	e := &StepError{Image: w.plan.Name, Step: name, Err: err}
	var printed *printedError
	if errors.As(err, &printed) {
		e.Tail = printed.tail
	}
	var egress *EgressError
	var broken *SealError
	if errors.As(err, &egress) { // which names the program itself
		e.Step, e.Err = "keeping the seal", egress
	} else if errors.As(err, &broken) {
		e.Step, e.Err = "keeping the seal", broken
	}
	return e
}

func (w *work) stage(ctx context.Context) error { return w.plan.stage(ctx, w.s, w.Request) }

func (w *work) repository(ctx context.Context) error {
	repo := w.baking.plan.repo
	if repo != nil && len(repo.unsigned) > 0 {
		w.Progress.Line("warning: %s: packages that nobody signed: %s; only the bundle's own digests vouch for them",
			w.plan.Name, strings.Join(slices.Compact(slices.Sorted(slices.Values(repo.unsigned))), ", "))
	}
	return w.s.configure(ctx, repo, w.Request)
}

func (w *work) seal(ctx context.Context) error { return w.s.host.Seal(ctx, w.baking.plan.server.Allow) }

// programs are the recipes, the user's scripts and the checks, each a step of its own.
func (w *work) programs() []step {
	var out []step
	for _, t := range w.plan.tasks(w.Bundle) {
		out = append(out, step{t.title, func(ctx context.Context) error { return w.task(ctx, t) }})
	}
	return out
}

// task puts a program on the host and runs it, sealed when offline, in the environment that scripts are promised.
func (w *work) task(ctx context.Context, t task) error {
	if err := w.s.send(ctx, hostPath(t.file), t.sha256, "0755", t.open); err != nil {
		return err
	}
	env := exports(w.plan.environment(w.baking.plan.server.URL, w.Request))
	err := w.s.shell(ctx, env+"cd /root\nexec "+quote(hostPath(t.file))+"\n", w.Offline)
	var egress *EgressError
	if errors.As(err, &egress) {
		return &EgressError{Script: t.name, Attempts: egress.Attempts}
	}
	var broken *SealError
	if errors.As(err, &broken) {
		return &SealError{Script: t.name, What: broken.What}
	}
	return err
}

func (w *work) background(ctx context.Context) error {
	if !w.Offline {
		return nil
	}
	attempts, err := w.s.host.Background(ctx)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		w.Progress.Line("%s: background: %s, not allowed", w.plan.Name, a)
	}
	w.result.Background = append(w.result.Background, attempts...)
	return nil
}

// release is /etc/offbake-release.
type release struct {
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`    // of the bundle
	Version string   `json:"version"` // of the bundle
	Bundle  string   `json:"bundle"`  // its identity
	Image   string   `json:"image"`
	Recipes []string `json:"recipes"`
	Scripts []string `json:"scripts"`
	Inputs  string   `json:"inputs"` // the input address
}

// clean removes what baking leaves and writes what the image is made of.
func (w *work) clean(ctx context.Context) error {
	p := w.baking.plan
	data, err := json.Marshal(release{Schema: "offbake/release/1", Name: p.Name, Version: p.Version, Bundle: p.Bundle,
		Image: w.plan.Name, Recipes: w.plan.Recipes, Scripts: w.plan.Scripts, Inputs: w.plan.Inputs})
	if err != nil {
		return err
	}
	if err := w.s.sendText(ctx, "/etc/offbake-release", "0644", string(data)+"\n"); err != nil {
		return err
	}
	env := exports(map[string]string{"OFFBAKE": Root, "HOME": "/root"})
	return w.s.shell(ctx, env+text("steps/clean.sh"), false)
}

func (w *work) capture(ctx context.Context) error {
	made, err := w.Cloud.Capture(ctx, w.s.host, Capture{
		Name:        w.plan.ImageName,
		Description: description(w.plan.Inputs, w.s.host.Name()),
		Key:         w.plan.Inputs,
		Trial:       trialOf(w.plan.img),
	})
	w.result.Made = made
	return err
}

// description is what a cloud keeps with an image: Find goes by the key, Discard by the host.
func description(key, host string) string { return "offbake " + key + " " + host }
