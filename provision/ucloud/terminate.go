package ucloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"
)

// Terminate ends every host of that name, releases its address and waits until it is gone. It is not shut down first:
// the power goes, for nobody will read its disk.
func (c *Cloud) Terminate(ctx context.Context, name string) error {
	_, err := c.endCalled(stubborn(ctx), c.placeOf(name), name, time.Time{})
	return err
}

// Discard ends the host and removes every image whose description names it, also half made ones, there and in the places
// of copyTo (REGION or REGION/PROJECT).
//
// What a process was making when it was killed may still be on its way: unless all that this process asked for was
// answered, it is only believed to be not there when Patience.Seen has passed.
func (c *Cloud) Discard(ctx context.Context, name string, copyTo []string) error {
	ctx = stubborn(ctx)
	at := c.placeOf(name)
	places := []place{at}
	var errs []error
	for _, entry := range copyTo {
		to, err := copyPlace(at, entry)
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for copies: %w", err))
			continue
		}
		places = append(places, to)
	}
	until := time.Time{}
	if !c.isSure(name) {
		until = time.Now().Add(c.patience.Seen)
	}
	ended, err := c.endCalled(ctx, at, name, until)
	if len(ended) > 0 && !slices.ContainsFunc(ended, mayBeCaptured) {
		until = time.Time{}
	}
	errs = append(errs, err)
	// The copies go first: they are of no use without the image, and it may be bound to them while they are made.
	for i := len(places) - 1; i >= 0; i-- {
		errs = append(errs, c.removeImagesOf(ctx, places[i], name, until))
	}
	return errors.Join(errs...)
}

// mayBeCaptured reports whether an image of the host may have been asked for: that waits until the host is listed as off.
func mayBeCaptured(h hostSet) bool {
	return !slices.Contains([]string{"Initializing", "Starting", hostRunning, "Install Fail"}, h.State)
}

// endCalled ends every host of that name and returns what they were. Until that time there may be one that listings do
// not have yet.
func (c *Cloud) endCalled(ctx context.Context, at place, name string, until time.Time) ([]hostSet, error) {
	list, err := expect(ctx, c, until, func(ctx context.Context) ([]hostSet, error) {
		return c.hostsCalled(ctx, at, name)
	})
	errs := []error{err}
	for _, h := range list {
		errs = append(errs, c.endHost(ctx, at, name, h.UHostId))
	}
	if err := errors.Join(errs...); err != nil {
		return list, fmt.Errorf("ending host %q: %w", name, err)
	}
	return list, nil
}

// endHost ends one host: whatever state it is in, it is pushed on until it is gone.
func (c *Cloud) endHost(ctx context.Context, at place, name, id string) error {
	state := ""
	var refused error
	push := c.pusher()
	err := c.poll(ctx, c.patience.Gone, func(ctx context.Context) (bool, error) {
		set, ok, err := c.host(ctx, at, id)
		if err != nil || !ok {
			return err == nil, err
		}
		state = set.State
		end := func() error { return c.terminate(ctx, at, id) }
		switch state {
		case hostRunning, "Starting", "Rebooting":
			refused = push(state, 0, func() error {
				if err := c.power(ctx, at, id, false); err == nil || final(err) != nil {
					return err
				}
				return c.power(ctx, at, id, true)
			})
		case "Stopping": // it may do so for ever
			refused = push(state, c.patience.Gone/20, func() error {
				return errors.Join(c.power(ctx, at, id, false), end())
			})
		default:
			refused = push(state, 0, end)
		}
		return false, final(refused)
	})
	if errors.Is(err, errTooLong) {
		err = errors.Join(c.stays(fmt.Sprintf("host %q", name), state), refused)
	}
	return err
}

// stays is the error of what does not go.
func (c *Cloud) stays(what, state string) error {
	return &StateError{What: what, State: state, Want: "it gone", After: c.patience.Gone}
}

// pusher limits how often what a state asks for is done: after some time in that state, and then twenty times in all.
func (c *Cloud) pusher() func(state string, after time.Duration, do func() error) error {
	next := map[string]time.Time{}
	return func(state string, after time.Duration, do func() error) error {
		if _, seen := next[state]; !seen {
			next[state] = time.Now().Add(after)
		}
		if time.Now().Before(next[state]) {
			return nil
		}
		next[state] = time.Now().Add(c.patience.Gone / 20)
		return do()
	}
}

