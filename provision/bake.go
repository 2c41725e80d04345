package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what Bake made, in the order of the request's images.
type Result struct {
	Images []ImageResult
}

// baking is one run of Bake.
type baking struct {
	*Request
	plan    *Plan
	journal *journal
}

// Bake makes the images, several at once. One that fails does not stop the others; the result has those that were made,
// also beside an error. The error joins one *StepError for each image that failed, or is Preflight's.
//
// Whatever fails, cancellation of ctx included, every host that was made is ended before Bake returns, in a time of its
// own, unless KeepOnError. A host that could not be ended stays in the journal: see Clean. Before anything is made, Bake
// ends what the journal names for the same target: hosts of killed runs, and hosts that were kept of the same images.
func Bake(ctx context.Context, r Request) (Result, error) {
	if r.Journal == "" || len(r.Images) == 0 {
		return Result{}, errors.New("baking: no journal or no image is given")
	}
	plan, err := Preflight(ctx, &r)
	if err != nil {
		return Result{}, err
	}
	for _, line := range plan.Lines() {
		r.Progress.Line("%s", line)
	}
	b := &baking{Request: &r, plan: plan}
	if b.journal, err = openJournal(r.Journal, strings.ToLower(rand.Text()[:8])); err != nil {
		return Result{}, err
	}
	if err := b.endLeftovers(ctx); err != nil {
		return Result{}, errors.Join(err, b.journal.close())
	}
	res, err := b.images(ctx)
	return res, errors.Join(err, b.journal.close())
}

// endLeftovers ends hosts of killed runs, and those that were kept of images that are now made anew. That it fails is
// told, and no reason not to bake. What a killed run had captured goes with its host, so the plan looks again.
func (b *baking) endLeftovers(ctx context.Context) error {
	var ended []string
	for _, at := range b.targets() {
		cloud, err := b.at(at)
		if err != nil {
			return err
		}
		names, err := clean(ctx, cloud, b.Journal, func(e entry) bool {
			return e.Target == at && slices.ContainsFunc(b.plan.Images, func(p *ImagePlan) bool {
				return b.Owner.target(p.img.Cloud) == at && (!e.Kept || p.Name == e.Image && p.Exists == nil)
			})
		})
		for _, name := range names {
			b.Progress.Line("ended host %s, which an earlier run had left", name)
		}
		if err != nil {
			b.Progress.Line("warning: ending what a killed run left: %v", err)
		}
		ended = append(ended, names...)
	}
	if len(ended) == 0 {
		return nil
	}
	for _, p := range b.plan.Images {
		p.Exists = nil
		if err := p.locate(ctx, b.Request); err != nil {
			return fmt.Errorf("planning %q: %w", p.Name, err)
		}
	}
	return nil
}

// targets are those of the images, each once.
func (b *baking) targets() (out []Target) {
	for _, p := range b.plan.Images {
		if at := b.Owner.target(p.img.Cloud); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

func (b *baking) at(t Target) (Cloud, error) {
	if b.At == nil {
		return b.Cloud, nil
	}
	return b.At(t)
}

func (b *baking) images(ctx context.Context) (Result, error) {
	results := make([]*ImageResult, len(b.plan.Images))
	errs := make([]error, len(b.plan.Images))
	var g errgroup.Group
	if b.Parallel > 0 {
		g.SetLimit(b.Parallel)
	}
	for i, p := range b.plan.Images {
		g.Go(func() error {
			results[i], errs[i] = b.image(ctx, p)
			return nil // the others go on
		})
	}
	g.Wait() //nolint:errcheck // none returns one
	var res Result
	for _, r := range results {
		if r != nil {
			res.Images = append(res.Images, *r)
		}
	}
	return res, errors.Join(errs...)
}

// image makes one image, or finds that it is there. Both results are set when the image was made and its host could not
// be ended.
func (b *baking) image(ctx context.Context, p *ImagePlan) (*ImageResult, error) {
	res := &ImageResult{Name: p.Name, Base: p.Base, Bundle: b.plan.Bundle, Inputs: p.Inputs, Background: []Attempt{}}
	if p.Exists != nil {
		res.Made, res.Reused = *p.Exists, true
		b.Progress.Line("%s: unchanged", p.Name)
		return res, nil
	}
	start := time.Now()
	if err := ctx.Err(); err != nil {
		return nil, &StepError{Image: p.Name, Step: "making the host", Err: err}
	}
	e := entry{Host: "offbake-" + b.journal.run + "-" + p.Name, Image: p.Name, Target: b.Owner.target(p.img.Cloud),
		CopyTo: p.img.Cloud.CopyTo, Created: start.UTC()}
	if err := b.journal.intend(e); err != nil {
		return nil, &StepError{Image: p.Name, Step: "making the host", Err: err}
	}
	host, err := b.Cloud.Create(ctx, e.Host, p.base, p.img)
	if err != nil {
		return nil, b.failed(ctx, e, &StepError{Image: p.Name, Step: "making the host", Err: err}, false)
	}
	w := &work{baking: b, plan: p, result: res, s: &session{host: host, out: b.output(p)}}
	stepErr := w.run(ctx)
	if err := host.Close(); err != nil && stepErr == nil {
		b.Progress.Line("warning: %s: closing the connection: %v", p.Name, err) // the image is there
	}
	if stepErr != nil {
		return nil, b.failed(ctx, e, stepErr, b.KeepOnError)
	}
	e.Captured = true
	if err := b.journal.intend(e); err != nil {
		return nil, b.failed(ctx, e, &StepError{Image: p.Name, Step: "noting the image", Err: err}, false)
	}
	res.Seconds = int64(time.Since(start).Round(time.Second) / time.Second)
	b.Progress.Line("%s: made %s", p.Name, res.Made)
	if err := b.end(ctx, e); err != nil {
		return res, &StepError{Image: p.Name, Step: "ending the host", Err: err}
	}
	return res, nil
}

// failed ends the host, or keeps it, and completes the error.
func (b *baking) failed(ctx context.Context, e entry, step *StepError, keep bool) error {
	// What a cancelled command returns is any builder's own; that it was cancelled is what the caller wants to know.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(step.Err, cause) {
		step.Err = fmt.Errorf("%w (%v)", cause, step.Err)
	}
	if keep {
		e.Kept, step.Kept = true, e.Host
		return errors.Join(step, b.journal.intend(e))
	}
	e.Captured = false
	return errors.Join(step, b.end(ctx, e))
}

// endTimeout is the time for ending a host, whose own context may be over.
const endTimeout = 5 * time.Minute

// end ends a host and forgets it.
func (b *baking) end(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := e.end(ctx, b.Cloud); err != nil {
		return fmt.Errorf("ending host %q, which the journal keeps: %w", e.Host, err)
	}
	return b.journal.forget(e.Host)
}

// output takes what the hosts of one image print.
func (b *baking) output(p *ImagePlan) *output {
	var tell func(string)
	if b.Verbose {
		tell = func(line string) { b.Progress.Line("%s: %s", p.Name, line) }
	}
	return newOutput(secrets(p.img), tell)
}
