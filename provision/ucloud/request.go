package ucloud

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uaccount"
	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	"github.com/ucloud/ucloud-sdk-go/services/unet"
	"github.com/ucloud/ucloud-sdk-go/services/vpc"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"
	"github.com/ucloud/ucloud-sdk-go/ucloud/auth"
	"github.com/ucloud/ucloud-sdk-go/ucloud/log"

	"github.com/offbake/offbake/internal/transport"
)

const (
	// tries is how often a request is sent at most that failed for a passing reason: some 15 s in all.
	tries = 6
	// grace is how long a request that makes something may go on after its context ended: its answer says what there is
	// to end.
	grace = 5 * time.Second
	// pageSize is the most that DescribeUHostInstance gives at once; it gives 20 unless asked.
	pageSize = 100
	// maxAnswer bounds what is read of an answer; a page of hosts has some 200 kB.
	maxAnswer = 32 << 20
)

// request is one action at one place. send makes it with SDK clients that are its own.
type request[R any] struct {
	action string
	at     place
	send   func(api) (R, error)
	// secrets are parameters that no error may repeat.
	secrets []string
}

// on is a request without secrets.
func on[R any](at place, action string, send func(api) (R, error)) request[R] {
	return request[R]{action: action, at: at, send: send}
}

// api makes SDK clients for one request.
type api struct {
	config     sdk.Config
	credential auth.Credential
	transport  http.RoundTripper
}

func (a api) uhost() *uhost.UHostClient {
	c := uhost.NewClient(&a.config, &a.credential)
	a.prepare(c.Client)
	return c
}

func (a api) vpc() *vpc.VPCClient {
	c := vpc.NewClient(&a.config, &a.credential)
	a.prepare(c.Client)
	return c
}

func (a api) unet() *unet.UNetClient {
	c := unet.NewClient(&a.config, &a.credential)
	a.prepare(c.Client)
	return c
}

func (a api) account() *uaccount.UAccountClient {
	c := uaccount.NewClient(&a.config, &a.credential)
	a.prepare(c.Client)
	return c
}

func (a api) prepare(c *sdk.Client) {
	c.SetTransport(a.transport)
	c.GetLogger().SetOutput(io.Discard) // it is standard output, and at its finest level shows signed bodies
}

// baseURL is where requests to a place go.
func (c *Cloud) baseURL(at place) string { return cmp.Or(c.config.BaseURL, at.api, DefaultBaseURL) }

// api makes what one request to a place needs.
func (c *Cloud) api(ctx context.Context, at place) api {
	a := api{config: sdk.NewConfig(), credential: auth.NewCredential(), transport: &bound{ctx: ctx, next: c.transport}}
	a.config.BaseUrl, a.config.Region, a.config.ProjectId = c.baseURL(at), at.region, at.project
	a.config.Timeout, a.config.LogLevel, a.config.UserAgent = c.patience.Call, log.PanicLevel, "offbake"
	a.credential.PublicKey, a.credential.PrivateKey = c.config.PublicKey, c.config.PrivateKey
	return a
}

// send sends a request once. The error is an *Error.
func send[R any](ctx context.Context, c *Cloud, q request[R]) (R, error) {
	start := time.Now()
	r, err := q.send(c.api(ctx, q.at))
	if err != nil {
		err = c.fault(ctx, q.action, q.at, q.secrets, err)
	}
	if c.config.Verbose {
		outcome := "done"
		if err != nil {
			outcome = err.Error()
		}
		c.say("%s in %s: %s (%v)", q.action, q.at.region, outcome, time.Since(start).Round(time.Millisecond))
	}
	return r, err
}

// ask sends what may be sent again: it changes nothing, or the same however often it is done.
func ask[R any](ctx context.Context, c *Cloud, q request[R]) (R, error) {
	for try := 1; ; try++ {
		r, err := send(ctx, c, q)
		if err == nil || try == tries || ctx.Err() != nil || !passing(err) && !stubbornly(ctx, q.action, err) {
			return r, err
		}
		if transport.Sleep(ctx, transport.Delay(c.patience.Retry, try)) != nil {
			return r, err
		}
	}
}

type stubbornKey struct{}

