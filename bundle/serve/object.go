package serve

import (
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

// get answers GET and HEAD of an object, with Range and the conditions of RFC 9110.
func (c *call) get() error {
	f, o, err := c.s.disk.open(c.key)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("ETag", quoteETag(o.ETag))
	h.Set("Content-Type", o.Type)
	h.Set("X-Ufile-Storage-Class", "STANDARD")
	for name, value := range o.Meta {
		h.Set(ufile.MetaPrefix+name, value)
	}
	if name := c.query.Get("ufileattname"); name != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	http.ServeContent(c.w, c.r, "", time.Unix(o.Modified, 0), io.NewSectionReader(f, 0, o.Size))
	return nil
}

// put stores an object whole: the bytes are hashed while they pass, and appear by one rename.
func (c *call) put() error {
	most := int64(ufile.MaxObject)
	if c.s.o.Strict {
		most = ufile.MaxPut
	}
	size, err := c.bodySize(most)
	if err != nil {
		return err
	}
	o, sum, err := describe(c.key, c.r.Header)
	if err != nil {
		return err
	}
	f, err := c.s.disk.temp()
	if err != nil {
		return err
	}
	defer discard(f)
	var etag ufile.ETag
	if err := copyExactly(sum.tee(io.MultiWriter(f, &etag)), c.body, size); err != nil {
		return err
	}
	if err := sum.check(); err != nil {
		return err
	}
	o.Size, o.ETag = size, etag.String()
	if err := c.s.disk.commit(f, o, nil); err != nil {
		return err
	}
	c.stored(o.ETag, nil)
	return nil
}

// describe is the object that headers describe, and the check of its body.
func describe(key string, h http.Header) (object, *contentMD5, error) {
	meta, err := metaOf(h)
	if err != nil {
		return object{}, nil, err
	}
	sum, err := newContentMD5(h.Get("Content-Md5"))
	if err != nil {
		return object{}, nil, err
	}
	o := object{Key: key, Type: h.Get("Content-Type"), Meta: meta, Modified: time.Now().Unix()}
	if o.Type == "" {
		o.Type = defaultType
	}
	return o, sum, nil
}

// stored answers a write.
func (c *call) stored(etag string, body []byte) {
	c.w.Header().Set("ETag", quoteETag(etag))
	c.sendJSON(body)
}

// sendJSON answers 200 with a length; a nil body is empty.
func (c *call) sendJSON(body []byte) {
	h := c.w.Header()
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", itoa(int64(len(body))))
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(body) // the peer may be gone; what it asked for is done
}

func (c *call) remove() error {
	err := c.s.disk.remove(c.key, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound()
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
