package main

import (
	"context"

	"github.com/offbake/offbake/provision/seal"
)

// agent is the program on a host that a bake seals, which offbake itself has put there and calls. It is no verb for
// users and none of cobra's: its exit status is that of other commands, and their flags are not ours to read.
func agent(ctx context.Context, args []string, c console) (status int, ok bool) {
	if len(args) == 0 || args[0] != seal.Verb {
		return 0, false
	}
	return seal.Agent(ctx, args[1:], c.in, c.out, c.err), true
}
