package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
)

// contentType is that of every object: it is signed, and the SDK's own guess is wrong for short files.
const contentType = "application/octet-stream"

func (s *ufileStore) Put(ctx context.Context, u Upload) error {
	if err := s.put(ctx, u); err != nil {
		return fmt.Errorf("storing %q: %w", u.Key, err)
	}
	return nil
}

// corruptError says that the store took other bytes than were sent.
type corruptError struct{ err error }

func (e *corruptError) Error() string { return e.err.Error() }
func (e *corruptError) Unwrap() error { return e.err }

func (s *ufileStore) put(ctx context.Context, u Upload) error {
	key, err := s.key(u.Key)
	if err != nil {
		return err
	}
	err = s.putKey(ctx, key, u)
	var corrupt *corruptError
	if errors.As(err, &corrupt) { // it claims to be what it is not: a later push would pass it over
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
		defer cancel()
		return also(err, s.delete(ctx, key))
	}
	return err
}

func (s *ufileStore) putKey(ctx context.Context, key string, u Upload) error {
	if u.Size <= ufile.BlockSize {
		return s.putWhole(ctx, key, u)
	}
	unlock, waited, err := s.journal.lock(ctx, s.entry(key, u))
	if err != nil {
		return err
	}
	defer unlock()
	if waited { // for another process, which may have put the same
		if o, err := s.head(ctx, key); err == nil && o.Size == u.Size && o.SHA256 == u.SHA256 {
			return nil
		}
	}
	for round := 1; ; round++ {
		err := s.putParts(ctx, key, u)
		var again *restartError
		if round == 2 || !errors.As(err, &again) {
			return err
		}
	}
}

// slot waits for leave to send size bytes, and gives the room for them.
func (s *ufileStore) slot(ctx context.Context, size int) ([]byte, error) {
	select {
	case buf := <-s.slots:
		if cap(buf) < size {
			buf = make([]byte, max(size, ufile.BlockSize))
		}
		return buf[:size], nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *ufileStore) release(buf []byte) { s.slots <- buf }

// putWhole sends a small object in one request.
func (s *ufileStore) putWhole(ctx context.Context, key string, u Upload) error {
	buf, err := s.slot(ctx, int(u.Size))
	if err != nil {
		return err
	}
	defer s.release(buf)
	if err := readPart(u, 0, buf); err != nil {
		return err
	}
	sum := newBodySum(u)
	sum.Write(buf)
	if err := sum.check(); err != nil {
		return err
	}
	want, _, _ := ufile.ETagOf(bytes.NewReader(buf)) // reading memory does not fail
	return s.try(ctx, metaHeader(u), func(req *ufsdk.UFileRequest) error {
		if err := req.PutFileWithData(key, contentType, buf); err != nil {
			return err
		}
		if got := strings.Trim(req.LastResponseHeader.Get("ETag"), `"`); got != "" && got != want {
			return &corruptError{fmt.Errorf("store answered ETag %.60q, want %q", got, want)}
		}
		return nil
	})
}

func metaHeader(u Upload) http.Header { return http.Header{ufile.MetaSHA256: {u.SHA256}} }

// readPart fills buf from offset on; a source that ends before is altered.
func readPart(u Upload, offset int64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	n, err := io.ReadFull(io.NewSectionReader(u.Body, offset, int64(len(buf))), buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &AlteredError{Got: fmt.Sprintf("%d bytes", offset+int64(n)), Want: fmt.Sprintf("%d bytes", u.Size)}
	}
	return err
}
