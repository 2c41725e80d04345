package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
)

// bakeJob is a bake that is ready to run: the bundle is open and trusted, the images are expanded.
type bakeJob struct {
	app     *app
	name    string // of the bundle, as it was typed
	bundle  *bundle.Bundle
	request provision.Request
}

func (a *app) bakeJob(ctx context.Context, name string, o bakeOptions) (*bakeJob, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b, err := a.openAnywhere(ctx, name, o)
	if err != nil {
		return nil, err
	}
	j := &bakeJob{app: a, name: name, bundle: b}
	if err := j.prepare(o); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// openAnywhere opens and trusts a bundle that is a tar, a folder, or STORE/NAME/VERSION.
func (a *app) openAnywhere(ctx context.Context, name string, o bakeOptions) (*bundle.Bundle, error) {
	if !strings.HasPrefix(name, "ufile://") && !strings.HasPrefix(name, "dir:") {
		b, _, err := a.openTrusted(name, o.allowUnsigned)
		return b, err
	}
	b, err := a.openPushed(ctx, name, o.endpoint)
	if err != nil {
		return nil, err
	}
	if _, err := a.trust(b, name, o.allowUnsigned); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (j *bakeJob) prepare(o bakeOptions) error {
	upgrade, images, err := j.expand(o.images)
	if err != nil {
		return err
	}
	state, err := j.app.stateDir()
	if err != nil {
		return err
	}
	cloud, err := local.New(local.Config{Base: o.base, Out: o.out, Work: filepath.Join(state, "guests"),
		Handler: serve.Bundle(j.bundle), Progress: j.app.progress()})
	if err != nil {
		return err
	}
	transfer := provision.ByStore
	if o.transfer == "ssh" {
		transfer = provision.BySSH
	}
	verify := func(ctx context.Context) error {
		_, err := j.app.verifyAll(ctx, j.bundle, j.name, o.allowUnsigned)
		return err
	}
	j.request = provision.Request{
		Bundle: j.bundle, Verify: verify, Images: images, Cloud: cloud, Files: local.Files{Source: j.bundle.Open}, Upgrade: upgrade,
		Offline: o.offline, Transfer: transfer, KeepOnError: o.onError == "keep", Rebuild: o.rebuild, Parallel: o.parallel,
		Journal: filepath.Join(state, "journal"), Progress: j.app.progress(), Verbose: j.app.verbose,
	}
	return nil
}

// expand reads what bake needs of the bundle's own manifest, with the variables of the bundle, of the files and of the flags.
func (j *bakeJob) expand(only []string) (upgrade []string, images []manifest.Image, err error) {
	m, err := j.app.manifestOf(j.bundle)
	if err != nil {
		return nil, nil, err
	}
	vars, err := j.app.variables(m, j.bundle.Index().Variables)
	if err != nil {
		return nil, nil, err
	}
	if upgrade, err = m.Upgrade(vars); err != nil {
		return nil, nil, err
	}
	for _, name := range m.ImageNames() {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		img, err := m.Image(name, vars)
		if err != nil {
			return nil, nil, err
		}
		images = append(images, img)
	}
	for _, name := range only {
		if !slices.Contains(m.ImageNames(), name) {
			return nil, nil, usagef("--image %q is not in the manifest, which has %s", name, strings.Join(m.ImageNames(), ", "))
		}
	}
	return upgrade, images, nil
}

// plan prints what would be done.
func (j *bakeJob) plan(ctx context.Context) error {
	p, err := provision.Preflight(ctx, &j.request)
	if err != nil {
		return err
	}
	if err := p.Explain(ctx, &j.request); err != nil {
		return err
	}
	return j.app.result(struct {
		Schema string `json:"schema"`
		*provision.Plan
	}{"offbake/plan/1", p}, p.Lines()...)
}

func (j *bakeJob) close() error { return j.bundle.Close() }
