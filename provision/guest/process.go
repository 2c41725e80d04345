package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/offbake/offbake/provision/seal"
)

// What commands end with is the same for all that run them isolated.
type (
	Attempt     = seal.Attempt
	ExitError   = seal.ExitError
	EgressError = seal.EgressError
)

// Process is one command for a guest.
type Process struct {
	// Argv, Stdin, Stdout and Stderr are as in seal.Process.
	Argv           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Isolated runs it in a network of its own, in which only Address answers. The first attempt to reach anything else
	// ends it and all that it started: Run returns an *EgressError. What it leaves running is ended in any case.
	Isolated bool
}

// Run runs a command as root in the guest and waits for it. Where ctx ends first, the command and what it started are
// killed. The environment is PATH, HOME, USER, LOGNAME, SHELL and LANG.
func (g *Guest) Run(ctx context.Context, p Process) error {
	if len(p.Argv) == 0 {
		return errors.New("running a command: no program named")
	}
	if err := g.run(ctx, p); err != nil {
		return fmt.Errorf("running %q: %w", p.Argv[0], err)
	}
	return nil
}

func (g *Guest) run(ctx context.Context, p Process) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !g.boot.up() {
		return errors.New("the guest is down")
	}
	c := seal.Process{Argv: p.Argv, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr}
	if file, ok := p.Stdin.(*os.File); ok { // a guest gets no file of this machine's in its hands
		c.Stdin = struct{ io.Reader }{file}
	}
	if p.Isolated {
		l, err := g.net.Connect()
		if err != nil {
			return err
		}
		defer g.net.Disconnect(l)
		c.Link = l
	}
	return g.boot.place().Run(ctx, c)
}
