package rpm

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// maxModules bounds a modules.yaml: that of Fedora with all updates has 20 MB, that of RHEL 8 AppStream 5.
const maxModules = 64 << 20

// Modules reads the modules.yaml of the repository, uncompressed, with the checks of LoadRepo; open may be another than
// LoadRepo was given. It is nil when the repository has no modules. More than 64 MiB are refused.
func (r *Repo) Modules(ctx context.Context, open Opener) ([]byte, error) {
	var data []byte
	limited := *r
	limited.opts.MaxOpenSize = min(r.opts.MaxOpenSize, maxModules)
	err := limited.read(ctx, "modules", open, func(stream io.Reader) (err error) {
		data, err = io.ReadAll(stream)
		return err
	})
	switch {
	case errors.Is(err, errNoRecord):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading modules of repository %q: %w", r.ID, err)
	}
	return data, nil
}
