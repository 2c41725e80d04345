package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
	"github.com/offbake/offbake/manifest"
)

// compare asks the host what it has installed and replays on that what the image's recipes and scripts will ask of yum or
// dnf, with the bundle as the only repository: the packages that recipes need, what rpms.upgrade names, and what users'
// scripts install in plain sight. What scripts install otherwise yum finds missing itself, later and inside the seal.
// Nothing on the host is changed.
func (w *work) compare(ctx context.Context) error {
	calls, err := w.transactions()
	if err != nil || len(calls) == 0 {
		return err
	}
	there, err := installed(ctx, w.s)
	if err != nil {
		return err
	}
	outcomes, err := solve.Replay(w.baking.plan.repo.pool(ctx, there, w.Bundle.Index().Platform), calls)
	if err != nil {
		return err
	}
	e := &PackageError{}
	for _, o := range outcomes {
		for _, name := range o.Unmatched {
			if slices.Contains(o.Call.Install, name) {
				w.Progress.Line("warning: %s: %s installs %q, which neither the host nor the bundle has", w.plan.Name, o.Call.By, name)
			}
		}
		for _, p := range o.Problems {
			i := slices.IndexFunc(w.plan.needs, func(n manifest.Need) bool { return p.Missing && n.Package == p.Package })
			switch {
			case i >= 0:
				e.Missing = append(e.Missing, w.plan.needs[i])
			case w.Offline: // otherwise the host's own repositories may have what it takes
				e.Problems = append(e.Problems, p)
			}
		}
	}
	if len(e.Missing)+len(e.Problems) > 0 {
		return e
	}
	return nil
}

// query prints what is installed. Not every way to a host tells by the exit status that there is no rpm; and what rpm says
// of what is not there, "(none)", it says in the host's language.
const query = `command -v rpm >/dev/null || exit 127; LC_ALL=C exec "$@"`

// installed asks a host for its packages.
func installed(ctx context.Context, s *session) ([]*rpm.Package, error) {
	from, to := io.Pipe()
	type answer struct {
		packages []*rpm.Package
		err      error
	}
	read := make(chan answer, 1)
	go func() {
		packages, err := rpm.ReadInstalled(from)
		from.CloseWithError(err)
		read <- answer{packages, err}
	}()
	err := s.run(ctx, Command{Argv: append([]string{"/bin/sh", "-c", query, "query"}, rpm.Query()...), Stdout: to})
	to.Close()
	a := <-read
	var exit *ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == 127:
		return nil, errors.New("the host has no rpm: packages can only be installed where there are rpm and yum or dnf")
	case err != nil && a.err == nil:
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	case a.err != nil:
		return nil, a.err
	case len(a.packages) == 0:
		return nil, errors.New("the host has no rpm database, or an empty one: without it nothing tells what can be installed there")
	}
	return a.packages, nil
}
