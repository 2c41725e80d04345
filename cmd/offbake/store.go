package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
)

// place is a store as the user named it.
type place struct {
	url, endpoint string
	public, key   string
}

// storeOf finds the store of a bundle: what was typed, else what -f or the bundle's own manifest says. Keys are those of the
// environment or of a var file.
func (a *app) storeOf(b *bundle.Bundle, typed place) (place, error) {
	m, err := a.manifestOf(b)
	if err != nil {
		return place{}, err
	}
	vars, err := a.variables(m, b.Index().Variables)
	if err != nil {
		return place{}, err
	}
	p := typed
	if typed.url == "" || typed.endpoint == "" {
		s, err := m.Store(vars)
		if err != nil && typed.url == "" {
			return place{}, err
		}
		p.url, p.endpoint = cmp.Or(typed.url, s.URL), cmp.Or(typed.endpoint, s.Endpoint)
	}
	if p.url == "" {
		return place{}, usagef("neither the arguments nor the manifest name a store")
	}
	all := vars.For("")
	p.public, p.key = all["ucloud_public_key"], all["ucloud_private_key"]
	return p, nil
}

// openStore opens a store. With offline nothing but its endpoint is ever resolved or dialled.
func (a *app) openStore(p place, offline bool) (store.Store, error) {
	state, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	o := transport.Options{Trace: a.trace(), UserAgent: "offbake/" + buildVersion()}
	client := transport.New(o)
	if offline {
		client = offlineClient(o, p)
	}
	s, err := store.Open(p.url, store.Options{Endpoint: p.endpoint, PublicKey: p.public, PrivateKey: p.key, Jobs: a.jobs,
		Journal: filepath.Join(state, "uploads"), Client: client})
	if err != nil {
		return nil, &usageError{err}
	}
	return s, nil
}

// pushed is a bundle in a store.
type pushed struct {
	bundle *bundle.Bundle
	store  store.Store
	place  place
}

// openPushed opens STORE/NAME/VERSION, offline. Its own manifest cannot say where it is, so endpoint and keys come from the flags,
// from -f and from the environment.
func (a *app) openPushed(ctx context.Context, url, endpoint string) (pushed, error) {
	storeURL, name, version, err := store.ParseBundle(url)
	if err != nil {
		return pushed{}, &usageError{err}
	}
	p := place{url: storeURL, endpoint: endpoint, public: a.getenv("UCLOUD_PUBKEY"), key: a.getenv("UCLOUD_SECRET")}
	if a.manifest != "" {
		m, err := manifest.Load(a.manifest)
		if err != nil {
			return pushed{}, &usageError{err}
		}
		vars, err := a.variables(m, nil)
		if err != nil {
			return pushed{}, err
		}
		all := vars.For("")
		p.public, p.key = all["ucloud_public_key"], all["ucloud_private_key"]
		if endpoint == "" {
			s, err := m.Store(vars)
			if err != nil {
				return pushed{}, err
			}
			p.endpoint = s.Endpoint
		}
	}
	return a.findPushed(ctx, p, name, version)
}

// findPushed opens a bundle of a store, offline.
func (a *app) findPushed(ctx context.Context, p place, name, version string) (pushed, error) {
	s, err := a.openStore(p, true)
	if err != nil {
		return pushed{}, err
	}
	b, err := store.Bundle(ctx, s, name, version)
	if errors.Is(err, fs.ErrNotExist) {
		command := "offbake push " + name + "-" + version + ".tar " + p.url
		if p.endpoint != "" {
			command += " --endpoint " + p.endpoint
		}
		return pushed{}, &notPushedError{err, command}
	}
	return pushed{b, s, p}, err
}

// storeWith is the store from which hosts take the files of a bundle that is a file here. It must hold the very same.
func (a *app) storeWith(ctx context.Context, b *bundle.Bundle, endpoint string) (store.Store, error) {
	p, err := a.storeOf(b, place{endpoint: endpoint})
	if err != nil {
		return nil, err
	}
	x := b.Index()
	there, err := a.findPushed(ctx, p, x.Name, x.Version)
	if err != nil {
		return nil, err
	}
	if got, want := there.bundle.Identity(), b.Identity(); got != want {
		err = fmt.Errorf("store %q holds another bundle as %s %s: got %s, want %s", p.url, x.Name, x.Version, got, want)
	}
	return there.store, errors.Join(err, there.bundle.Close())
}

// notPushedError is a bundle that its store does not hold.
type notPushedError struct {
	err  error
	push string // the command that would put it there
}

func (e *notPushedError) Error() string { return e.err.Error() }
func (e *notPushedError) Unwrap() error { return e.err }

// manifestOf is the manifest that a bundle carries; -f overrides its store and cloud, and nothing else.
func (a *app) manifestOf(b *bundle.Bundle) (*manifest.Manifest, error) {
	src, err := b.ReadFile("manifest.yaml", maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := manifest.Parse("manifest.yaml", src)
	if err != nil || a.manifest == "" {
		return m, err
	}
	site, err := manifest.Load(a.manifest)
	if err != nil {
		return nil, &usageError{err}
	}
	return m.Override(site), nil
}

// maxManifest bounds the manifest inside a bundle, bytes.
const maxManifest = 1 << 20
