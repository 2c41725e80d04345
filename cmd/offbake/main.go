// Command offbake brings everything that machine images need across an air gap in one signed bundle, and bakes the
// images inside from nothing else.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}))
}

// console is the world around the process, so that tests can be another one.
type console struct {
	in     io.Reader
	out    io.Writer // results only
	err    io.Writer // everything else
	getenv func(string) string
}

// run is the whole program but for the exit itself. The first SIGINT or SIGTERM cancels the work, which then cleans
// up; a second one ends the process at once.
func run(args []string, c console) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if status, ok := agent(ctx, args, c); ok {
		return status
	}
	a := &app{console: c}
	defer a.close()
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.json = a.json || slices.Contains(args, "--json") // parsing ends at the first flag that is wrong
	return a.report(ctx, err)
}
