package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/offbake/offbake/provision/guest"
)

// outputDelay is how long output is awaited, after a command has ended, that may come from what it left running.
const outputDelay = 5 * time.Second

// launcher tells the number that the command has in the guest, which signals need, and then becomes the command.
const launcher = `echo "$$" && exec env "$@"`

// exec is Machine.Exec.
func (m *guestMachine) exec(ctx context.Context, e Exec) (status int, err error) {
	g := m.running()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	launched := &firstLine{to: e.Stdout, line: make(chan string, 1)}
	stdout, err := newOutput(launched)
	if err != nil {
		return 0, err
	}
	stderr, err := newOutput(e.Stderr)
	if err != nil {
		stdout.end(ctx)
		return 0, err
	}
	if e.Signals != nil {
		go func() {
			select {
			case pid := <-launched.line:
				passSignals(ctx, g, pid, e)
			case <-ctx.Done():
			}
		}()
	}
	argv := append([]string{"/bin/sh", "-c", launcher, "sh"}, e.Env...)
	err = g.Run(ctx, guest.Process{
		Argv: append(argv, "/bin/sh", "-c", e.Command), Stdin: e.Stdin, Stdout: stdout.w, Stderr: stderr.w,
	})
	stdout.end(ctx)
	stderr.end(ctx)
	var exit *guest.ExitError
	if errors.As(err, &exit) {
		return exit.Code, nil
	}
	return 0, err
}

// passSignals sends signals to the command and its children until ctx ends.
func passSignals(ctx context.Context, g *guest.Guest, pid string, e Exec) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-e.Signals:
			// It fails only when the command has just ended.
			g.Run(ctx, guest.Process{Argv: []string{
				"/bin/sh", "-c", `kill -s "$1" -- "-$2"`, "sh", strconv.Itoa(int(sig)), pid,
			}})
		}
	}
}

// output is a pipe from a command to a writer. The command has the pipe's end itself, so that a reader who is slow
// after the command has ended loses nothing.
type output struct {
	r, w  *os.File
	ended atomic.Bool // the command has
	done  chan struct{}
}

func newOutput(to io.Writer) (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o := &output{r: r, w: w, done: make(chan struct{})}
	go o.copy(to)
	return o, nil
}

// copy ends with the last who holds the other end; after the command's end it waits for others outputDelay at a time.
func (o *output) copy(to io.Writer) {
	defer close(o.done)
	defer o.r.Close() // a command that goes on writing gets SIGPIPE
	buf := make([]byte, 32<<10)
	for {
		if o.ended.Load() {
			o.r.SetReadDeadline(time.Now().Add(outputDelay))
		}
		n, err := o.r.Read(buf)
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// end waits for what the command has written, or for ctx.
func (o *output) end(ctx context.Context) {
	o.w.Close()
	o.ended.Store(true)
	o.r.SetReadDeadline(time.Now().Add(outputDelay)) // for a read that has begun
	select {
	case <-o.done:
	case <-ctx.Done():
	}
}

// firstLine passes on what is written but the first line.
type firstLine struct {
	to   io.Writer
	line chan string // has room for it
	head []byte
	done bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if f.done {
		return f.to.Write(p)
	}
	f.head = append(f.head, p...)
	line, rest, found := bytes.Cut(f.head, []byte("\n"))
	if !found {
		return len(p), nil
	}
	f.done = true
	f.line <- string(line)
	if len(rest) > 0 {
		if _, err := f.to.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
