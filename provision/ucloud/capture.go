package ucloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"

	"github.com/offbake/offbake/provision"
)

// Capture closes the connection, shuts the host down, has an image made of it and waits until it and its copies are
// Available. It is all or nothing: on error no image and no copy is left.
func (c *Cloud) Capture(ctx context.Context, ph provision.Host, k provision.Capture) (provision.Made, error) {
	h, ok := ph.(*host)
	if !ok {
		return provision.Made{}, fmt.Errorf("capturing image %q: got a host of %T, want one of this builder", k.Name, ph)
	}
	if !slices.Contains(strings.Fields(k.Description), h.Name()) {
		return provision.Made{}, fmt.Errorf("capturing image %q: its description does not name host %q", k.Name, h.Name())
	}
	t := &traces{word: h.Name()}
	c.setSure(t.word, false)
	made, err := c.capture(ctx, h, k, t)
	if err != nil {
		err = fmt.Errorf("capturing image %q: %w", k.Name, err)
		return provision.Made{}, errors.Join(err, c.remove(ctx, t))
	}
	c.setSure(t.word, true)
	return made, nil
}

func (c *Cloud) capture(ctx context.Context, h *host, k provision.Capture, t *traces) (provision.Made, error) {
	if err := h.Close(); err != nil {
		return provision.Made{}, err
	}
	if err := c.stop(ctx, h); err != nil {
		return provision.Made{}, err
	}
	id, err := c.createImage(ctx, t, h.at, on(h.at, "CreateCustomImage", func(a api) (string, error) {
		client := a.uhost()
		resp, err := client.CreateCustomImage(imageRequest(client, h.id, k))
		return resp.ImageId, err
	}))
	if err != nil {
		return provision.Made{}, err
	}
	if err := c.waitImage(ctx, h.at, id, k.Name); err != nil {
		return provision.Made{}, err
	}
	made := provision.Made{ID: id, Region: h.at.region}
	if made.Copies, err = c.copies(ctx, h, id, source{k, t}); err != nil {
		return provision.Made{}, err
	}
	return made, c.removeTwins(ctx, t, made)
}

// traces are the places where images with a word in their description are or may be, in the order of their making.
type traces struct {
	word  string
	at    []place
	again bool // something was asked for more than once
}

// createImage sends what makes an image in a place. The description has the word of t, by which it is found when the
// answer is lost.
func (c *Cloud) createImage(ctx context.Context, t *traces, in place, q request[string]) (string, error) {
	plain, sent := q.send, 0
	q.send = func(a api) (string, error) {
		sent++
		id, err := plain(a)
		if err == nil && id == "" {
			err = errAnswer
		}
		return id, err
	}
	id, err := create(ctx, c, creation[string]{request: q, find: func(ctx context.Context) (string, bool, error) {
		list, err := c.imagesOf(ctx, in, t.word)
		if err != nil || len(list) == 0 {
			return "", false, err
		}
		return list[0].ImageId, true, nil
	}})
	if err == nil || isLost(err) {
		t.at = append(t.at, in)
	}
	t.again = t.again || sent > 1
	return id, err
}

