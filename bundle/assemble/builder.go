package assemble

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// builder gathers the files of one bundle. Its steps run one after the other; a step may use several goroutines, but adds
// from one.
type builder struct {
	o        FetchOptions
	local    *source.Local
	rows     map[string]manifest.Row // by path
	blobs    map[string]*fetch.Blob  // of rows, by path; several paths may share one
	own      []io.Closer             // what close has to close
	files    []bundle.File
	contents map[string]bundle.Content // by path
	packages map[string]checkedPackage // RPM rows, by path
	keys     map[string]string         // local paths of releases' keys, by the zip's path
	taken    map[string]bool           // folded paths
	plans    []solve.Plan              // what images ask of yum or dnf
	job      solve.Job                 // what the packages are locked for

	downloaded, reused int64
}

func newBuilder(o FetchOptions) *builder {
	b := &builder{
		o: o, local: source.NewLocal(o.Inputs.Dir), rows: map[string]manifest.Row{}, blobs: map[string]*fetch.Blob{}, contents: map[string]bundle.Content{},
		packages: map[string]checkedPackage{}, keys: map[string]string{}, taken: map[string]bool{},
	}
	for _, row := range o.Lock.Rows {
		b.rows[row.Path] = row
	}
	return b
}

func (b *builder) close() error {
	var errs []error
	for _, c := range b.own {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (b *builder) created() string { return b.o.Lock.Created.UTC().Format(time.RFC3339) }

// sorted returns the index's files by path.
func (b *builder) sorted() []bundle.File {
	files := slices.Clone(b.files)
	slices.SortFunc(files, func(x, y bundle.File) int { return strings.Compare(x.Path, y.Path) })
	return files
}

// add puts a file into the bundle. Two at one path, case aside, are an error.
func (b *builder) add(f bundle.File, c bundle.Content) error {
	folded := manifest.FoldPath(f.Path)
	if b.taken[folded] {
		return &manifest.Error{File: "manifest", Field: "artifacts", What: fmt.Sprintf("two files at %q", f.Path)}
	}
	b.taken[folded] = true
	b.files = append(b.files, f)
	b.contents[f.Path] = c
	return nil
}

// addData puts a small file into the bundle that was made or read here.
func (b *builder) addData(name, kind, origin string, data []byte) error {
	sum := sha256.Sum256(data)
	f := bundle.File{Path: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Mode: "0644", Kind: kind, Origin: origin}
	return b.add(f, bundle.Content{Data: data})
}

// fetchRows brings in what the lock pins, all but the built-in key.
func (b *builder) fetchRows(ctx context.Context) error {
	var rows []manifest.Row
	var requests []fetch.Request
	for _, row := range b.o.Lock.Rows {
		if row.Path == source.BuiltinKeyPath {
			continue
		}
		if held := b.o.Held.blob(row.SHA256); held != nil && held.Size == row.Size {
			b.blobs[row.Path] = held
			b.count(held)
			continue
		}
		rows = append(rows, row)
		requests = append(requests, fetch.Request{
			Name: path.Base(row.Path), URLs: source.URLs(row.URL, b.o.Inputs.Mirrors), SHA256: row.SHA256, Size: row.Size,
		})
	}
	blobs, err := b.o.Fetcher.All(ctx, requests)
	if err != nil {
		return err
	}
	for i, blob := range blobs {
		b.blobs[rows[i].Path] = blob
		b.own = append(b.own, blob)
		b.count(blob)
	}
	return nil
}

func (b *builder) count(blob *fetch.Blob) {
	b.downloaded += blob.Downloaded
	if blob.Reused {
		b.reused += blob.Size
	}
}

// addRows puts the inputs into the bundle.
func (b *builder) addRows(context.Context) error {
	for _, row := range b.o.Lock.Rows {
		f := rowFile(row)
		if row.Path == source.BuiltinKeyPath {
			key, err := source.BuiltinKey(b.o.Lock)
			if err != nil {
				return err
			}
			if err := b.add(f, bundle.Content{Data: key}); err != nil {
				return err
			}
			continue
		}
		f.Evidence = b.evidence(row)
		if err := b.add(f, bundle.Content{File: b.blobs[row.Path].File}); err != nil {
			return err
		}
	}
	return nil
}

func rowFile(row manifest.Row) bundle.File {
	return bundle.File{
		Path: row.Path, Size: row.Size, SHA256: row.SHA256, Mode: row.Mode, Kind: row.Kind, Origin: row.URL, Verified: row.Verified,
	}
}

// addLocal puts in the files beside the manifest that it names, under the same paths.
func (b *builder) addLocal(ctx context.Context) error {
	for _, name := range b.o.Manifest.LocalFiles() {
		if key := b.local.Seen(name); key != nil {
			if err := b.addData(name, manifest.KindLocal, "", key); err != nil {
				return err
			}
			continue
		}
		file := filepath.Join(b.o.Manifest.Dir, filepath.FromSlash(name))
		digest, size, err := hashLocal(ctx, file)
		if err != nil {
			return fmt.Errorf("reading local file %q: %w", name, err)
		}
		f := bundle.File{Path: name, Size: size, SHA256: digest, Mode: "0644", Kind: manifest.KindLocal}
		// Read and hashed a second time when it is written: it may change in between.
		if err := b.add(f, bundle.Content{Path: file}); err != nil {
			return err
		}
	}
	return nil
}

func hashLocal(ctx context.Context, name string) (digest string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() // read only
	if err := context.Cause(ctx); err != nil {
		return "", 0, err
	}
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// addMeta puts in what describes the bundle; the page comes last, for it lists the rest.
func (b *builder) addMeta(context.Context) error {
	lockText, err := b.o.Lock.Marshal()
	if err != nil {
		return err
	}
	bom, err := sbom(b.o.Lock, lockText, b.packages)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		data []byte
	}{{"manifest.yaml", b.o.Manifest.Raw}, {"manifest.lock", lockText}, {"sbom.cdx.json", bom}} {
		if err := b.addData(m.name, manifest.KindMeta, "", m.data); err != nil {
			return err
		}
	}
	html, err := page(b.o.Lock, b.sorted())
	if err != nil {
		return err
	}
	return b.addData("index.html", manifest.KindMeta, "", html)
}
