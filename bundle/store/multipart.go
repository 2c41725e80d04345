package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"
	"golang.org/x/sync/errgroup"

	"github.com/offbake/offbake/bundle/ufile"
)

const (
	// finishTime bounds how long the service may take to finish an object.
	finishTime = 15 * time.Minute
	// abortTime bounds the cleaning up after a failure, which the failed context must not prevent.
	abortTime = 10 * time.Second
)

// restartError says that what was done so far is of no use, but that doing it again from the start may work.
type restartError struct{ err error }

func (e *restartError) Error() string { return e.err.Error() }
func (e *restartError) Unwrap() error { return e.err }

// multipart is the upload of one large object.
type multipart struct {
	s     *ufileStore
	u     Upload
	entry entry          // the upload as the journal has it
	have  map[int]string // ETags of the parts that an earlier run sent
	etags []string       // of all parts
	lost  bool           // the answer to a request for an upload: there may be one that nobody knows
}

// putParts sends a large object: what an earlier run sent of it is kept. Nothing is at the key before all is there and
// the sha256 of what was read is the one that was promised.
func (s *ufileStore) putParts(ctx context.Context, key string, u Upload) error {
	m := &multipart{s: s, u: u, entry: entry{
		Endpoint: s.base.String(), Bucket: s.bucket, Key: key, Size: u.Size, SHA256: u.SHA256}}
	if err := m.begin(ctx); err != nil {
		return err
	}
	err := m.send(ctx)
	if err == nil {
		err = m.finish(ctx)
	}
	if err != nil {
		if s.journal.dir == "" || !resumable(err) {
			err = also(err, m.abandon(ctx))
		}
		return err
	}
	if m.lost && m.sweep(ctx) != nil {
		// The object is whole all the same. The intent stays, and the next push ends what there is.
		m.entry.UploadID = ""
		return s.journal.save(m.entry)
	}
	return s.journal.remove(m.entry)
}

// resumable says whether a later run can go on where this one failed.
func resumable(err error) bool {
	var altered *AlteredError
	var again *restartError
	return !errors.As(err, &altered) && !errors.As(err, &again)
}

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
	m := &multipart{s: s, entry: entry{Endpoint: s.base.String(), Bucket: s.bucket, Key: key}}
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

// sweep ends all uploads to the key. Nobody else works on it: Puts of one key take turns, and what is pushed is immutable.
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
		return &restartError{fmt.Errorf("starting an upload: got the ID %.60q and parts of %d bytes", state.UploadID, state.BlkSize)}
	}
	m.entry.UploadID, m.entry.BlkSize = state.UploadID, state.BlkSize
	return nil
}

// maxBlock is the largest part that the service's documentation shows; a larger one would take too much memory.
const maxBlock = 64 << 20

// send sends the parts that are not there yet. The source is read once and in order, to be hashed; parts are sent
// side by side.
func (m *multipart) send(ctx context.Context) error {
	blk := int64(m.entry.BlkSize)
	m.etags = make([]string, (m.u.Size+blk-1)/blk)
	sum := newBodySum(m.u)
	g, ctx := errgroup.WithContext(ctx)
	read := func() error {
		for n := range m.etags {
			offset := int64(n) * blk
			buf, err := m.s.slot(ctx, int(min(blk, m.u.Size-offset)))
			if err != nil {
				return err
			}
			if err := readPart(m.u, offset, buf); err != nil {
				m.s.release(buf)
				return err
			}
			sum.Write(buf)
			g.Go(func() error {
				defer m.s.release(buf)
				return m.part(ctx, n, buf)
			})
		}
		return sum.check()
	}
	g.Go(read)
	return g.Wait()
}

// part sends one part unless it is there.
func (m *multipart) part(ctx context.Context, n int, data []byte) error {
	want := ufile.PartETag(data)
	m.etags[n] = want
	if got, ok := m.have[n]; ok {
		if got != want {
			return &restartError{fmt.Errorf("part %d: the store has ETag %.40q, want %q", n, got, want)}
		}
		return nil
	}
	return m.s.retry(ctx, func() error {
		got, err := m.sendPart(ctx, n, data)
		var e *ufile.Error
		switch {
		case errors.As(err, &e) && e.RetCode == ufile.DuplicatePart:
			return m.confirm(ctx, n, want)
		case errors.As(err, &e) && e.Status == http.StatusNotFound:
			return &restartError{err}
		case err != nil:
			return err
		case got != "" && got != want:
			return &restartError{fmt.Errorf("part %d: store answered ETag %.40q, want %q", n, got, want)}
		}
		return nil
	})
}

