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

// finishTime bounds how long the service may take to finish an object.
const finishTime = 15 * time.Minute

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
	m := &multipart{s: s, u: u, entry: s.entry(key, u)}
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
		err := s.try(ctx, nil, func(req *ufsdk.UFileRequest) (err error) {
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
	var err error
	switch {
	case o.SHA256 != m.u.SHA256 && (o.SHA256 != "" || m.entry.BlkSize != ufile.BlockSize):
		return &restartError{fmt.Errorf("got sha256 %q in its metadata, want %s", o.SHA256, m.u.SHA256)}
	case o.Size != m.u.Size:
		err = fmt.Errorf("got %d bytes, want %d", o.Size, m.u.Size)
	case o.ETag != want:
		err = fmt.Errorf("got ETag %.60q, want %q", o.ETag, want)
	}
	if err != nil {
		return &restartError{&corruptError{err}}
	}
	return nil
}
