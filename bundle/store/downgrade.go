package store

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/offbake/offbake/bundle"
)

// DowngradeError says that the store holds a newer bundle of the same name, signed by a key that is trusted here.
type DowngradeError struct {
	URL  string // of the newer one
	Got  string // version to push
	Have string // version in the store
}

func (e *DowngradeError) Error() string {
	return fmt.Sprintf("got version %s, but the store has %s, which is newer: %q", e.Got, e.Have, e.URL)
}

// checkDowngrade refuses a bundle that is older than one that is there. Only an index whose signature Trust accepts is
// evidence: anybody who can write to the store can put a high version number into it, and nobody else may stop a push.
func (p *push) checkDowngrade(ctx context.Context, x bundle.Index) error {
	if p.o.Trust == nil {
		return nil
	}
	var newer []string
	for o, err := range p.o.Store.List(ctx, x.Name+"/") {
		if err != nil {
			return err
		}
		version, file, _ := strings.Cut(strings.TrimPrefix(o.Key, x.Name+"/"), "/")
		if file == bundle.IndexFile && semver.Compare("v"+version, "v"+x.Version) > 0 {
			newer = append(newer, version)
		}
	}
	for _, version := range newer {
		url := p.o.Store.String() + "/" + x.Name + "/" + version
		genuine, err := p.genuine(ctx, x.Name, version)
		if err != nil {
			return fmt.Errorf("asking %q for its age: %w", url, err)
		}
		if genuine {
			return &DowngradeError{URL: url, Got: x.Version, Have: version}
		}
	}
	return nil
}

// genuine reports whether what is pushed as a version is a bundle of that version that is trusted. What is malformed or
// signed by a stranger is not; that the store does not answer is an error.
func (p *push) genuine(ctx context.Context, name, version string) (bool, error) {
	b, err := Bundle(ctx, p.o.Store, name, version)
	if bundle.Refused(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer b.Close()
	err = p.o.Trust(b)
	if bundle.Refused(err) {
		return false, nil
	}
	return err == nil && b.Index().Name == name && b.Index().Version == version, err
}
