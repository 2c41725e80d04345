package ucloud

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"
)

// The states of images and hosts that decide something (uhost/models.go of the SDK).
const (
	imageAvailable   = "Available"
	imageUnavailable = "Unavailable"

	hostRunning = "Running"
	hostStopped = "Stopped"
	diskNormal  = "Normal"
)

// imageQuery narrows a listing of images; empty fields do not.
type imageQuery struct {
	id   string
	kind string // Base, Business or Custom
	zone string
}

// images lists images of a region, all pages of them. An unknown id is an empty list.
func (c *Cloud) images(ctx context.Context, at place, q imageQuery) ([]imageSet, error) {
	list, err := pages(func(offset int) ([]imageSet, int, error) {
		resp, err := ask(ctx, c, on(at, "DescribeImage", func(a api) (*uhost.DescribeImageResponse, error) {
			client := a.uhost()
			req := client.NewDescribeImageRequest()
			req.Limit, req.Offset = sdk.Int(pageSize), sdk.Int(offset)
			req.Zone, req.ImageId, req.ImageType = optional(q.zone), optional(q.id), optional(q.kind)
			return client.DescribeImage(req)
		}))
		if err != nil {
			return nil, 0, err
		}
		return resp.ImageSet, resp.TotalCount, nil
	}, func(i imageSet) string { return i.ImageId })
	if q.id != "" && isMissing(err) {
		return nil, nil
	}
	return list, err
}

// hostQuery narrows a listing of hosts; empty fields do not.
type hostQuery struct{ id, tag string }

// hosts lists hosts of a region, all pages of them. An unknown id is an empty list.
func (c *Cloud) hosts(ctx context.Context, at place, q hostQuery) ([]hostSet, error) {
	list, err := pages(func(offset int) ([]hostSet, int, error) {
		resp, err := ask(ctx, c, on(at, "DescribeUHostInstance", func(a api) (*uhost.DescribeUHostInstanceResponse, error) {
			client := a.uhost()
			req := client.NewDescribeUHostInstanceRequest()
			req.Limit, req.Offset, req.Tag = sdk.Int(pageSize), sdk.Int(offset), optional(q.tag)
			if q.id != "" {
				req.UHostIds = []string{q.id}
			}
			return client.DescribeUHostInstance(req)
		}))
		if err != nil {
			return nil, 0, err
		}
		return resp.UHostSet, resp.TotalCount, nil
	}, func(h hostSet) string { return h.UHostId })
	if q.id != "" && isMissing(err) {
		return nil, nil
	}
	return list, err
}

// host returns one host by its id.
func (c *Cloud) host(ctx context.Context, at place, id string) (hostSet, bool, error) {
	list, err := c.hosts(ctx, at, hostQuery{id: id})
	if i := slices.IndexFunc(list, func(h hostSet) bool { return h.UHostId == id }); i >= 0 {
		return list[i], true, nil
	}
	return hostSet{}, false, err
}

// image returns one image by its id.
func (c *Cloud) image(ctx context.Context, at place, id string) (imageSet, bool, error) {
	list, err := c.images(ctx, at, imageQuery{id: id})
	if i := slices.IndexFunc(list, func(i imageSet) bool { return i.ImageId == id }); i >= 0 {
		return list[i], true, nil
	}
	return imageSet{}, false, err
}

// hostsCalled returns the hosts of that very name: one, unless an answer was lost so thoroughly that a second was made.
// Labels would be the better mark, but the API neither returns nor filters them.
func (c *Cloud) hostsCalled(ctx context.Context, at place, name string) ([]hostSet, error) {
	return search(func() ([]hostSet, error) { return c.hosts(ctx, at, hostQuery{}) },
		func(h hostSet) bool { return h.Name == name })
}

// search keeps of a listing what fits. One of several pages in which nothing does is made once more before it is
// believed: where one thing goes while another comes, the total stays and all between them move a page's edge.
func search[T any](list func() ([]T, error), fits func(T) bool) ([]T, error) {
	for again := false; ; again = true {
		all, err := list()
		if err != nil {
			return nil, err
		}
		several := len(all) > pageSize
		found := slices.DeleteFunc(all, func(item T) bool { return !fits(item) })
		if len(found) > 0 || again || !several {
			return found, nil
		}
	}
}

// imagesOf returns the custom images whose description has the word, newest first: an input address or a host's name.
func (c *Cloud) imagesOf(ctx context.Context, at place, word string) ([]imageSet, error) {
	list, err := search(func() ([]imageSet, error) { return c.images(ctx, at, imageQuery{kind: "Custom"}) },
		func(i imageSet) bool { return slices.Contains(strings.Fields(i.ImageDescription), word) })
	newestFirst(list)
	return list, err
}

func newestFirst(list []imageSet) {
	slices.SortStableFunc(list, func(a, b imageSet) int { return b.CreateTime - a.CreateTime })
}

// isMissing reports whether the API says that what was asked about is not there.
func isMissing(err error) bool {
	switch kindOf(code(err)) {
	case Missing, Base:
		return true
	}
	return false
}

// optional is a parameter that is left out when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// copyPlace reads an entry of copy_to, REGION or REGION/PROJECT.
func copyPlace(from place, entry string) (place, error) {
	region, project, _ := strings.Cut(entry, "/")
	if region == "" || strings.HasSuffix(entry, "/") || strings.Contains(project, "/") {
		return place{}, fmt.Errorf("got %q, want REGION or REGION/PROJECT", entry)
	}
	to := place{api: from.api, region: region, project: from.project}
	if project != "" {
		to.project = project
	}
	return to, nil
}
