package ucloud

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/offbake/offbake/internal/transport"
)

// errTooLong says that the time of a poll was over.
var errTooLong = errors.New("it took too long")

// limitError ends the context of one poll; which one, its address tells.
type limitError struct{ limit time.Duration }

func (e *limitError) Error() string { return "it took longer than " + e.limit.String() }

// poll looks until look says that it is done or fails, or for limit; then the error is errTooLong. It looks at once,
// soon again, and ever less often.
func (c *Cloud) poll(ctx context.Context, limit time.Duration, look func(context.Context) (bool, error)) error {
	over := &limitError{limit}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, over)
	defer cancel()
	for wait := c.patience.Poll; ; wait = min(wait*3/2, 100*c.patience.Poll) {
		done, err := look(ctx)
		if !done && err == nil {
			if err = transport.Sleep(ctx, wait/2+rand.N(wait/2+1)); err == nil {
				continue
			}
		}
		if errors.Is(err, over) || passing(err) && errors.Is(context.Cause(ctx), over) {
			return errTooLong
		}
		return err
	}
}

// expect looks until it finds something, or fails, or until that time. The last look begins after it.
func expect[T any](ctx context.Context, c *Cloud, until time.Time, look func(context.Context) ([]T, error)) ([]T, error) {
	for wait := c.patience.Poll; ; wait = min(wait*3/2, 100*c.patience.Poll) {
		last := !time.Now().Before(until)
		list, err := look(ctx)
		if last || err != nil || len(list) > 0 {
			return list, err
		}
		if err := transport.Sleep(ctx, min(wait, time.Until(until))); err != nil {
			return nil, err
		}
	}
}
