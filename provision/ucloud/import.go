package ucloud

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"

	"github.com/offbake/offbake/provision"
)

// Import is a disk image in UFile that becomes a custom image of the target's region.
type Import struct {
	Name string // of the image
	// Description ends in a word that is unique to this import: the image is found by it when an answer is lost.
	Description string
	URL         string // of the object in UFile, presigned where the bucket is private; secret
	// OSType is CentOS, Ubuntu, Windows, RedHat, Debian or Other; OSName as the console has it ("CentOS 7.9 64位") or Other.
	// UCloud gives an Other neither password nor network.
	OSType, OSName string
	Format         string // RAW, VHD, VMDK or qcow2
}

// Import has UCloud make an image of a disk image and waits until it is Available. On error none is left. The region
// must be one that imports; the disk needs an MBR, ext3 or ext4 and virtio drivers.
func (c *Cloud) Import(ctx context.Context, i Import) (provision.Made, error) {
	words := strings.Fields(i.Description)
	if len(words) == 0 {
		return provision.Made{}, fmt.Errorf("importing image %q: it has no description", i.Name)
	}
	t := &traces{word: words[len(words)-1]}
	c.setSure(t.word, false)
	secrets := []string{i.URL}
	if u, err := url.Parse(i.URL); err == nil {
		secrets = append(secrets, u.RawQuery)
	}
	id, err := c.createImage(ctx, t, c.target, request[string]{action: "ImportCustomImage", at: c.target, secrets: secrets,
		send: func(a api) (string, error) {
			client := a.uhost()
			req := client.NewImportCustomImageRequest()
			req.ImageName, req.ImageDescription, req.Tag = sdk.String(i.Name), sdk.String(i.Description), sdk.String(tag)
			req.UFileUrl, req.Format, req.Auth = sdk.String(i.URL), sdk.String(i.Format), sdk.Bool(true)
			req.OsType, req.OsName = sdk.String(i.OSType), sdk.String(i.OSName)
			resp, err := client.ImportCustomImage(req)
			return resp.ImageId, err
		}})
	if err == nil {
		err = c.waitImage(ctx, c.target, id, i.Name)
	}
	made := provision.Made{ID: id, Region: c.target.region}
	if err == nil {
		err = c.removeTwins(ctx, t, made)
	}
	if err != nil {
		err = fmt.Errorf("importing image %q: %w", i.Name, err)
		return provision.Made{}, errors.Join(err, c.remove(ctx, t))
	}
	c.setSure(t.word, true)
	return made, nil
}
