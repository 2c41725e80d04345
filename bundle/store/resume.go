package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
)

// abortTime bounds the cleaning up after a failure, which the failed context must not prevent.
const abortTime = 10 * time.Second

// maxBlock is the largest part that the service's documentation shows; a larger one would take too much memory.
const maxBlock = 64 << 20

// begin continues the upload that the journal has, or starts one.
func (m *multipart) begin(ctx context.Context) error {
	old, noted, err := m.s.journal.load(m.entry)
	if err != nil {
		return err
	}
	if noted && old.UploadID != "" && old.Size == m.u.Size && old.SHA256 == m.u.SHA256 && old.BlkSize > 0 {
		m.have, err = m.s.parts(ctx, old.UploadID, 0)
		if err == nil {
			m.entry = old
			return nil
		}
		var e *ufile.Error
		if !errors.As(err, &e) || e.Status != http.StatusNotFound {
			return err
		}
	} else if noted {
		if err := m.drop(ctx, old); err != nil {
			return err
		}
	}
	return m.initiate(ctx)
}

// settle ends what the journal has of an object that is in the store: the answer that it is whole was lost, or somebody
// else put it.
func (s *ufileStore) settle(ctx context.Context, path string) error {
	key, err := s.key(path)
	if err != nil {
		return err
	}
	m := &multipart{s: s, entry: s.entry(key, Upload{})}
	if _, noted, err := s.journal.load(m.entry); err != nil || !noted {
		return err
	}
	unlock, _, err := s.journal.lock(ctx, m.entry)
	if err != nil {
		return err
	}
	defer unlock()
	old, noted, err := s.journal.load(m.entry)
	if err != nil || !noted {
		return err
	}
	if err := m.drop(ctx, old); err != nil {
		return fmt.Errorf("ending an earlier upload of %q: %w", path, err)
	}
	return s.journal.remove(m.entry)
}

// drop ends an upload that is of no use: by its ID, or by its key where the ID never arrived.
func (m *multipart) drop(ctx context.Context, old entry) error {
	if old.UploadID == "" {
		m.lost = true // a late one may still appear: swept again when the object is whole
		return m.sweep(ctx)
	}
	return m.s.abort(ctx, old)
}

// sweep ends all uploads to the key. On this machine nobody else works on it, as long as all share a journal; another
// machine's push of the same file would have to start again.
func (m *multipart) sweep(ctx context.Context) error {
	ids, err := m.s.uploads(ctx, m.entry.Key)
	var e *ufile.Error
	if errors.As(err, &e) && !temporary(err) {
		return nil // not every service and key may ask; it drops old uploads by itself
	}
	if err != nil {
		return fmt.Errorf("looking for unfinished uploads: %w", err)
	}
	for _, id := range ids {
		e := m.entry
		e.UploadID = id
		if err := m.s.abort(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// initiate starts an upload. The intent is noted first: should the answer be lost, the upload is found by its key.
func (m *multipart) initiate(ctx context.Context) error {
	if err := m.s.journal.save(m.entry); err != nil {
		return err
	}
	err := m.s.retry(ctx, func() error {
		if m.lost {
			if err := m.sweep(ctx); err != nil {
				return err
			}
		}
		err := m.start(ctx)
		m.lost = m.lost || err != nil && (temporary(err) || ctx.Err() != nil)
		return err
	})
	switch {
	case err == nil:
		return m.s.journal.save(m.entry)
	case !m.lost:
		return also(err, m.s.journal.remove(m.entry))
	case m.s.journal.dir == "":
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
		defer cancel()
		return also(err, m.sweep(ctx))
	}
	return err // the next Put of this key finds the intent
}

func (m *multipart) start(ctx context.Context) error {
	req, err := m.s.request(ctx, metaHeader(m.u))
	if err != nil {
		return err
	}
	state, err := req.InitiateMultipartUpload(m.entry.Key, contentType)
	if err := answer(ctx, req, err); err != nil {
		return err
	}
	if state.UploadID == "" || state.BlkSize <= 0 || state.BlkSize > maxBlock {
		return &restartError{fmt.Errorf("starting an upload: got the ID %.60q and parts of %d bytes",
			state.UploadID, state.BlkSize)}
	}
	m.entry.UploadID, m.entry.BlkSize = state.UploadID, state.BlkSize
	return nil
}

// abandon ends the upload when it will not be resumed, also after ctx has ended.
func (m *multipart) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if err := m.s.abort(ctx, m.entry); err != nil {
		return err
	}
	return m.s.journal.remove(m.entry)
}

// abort ends an upload; one that is gone is ended.
func (s *ufileStore) abort(ctx context.Context, e entry) error {
	state, err := s.state(ctx, e)
	if err == nil {
		err = s.try(ctx, nil, func(req *ufsdk.UFileRequest) error { return req.AbortMultipartUpload(state) })
	}
	var answered *ufile.Error
	if errors.As(err, &answered) && answered.Status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("aborting an upload: %w", err)
	}
	return nil
}
