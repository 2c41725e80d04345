package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/offbake/offbake/internal/atomicfile"
	"github.com/offbake/offbake/internal/transport"
)

// partial is a file in partial/ that a download appends to: a prefix of what is wanted. Its name is the digest, so that
// any mirror can go on with it, or derived from the URL where the digest is still to be learnt. It is locked while a
// process works on it, and renamed among the blobs once it is whole. What the server said about the version it sent
// stands beside it in a .json file.
type partial struct {
	*os.File
	origin origin // the zero value if there is no .json file
}

// origin says which version of a remote file a partial is a prefix of.
type origin struct {
	URL          string `json:"url"` // digest of it: the URL itself may hold secrets
	Size         int64  `json:"size"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

const originSuffix = ".json"

// smallBody is a size up to which no origin is kept for a file whose digest is known: the digest decides, and the extra
// file would cost more than asking for so few bytes again.
const smallBody = 64 << 10

// openPartial opens and locks the partial of r; wait is called once if another process has it.
func (c *Cache) openPartial(ctx context.Context, r Request, wait func()) (*partial, error) {
	path := filepath.Join(c.dir, partialDir, partialName(r))
	for try := 0; ; try++ {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		ours, err := atomicfile.TryLock(f)
		if err == nil && ours {
			p := &partial{File: f}
			if err := p.readOrigin(); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return p, nil
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("locking %q: %w", path, err)
		}
		if try == 13 { // after about a second
			wait()
		}
		if err := transport.Sleep(ctx, min(time.Duration(try+1)*10*time.Millisecond, 250*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}

func partialName(r Request) string {
	if r.SHA256 != "" {
		return r.SHA256
	}
	return "url-" + hashText(r.URLs[0])
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// reset throws the prefix away.
func (p *partial) reset() error {
	// The origin goes first: a prefix must never stand beside the origin of another.
	if err := p.removeOrigin(); err != nil {
		return err
	}
	return p.Truncate(0)
}

// close ends work on a partial that is not whole: a prefix stays for the next run, an empty one does not.
func (p *partial) close() error {
	fi, err := p.Stat()
	if err == nil && fi.Size() == 0 {
		return errors.Join(p.removeOrigin(), discard(p.File))
	}
	return errors.Join(err, p.File.Close())
}

// originOf describes the version that resp sends whole.
func originOf(rawURL string, resp *http.Response) origin {
	return origin{
		URL:          hashText(rawURL),
		Size:         resp.ContentLength,
		ETag:         resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"),
	}
}

// validator returns what If-Range may carry (RFC 9110 13.1.5): a strong ETag, else the date; "" if there is neither.
func (o origin) validator() string {
	if o.ETag != "" && !strings.HasPrefix(o.ETag, "W/") {
		return o.ETag
	}
	return o.LastModified
}

// sameVersion says whether resp, an answer to a range request, may be of the version that o describes.
func (o origin) sameVersion(resp *http.Response) bool {
	etag, date := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if o.ETag != "" && etag != "" {
		return o.ETag == etag
	}
	return o.LastModified == "" || date == "" || o.LastModified == date
}

func (p *partial) originPath() string { return p.Name() + originSuffix }

// readOrigin leaves the zero origin if there is none. One that was torn is removed.
func (p *partial) readOrigin() error {
	data, err := os.ReadFile(p.originPath())
	if err != nil {
		return ignoreMissing(err)
	}
	if json.Unmarshal(data, &p.origin) != nil {
		return os.Remove(p.originPath())
	}
	return nil
}

func (p *partial) writeOrigin(o origin) error {
	p.origin = o
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(p.originPath(), data, 0o644)
}

func (p *partial) removeOrigin() error {
	if p.origin == (origin{}) {
		return nil
	}
	p.origin = origin{}
	return ignoreMissing(os.Remove(p.originPath()))
}