// stubborn returns a context for taking back what was made: there is nobody else to do it, so that it is tried again
// also after errors that a bake would end with.
func stubborn(ctx context.Context) context.Context {
	return context.WithValue(ctx, stubbornKey{}, true)
}

func stubbornly(ctx context.Context, action string, err error) bool {
	if ctx.Value(stubbornKey{}) == nil || errors.Is(err, transport.ErrBlocked) {
		return false
	}
	if strings.HasPrefix(action, "Describe") {
		return !isMissing(err)
	}
	return final(err) != nil // the others are tried by those who know the state
}

// creation is the making of one thing that must not be made twice.
type creation[R any] struct {
	request[R]
	// find looks for the result under its unique name, once.
	find func(context.Context) (R, bool, error)
}

// create sends what makes a thing, once more only where the answer says that nothing was done, or where it was lost and
// the thing is nowhere to be found. The request itself outlives ctx by some seconds, so that Ctrl-C does not lose the
// answer that says what there is to end. A *lostError says that something may be there all the same.
func create[R any](ctx context.Context, c *Cloud, q creation[R]) (R, error) {
	lost := false
	for try := 1; ; try++ {
		r, err := createOnce(ctx, c, q.request)
		if err == nil {
			return r, nil
		}
		if unclear(err) {
			found, ok, findErr := settle(ctx, c, q.find)
			if ok {
				return found, nil
			}
			lost = true
			if findErr != nil {
				return r, &lostError{err}
			}
		}
		if try == tries || !passing(err) || transport.Sleep(ctx, transport.Delay(c.patience.Retry, try)) != nil {
			if lost {
				err = &lostError{err}
			}
			return r, err
		}
	}
}

func createOnce[R any](ctx context.Context, c *Cloud, q request[R]) (R, error) {
	if ctx.Err() != nil {
		var none R
		return none, &Error{Action: q.action, Region: q.at.region, Err: context.Cause(ctx), ended: true, unsent: true}
	}
	alive, done := outlive(ctx, grace)
	defer done()
	return send(alive, c, q)
}

// settle looks for a thing for as long as a listing may lag behind.
func settle[R any](ctx context.Context, c *Cloud, find func(context.Context) (R, bool, error)) (R, bool, error) {
	var found R
	var ok bool
	err := c.poll(ctx, c.patience.Seen, func(ctx context.Context) (_ bool, err error) {
		found, ok, err = find(ctx)
		return ok, err
	})
	if errors.Is(err, errTooLong) {
		err = nil
	}
	return found, ok, err
}

// outlive returns a context that ends some time after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	alive, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel(context.Cause(ctx))
		case <-alive.Done():
		}
	})
	return alive, func() { stop(); cancel(context.Canceled) }
}

// bound is a transport for an SDK that knows no contexts. Redirects are refused: they would be followed with a signed
// body to wherever they point.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b *bound) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	release := func() { stop(); cancel(context.Canceled) }
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &boundBody{Reader: io.LimitReader(resp.Body, maxAnswer), body: resp.Body, release: release}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body.Close()
		return nil, &statusError{code: resp.StatusCode}
	}
	return resp, nil
}

type boundBody struct {
	io.Reader
	body    io.Closer
	release func()
}

func (b *boundBody) Close() error {
	defer b.release()
	return b.body.Close()
}

// pages lists all there is, each once. What comes and goes meanwhile shifts the pages: a listing whose total changed is
// made again.
func pages[T any](page func(offset int) ([]T, int, error), id func(T) string) ([]T, error) {
	const again = 4
	for round := 1; ; round++ {
		list, steady, err := onePass(page, id)
		if err != nil || steady || round == again {
			return list, err
		}
	}
}

func onePass[T any](page func(offset int) ([]T, int, error), id func(T) string) (list []T, steady bool, err error) {
	seen := map[string]bool{}
	first := -1
	for offset := 0; ; {
		items, total, err := page(offset)
		if err != nil {
			return nil, false, err
		}
		for _, item := range items {
			if !seen[id(item)] {
				seen[id(item)] = true
				list = append(list, item)
			}
		}
		if first < 0 {
			first = total
		}
		offset += len(items)
		if len(items) == 0 || offset >= total && (total > 0 || len(items) < pageSize) {
			return list, total == first || total == 0, nil
		}
	}
}
