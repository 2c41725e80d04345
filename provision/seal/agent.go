package seal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
)

// How a host agent is found and what it says. The agent is this program itself, copied to Program on the host and run
// there as root with Verb as its first argument; docs/adr/0008-host-agent.md says why.
const (
	// Verb is the program's first argument; what follows are the args of Agent.
	Verb = "host-agent"
	// Folder is for the agent alone: mode 0700, on a file system that programs may be run from.
	Folder = "/run/offbake"
	// Program is where the agent lies.
	Program = Folder + "/offbake"
	// ExitEgress is the status of "run" when the command tried to leave its network: the report is a JSON list of
	// Attempt, not empty.
	ExitEgress = 213
	// ExitUnable is the status of "run" when the command could not be run or not be watched: the report is a line of text.
	ExitUnable = 214
	// ExitBroken is the status of "run" when the host was not sealed any more after the command: the report is a line of
	// text that says what is wrong.
	ExitBroken = 215
)

// Agent does what args say on the host that it runs on, as root, and returns the status to exit with:
//
//	seal --root DIR --client IP --port PORT
//		leaves the host's own network nothing but replies from TCP port PORT to IP, and DIR by HTTP at Address:
//		http://10.213.0.1/x is the regular file DIR/x. Returns when it is so; a daemon goes on until the host ends.
//		On a host that is sealed already, and on any error, it changes nothing and the status is 1.
//	run --report FILE -- ARGV...
//		runs a command as Place.Run does one with a Link, on standard streams of the caller's. The status is the command's,
//		or 128 and the number of the signal that ended it. FILE exists afterwards only where the status is ExitEgress,
//		ExitUnable or ExitBroken of the agent's own. Nothing that the command started outlives run, however run
//		ends; where the reader of the standard output is gone, run ends.
//	background
//		prints a JSON list of Attempt: what else than isolated commands tried to reach something since seal.
//
// Errors of seal and background are one line on stderr. An end of ctx ends run and the command.
func Agent(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var verb string
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "seal", "daemon": // the second is the first's child
		var s sealing
		if s, err = parseSealing(verb, args); err == nil && verb == "seal" {
			err = s.start(ctx)
		} else if err == nil {
			err = s.daemon(ctx)
		}
	case "run":
		return parseRun(args, runner{stdin: stdin, stdout: stdout, stderr: stderr}).run(ctx)
	case "background":
		err = printBackground(ctx, stdout)
	default:
		err = fmt.Errorf("got %q, want seal, run or background", verb)
	}
	if err != nil {
		fmt.Fprintf(stderr, "offbake: error: %v\n", err)
		return 1
	}
	return 0
}

// sealing says what to seal a host to.
type sealing struct {
	root   string // folder to serve
	client netip.Addr
	port   uint16
}

func newFlags(verb string) *flag.FlagSet {
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.SetOutput(io.Discard) // the error says it
	return f
}

func parseSealing(verb string, args []string) (sealing, error) {
	f := newFlags(verb)
	root := f.String("root", "", "")
	client := f.String("client", "", "")
	port := f.Uint("port", 0, "")
	if err := f.Parse(args); err != nil {
		return sealing{}, err
	}
	addr, err := netip.ParseAddr(*client)
	switch {
	case err != nil:
		return sealing{}, fmt.Errorf("reading --client: %w", err)
	case addr.Unmap() == linkAddr(4, ownNumber):
		return sealing{}, fmt.Errorf("reading --client: the seal needs %s for itself", addr)
	case !filepath.IsAbs(*root):
		return sealing{}, fmt.Errorf("reading --root: got %q, want an absolute path", *root)
	case *port < 1 || *port > 65535:
		return sealing{}, fmt.Errorf("reading --port: got %d, want 1 to 65535", *port)
	case f.NArg() > 0:
		return sealing{}, fmt.Errorf("got %q after the flags, want nothing", f.Args())
	}
	return sealing{root: *root, client: addr.Unmap().WithZone(""), port: uint16(*port)}, nil
}

// args are what parseSealing reads.
func (s sealing) args() []string {
	return []string{"--root", s.root, "--client", s.client.String(), "--port", fmt.Sprint(s.port)}
}

// parseRun fills in r; what is wrong with args is r's first error.
func parseRun(args []string, r runner) runner {
	f := newFlags("run")
	f.StringVar(&r.report, "report", "", "")
	if r.err = f.Parse(args); r.err != nil {
		return r
	}
	if r.argv = f.Args(); len(r.argv) == 0 || !filepath.IsAbs(r.report) {
		r.err = errors.New("want --report with an absolute path, and a command")
	}
	return r
}
