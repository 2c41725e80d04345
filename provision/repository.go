package provision

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/manifest"
)

// repository is the yum repository of a bundle.
type repository struct {
	offers map[string]bool // what its packages provide: names, virtual names, files
	keys   []string        // paths in the bundle
	signed bool            // every package's signature was checked when the bundle was made
}

// openRepository reads what a bundle's repository offers. It is nil when the bundle has none.
func openRepository(b *bundle.Bundle) (*repository, error) {
	r := &repository{offers: map[string]bool{}, signed: true}
	found := false
	for _, f := range b.Index().Files {
		switch {
		case path.Dir(f.Path) == "rpms/keys":
			r.keys = append(r.keys, f.Path)
		case strings.HasPrefix(f.Path, "rpms/") && strings.HasSuffix(f.Path, ".rpm"):
			r.signed = r.signed && strings.HasPrefix(f.Verified, "rpm-pgp ")
		case path.Dir(f.Path) == "rpms/repodata" && strings.HasSuffix(f.Path, "primary.xml.gz"):
			if err := r.load(b, f.Path); err != nil {
				return nil, fmt.Errorf("reading %q of the bundle: %w", f.Path, err)
			}
			found = true
		}
	}
	if !found {
		return nil, nil
	}
	return r, nil
}

func (r *repository) load(b *bundle.Bundle, path string) (err error) {
	f, err := b.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	return provided(z, r.offers)
}

// provided adds what the packages of a primary.xml provide, file names included.
func provided(primary io.Reader, to map[string]bool) error {
	d := xml.NewDecoder(primary)
	inProvides, inFile := false, false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			inProvides = inProvides || t.Name.Local == "provides"
			inFile = t.Name.Local == "file"
			if inProvides && t.Name.Local == "entry" {
				for _, a := range t.Attr {
					if a.Name.Local == "name" {
						to[a.Value] = true
					}
				}
			}
		case xml.CharData:
			if inFile {
				to[string(t)] = true
			}
		case xml.EndElement:
			inProvides = inProvides && t.Name.Local != "provides"
			inFile = false
		}
	}
}

// repoFile is offbake.repo: the bundle's repository for the host's own yum or dnf. "" without a repository.
func (r *repository) repoFile() string {
	if r == nil {
		return ""
	}
	check := 0
	if r.signed {
		check = 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[offbake]\nname=offbake bundle\nbaseurl=file://%s\nenabled=1\n", hostPath("rpms"))
	fmt.Fprintf(&b, "gpgcheck=%d\nrepo_gpgcheck=0\n", check) // the index vouches for the metadata, file by file
	if len(r.keys) > 0 {
		urls := make([]string, len(r.keys))
		for i, k := range r.keys {
			urls[i] = "file://" + hostPath(k)
		}
		b.WriteString("gpgkey=" + strings.Join(urls, "\n       ") + "\n")
	}
	// dnf hides packages of modules that it has no description of; the bundle's choice was made when it was locked.
	b.WriteString("priority=1\nmetadata_expire=1\nskip_if_unavailable=0\nmodule_hotfixes=1\n")
	return b.String()
}

// checkPackages asks the host what it has installed and compares: each package that the image takes must be there or in
// the bundle's repository. Nothing on the host is changed.
//
// This is where the host's whole package set gets solved against the bundle, once there is a solver; until then a
// package that only others require is found missing by yum itself, later and inside the seal.
func checkPackages(ctx context.Context, s *session, needs []manifest.Need, r *repository) error {
	needs = slices.DeleteFunc(slices.Clone(needs), func(n manifest.Need) bool { return n.Package == "" })
	if len(needs) == 0 {
		return nil
	}
	var names bytes.Buffer
	err := s.run(ctx, Command{Argv: []string{"rpm", "-qa", "--qf", `[%{PROVIDENAME}\n]`}, Stdout: &names})
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for line := range strings.Lines(names.String()) {
		have[strings.TrimSpace(line)] = true
	}
	missing := slices.DeleteFunc(needs, func(n manifest.Need) bool {
		return have[n.Package] || r != nil && r.offers[n.Package]
	})
	if len(missing) > 0 {
		return &PackageError{Missing: missing}
	}
	return nil
}
