package serve

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// upload finds the upload that the request names. For a request to an object it must be that object's.
func (c *call) upload() (*upload, error) {
	id := c.query.Get("uploadId")
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	u := c.s.uploads[id]
	if u == nil {
		var err error
		if u, err = c.s.disk.loadUpload(id); err != nil {
			return nil, err
		}
		c.s.uploads[id] = u
	}
	if c.key != "" && u.about.Key != c.key {
		return nil, errNoUpload
	}
	return u, nil
}

// forget removes an upload that is gone: from disk first, lest another request loads it again.
func (c *call) forget(u *upload) error {
	if err := c.s.disk.dropUpload(u.about.ID); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	delete(c.s.uploads, u.about.ID)
	return nil
}

func (c *call) initiate() error {
	if _, err := c.bodySize(0); err != nil {
		return err
	}
	o, _, err := describe(c.key, c.r.Header)
	if err != nil {
		return err
	}
	u, err := c.s.disk.newUpload(uploadAbout{Key: o.Key, Type: o.Type, Meta: o.Meta, Started: time.Now().Unix()})
	if err != nil {
		return err
	}
	return c.reply(struct {
		UploadID    string `json:"UploadId"`
		BlkSize     int
		Bucket, Key string
	}{u.about.ID, ufile.BlockSize, c.s.o.Bucket, c.key})
}

// reply answers 200 with JSON.
func (c *call) reply(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.sendJSON(body)
	return nil
}

// putPart takes a part from the request's body.
func (c *call) putPart() error {
	size, err := c.bodySize(math.MaxInt64)
	if err != nil {
		return err
	}
	sum, err := newContentMD5(c.r.Header.Get("Content-Md5"))
	if err != nil {
		return err
	}
	return c.takePart(partBody{r: c.body, size: size, md5: sum})
}

// takePart answers with an empty body: the SDK never reads it, and drops a connection that has one.
func (c *call) takePart(body partBody) error {
	n, err := strconv.ParseUint(c.query.Get("partNumber"), 10, 32)
	if err != nil || n >= ufile.MaxParts {
		return badRequest("part number: got %.20q, want 0 to %d", c.query.Get("partNumber"), ufile.MaxParts-1)
	}
	if body.size > ufile.BlockSize {
		return &ufile.Error{Status: http.StatusBadRequest, RetCode: ufile.BlockTooLarge,
			Message: "content length:" + itoa(body.size) + " larger than block size:" + itoa(ufile.BlockSize)}
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	p, err := u.write(int(n), body)
	if errors.Is(err, errDuplicate) && !c.s.o.Strict {
		p, err = u.again(int(n), body)
	}
	if err != nil {
		return err
	}
	c.stored(p.ETag, nil)
	return nil
}

// maxFinish is the longest list of ETags: 28 characters and a comma for every part.
const maxFinish = 29 * ufile.MaxParts

func (c *call) finish() error {
	size, err := c.bodySize(maxFinish)
	if err != nil {
		return err
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	var list strings.Builder
	if err := copyExactly(&list, c.body, size); err != nil {
		return err
	}
	var etags []string
	if size > 0 {
		etags = strings.Split(list.String(), ",")
	}
	o, err := u.finish(c.s.disk, etags)
	if err != nil {
		return err
	}
	if err := c.forget(u); err != nil { // the object is there; the next start removes the rest
		c.s.o.Log.LogAttrs(c.r.Context(), slog.LevelError, "removing a finished upload", slog.Any("cause", err))
	}
	body, err := json.Marshal(struct {
		Bucket, Key string
		FileSize    int64
	}{c.s.o.Bucket, o.Key, o.Size})
	if err != nil {
		return err
	}
	c.stored(o.ETag, body)
	return nil
}

func (c *call) abort() error {
	u, err := c.upload()
	if err != nil {
		return err
	}
	if err := u.abort(); err != nil {
		return err
	}
	if err := c.forget(u); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