// removeTwins removes what there is beside the images that count: a request whose answer was lost, and whose result was
// not listed in time, was sent again, and both were granted.
func (c *Cloud) removeTwins(ctx context.Context, t *traces, made provision.Made) error {
	if !t.again {
		return nil
	}
	ctx = stubborn(ctx)
	counts := func(i imageSet) bool {
		return i.ImageId == made.ID || slices.ContainsFunc(made.Copies, func(m provision.Made) bool { return m.ID == i.ImageId })
	}
	var errs []error
	for _, at := range slices.Backward(t.at) {
		list, err := c.imagesOf(ctx, at, t.word)
		errs = append(errs, err, c.removeImages(ctx, at, slices.DeleteFunc(list, counts)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing images that were made twice: %w", err)
	}
	return nil
}

// remove takes back what there is of images, copies first: they may hold the image while they are made. ctx may be over.
func (c *Cloud) remove(ctx context.Context, t *traces) error {
	return c.afterwards(ctx, func(ctx context.Context) error {
		until := time.Now().Add(c.patience.Seen)
		var errs []error
		for _, at := range slices.Backward(t.at) {
			errs = append(errs, c.removeImagesOf(ctx, at, t.word, until))
		}
		err := errors.Join(errs...)
		c.setSure(t.word, err == nil)
		return err
	})
}

// imageRequest is what makes an image of a host.
func imageRequest(client *uhost.UHostClient, hostID string, k provision.Capture) *uhost.CreateCustomImageRequest {
	req := client.NewCreateCustomImageRequest()
	req.UHostId, req.ImageName = sdk.String(hostID), sdk.String(k.Name)
	req.ImageDescription, req.Tag = sdk.String(k.Description), sdk.String(tag)
	return req
}

// copyRequest is what copies an image.
func copyRequest(client *uhost.UHostClient, imageID string, to place, k provision.Capture) *uhost.CopyCustomImageRequest {
	req := client.NewCopyCustomImageRequest()
	req.SourceImageId = sdk.String(imageID)
	req.TargetProjectId, req.TargetRegion = sdk.String(to.project), sdk.String(to.region)
	req.TargetImageName, req.TargetImageDescription = sdk.String(k.Name), sdk.String(k.Description)
	req.TargetImageTag = sdk.String(tag)
	return req
}

// source is what copies are named after, and where they are noted.
type source struct {
	capture provision.Capture
	traces  *traces
}

// copies asks for all copies of an image and then waits for them, each in its own region.
func (c *Cloud) copies(ctx context.Context, h *host, id string, of source) ([]provision.Made, error) {
	var out []provision.Made
	for _, to := range h.copies {
		copied, err := c.createImage(ctx, of.traces, to, on(h.at, "CopyCustomImage", func(a api) (string, error) {
			client := a.uhost()
			resp, err := client.CopyCustomImage(copyRequest(client, id, to, of.capture))
			return resp.TargetImageId, err
		}))
		if err != nil {
			return nil, fmt.Errorf("copying it to %s: %w", to.region, err)
		}
		out = append(out, provision.Made{ID: copied, Region: to.region})
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, to := range h.copies {
		g.Go(func() error {
			if err := c.waitImage(ctx, to, out[i].ID, of.capture.Name); err != nil {
				return fmt.Errorf("copying it to %s: %w", to.region, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// waitImage waits until an image is Available. Unavailable is for good.
func (c *Cloud) waitImage(ctx context.Context, at place, id, name string) error {
	c.say("image %s: %s in %s", name, id, at.region)
	state := ""
	what := fmt.Sprintf("image %q", name)
	start := time.Now()
	err := c.poll(ctx, c.patience.Image, func(ctx context.Context) (bool, error) {
		i, ok, err := c.image(ctx, at, id)
		if err != nil {
			return false, err
		}
		state = i.State
		switch {
		case !ok && time.Since(start) > c.patience.Seen:
			return false, &StateError{What: what, Want: imageAvailable, After: c.patience.Seen}
		case state == imageUnavailable:
			return false, &StateError{What: what, State: state, Want: imageAvailable}
		}
		return state == imageAvailable, nil
	})
	if errors.Is(err, errTooLong) {
		return &StateError{What: what, State: state, Want: imageAvailable, After: c.patience.Image}
	}
	return err
}

// removeImagesOf removes every custom image whose description has the word. Until that time there may be one that
// listings do not have yet.
func (c *Cloud) removeImagesOf(ctx context.Context, at place, word string, until time.Time) error {
	list, err := expect(ctx, c, until, func(ctx context.Context) ([]imageSet, error) {
		return c.imagesOf(ctx, at, word)
	})
	if err := errors.Join(err, c.removeImages(ctx, at, list)); err != nil {
		return fmt.Errorf("removing images of %q in %s: %w", word, at.region, err)
	}
	return nil
}

func (c *Cloud) removeImages(ctx context.Context, at place, list []imageSet) error {
	var errs []error
	for _, i := range list {
		errs = append(errs, c.removeImage(ctx, at, i.ImageId, i.ImageName))
	}
	return errors.Join(errs...)
}

// removeImage removes one image and waits until it is gone. One that is being made may have to be made first.
func (c *Cloud) removeImage(ctx context.Context, at place, id, name string) error {
	var refused error
	state := ""
	push := c.pusher()
	err := c.poll(ctx, c.patience.Gone, func(ctx context.Context) (bool, error) {
		i, ok, err := c.image(ctx, at, id)
		if err != nil || !ok {
			return err == nil, err
		}
		state = i.State
		refused = push(state, 0, func() error {
			_, err := ask(ctx, c, on(at, "TerminateCustomImage", func(a api) (*uhost.TerminateCustomImageResponse, error) {
				client := a.uhost()
				req := client.NewTerminateCustomImageRequest()
				req.ImageId = sdk.String(id)
				return client.TerminateCustomImage(req)
			}))
			return err
		})
		return false, final(refused)
	})
	if errors.Is(err, errTooLong) {
		err = errors.Join(c.stays(fmt.Sprintf("image %q", name), state), refused)
	}
	return err
}
