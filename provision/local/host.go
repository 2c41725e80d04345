package local

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/guest"
)

// host is a guest as a provision.Host.
type host struct {
	guest *guest.Guest
}

func (h *host) Name() string { return h.guest.Name() }

func (h *host) Run(ctx context.Context, c provision.Command) error {
	return inTerms(h.guest.Run(ctx, guest.Process{
		Argv: c.Argv, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr, Isolated: c.Sealed,
	}))
}

// Seal checks that allow is what a guest can reach; there never was anything else.
func (h *host) Seal(_ context.Context, allow netip.AddrPort) error {
	if allow != guest.Address() {
		return fmt.Errorf("sealing host %q: got file server %s, want %s", h.Name(), allow, guest.Address())
	}
	h.guest.Seal()
	return nil
}

func (h *host) Background(context.Context) ([]provision.Attempt, error) {
	return attempts(h.guest.Background()), nil
}

func (h *host) Close() error { return nil }

// inTerms gives a guest's error in the words of package provision.
func inTerms(err error) error {
	var exit *guest.ExitError
	var egress *guest.EgressError
	switch {
	case errors.As(err, &egress):
		return &provision.EgressError{Attempts: attempts(egress.Attempts)}
	case errors.As(err, &exit):
		return &provision.ExitError{Code: exit.Code}
	}
	return err
}

func attempts(all []guest.Attempt) []provision.Attempt {
	out := make([]provision.Attempt, len(all))
	for i, a := range all {
		out[i] = provision.Attempt(a)
	}
	return out
}
