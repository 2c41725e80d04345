package ucloud

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// Features of images that decide something (UHostImageSet.Features).
const (
	cloudInit = "CloudInit"
	rssd      = "RssdAttachable"
	arm       = "Aarch64_Type"
	gpu       = "Vgpu_" // and a vendor
	// highKernel is part of the names of images with a newer kernel, which serve O machines only.
	highKernel = "高内核"
)

// Base finds the base image and checks all that Create will need, before anything is made: the error joins every
// *SettingError and *BaseError there is. By name, it is the newest of the zone's base images that can serve.
func (c *Cloud) Base(ctx context.Context, img manifest.Image) (provision.Base, error) {
	p, err := c.prepare(ctx, img)
	if err != nil {
		return provision.Base{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[img.Name] = p
	return provision.Base{ID: p.base.ImageId, Name: p.base.ImageName}, nil
}

// findBase returns the image that img asks for and that a machine of the family can boot.
func (c *Cloud) findBase(ctx context.Context, img manifest.Image, family string) (imageSet, error) {
	at := placeOf(img.Cloud)
	lost := &BaseError{Region: at.region, Zone: at.zone}
	if img.Base.ID != "" {
		lost.Want = fmt.Sprintf("id %q", img.Base.ID)
		found, ok, err := c.image(ctx, at, img.Base.ID)
		if err != nil {
			return imageSet{}, err
		}
		if !ok {
			return imageSet{}, lost
		}
		if why := unfit(found, family); why != "" {
			lost.Near = []string{near(found, why)}
			return imageSet{}, lost
		}
		return found, nil
	}
	lost.Want = fmt.Sprintf("name %q", img.Base.Name)
	list, err := c.images(ctx, at, imageQuery{kind: "Base", zone: at.zone})
	if err != nil {
		return imageSet{}, err
	}
	newestFirst(list)
	for _, i := range list {
		if called(i, img.Base.Name) && unfit(i, family) == "" && !hasFeature(i, gpu) {
			return i, nil
		}
	}
	lost.Near = nearMisses(list, img.Base.Name, family)
	return imageSet{}, lost
}

// unfit says why a machine of a family cannot boot an image, "" when it can.
func unfit(i imageSet, family string) string {
	switch {
	case i.State != imageAvailable:
		return "its state is " + i.State
	case i.OsType == "Windows":
		return "Windows"
	case slices.Contains(i.Features, arm):
		return "for ARM"
	case family == "O" && !slices.Contains(i.Features, rssd):
		return "not for instance types o-"
	case family != "O" && strings.Contains(i.ImageName, highKernel):
		return "for instance types o- only"
	}
	return ""
}

func hasFeature(i imageSet, prefix string) bool {
	return slices.ContainsFunc(i.Features, func(f string) bool { return strings.HasPrefix(f, prefix) })
}

// called reports whether an image has a name of the pattern. A pattern that does not parse was refused by the manifest.
func called(i imageSet, pattern string) bool {
	ok, err := path.Match(pattern, i.ImageName)
	return ok && err == nil
}

func near(i imageSet, why string) string {
	s := fmt.Sprintf("%q", i.ImageName)
	if why != "" {
		s += " (" + why + ")"
	}
	return s
}

// nearMisses names what the pattern matches and cannot serve, else what shares a word with it, else anything.
func nearMisses(list []imageSet, pattern, family string) []string {
	const most = 6
	word := strings.ToLower(regexp.MustCompile(`^[^\pL]*(\pL*).*$`).ReplaceAllString(pattern, "$1"))
	ranks := []func(imageSet) bool{
		func(i imageSet) bool { return called(i, pattern) },
		func(i imageSet) bool { return word != "" && strings.Contains(strings.ToLower(i.ImageName), word) },
		func(imageSet) bool { return true },
	}
	var out []string
	for _, fits := range ranks {
		for _, i := range list {
			if fits(i) && len(out) < most {
				why := unfit(i, family)
				if why == "" && hasFeature(i, gpu) {
					why = "for GPU machines"
				}
				out = append(out, near(i, why))
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// BaseImage is one base image, for `base list`.
type BaseImage struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	OS        string   `json:"os"`
	Zone      string   `json:"zone"`
	Size      int      `json:"size"`    // GiB
	Created   int64    `json:"created"` // Unix time
	EOL       string   `json:"eol,omitempty"`
	Features  []string `json:"features"`
	Available bool     `json:"available"`
}

// Bases lists the base images of the target's zone, or of its region where it has no zone, whose names match filter (nil
// for all), by name and then newest first.
func (c *Cloud) Bases(ctx context.Context, filter *regexp.Regexp) ([]BaseImage, error) {
	list, err := c.images(ctx, c.target, imageQuery{kind: "Base", zone: c.target.zone})
	if err != nil {
		return nil, fmt.Errorf("listing base images: %w", err)
	}
	newestFirst(list)
	slices.SortStableFunc(list, func(a, b imageSet) int { return strings.Compare(a.ImageName, b.ImageName) })
	out := []BaseImage{}
	for _, i := range list {
		if filter == nil || filter.MatchString(i.ImageName) {
			out = append(out, BaseImage{ID: i.ImageId, Name: i.ImageName, OS: i.OsName, Zone: i.Zone, Size: i.ImageSize,
				Created: int64(i.CreateTime), EOL: i.MaintainEol, Features: append([]string{}, i.Features...),
				Available: i.State == imageAvailable})
		}
	}
	return out, nil
}
