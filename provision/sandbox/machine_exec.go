package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/offbake/offbake/provision/guest"
)

// outputDelay is how long output is awaited, after a command has ended, that may come from what it left running.
const outputDelay = 5 * time.Second

// signalTimeout is long for a kill(1); a guest that is that busy is about to be ended.
const signalTimeout = 20 * time.Second

// launcher runs the command in a session of its own and tells its number in the guest first. guest.Run ends whatever is in
// the session that it made; sshd leaves running what a command started and did not wait for, and so does this.
const launcher = `exec 3<&0 4>&2 2>/dev/null
exec_command='echo "$$" && exec env "$@"'
setsid sh -c "$exec_command" sh "$@" <&3 2>&4 3<&- 4>&- &
exec <&- 3<&-
wait "$!"`

// exec is Machine.Exec.
func (m *guestMachine) exec(ctx context.Context, e Exec) (status int, err error) {
	g := m.running()
	over, cancel := context.WithCancel(ctx)
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
	signalled := make(chan struct{})
	go func() {
		defer close(signalled)
		select {
		case pid := <-launched.line:
			passSignals(over, g, pid, e.Signals)
			if ctx.Err() != nil {
				signalGroup(g, syscall.SIGKILL, pid)
			}
		case <-stdout.done: // it never began
		}
	}()
	argv := append([]string{"/bin/sh", "-c", launcher, "sh"}, e.Env...)
	err = g.Run(ctx, guest.Process{
		Argv: append(argv, "/bin/sh", "-c", e.Command), Stdin: e.Stdin, Stdout: stdout.w, Stderr: stderr.w,
	})
	stdout.end(ctx)
	stderr.end(ctx)
	cancel()
	<-signalled
	var exit *guest.ExitError
	if errors.As(err, &exit) {
		return exit.Code, nil
	}
	return 0, err
}

// passSignals sends signals to the command and its children until over ends.
func passSignals(over context.Context, g *guest.Guest, pid string, signals <-chan syscall.Signal) {
	for {
		select {
		case <-over.Done():
			return
		case sig := <-signals:
			signalGroup(g, sig, pid)
		}
	}
}

// signalGroup fails only where the command, or the guest, has just ended.
func signalGroup(g *guest.Guest, sig syscall.Signal, pid string) {
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	g.Run(ctx, guest.Process{Argv: []string{"/bin/sh", "-c", `kill -s "$1" -- "-$2"`, "sh", strconv.Itoa(int(sig)), pid}})
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
