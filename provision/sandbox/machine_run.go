package sandbox

import "context"

// fleet is what the hosts of one sandbox have in common.
type fleet struct{}

// running is the half of a host that runs it: machine, SSH server, forwarding.
type running struct{}

// bootHost starts h: its machine from h.root the first time, from its own disk after stopHost; then its SSH server on
// h.private and h.eip. When it returns nil SSH answers. On error nothing runs. It ends early with ctx.
//
// The caller sees to it that bootHost, stopHost, packHost and endHost of one host never run at the same time.
func (s *Sandbox) bootHost(ctx context.Context, h *uhost) error { return nil }

// stopHost shuts h down, with hard as if the power went, and ends its SSH server. Its disk and addresses stay.
func (s *Sandbox) stopHost(ctx context.Context, h *uhost, hard bool) error { return nil }

// packHost writes the file system of a stopped host as a tar to path, a new file that the caller removes on error.
func (s *Sandbox) packHost(ctx context.Context, h *uhost, path string) error { return nil }

// endHost ends whatever there is of h and gives its addresses back. It may be called in any state, also twice.
func (s *Sandbox) endHost(h *uhost) error { return nil }

// reapHosts removes what a sandbox that was killed left in s.work: machines, mounts, files. New calls it before anything
// else uses s.work; s.work exists.
func (s *Sandbox) reapHosts(ctx context.Context) error { return nil }
