package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/manifest"
)

// serverOf asks for the file server. Where hosts can reach none, what they may take lies on their own disk.
func serverOf(ctx context.Context, r *Request) (FileServer, error) {
	s, err := r.Files.Server(ctx)
	if err != nil {
		return FileServer{}, fmt.Errorf("finding the file server: %w", err)
	}
	if s.URL == "" {
		if r.Transfer != BySSH {
			return FileServer{}, errors.New("finding the file server: there is none; transfer by SSH needs none")
		}
		return FileServer{URL: "file://" + hostPath(manifest.FilesDir), Disk: true}, nil
	}
	s.URL = strings.TrimSuffix(s.URL, "/")
	return s, nil
}

// stage brings the bundle's files to the host. Each is on it with the digest that the index has, or stage fails.
func (p *ImagePlan) stage(ctx context.Context, s *session, r *Request) (err error) {
	item := r.Progress.Start("staging "+p.Name, p.Bytes)
	defer func() {
		if err != nil {
			item.Fail(err)
			return
		}
		item.Done("staged")
	}()
	if r.Transfer == BySSH {
		for _, f := range p.take {
			open := func() (io.ReadCloser, error) { return r.Files.Open(f.Path) }
			if err := s.send(ctx, hostPath(f.Path), f.SHA256, f.Mode, open); err != nil {
				return err
			}
			item.Add(f.Size)
		}
		return nil
	}
	calls, err := takeCalls(ctx, r.Files, p.take)
	if err != nil {
		return err
	}
	if err := s.shell(ctx, text("steps/take.sh")+calls, false); err != nil {
		return err
	}
	item.Add(p.Bytes)
	return nil
}

// takeCalls are the lines that follow take.sh.
func takeCalls(ctx context.Context, files Files, take []bundle.File) (string, error) {
	var b strings.Builder
	for _, f := range take {
		url, err := files.URL(ctx, f.Path)
		if err != nil {
			return "", fmt.Errorf("finding the URL of %q: %w", f.Path, err)
		}
		// It stands between quotes in curl's configuration, where these characters would end it.
		if strings.ContainsFunc(url, func(c rune) bool { return c <= ' ' || c == '"' || c == '\\' || c == 0x7f }) {
			return "", fmt.Errorf("finding the URL of %q: it holds a character that no URL may", f.Path)
		}
		fmt.Fprintf(&b, "take %s %s %s %s\n", quote(url), f.SHA256, f.Mode, quote(hostPath(f.Path)))
	}
	return b.String(), nil
}
