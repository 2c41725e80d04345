package ucloud

import (
	"context"
	"errors"
	"io"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/seal"
)

// Files is the bundle as UHosts see it: they take it from the store before they are sealed, and afterwards a server of
// their own serves what they took, so that recipes and scripts need no signed URL and no way to the store.
type Files struct {
	// Store makes the URL of a bundle path in the store, presigned where the bucket is private. Nil where files go over SSH.
	Store func(ctx context.Context, path string) (string, error)
	// Source opens a bundle path and checks what it reads against the index.
	Source func(path string) (io.ReadCloser, error)
}

var _ provision.Files = Files{}

// URL is where the host takes a file.
func (f Files) URL(ctx context.Context, path string) (string, error) {
	if f.Store == nil {
		return "", errors.New("there is no store")
	}
	return f.Store(ctx, path)
}

// Server is the host's own: the agent serves provision.Root at the sealed address.
func (f Files) Server(context.Context) (provision.FileServer, error) {
	at := seal.Address()
	return provision.FileServer{URL: "http://" + at.Addr().String() + "/files", Allow: at, Disk: true}, nil
}

// Open reads a file here, for transfer over SSH.
func (f Files) Open(path string) (io.ReadCloser, error) { return f.Source(path) }
