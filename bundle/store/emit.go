package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/internal/transport"
)

// The kinds that Emit knows.
const (
	EmitPacker    = "packer"
	EmitTerraform = "terraform"
	EmitYum       = "yum"
)

// PrivateError says that a store does not answer readers without a signature, which other tools do not make.
type PrivateError struct{ Store string }

func (e *PrivateError) Error() string {
	return fmt.Sprintf("store %q cannot be read without a signature", e.Store)
}

// Emit makes a file that points another tool at a pushed bundle: a Packer var file, a Terraform CLI configuration, or a
// yum repository file. The store must be readable over HTTP by anyone who reaches it; else it is a *PrivateError, or
// ErrNoURL. Terraform also reads a folder.
func Emit(ctx context.Context, kind string, s Store, b *bundle.Bundle) ([]byte, error) {
	emit, ok := map[string]func(string, bundle.Index) ([]byte, error){
		EmitPacker: emitPacker, EmitTerraform: emitTerraform, EmitYum: emitYum}[kind]
	if !ok {
		return nil, fmt.Errorf("emitting %q: want %s, %s or %s", kind, EmitPacker, EmitTerraform, EmitYum)
	}
	x := b.Index()
	base, err := emitBase(ctx, kind, s, x.Name+"/"+x.Version)
	if err == nil {
		var text []byte
		if text, err = emit(base, x); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("emitting %q: %w", kind, err)
}

// emitBase is where a pushed bundle is: a URL, or for Terraform the path of a folder.
func emitBase(ctx context.Context, kind string, s Store, dir string) (string, error) {
	if f, ok := s.(*folder); ok && kind == EmitTerraform {
		return filepath.Abs(filepath.Join(f.root, filepath.FromSlash(dir)))
	}
	base, err := PublicURL(ctx, s, dir+"/"+bundle.IndexFile)
	return strings.TrimSuffix(base, "/"+bundle.IndexFile), err
}

// PublicURL is the address of an object without a signature, when the store answers it. It is a *PrivateError when the
// store wants one, and ErrNoURL for a folder.
func PublicURL(ctx context.Context, s Store, key string) (string, error) {
	u, ok := s.(*ufileStore)
	if !ok {
		_, err := s.URL(ctx, key, 0)
		if err == nil {
			err = &PrivateError{s.String()}
		}
		return "", err
	}
	return u.publicURL(ctx, key)
}

func (s *ufileStore) publicURL(ctx context.Context, path string) (string, error) {
	key, err := s.key(path)
	if err != nil {
		return "", err
	}
	u := *s.base
	u.Path = "/" + key
	status := 0
	err = s.retry(ctx, func() error {
		req, err := http.NewRequestWithContext(transport.Once(ctx), http.MethodHead, u.String(), nil)
		if err != nil {
			return err
		}
		resp, err := transport.Do(s.client, req)
		if err != nil {
			return err
		}
		status = resp.StatusCode
		return resp.Body.Close()
	})
	switch {
	case err != nil:
		return "", err
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return "", &PrivateError{s.String()}
	case status != http.StatusOK:
		return "", fmt.Errorf("asking for %q without a signature: status %d %s", path, status, http.StatusText(status))
	}
	return u.String(), nil
}

// emitPacker points the variables of an existing Packer set at the store; with empty yum_* it fetches nothing outside.
func emitPacker(base string, x bundle.Index) ([]byte, error) {
	files := base + "/files"
	vars := map[string]string{"file_server": files, "cfssl_tool_server": files, "yum_base": "", "yum_docker": "",
		"docker_rpm": "", "docker_cli_rpm": ""}
	for name, prefix := range map[string]string{"docker_rpm": "docker-ce-", "docker_cli_rpm": "docker-ce-cli-"} {
		found := dockerRPMs(x, prefix)
		if len(found) > 1 {
			return nil, fmt.Errorf("%s: the bundle has %d: %s", name, len(found), strings.Join(found, ", "))
		}
		if len(found) == 1 {
			vars[name] = files + "/" + escapePath(found[0])
		}
	}
	text, err := json.MarshalIndent(vars, "", "  ")
	return append(text, '\n'), err
}

// dockerRPMs finds the RPMs at the top of files/ whose name is the prefix and a version.
func dockerRPMs(x bundle.Index, prefix string) []string {
	var found []string
	for _, f := range x.Files {
		dir, name := path.Split(f.Path)
		version, ok := strings.CutPrefix(name, prefix)
		if ok && dir == "files/" && path.Ext(name) == ".rpm" && version[0] >= '0' && version[0] <= '9' {
			found = append(found, name)
		}
	}
	return found
}

// escapePath makes a path part of a URL in the store.
func escapePath(p string) string {
	return (&url.URL{Path: strings.ReplaceAll(p, "+", "_2B")}).EscapedPath()
}

// emitYum points yum at the bundle's repository. Packages whose names hold a plus sign have other names in a store than
// in the repository's metadata, so a bundle that has one cannot be used so.
func emitYum(base string, x bundle.Index) ([]byte, error) {
	o := rpm.RepoSectionOptions{BaseURL: base + "/rpms/"}
	found := false
	for _, f := range x.Files {
		if strings.HasPrefix(f.Path, "rpms/") && strings.Contains(f.Path, "+") {
			return nil, fmt.Errorf("%q has another name in a store than in the repository: "+
				"let bake stage the files, or serve the bundle itself", f.Path)
		}
		found = found || f.Path == "rpms/repodata/repomd.xml"
		switch {
		case strings.HasPrefix(f.Path, "rpms/keys/"):
			o.Keys = append(o.Keys, base+"/"+escapePath(f.Path))
		case strings.HasPrefix(f.Path, "rpms/Packages/") && !strings.HasPrefix(f.Verified, "rpm-pgp "):
			o.Unsigned = append(o.Unsigned, packageName(f.Path))
		}
	}
	if !found {
		return nil, errors.New("the bundle has no yum repository")
	}
	return []byte(rpm.RepoSections(o)), nil
}

// packageName is NAME of a path that ends in NAME-VERSION-RELEASE.ARCH.rpm.
func packageName(file string) string {
	name := path.Base(file)
	for range 2 {
		name = name[:max(0, strings.LastIndexByte(name, '-'))]
	}
	return name
}
