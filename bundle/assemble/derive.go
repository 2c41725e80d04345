package assemble

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// workers is how many files are unpacked or checked at once: that is work for processors.
func workers() int { return runtime.GOMAXPROCS(0) }

// unpackReleases puts in the program of each zip, and the documents that make Terraform's folder a mirror.
func (b *builder) unpackReleases(ctx context.Context) error {
	releases := source.Releases(b.o.Inputs)
	programs, err := b.scratch(len(releases))
	if err != nil {
		return err
	}
	found := make([]unpacked, len(releases))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers())
	for i := range releases {
		group.Go(func() (err error) {
			item := b.o.Progress.Start(path.Base(releases[i].Unpacked), -1)
			if found[i], err = unpack(ctx, &releases[i], b.blobs[releases[i].Path], programs[i]); err != nil {
				err = fmt.Errorf("unpacking %q: %w", releases[i].Zip, err)
				item.Fail(err)
				return err
			}
			item.Resume(found[i].Size)
			item.Done("unpacked")
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var plugins []plugin
	for i, rel := range releases {
		f := bundle.File{
			Path: rel.Unpacked, Size: found[i].Size, SHA256: found[i].SHA256, Mode: "0755", Kind: manifest.KindUnpacked, Origin: rel.Path,
		}
		if err := b.add(f, bundle.Content{File: programs[i]}); err != nil {
			return err
		}
		if rel.Kind == manifest.KindProvider {
			plugins = append(plugins, plugin{rel.Path, rel.Version, rel.Platform(), b.rows[rel.Path].SHA256, found[i].H1})
		}
	}
	return b.addMirror(plugins)
}

func unpack(ctx context.Context, rel *source.Release, zip *fetch.Blob, dst *os.File) (unpacked, error) {
	w := bufio.NewWriterSize(dst, 256<<10)
	u, err := unzip(ctx, io.NewSectionReader(zip.File, 0, zip.Size), rel.IsMember, w)
	if err != nil {
		return unpacked{}, err
	}
	if err := rel.CheckMember(u.Name); err != nil {
		return unpacked{}, err
	}
	if err := w.Flush(); err != nil {
		return unpacked{}, fmt.Errorf("writing: %w", err)
	}
	return u, nil
}

// scratch makes n files without a name where the output will lie: they are gone with this process, however it ends, and
// are on a file system that has room for the bundle.
func (b *builder) scratch(n int) ([]*os.File, error) {
	dir := filepath.Dir(filepath.Clean(b.o.Out))
	files := make([]*os.File, n)
	for i := range files {
		f, err := os.CreateTemp(dir, ".offbake-*")
		if err != nil {
			return nil, fmt.Errorf("making a temporary file: %w", err)
		}
		b.own = append(b.own, f)
		if err := os.Remove(f.Name()); err != nil {
			return nil, fmt.Errorf("making a temporary file: %w", err)
		}
		files[i] = f
	}
	return files, nil
}

func (b *builder) addMirror(plugins []plugin) error {
	files, err := mirrorFiles(plugins)
	if err != nil {
		return err
	}
	return b.addAll(files, manifest.KindTerraform)
}

func (b *builder) addAll(files map[string][]byte, kind string) error {
	var errs []error
	for name, data := range files { // the index sorts them
		errs = append(errs, b.addData(name, kind, "", data))
	}
	return errors.Join(errs...)
}

// addPackages makes rpms/ a repository, and puts Docker's packages on the flat file server too.
func (b *builder) addPackages(context.Context) error {
	var files []rpm.RepoFile
	for _, row := range b.o.Lock.Rows {
		if row.Kind != manifest.KindRPM {
			continue
		}
		files = append(files, rpm.RepoFile{
			Header: b.packages[row.Path].header, Href: strings.TrimPrefix(row.Path, "rpms/"), Size: row.Size, SHA256: row.SHA256,
		})
		if flat := flatPath(row); flat != "" {
			f := rowFile(row)
			f.Path, f.Origin, f.Evidence = flat, row.Path, b.evidence(row)
			if err := b.add(f, bundle.Content{File: b.blobs[row.Path].File}); err != nil {
				return err
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	repodata, err := rpm.WriteRepo(files)
	if err != nil {
		return err
	}
	for name, data := range repodata {
		if err := b.addData(path.Join("rpms", name), manifest.KindRepodata, "", data); err != nil {
			return err
		}
	}
	return b.addRepoConfig()
}

// addRepoConfig puts in the keys that the repository's packages are signed with, and its configuration.
func (b *builder) addRepoConfig() error {
	var names []string
	seen := map[string]bool{}
	for _, repo := range b.o.Inputs.Artifacts.RPMs.Repos {
		if !repo.GPGCheck || seen[repo.GPGKey] { // a key of metadata alone vouches for no package
			continue
		}
		seen[repo.GPGKey] = true
		data, err := b.local.Read(repo.GPGKey)
		if err != nil {
			return err
		}
		// Named by repository, whose ids differ: two keys in two folders may have one name.
		name := "RPM-GPG-KEY-" + repo.ID
		if err := b.addData("rpms/keys/"+name, manifest.KindRepodata, repo.GPGKey, data); err != nil {
			return err
		}
		names = append(names, name)
	}
	conf := rpm.Conf(rpm.ConfOptions{Keys: names, Weak: b.o.Inputs.Artifacts.RPMs.Weak, Unsigned: b.unsigned()})
	return b.addData("rpms/offbake.conf", manifest.KindRepodata, "", conf)
}

// unsigned are the names of the packages that nobody's signature vouches for.
func (b *builder) unsigned() []string {
	var names []string
	for _, row := range b.o.Lock.Rows {
		if row.Kind == manifest.KindRPM && row.Verified == source.FirstUse {
			names = append(names, b.packages[row.Path].header.Name)
		}
	}
	return names
}
