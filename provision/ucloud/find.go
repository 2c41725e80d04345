package ucloud

import (
	"context"
	"fmt"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// Find returns the newest custom image with img's image name whose description has key as one of its words, if it is
// Available and has a copy in each place of copy_to.
func (c *Cloud) Find(ctx context.Context, img manifest.Image, key string) (provision.Made, bool, error) {
	at := placeOf(img.Cloud)
	made, ok, err := c.findImage(ctx, at, img.ImageName, key)
	if err != nil || !ok {
		return provision.Made{}, false, err
	}
	for _, entry := range img.Cloud.CopyTo {
		to, err := copyPlace(at, entry)
		if err != nil {
			return provision.Made{}, false, fmt.Errorf("looking for copies: %w", err)
		}
		duplicate, ok, err := c.findImage(ctx, to, img.ImageName, key)
		if err != nil || !ok {
			return provision.Made{}, false, err
		}
		made.Copies = append(made.Copies, duplicate)
	}
	return made, true, nil
}

func (c *Cloud) findImage(ctx context.Context, at place, name, key string) (provision.Made, bool, error) {
	list, err := c.imagesOf(ctx, at, key)
	if err != nil {
		return provision.Made{}, false, fmt.Errorf("looking for image %q: %w", name, err)
	}
	for _, i := range list {
		if i.ImageName == name && i.State == imageAvailable {
			return provision.Made{ID: i.ImageId, Region: at.region}, true, nil
		}
	}
	return provision.Made{}, false, nil
}
