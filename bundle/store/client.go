package store

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
)

// ufileStore is a Store in UFile, on ufile-gosdk. Of the SDK it uses single requests only: its own upload loops finish
// truncated objects as a success (facts in docs/adr).
type ufileStore struct {
	bucket, prefix string
	base           *url.URL
	keys           ufile.KeyPair
	client         *http.Client // for requests of our own
	sdk            *http.Client // the same, for the SDK's
	journal        journal
	tries          int
	backoff        time.Duration
	slots          chan []byte // room for a part; whoever holds one may send
}

const (
	defaultJobs  = 8
	defaultTries = 5
	// stall is how long the service may say nothing: finishing a large object takes it longer than other servers.
	stall = 5 * time.Minute
)

func openUFile(bucket, prefix string, o Options) (*ufileStore, error) {
	base, err := endpoint(o.Endpoint, bucket)
	if err != nil {
		return nil, err
	}
	if (o.PublicKey == "") != (o.PrivateKey == "") {
		return nil, errors.New("key pair: one of the two keys is missing")
	}
	client := o.Client
	if client == nil {
		client = transport.New(transport.Options{Tries: 1, Stall: stall})
	}
	s := &ufileStore{
		bucket: bucket, prefix: prefix, base: base,
		keys:    ufile.KeyPair{Public: o.PublicKey, Private: o.PrivateKey},
		client:  client,
		sdk:     &http.Client{Transport: &sdkTransport{transportOf(client)}, CheckRedirect: noRedirect},
		journal: journal{o.Journal},
		tries:   o.Tries, backoff: o.Backoff,
		slots: make(chan []byte, max(o.Jobs, 0)),
	}
	if s.tries <= 0 {
		s.tries = defaultTries
	}
	if o.Jobs <= 0 {
		s.slots = make(chan []byte, defaultJobs)
	}
	for range cap(s.slots) {
		s.slots <- nil // filled at first use
	}
	return s, nil
}

func (s *ufileStore) String() string {
	u := url.URL{Scheme: schemeUFile, Host: s.bucket}
	if s.prefix != "" {
		u.Path = "/" + s.prefix
	}
	return u.String()
}

// key is the object of a path below the store's prefix.
func (s *ufileStore) key(path string) (string, error) {
	if err := checkKey(path); err != nil {
		return "", err
	}
	if s.prefix != "" {
		path = s.prefix + "/" + path
	}
	key, err := ufile.EscapeKey(path)
	if err == nil {
		err = ufile.CheckKey(key) // its length
	}
	return key, err
}

func transportOf(c *http.Client) http.RoundTripper {
	if c.Transport == nil {
		return http.DefaultTransport
	}
	return c.Transport
}

// noRedirect: the service does not redirect, and a signature is for one host.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// request makes one SDK request object: they are for one goroutine and one use each, since their last answer stays in
// them, and NewFileRequest writes to its Config.
func (s *ufileStore) request(ctx context.Context, header http.Header) (*ufsdk.UFileRequest, error) {
	return s.requestBy(ctx, s.sdk, header)
}

func (s *ufileStore) requestBy(ctx context.Context, client *http.Client, header http.Header) (*ufsdk.UFileRequest, error) {
	config := ufsdk.Config{
		PublicKey: s.keys.Public, PrivateKey: s.keys.Private, BucketName: s.bucket, Endpoint: s.base.String(),
	}
	req, err := ufsdk.NewFileRequest(&config, client)
	if err != nil {
		return nil, err
	}
	req.Context = transport.Once(ctx)
	req.RequestHeader = header
	return req, nil
}

type sdkCall func(*ufsdk.UFileRequest) error

// try runs one SDK call until it succeeds, its error is final, or the tries are used up.
func (s *ufileStore) try(ctx context.Context, header http.Header, call sdkCall) error {
	return s.retry(ctx, func() error {
		req, err := s.request(ctx, header)
		if err != nil {
			return err
		}
		return answer(ctx, req, call(req))
	})
}

// retry repeats what failed for a reason that may pass.
func (s *ufileStore) retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || try >= s.tries || ctx.Err() != nil || !temporary(err) {
			return err
		}
		if err := transport.Sleep(ctx, transport.Delay(s.backoff, try)); err != nil {
			return err
		}
	}
}

// answer says what became of a request: the SDK's errors do not tell an answer from a failure to get one.
func answer(ctx context.Context, req *ufsdk.UFileRequest, err error) error {
	if err == nil {
		return nil
	}
	if status := req.LastResponseStatus; status != 0 && !ufsdk.VerifyHTTPCode(status) {
		return ufile.ParseError(status, req.LastResponseBody)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return transport.Scrub(err)
}

// temporary says whether the same request may succeed later.
func temporary(err error) bool {
	var e *ufile.Error
	if errors.As(err, &e) {
		switch e.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusConflict:
			return true
		}
		return e.Status >= 500 && e.Status != http.StatusNotImplemented && e.RetCode != ufile.DuplicatePart
	}
	var altered *AlteredError
	var changed *restartError
	return !errors.As(err, &altered) && !errors.As(err, &changed) && transport.Temporary(err)
}
