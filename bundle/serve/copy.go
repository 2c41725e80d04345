package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

// source opens the object that a request copies from. The Go SDK sends its key as it is (ufile-gosdk v1.0.7 file.go:577),
// those for Python and Java escape it.
func (c *call) source() (*os.File, object, error) {
	named := c.r.Header.Get(ufile.CopySource)
	f, o, err := c.sourceNamed(named)
	if unescaped, bad := url.PathUnescape(named); err != nil && bad == nil && unescaped != named {
		if f, o, err := c.sourceNamed(unescaped); err == nil {
			return f, o, nil
		}
	}
	return f, o, err
}

// sourceNamed opens the object "/BUCKET/KEY".
func (c *call) sourceNamed(text string) (*os.File, object, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if !ok {
		return nil, object{}, badRequest("%s: got %.100q, want /BUCKET/KEY", ufile.CopySource, text)
	}
	if bucket != c.s.o.Bucket {
		return nil, object{}, noBucket()
	}
	if err := ufile.CheckKey(key); err != nil {
		return nil, object{}, badRequest("%s: %v", ufile.CopySource, err)
	}
	f, o, err := c.s.disk.open(key)
	if errors.Is(err, fs.ErrNotExist) {
		err = notFound()
	}
	return f, o, err
}

// copy makes an object of another one, with its metadata or that of the request. The copy is private whatever the ACL of
// its source.
func (c *call) copy() error {
	if _, err := c.bodySize(0); err != nil {
		return err
	}
	f, o, err := c.source()
	if err != nil {
		return err
	}
	defer f.Close()
	if c.s.o.Strict && o.Size > ufile.MaxCopy {
		return badRequest("copying: got an object of %d bytes, want at most %d; copy it part by part", o.Size, ufile.MaxCopy)
	}
	switch directive := c.r.Header.Get(ufile.MetadataDirective); directive {
	case "", "COPY":
	case "REPLACE":
		own, _, err := describe(c.key, c.r.Header)
		if err != nil {
			return err
		}
		o.Type, o.Meta = own.Type, own.Meta
	default:
		return badRequest("%s: got %.40q, want COPY or REPLACE", ufile.MetadataDirective, directive)
	}
	o.Key, o.ACL, o.Modified = c.key, "", time.Now().Unix()
	if err := c.s.disk.commitCopy(f, o, nil); err != nil {
		return err
	}
	c.stored(o.ETag, nil)
	return nil
}

// copyPart takes a part from another object.
func (c *call) copyPart() error {
	if _, err := c.bodySize(0); err != nil {
		return err
	}
	f, o, err := c.source()
	if err != nil {
		return err
	}
	defer f.Close()
	first, last, err := parseCopyRange(c.r.Header.Get(ufile.CopySourceRange), o.Size)
	if err != nil {
		return err
	}
	src := &sourceReader{r: io.NewSectionReader(f, first, last-first+1)}
	if c.r.Header.Get(ufile.CopySourceRange) != "" {
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, o.Size))
	}
	err = c.takePart(partBody{r: src, size: last - first + 1})
	if src.err != nil {
		return src.err // of the disk; to takePart it looked like the client's
	}
	return err
}

// parseCopyRange reads "bytes=FIRST-LAST" within an object of that size. Without a range it is the whole object.
func parseCopyRange(text string, size int64) (first, last int64, err error) {
	if text == "" {
		return 0, size - 1, nil
	}
	rest, ok := strings.CutPrefix(text, "bytes=")
	from, to, both := strings.Cut(rest, "-")
	a, err1 := strconv.ParseUint(from, 10, 63)
	b, err2 := strconv.ParseUint(to, 10, 63)
	if !ok || !both || err1 != nil || err2 != nil || a > b || b >= uint64(size) {
		return 0, 0, &requestError{statusBadCopyRange, "bad copy range"}
	}
	return int64(a), int64(b), nil
}

// statusBadCopyRange is the service's own status (UCloud's documentation of UploadPartCopy).
const statusBadCopyRange = 419

// hitKey is the path of hit. An object may have that key all the same.
const hitKey = "uploadhit"

// hit makes an object of one that is here already, by its ETag and size, without its bytes being sent (ufile-gosdk v1.0.1
// file.go:99). It reads the trailer of every object.
func (c *call) hit() error {
	size, err := strconv.ParseInt(c.query.Get("FileSize"), 10, 64)
	if err != nil {
		return badRequest("FileSize: got %.40q", c.query.Get("FileSize"))
	}
	f, o, err := c.s.find(func(o object) bool { return o.ETag == c.query.Get("Hash") && o.Size == size })
	if err != nil {
		return err
	}
	defer f.Close()
	o.Key, o.ACL, o.Modified = c.key, "", time.Now().Unix()
	if err := c.s.disk.commitCopy(f, o, nil); err != nil {
		return err
	}
	c.stored(o.ETag, nil)
	return nil
}

// find opens the first object that matches, in no order.
func (s *Objects) find(match func(object) bool) (file *os.File, found object, err error) {
	walked := s.disk.keys(func(key string) {
		if file != nil || err != nil {
			return
		}
		f, o, bad := s.disk.open(key)
		switch {
		case errors.Is(bad, fs.ErrNotExist): // deleted meanwhile
		case bad != nil:
			err = bad
		case match(o):
			file, found = f, o
		default:
			f.Close()
		}
	})
	if err = errors.Join(walked, err); err == nil && file == nil {
		err = notFound()
	}
	if err != nil && file != nil {
		file.Close()
	}
	return file, found, err
}

// rename gives an object another key (ufile-gosdk v1.0.1 file.go:533). The key is part of an object's file, so the content
// is copied; a server killed in between leaves both, never none.
func (c *call) rename() error {
	to := c.query.Get("newFileName")
	if err := ufile.CheckKey(to); err != nil {
		return badRequest("newFileName: %v", err)
	}
	f, o, err := c.s.disk.open(c.key)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if to == c.key {
		c.sendJSON(nil)
		return nil
	}
	when := absent
	if c.query.Get("force") == "true" {
		when = nil
	}
	o.Key = to
	err = c.s.disk.commitCopy(f, o, when)
	if errors.Is(err, fs.ErrExist) {
		return &requestError{http.StatusConflict, "a file of the new name exists"}
	}
	if err != nil {
		return err
	}
	// What was put under the old key meanwhile is another object, and stays.
	if err := c.s.disk.remove(c.key, still(f)); err != nil && !errors.Is(err, errChanged) {
		return err
	}
	c.stored(o.ETag, nil)
	return nil
}
