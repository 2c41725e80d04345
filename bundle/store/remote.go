package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle"
)

// Bundle opens a pushed bundle where it is: files are read from the store when they are asked for, and checked then.
// As with any bundle nothing is trusted before its Trust or Verify. What else is below NAME/VERSION/, left by a push of
// another bundle that was never completed, is not looked at. Reading ends with ctx.
func Bundle(ctx context.Context, s Store, name, version string) (*bundle.Bundle, error) {
	where := s.String() + "/" + name + "/" + version
	fsys, err := openRemote(ctx, s, name+"/"+version+"/")
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", where, err)
	}
	b, err := bundle.OpenFS(fsys)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", where, err)
	}
	return b, nil
}

// remote is the tree of a pushed bundle as an fs.FS.
type remote struct {
	ctx   context.Context
	store Store
	dir   string
	nodes map[string]*node // by path; "." is the root
}

// node is a file or folder, and its own fs.FileInfo and fs.DirEntry.
type node struct {
	name     string
	size     int64
	folder   bool
	children []*node // sorted by name
}

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) IsDir() bool                { return n.folder }
func (n *node) Sys() any                   { return nil }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) Type() fs.FileMode          { return n.Mode().Type() }
func (n *node) Mode() fs.FileMode {
	if n.folder {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// openRemote lists the tree, limited to what bundle.json names and what stands beside it.
func openRemote(ctx context.Context, s Store, dir string) (*remote, error) {
	r := &remote{ctx: ctx, store: s, dir: dir, nodes: map[string]*node{".": {name: ".", folder: true}}}
	data, err := r.index()
	if err != nil {
		return nil, err
	}
	x, err := bundle.ParseIndex(data)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{bundle.SumsFile: true}
	for _, f := range x.Files {
		listed[f.Path] = true
	}
	for o, err := range s.List(ctx, dir) {
		if err != nil {
			return nil, err
		}
		if p := o.Key[len(dir):]; listed[p] || strings.HasPrefix(p, bundle.IndexFile) {
			r.add(p, &node{name: path.Base(p), size: o.Size})
		}
	}
	for _, n := range r.nodes {
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	return r, nil
}

func (r *remote) index() ([]byte, error) {
	body, err := r.store.Get(r.ctx, r.dir+bundle.IndexFile, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, bundle.MaxIndex+1))
}

// add puts a file into the tree, with the folders above it.
func (r *remote) add(p string, n *node) {
	for {
		if r.nodes[p] != nil {
			return // a store with both "a" and "a/b" holds no bundle; the index refuses it
		}
		r.nodes[p] = n
		p = path.Dir(p)
		above := r.nodes[p]
		if above != nil {
			above.children = append(above.children, n)
			return
		}
		n = &node{name: path.Base(p), folder: true, children: []*node{n}}
	}
}

func (r *remote) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := r.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// Open opens a file at its start. The store is asked at the first Read.
func (r *remote) Open(name string) (fs.File, error) {
	n, err := r.find("open", name)
	if err != nil {
		return nil, err
	}
	return &remoteFile{r: r, name: name, node: n}, nil
}

// ReadDir implements fs.ReadDirFS.
func (r *remote) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := r.find("readdir", name)
	if err == nil && !n.folder {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, len(n.children))
	for i, c := range n.children {
		entries[i] = c
	}
	return entries, nil
}

type remoteFile struct {
	r    *remote
	name string
	node *node
	body io.ReadCloser
}

func (f *remoteFile) Stat() (fs.FileInfo, error) { return f.node, nil }

func (f *remoteFile) Read(p []byte) (int, error) {
	if f.node.folder {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errors.New("is a folder")}
	}
	if f.body == nil {
		body, err := f.r.store.Get(f.r.ctx, f.r.dir+f.name, 0)
		if err != nil {
			return 0, err
		}
		f.body = body
	}
	return f.body.Read(p)
}

func (f *remoteFile) Close() error {
	if f.body == nil {
		f.body = io.NopCloser(bytes.NewReader(nil))
	}
	return f.body.Close()
}
