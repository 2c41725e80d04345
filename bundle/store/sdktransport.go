package store

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/offbake/offbake/bundle/ufile"
)

// maxAnswer bounds what the SDK reads into memory. A page of a listing is below 1 MiB, or 8 with all metadata.
const maxAnswer = 16 << 20

// sdkTransport makes up for what the SDK lacks: it reads answers without a bound, drops those of parts unread, so that
// their connections are lost (ufile-gosdk issue 50), and returns while net/http may still read the buffer it sends.
type sdkTransport struct{ next http.RoundTripper }

func (t *sdkTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sending sync.WaitGroup
	if req.Body != nil && req.Body != http.NoBody {
		tracked := req.Clone(req.Context())
		tracked.Body = track(req.Body, &sending)
		if again := req.GetBody; again != nil {
			tracked.GetBody = func() (io.ReadCloser, error) {
				body, err := again()
				if err != nil {
					return nil, err
				}
				return track(body, &sending), nil
			}
		}
		req = tracked
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		sending.Wait()
		return nil, err
	}
	resp.Body = &answerBody{body: resp.Body, left: maxAnswer, sending: &sending}
	return resp, nil
}

// sentBody is a request's body. A transport closes it when it reads no more, which may be after RoundTrip returned: when
// the server answers before it has all.
type sentBody struct {
	io.ReadCloser
	closed func() error
}

func track(body io.ReadCloser, sending *sync.WaitGroup) io.ReadCloser {
	sending.Add(1)
	return &sentBody{body, sync.OnceValue(func() error {
		defer sending.Done()
		return body.Close()
	})}
}

func (b *sentBody) Close() error { return b.closed() }

// answerBody is the body of an answer; at its end, or when it is closed, the request's body is at rest.
type answerBody struct {
	body    io.ReadCloser
	left    int64
	sending *sync.WaitGroup
}

var errLongAnswer = errors.New("answer is too long")

func (b *answerBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongAnswer
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil {
		b.sending.Wait()
	}
	return n, err
}

func (b *answerBody) Close() error {
	io.CopyN(io.Discard, b.body, ufile.MaxErrorBody) // only for the connection's sake
	err := b.body.Close()
	b.sending.Wait()
	return err
}
