package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// importTimeout bounds the reading of an image that is imported.
const importTimeout = 10 * time.Minute

// importCustomImage takes a disk image from the sandbox's own store. It checks it and keeps nothing of it: an image made
// so does not boot here.
func importCustomImage(c *call) (fields, error) {
	name, link := c.p.imageName("ImageName", ""), c.p.required("UFileUrl")
	osType, osName := c.p.required("OsType"), c.p.required("OsName")
	format := c.p.required("Format")
	if !slices.Contains([]string{"CentOS", "Ubuntu", "Windows", "RedHat", "Debian", "Other"}, osType) {
		c.p.bad("OsType", "want CentOS, Ubuntu, Windows, RedHat, Debian or Other")
	}
	if !slices.Contains([]string{"RAW", "VHD", "VMDK", "qcow2"}, format) {
		c.p.bad("Format", "want RAW, VHD, VMDK or qcow2")
	}
	if !c.p.yes("Auth") {
		c.p.bad("Auth", "want true")
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "http" || u.Host != c.s.ufile.String() {
		// Not told which: the link may carry a signature.
		c.p.bad("UFileUrl", "want an object of the sandbox's own store")
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	if err := c.roomForImage(1); err != nil {
		return nil, err
	}
	m := c.newImage(stateMaking, &image{OsType: "Linux", OsName: osName, Zone: c.region.zones[0], Size: 20})
	if osType == "Windows" {
		m.OsType = osType
	}
	m.Name, m.Description = name, c.p.text("ImageDescription")
	if tag := c.p.text("Tag"); tag != "" {
		m.Tag = tag
	}
	c.s.images = append(c.s.images, m)
	if !m.state.stuck {
		m.cancel = c.s.background(func(ctx context.Context) error {
			if err := checkImport(ctx, u, format); err != nil {
				return err
			}
			return c.s.saveImage(m)
		}, func(err error) { c.s.settleImage(m, err) })
	}
	return fields{"ImageId": m.ID}, nil
}

// checkImport reads a disk image to its end and checks that it is one.
func checkImport(ctx context.Context, u *url.URL, format string) error {
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return errors.New("reading disk image: bad URL")
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // no proxy: the store is on this machine
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("reading disk image: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reading disk image: got status %d", resp.StatusCode)
	}
	var ends edges
	if _, err := io.Copy(&ends, resp.Body); err != nil {
		return fmt.Errorf("reading disk image: %w", err)
	}
	if !ends.are(format) {
		return fmt.Errorf("reading disk image: its bytes are not those of a %s image that can be imported", format)
	}
	return nil
}

// withoutURL is a client's error without the URL, which is signed.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// sector is what disk formats are made of, in bytes.
const sector = 512

// edges keeps the first and last sector of what is written to it.
type edges struct{ first, last []byte }

func (e *edges) Write(p []byte) (int, error) {
	if room := sector - len(e.first); room > 0 {
		e.first = append(e.first, p[:min(room, len(p))]...)
	}
	e.last = append(e.last, p[max(0, len(p)-sector):]...)
	e.last = e.last[max(0, len(e.last)-sector):]
	return len(p), nil
}

// are says whether an image of a format begins and ends so. A raw one must have a partition table, and not a GPT, which
// the service does not take (its documentation on importing images).
func (e *edges) are(format string) bool {
	if len(e.first) < sector {
		return false
	}
	switch format {
	case "RAW":
		const firstType, gpt = 446 + 4, 0xee
		return e.first[510] == 0x55 && e.first[511] == 0xaa && e.first[firstType] != gpt
	case "VHD":
		return bytes.HasPrefix(e.last, []byte("conectix"))
	case "VMDK":
		return bytes.HasPrefix(e.first, []byte("KDMV")) || bytes.HasPrefix(e.first, []byte("# Disk DescriptorFile"))
	case "qcow2":
		return bytes.HasPrefix(e.first, []byte("QFI\xfb"))
	}
	return false
}
