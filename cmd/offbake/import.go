package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
	"github.com/offbake/offbake/provision/local"
	"github.com/offbake/offbake/provision/ucloud"
)

// byImport makes the images of a disk image on this machine and has UCloud import them.
func (j *bakeJob) byImport(ctx context.Context, o bakeOptions, e expanded) (err error) {
	if len(e.images) == 0 {
		return usagef("the manifest has no image")
	}
	if err := j.locate(e.images); err != nil {
		return err
	}
	for _, img := range e.images {
		if len(img.Cloud.CopyTo) > 0 {
			return usagef("image %q: copy_to is not for --builder import: import it where it is wanted", img.Name)
		}
		if first := e.images[0].Cloud; img.Cloud.Region != first.Region || img.Cloud.Project != first.Project {
			return usagef("images %q and %q are imported into different regions: bake each by itself, with --image", e.images[0].Name, img.Name)
		}
	}
	keys := j.app.cloudKeys(e.vars)
	owner := keys.owner()
	owner.Store, owner.Endpoint = j.place.url, j.place.endpoint
	if j.store == nil {
		p, err := j.app.storeOf(j.bundle, place{endpoint: o.endpoint})
		if err != nil {
			return err
		}
		if j.store, err = j.app.openStore(p, true); err != nil {
			return err
		}
		owner.Store, owner.Endpoint = p.url, p.endpoint
	}
	cloud, err := j.app.ucloud(e.images[0].Cloud, keys, "")
	if err != nil {
		return err
	}
	journal, err := j.app.importJournal()
	if err != nil {
		return err
	}
	importer, err := disk.New(ctx, disk.Config{Base: o.base, Work: filepath.Join(filepath.Dir(journal), "guests"), Handler: serve.Bundle(j.bundle),
		Format: disk.Format(o.format), Parallel: o.parallel, Target: importTarget(j.store, cloud), Progress: j.app.progress()})
	if err != nil {
		return err
	}
	j.request.Cloud, j.request.Files = importer, local.Files{Source: j.bundle.Open}
	j.request.Journal, j.request.Owner, j.release = journal, owner, importer.Close
	return nil
}

// importTarget is the store that disks go to and the cloud that takes them from there.
func importTarget(s store.Store, cloud *ucloud.Cloud) disk.Target {
	return disk.Target{
		Upload: func(ctx context.Context, key string, f *os.File, sha256 string) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			return s.Put(ctx, store.Upload{Key: key, Body: f, Size: info.Size(), SHA256: sha256})
		},
		URL:    func(ctx context.Context, key string) (string, error) { return s.URL(ctx, key, importTTL) },
		Delete: s.Delete,
		Import: func(ctx context.Context, r disk.ImportRequest) (provision.Made, error) {
			return cloud.Import(ctx, ucloud.Import{Name: r.Name, Description: r.Description, URL: r.URL, OSType: r.System.Type,
				OSName: r.System.Name, Format: string(r.Format)})
		},
		Find:    cloud.Find,
		Discard: cloud.Discard,
	}
}

// importJournal names the guests whose disks may be in a store or an image.
func (a *app) importJournal() (string, error) {
	state, err := a.stateDir()
	return filepath.Join(state, "journal-import"), err
}

// cleanImports ends what killed imports left: guests, disks in the store, images.
func (a *app) cleanImports(ctx context.Context) (ended []string, err error) {
	journal, err := a.importJournal()
	if err != nil {
		return nil, err
	}
	left, err := provision.Leftovers(journal)
	if len(left) == 0 { // what cannot be read Clean tells, too
		return nil, err
	}
	_, vars, err := a.siteVars()
	if err != nil {
		return nil, err
	}
	keys := a.cloudKeys(vars)
	var opened []*disk.Cloud
	defer func() {
		for _, c := range opened {
			err = errors.Join(err, c.Close())
		}
	}()
	return cleanTargets(ctx, journal, left, func(t provision.Target) (provision.Cloud, error) {
		cloud, err := a.ucloudAt(t, keys)
		if err != nil {
			return nil, err
		}
		s, err := a.openStore(place{url: t.Store, endpoint: t.Endpoint, public: keys.public, key: keys.private}, true)
		if err != nil {
			return nil, err
		}
		c, err := disk.New(ctx, disk.Config{Work: filepath.Join(filepath.Dir(journal), "guests"), Target: importTarget(s, cloud),
			Progress: a.progress()})
		if err != nil {
			return nil, err
		}
		opened = append(opened, c)
		return c, nil
	})
}

// importTTL is how long the cloud may take to read a disk.
const importTTL = 2 * urlTTL
