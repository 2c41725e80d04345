package sandbox

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"
)

func createCustomImage(c *call) (fields, error) {
	id, name := c.p.required("UHostId"), c.p.imageName("ImageName", "")
	if c.p.err != nil {
		return nil, c.p.err
	}
	h, err := c.findHost(id)
	if err != nil {
		return nil, err
	}
	h.advance(c.s.o.Polls)
	switch {
	case h.power.state != hostStopped && h.power.state != hostRunning:
		return nil, &apiError{8905, "UHostInstance [" + id + "] is " + string(h.power.state)}
	case h.disk.state != diskNormal:
		return nil, &apiError{8905, "the boot disk of UHostInstance [" + id + "] is not ready"}
	case h.making:
		return nil, &apiError{8905, "an image is being made of UHostInstance [" + id + "]"}
	}
	if err := c.roomForImage(1); err != nil {
		return nil, err
	}
	m := c.newImage(stateMaking, h.spec.image)
	m.Name, m.Description = name, c.p.text("ImageDescription")
	m.Zone, m.Size, m.Boots = h.zone, h.bootDisk().size, true
	if tag := c.p.text("Tag"); tag != "" {
		m.Tag = tag
	}
	c.s.images = append(c.s.images, m)
	if m.state.stuck {
		return fields{"ImageId": m.ID, "DataSnapshotIds": []string{}}, nil
	}
	h.making = true
	m.root = c.s.imageFile(m.ID, ".tar")
	m.cancel = c.s.do(h, func(ctx context.Context) error { return c.s.makeImage(ctx, h, m) }, func(err error, _ bool) {
		h.making = false
		c.s.settleImage(m, err)
	})
	return fields{"ImageId": m.ID, "DataSnapshotIds": []string{}}, nil
}

// makeImage writes the image's file system, and then what says that it is there.
func (s *Sandbox) makeImage(ctx context.Context, h *uhost, m *image) error {
	part := s.imageFile(m.ID, ".part")
	err := s.packHost(ctx, h, part)
	if err == nil {
		err = syncFile(part)
	}
	if err == nil {
		err = os.Rename(part, m.root)
	}
	if err == nil {
		err = s.saveImage(m)
	}
	return err
}

// settleImage ends the work behind an image. s.mu is held.
func (s *Sandbox) settleImage(m *image, err error) {
	if err != nil {
		s.o.Log.LogAttrs(context.Background(), slog.LevelError, "making image",
			slog.String("image", m.ID), slog.Any("cause", err))
		m.state.next = stateUnavailable
	}
	if err != nil || !slices.Contains(s.images, m) { // the second: terminated meanwhile
		s.drop(m.ID)
	}
	m.state.busy, m.cancel = false, nil
}

func copyCustomImage(c *call) (fields, error) {
	id, project := c.p.required("SourceImageId"), c.p.required("TargetProjectId")
	targets := c.p.list("TargetRegionList")
	if t := c.p.text("TargetRegion"); t != "" || len(targets) == 0 {
		targets = append(targets, cmp.Or(t, c.region.name))
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	src := c.findImage(id)
	if src == nil || src.base() {
		return nil, &apiError{8956, "custom image [" + id + "] not found"}
	}
	src.state.advance(c.s.o.Polls)
	if src.state.state != stateAvailable {
		return nil, &apiError{8961, "image [" + id + "] is not available"}
	}
	if !slices.Contains(projects(), project) {
		return nil, &apiError{292, "Project [" + project + "] not found"}
	}
	name := c.p.imageName("TargetImageName", src.Name)
	for _, t := range targets {
		if _, ok := findRegion(t); !ok {
			c.p.bad("TargetRegion", "there is no region "+t)
		}
		if t == c.region.name && project == c.project {
			return nil, &apiError{8962, "the image is in that region and project already"}
		}
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	if err := c.roomForImage(len(targets)); err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range targets {
		ids = append(ids, c.copyImage(src, t, project, name))
	}
	return fields{"TargetImageId": ids[0], "TaskId": newID("task"), "Infos": []int{}}, nil
}

// copyImage starts one copy and returns its id.
func (c *call) copyImage(src *image, target, project, name string) string {
	m := c.newImage(stateCopying, src)
	m.Region, m.Project, m.Name = target, project, name
	to, _ := findRegion(target)
	m.Zone = to.zones[0]
	m.Description = cmp.Or(c.p.text("TargetImageDescription"), src.Description)
	m.Tag = cmp.Or(c.p.text("TargetImageTag"), "Default")
	c.s.images = append(c.s.images, m)
	if m.state.stuck {
		return m.ID
	}
	if src.root != "" {
		m.root = c.s.imageFile(m.ID, ".tar")
	}
	from := src.root
	m.cancel = c.s.background(func(context.Context) error { return c.s.linkImage(from, m) }, func(err error) {
		c.s.settleImage(m, err)
	})
	return m.ID
}

// linkImage makes the copy's file: nobody ever changes one, so that a second name will do.
func (s *Sandbox) linkImage(from string, m *image) error {
	if m.root != "" {
		if err := os.Link(from, m.root); err != nil {
			return err
		}
	}
	return s.saveImage(m)
}

func terminateCustomImage(c *call) (fields, error) {
	id := c.p.required("ImageId")
	if c.p.err != nil {
		return nil, c.p.err
	}
	m := c.findImage(id)
	if m == nil || m.base() {
		return nil, &apiError{8956, "custom image [" + id + "] not found"}
	}
	if c.fault.Kind != FaultStuck {
		c.s.images = slices.DeleteFunc(c.s.images, func(other *image) bool { return other == m })
		if m.cancel != nil {
			m.cancel() // settleImage drops the files
		} else {
			c.s.drop(m.ID)
		}
	}
	return fields{"ImageId": id}, nil
}