func (m *multipart) sendPart(ctx context.Context, n int, data []byte) (etag string, err error) {
	state, err := m.s.state(ctx, m.entry)
	if err != nil {
		return "", err
	}
	req, err := m.s.request(ctx, nil)
	if err != nil {
		return "", err
	}
	err = answer(ctx, req, req.UploadPart(bytes.NewBuffer(data), state, n))
	return state.Etags[n], err
}

// confirm finds out whether the part that is there already is the one that was sent: the answer to an earlier try was
// lost. The service may leave part 0 out of its list; Finish will tell then.
func (m *multipart) confirm(ctx context.Context, n int, want string) error {
	have, err := m.s.parts(ctx, m.entry.UploadID, max(n-1, 0))
	if err != nil {
		return err
	}
	got, ok := have[n]
	switch {
	case ok && got != want:
		return &restartError{fmt.Errorf("part %d: the store has ETag %.40q, want %q", n, got, want)}
	case !ok && n > 0:
		return &restartError{fmt.Errorf("part %d: the store has it and does not list it", n)}
	}
	return nil
}

// state is the SDK's handle of an upload that runs. It has no way to make one but to start an upload, so its request
// is answered here, from the journal. One is not shared: its ETags cannot be read while others write them.
func (s *ufileStore) state(ctx context.Context, e entry) (*ufsdk.MultipartState, error) {
	body, err := json.Marshal(map[string]any{"UploadId": e.UploadID, "BlkSize": e.BlkSize})
	if err != nil {
		return nil, err
	}
	req, err := s.requestBy(ctx, &http.Client{Transport: cannedAnswer(body)}, nil)
	if err != nil {
		return nil, err
	}
	return req.InitiateMultipartUpload(e.Key, contentType)
}

// cannedAnswer answers every request with 200 and itself, without a network.
type cannedAnswer []byte

func (a cannedAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(a)), ContentLength: int64(len(a)), Request: req,
	}, nil
}

// parts lists the ETags of an upload's parts, from number first on where the service understands the marker so.
func (s *ufileStore) parts(ctx context.Context, id string, first int) (map[int]string, error) {
	have := map[int]string{}
	for marker := first; ; {
		var list ufsdk.ListPartsResponse
		_, err := s.try(ctx, nil, func(req *ufsdk.UFileRequest) (err error) {
			list, err = req.ListParts(id, ufile.MaxList, marker)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("listing parts: %w", err)
		}
		for _, p := range list.Parts {
			have[int(p.PartNum)] = strings.Trim(p.Etag, `"`)
		}
		next := int(list.NextPartNumberMarker)
		if !list.IsTruncated || len(list.Parts) == 0 || next <= marker {
			return have, nil
		}
		marker = next
	}
}

// finish makes the object of the parts, and looks at what came of it: also where the answer to it was lost.
func (m *multipart) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	return m.s.retry(ctx, func() error {
		state, err := m.s.state(ctx, m.entry)
		if err != nil {
			return err
		}
		for n, etag := range m.etags {
			state.Etags[n] = etag
		}
		req, err := m.s.request(ctx, metaHeader(m.u))
		if err != nil {
			return err
		}
		failed := answer(ctx, req, req.FinishMultipartUpload(state))
		o, err := m.s.head(ctx, m.entry.Key)
		if err == nil {
			err = m.check(o)
		}
		var e *ufile.Error
		switch {
		case err == nil:
			return nil
		case errors.As(failed, &e) && e.Status < 500:
			return &restartError{failed} // the upload is gone, or holds other parts
		case failed != nil:
			return failed
		}
		return fmt.Errorf("looking at the finished object: %w", err)
	})
}

// check compares the object with what was sent. ETags are comparable where parts are their blocks.
func (m *multipart) check(o Object) error {
	want := o.ETag
	if m.entry.BlkSize == ufile.BlockSize {
		var blocks ufile.Blocks
		for _, etag := range m.etags {
			digest, err := ufile.ParsePartETag(etag)
			if err != nil {
				return err
			}
			blocks.Add(digest)
		}
		want = blocks.ETag()
	}
	switch {
	case o.Size != m.u.Size:
		return &restartError{fmt.Errorf("got %d bytes, want %d", o.Size, m.u.Size)}
	case o.ETag != want:
		return &restartError{fmt.Errorf("got ETag %.60q, want %q", o.ETag, want)}
	case o.SHA256 != m.u.SHA256 && (o.SHA256 != "" || m.entry.BlkSize != ufile.BlockSize):
		return &restartError{fmt.Errorf("got sha256 %q in its metadata, want %s", o.SHA256, m.u.SHA256)}
	}
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
		_, err = s.try(ctx, nil, func(req *ufsdk.UFileRequest) error { return req.AbortMultipartUpload(state) })
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
