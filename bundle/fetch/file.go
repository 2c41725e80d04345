package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"golang.org/x/sys/unix"
)

// putFile copies the file that a file: URL names into the cache. Where the file system can, the blocks are shared and
// only read once, to hash them.
func (c *Cache) putFile(ctx context.Context, u *url.URL, r Request) (*Blob, error) {
	path, err := filePath(u)
	if err != nil {
		return nil, err
	}
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer src.Close() // read-only
	if fi, err := src.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: not a regular file", path)
	}
	t, err := c.newTemp()
	if err != nil {
		return nil, err
	}
	digest, size, err := c.copyHashed(ctx, t, src)
	if err == nil {
		err = r.verify(u.String(), digest, size)
	}
	if err != nil {
		return nil, errors.Join(err, discard(t))
	}
	b, err := c.keep(t, digest, size)
	if err != nil {
		return nil, err
	}
	b.URL = u.String()
	return b, nil
}

// copyHashed fills dst with src's content and returns the digest of what dst holds.
func (c *Cache) copyHashed(ctx context.Context, dst, src *os.File) (digest string, size int64, err error) {
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return c.hashFile(ctx, dst)
	}
	h := sha256.New()
	size, err = c.feed(ctx, io.MultiWriter(h, dst), src)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// filePath returns the path of file:///abs, file://localhost/abs, file:/abs or file:relative.
func filePath(u *url.URL) (string, error) {
	if u.Host != "" && u.Host != "localhost" {
		return "", fmt.Errorf("reading %s: a file URL of another host", u)
	}
	if u.Opaque != "" {
		return url.PathUnescape(u.Opaque)
	}
	return u.Path, nil
}

// verify checks a whole file against what is known about it.
func (r Request) verify(rawURL, digest string, size int64) error {
	switch {
	case r.SHA256 != "" && digest != r.SHA256:
		return r.wrongDigest(rawURL, digest)
	case r.Size >= 0 && size != r.Size:
		return r.wrongSize(rawURL, fmt.Sprintf("%d bytes", size))
	case r.MaxSize > 0 && size > r.MaxSize:
		return fmt.Errorf("%s: %w", rawURL, &tooLargeError{r.MaxSize})
	}
	return nil
}
