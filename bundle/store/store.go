// Package store puts bundles where hosts can take them: UFile (also the server of package serve) and a folder.
//
// Push and Bundle work on any Store; Open makes one from its URL. Nothing here trusts a store: what is read from one is
// checked by package bundle, and what is sent is checked against its sha256 while it passes.
package store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"
)

// Object is what a store knows about one stored file.
type Object struct {
	Key    string
	Size   int64  // bytes
	SHA256 string // lower-case hex from the object's metadata; "" when it has none
	ETag   string // UFile's, unquoted; "" for stores that have none. A fast path only: SHA256 is the truth
}

// Upload is one object to put. Body is read from 0 to Size, possibly in parts, possibly more than once.
type Upload struct {
	Key    string
	Body   io.ReaderAt
	Size   int64
	SHA256 string // lower-case hex; kept as metadata, and the whole of Body is checked against it while it passes
}

// Store is a flat object store. Keys are slash-separated paths without "." or "..", empty elements or control characters;
// how they are written in the store is its own matter. Every method may be called again after any error; implementations
// retry what is safe to retry, so that an error is worth telling. A missing object is fs.ErrNotExist.
type Store interface {
	// Head describes one object.
	Head(ctx context.Context, key string) (Object, error)
	// Get opens an object from offset on. The caller closes it and checks the digest.
	Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	// Put stores one object whole or not at all, and replaces what is there.
	Put(ctx context.Context, u Upload) error
	// List yields the objects whose key starts with prefix, sorted bytewise.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes an object; removing what is not there is no error.
	Delete(ctx context.Context, key string) error
	// URL returns an http(s) address that answers GET for ttl at least: presigned where the bucket is private.
	// A store that no host can reach over HTTP returns an error.
	URL(ctx context.Context, key string, ttl time.Duration) (string, error)
	// String is the store's own URL, as Open takes it. It holds no secret.
	String() string
}

// yieldAll is a Store's List for a store that must read all of a listing before it knows the first object.
func yieldAll(prefix string, list func() ([]Object, error)) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		objects, err := list()
		if err != nil {
			yield(Object{}, fmt.Errorf("listing %q: %w", prefix, err))
			return
		}
		for _, o := range objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}
