package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
)

func (s *ufileStore) Head(ctx context.Context, path string) (Object, error) {
	key, err := s.key(path)
	if err != nil {
		return Object{}, fmt.Errorf("describing %q: %w", path, err)
	}
	o, err := s.head(ctx, key)
	if err != nil {
		return Object{}, fmt.Errorf("describing %q: %w", path, err)
	}
	o.Key = path
	return o, nil
}

func (s *ufileStore) head(ctx context.Context, key string) (Object, error) {
	var header http.Header
	err := s.retry(ctx, func() error {
		resp, err := s.send(ctx, http.MethodHead, key, 0)
		if err != nil {
			return err
		}
		header = resp.Header
		return resp.Body.Close()
	})
	if err != nil {
		return Object{}, err
	}
	o := Object{Key: key, ETag: strings.Trim(header.Get("ETag"), `"`), SHA256: asSHA256(header.Get(ufile.MetaSHA256))}
	if o.Size, err = strconv.ParseInt(header.Get("Content-Length"), 10, 64); err != nil || o.Size < 0 {
		return Object{}, fmt.Errorf("content length: got %.40q, want a number", header.Get("Content-Length"))
	}
	return o, nil
}

// asSHA256 is text if it is a sha256 in lower-case hex, else "".
func asSHA256(text string) string {
	if len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}

// send makes one request of our own: HEAD and GET go to public buckets without a key too, and GET by the SDK would
// not resume. The answer is 200, or 206 from offset on; everything else is an error.
func (s *ufileStore) send(ctx context.Context, method, key string, offset int64) (*http.Response, error) {
	u := *s.base
	u.Path = "/" + key
	req, err := http.NewRequestWithContext(transport.Once(ctx), method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	s.sign(req, key)
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := transport.Do(s.client, req)
	if err != nil {
		return nil, err
	}
	if err := checkAnswer(resp, offset); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// sign signs a request of our own, when there is a key. Listings are signed with an empty key.
func (s *ufileStore) sign(req *http.Request, key string) {
	if s.keys.Public != "" {
		req.Header.Set("Authorization", s.keys.Authorization(ufile.Request{
			Method: req.Method, Bucket: s.bucket, Key: key, Header: req.Header}))
	}
}

func checkAnswer(resp *http.Response, offset int64) error {
	switch {
	case resp.StatusCode == http.StatusOK && offset == 0:
		return nil
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		if got, want := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset); !strings.HasPrefix(got, want) {
			return fmt.Errorf("content range: got %.60q, want %q…", got, want)
		}
		return nil
	case resp.StatusCode == http.StatusOK:
		return fmt.Errorf("got the object from its start, want it from byte %d", offset)
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return &ufile.Error{Status: resp.StatusCode}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, ufile.MaxErrorBody)) // what there is of it
	return ufile.ParseError(resp.StatusCode, body)
}

func (s *ufileStore) Get(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	key, err := s.key(path)
	if err == nil && offset < 0 {
		err = fmt.Errorf("offset: got %d", offset)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	r := &resumingBody{s: s, ctx: ctx, key: key, path: path, offset: offset}
	if err := s.retry(ctx, r.open); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	return r, nil
}

// resumingBody is an object's content; where a connection breaks, it asks for the rest.
type resumingBody struct {
	s         *ufileStore
	ctx       context.Context
	key, path string
	offset    int64  // of the next byte
	etag      string // of what was opened first
	body      io.ReadCloser
	broken    int // how often in a row
}

func (r *resumingBody) open() error {
	resp, err := r.s.send(r.ctx, http.MethodGet, r.key, r.offset)
	var e *ufile.Error
	if errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
		return r.atEnd(err)
	}
	if err != nil {
		return err
	}
	etag := resp.Header.Get("ETag")
	if r.etag != "" && etag != r.etag {
		resp.Body.Close()
		return &restartError{fmt.Errorf("replaced while it was read: got ETag %.60q, want %q", etag, r.etag)}
	}
	r.etag, r.body = etag, resp.Body
	return nil
}

// atEnd makes an offset that is the object's size an empty rest, as in a file; HTTP has no such range.
func (r *resumingBody) atEnd(refused error) error {
	o, err := r.s.head(r.ctx, r.key)
	if err != nil {
		return err
	}
	if o.Size != r.offset {
		return refused
	}
	r.body = http.NoBody
	return nil
}

func (r *resumingBody) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.broken = 0
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		r.broken++
		if r.ctx.Err() != nil {
			return n, context.Cause(r.ctx)
		}
		if r.broken >= r.s.tries || !temporary(err) {
			return n, fmt.Errorf("reading %q at byte %d: %w", r.path, r.offset, transport.Scrub(err))
		}
		r.body.Close()
		if err := r.s.retry(r.ctx, r.open); err != nil {
			r.body = http.NoBody
			return n, fmt.Errorf("reading %q at byte %d: %w", r.path, r.offset, err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (r *resumingBody) Close() error { return r.body.Close() }

func (s *ufileStore) Delete(ctx context.Context, path string) error {
	key, err := s.key(path)
	if err == nil {
		err = s.delete(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("deleting %q: %w", path, err)
	}
	return nil
}

func (s *ufileStore) delete(ctx context.Context, key string) error {
	err := s.try(ctx, nil, func(req *ufsdk.UFileRequest) error { return req.DeleteFile(key) })
	var e *ufile.Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound && e.RetCode != ufile.BucketNotExist {
		return nil
	}
	return err
}

// URL is presigned when the store has a key, and plain otherwise.
func (s *ufileStore) URL(ctx context.Context, path string, ttl time.Duration) (string, error) {
	key, err := s.key(path)
	if err != nil {
		return "", fmt.Errorf("addressing %q: %w", path, err)
	}
	if s.keys.Public == "" {
		u := *s.base
		u.Path = "/" + key
		return u.String(), nil
	}
	req, err := s.request(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("addressing %q: %w", path, err)
	}
	return req.GetPrivateURL(key, ttl), nil
}