// final returns an error that waiting does not mend. Others are answers to the state that a host or an image is in just
// now (8010, 8856, 8905 and what is not documented), or say that it is gone (or 230, that it is no id), which the next
// look shows.
func final(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.RetCode == 0 {
		return err
	}
	switch e.Kind() {
	case Permission, Signature, Refused, RealName:
		return err
	case Region:
		if e.RetCode != 230 {
			return err
		}
	}
	return nil
}

// stop waits until a host is off, after a clean shutdown if it can be had: one that hangs loses its power, for its disk
// was synced when it was cleaned.
func (c *Cloud) stop(ctx context.Context, h *host) error {
	what, state := fmt.Sprintf("host %q", h.Name()), ""
	wait := func(graceful bool) error {
		push := c.pusher()
		return c.poll(ctx, c.patience.Stop, func(ctx context.Context) (bool, error) {
			set, ok, err := c.host(ctx, h.at, h.id)
			state = set.State
			switch {
			case err != nil:
				return false, err
			case !ok:
				return false, &StateError{What: what, Want: hostStopped}
			case state == hostStopped || graceful && state != hostRunning:
				return state == hostStopped, nil
			}
			return false, final(push(state, 0, func() error { return c.power(ctx, h.at, h.id, graceful) }))
		})
	}
	err := wait(true)
	if errors.Is(err, errTooLong) {
		c.say("warning: host %s did not shut down in %v; its power goes", h.Name(), c.patience.Stop)
		err = wait(false)
	}
	if errors.Is(err, errTooLong) {
		return &StateError{What: what, State: state, Want: hostStopped, After: c.patience.Stop}
	}
	return err
}

// power takes a host's power, or presses its button.
func (c *Cloud) power(ctx context.Context, at place, id string, graceful bool) error {
	var err error
	if graceful {
		_, err = ask(ctx, c, on(at, "StopUHostInstance", func(a api) (*uhost.StopUHostInstanceResponse, error) {
			client := a.uhost()
			return client.StopUHostInstance(stopRequest(client, id))
		}))
		return err
	}
	_, err = ask(ctx, c, on(at, "PoweroffUHostInstance", func(a api) (*uhost.PoweroffUHostInstanceResponse, error) {
		client := a.uhost()
		req := client.NewPoweroffUHostInstanceRequest()
		req.UHostId = sdk.String(id)
		return client.PoweroffUHostInstance(req)
	}))
	return err
}

func (c *Cloud) terminate(ctx context.Context, at place, id string) error {
	_, err := ask(ctx, c, on(at, "TerminateUHostInstance", func(a api) (*uhost.TerminateUHostInstanceResponse, error) {
		client := a.uhost()
		return client.TerminateUHostInstance(terminateRequest(client, id))
	}))
	return err
}

func stopRequest(client *uhost.UHostClient, id string) *uhost.StopUHostInstanceRequest {
	req := client.NewStopUHostInstanceRequest()
	req.UHostId = sdk.String(id)
	return req
}

func terminateRequest(client *uhost.UHostClient, id string) *uhost.TerminateUHostInstanceRequest {
	req := client.NewTerminateUHostInstanceRequest()
	req.UHostId, req.ReleaseEIP, req.ReleaseUDisk = sdk.String(id), sdk.Bool(true), sdk.Bool(true)
	return req
}

// Orphan is a host that offbake made, of some run on some machine.
type Orphan struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Region  string    `json:"region"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
}

// Orphans lists the target's hosts with our tag and a name of ours that are at least so old: a run's that was killed, or
// one's that is at work. Which, only their owner knows; Terminate takes a name.
func (c *Cloud) Orphans(ctx context.Context, olderThan time.Duration) ([]Orphan, error) {
	list, err := c.hosts(ctx, c.target, hostQuery{tag: tag})
	if err != nil {
		return nil, fmt.Errorf("listing hosts: %w", err)
	}
	out := []Orphan{}
	for _, h := range list {
		created := time.Unix(int64(h.CreateTime), 0).UTC()
		if h.Tag == tag && strings.HasPrefix(h.Name, "offbake-") && time.Since(created) >= olderThan {
			out = append(out, Orphan{Name: h.Name, ID: h.UHostId, Region: c.target.region, State: h.State, Created: created})
		}
	}
	return out, nil
}
