package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/local"
	"github.com/offbake/offbake/provision/remote"
	"github.com/offbake/offbake/provision/ucloud"
)

// bakeJob is a bake that is ready to run: the bundle is open and trusted, the images are expanded.
type bakeJob struct {
	app     *app
	name    string // of the bundle, as it was typed
	bundle  *bundle.Bundle
	store   store.Store // where the bundle was opened; nil for a file
	place   place       // of store
	request provision.Request
	release func() error // of what the builder holds; nil for nothing
}

func (a *app) bakeJob(ctx context.Context, name string, o bakeOptions) (*bakeJob, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	j := &bakeJob{app: a, name: name}
	if err := j.open(ctx, o); err != nil {
		return nil, err
	}
	if err := j.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// open opens and trusts a bundle that is a tar, a folder, or STORE/NAME/VERSION.
func (j *bakeJob) open(ctx context.Context, o bakeOptions) (err error) {
	if !store.IsURL(j.name) {
		j.bundle, _, err = j.app.openTrusted(j.name, o.allowUnsigned)
		return err
	}
	p, err := j.app.openPushed(ctx, j.name, o.endpoint)
	if err != nil {
		return err
	}
	if _, err := j.app.trust(p.bundle, j.name, o.allowUnsigned); err != nil {
		return errors.Join(err, p.bundle.Close())
	}
	j.bundle, j.store, j.place = p.bundle, p.store, p.place
	return nil
}

func (j *bakeJob) prepare(ctx context.Context, o bakeOptions) error {
	e, err := j.expand(o.images)
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
		Bundle: j.bundle, Verify: verify, Images: e.images, Upgrade: e.upgrade, Weak: e.weak, Offline: o.offline, Transfer: transfer,
		KeepOnError: o.onError == "keep", Rebuild: o.rebuild, Parallel: o.parallel, Progress: j.app.progress(), Verbose: j.app.verbose,
	}
	switch o.builder {
	case builderLocal:
		return j.onThisMachine(o)
	case builderImport:
		return j.byImport(ctx, o, e)
	default:
		return j.onUCloud(ctx, o, e)
	}
}

// onThisMachine makes the images in guests.
func (j *bakeJob) onThisMachine(o bakeOptions) error {
	state, err := j.app.stateDir()
	if err != nil {
		return err
	}
	j.request.Cloud, err = local.New(local.Config{Base: o.base, Out: o.out, Work: filepath.Join(state, "guests"),
		Handler: serve.Bundle(j.bundle), Progress: j.app.progress()})
	j.request.Files, j.request.Journal = local.Files{Source: j.bundle.Open}, filepath.Join(state, "journal")
	return err
}

// onUCloud makes the images of UCloud's hosts.
func (j *bakeJob) onUCloud(ctx context.Context, o bakeOptions, e expanded) error {
	if len(e.images) == 0 {
		return usagef("the manifest has no image")
	}
	if err := j.locate(e.images); err != nil {
		return err
	}
	journal, err := j.app.cloudJournal()
	if err != nil {
		return err
	}
	agent, err := agentPath(o.agent)
	if err != nil {
		return err
	}
	if err := remote.CheckAgent(agent, j.bundle.Index().Platform); err != nil {
		return &usageError{err}
	}
	files := ucloud.Files{Source: j.bundle.Open}
	if j.request.Transfer == provision.ByStore {
		if j.store == nil {
			if j.store, err = j.app.storeWith(ctx, j.bundle, o.endpoint); err != nil {
				return err
			}
		}
		files.Store = storeURLs(j.store, j.bundle.Index())
	}
	keys := j.app.cloudKeys(e.vars)
	cloud, err := j.app.ucloud(e.images[0].Cloud, keys, agent)
	if err != nil {
		return err
	}
	j.request.Cloud, j.request.Files, j.request.Journal = cloud, files, journal
	j.request.Owner = keys.owner()
	j.request.At = func(t provision.Target) (provision.Cloud, error) { return j.app.ucloudAt(t, keys) }
	return nil
}

// locate finds the API that all images are made by.
func (j *bakeJob) locate(images []manifest.Image) error {
	for i := range images {
		images[i].Cloud = j.app.located(images[i].Cloud)
		if images[i].Cloud.API != images[0].Cloud.API {
			return usagef("images %q and %q have different cloud.api: bake each by itself, with --image", images[0].Name, images[i].Name)
		}
	}
	return nil
}

// cloudJournal names the hosts that may exist in clouds; those of this machine have a journal of their own.
func (a *app) cloudJournal() (string, error) {
	state, err := a.stateDir()
	return filepath.Join(state, "journal-ucloud"), err
}

// expanded is what bake needs of a manifest.
type expanded struct {
	vars    *manifest.Vars
	upgrade []string
	weak    bool
	images  []manifest.Image
}

// expand reads the bundle's own manifest, with the variables of the bundle, of the files and of the flags.
func (j *bakeJob) expand(only []string) (e expanded, err error) {
	m, err := j.app.manifestOf(j.bundle)
	if err != nil {
		return expanded{}, err
	}
	if e.vars, err = j.app.variables(m, j.bundle.Index().Variables); err != nil {
		return expanded{}, err
	}
	if e.upgrade, err = m.Upgrade(e.vars); err != nil {
		return expanded{}, err
	}
	e.weak = m.Weak()
	for _, name := range m.ImageNames() {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		img, err := m.Image(name, e.vars)
		if err != nil {
			return expanded{}, err
		}
		e.images = append(e.images, img)
	}
	for _, name := range only {
		if !slices.Contains(m.ImageNames(), name) {
			return expanded{}, usagef("--image %q is not in the manifest, which has %s", name, strings.Join(m.ImageNames(), ", "))
		}
	}
	return e, nil
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

// bake makes the images.
func (j *bakeJob) bake(ctx context.Context) (provision.Result, error) {
	res, err := provision.Bake(ctx, j.request)
	if _, cloud := j.request.Cloud.(*ucloud.Cloud); cloud && err != nil {
		err = &inCloudError{err}
	}
	return res, err
}

// inCloudError is a bake's whose hosts are a cloud's, not this machine's.
type inCloudError struct{ err error }

func (e *inCloudError) Error() string { return e.err.Error() }
func (e *inCloudError) Unwrap() error { return e.err }

func (j *bakeJob) close() error {
	err := j.bundle.Close()
	if j.release != nil {
		err = errors.Join(err, j.release())
	}
	return err
}
