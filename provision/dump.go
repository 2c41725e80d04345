package provision

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// Dump makes a host of the base that img asks for, asks it for its package set as rpms.base of a manifest takes it, and
// ends it. Of r it uses Cloud, Owner and Journal. The caller may find the host in the journal when ending it failed.
func Dump(ctx context.Context, r Request, img manifest.Image) (set []byte, err error) {
	cloud := r.Cloud
	base, err := cloud.Base(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("finding the base image: %w", err)
	}
	j, err := openJournal(r.Journal, strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	e := entry{Host: "offbake-" + j.run + "-dump", Image: img.Name, Target: r.Owner.target(img.Cloud), Created: time.Now().UTC()}
	if err := j.intend(e); err != nil {
		return nil, err
	}
	b := &baking{Request: &r, journal: j}
	defer func() { err = errors.Join(err, b.end(ctx, e)) }()
	host, err := cloud.Create(ctx, e.Host, base, img)
	if err != nil {
		return nil, fmt.Errorf("making a host of %q: %w", base.Name, err)
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	var out, stderr bytes.Buffer
	if err := host.Run(ctx, Command{Argv: rpm.Query(), Stdout: &out, Stderr: &stderr}); err != nil {
		return nil, fmt.Errorf("asking for the package set of %q: %w: %s", base.Name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out.Bytes(), nil
}
