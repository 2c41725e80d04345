package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// runner is one isolated command on a sealed host.
type runner struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	report         string
	argv           []string
	err            error // in the arguments
}

// run returns the status to exit with.
func (r runner) run(ctx context.Context) int {
	err := r.err
	if err == nil {
		if err = os.Remove(r.report); err == nil || errors.Is(err, os.ErrNotExist) {
			err = r.isolated(ctx)
		}
	}
	var exit *ExitError
	var egress *EgressError
	var broken *brokenError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &egress):
		list, jsonErr := json.Marshal(egress.Attempts)
		if jsonErr == nil {
			return r.tell(ExitEgress, append(list, '\n'))
		}
		err = jsonErr
	case errors.As(err, &broken):
		return r.tell(ExitBroken, fmt.Appendf(nil, "%v\n", broken))
	}
	return r.tell(ExitUnable, fmt.Appendf(nil, "%v\n", err))
}

// tell writes the report. Where it cannot, standard error has it.
func (r runner) tell(status int, text []byte) int {
	if r.report == "" {
		fmt.Fprintf(r.stderr, "offbake: error: %s", text)
		return status
	}
	if err := os.WriteFile(r.report, text, 0o600); err != nil {
		fmt.Fprintf(r.stderr, "offbake: error: writing report: %v: %s", err, text)
	}
	return status
}

// brokenError is a host that was sealed before a command and is not any more.
type brokenError struct{ error }

// isolated runs the command and looks at the seal afterwards, whatever became of the command: who takes the seal away may
// well end this program too.
func (r runner) isolated(ctx context.Context) error {
	began, err := r.watched(ctx)
	var egress *EgressError
	if !began || errors.As(err, &egress) { // which is a verdict already
		return err
	}
	if _, err := askDaemon(context.WithoutCancel(ctx), "check"); err != nil {
		return &brokenError{err}
	}
	return err
}

// watched reports whether the command was let begin on a sealed host, too.
func (r runner) watched(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, l, err := borrowLink(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer l.Close()
	go func() {
		conn.Read(make([]byte, 1)) // it says nothing more
		cancel(errors.New("the agent's daemon ended"))
	}()
	if file, ok := r.stdout.(*os.File); ok {
		stop, err := whenHungUp(file, func() { cancel(errors.New("the reader of the output is gone")) })
		if err != nil {
			return false, err
		}
		defer stop()
	}
	l.onEnter = func(mounts *os.File) error { return send(conn, reply{}, mounts) }
	return true, Place{}.Run(ctx, Process{Argv: r.argv, Stdin: r.stdin, Stdout: r.stdout, Stderr: r.stderr, Link: l})
}

// borrowLink asks the daemon for a link, which it takes back when the connection ends.
func borrowLink(ctx context.Context) (*net.UnixConn, *Link, error) {
	conn, err := dialDaemon(ctx)
	if err != nil {
		return nil, nil, err
	}
	err = send(conn, request{Do: "link"}, nil)
	if err == nil {
		var re reply
		var ns *os.File
		if re, ns, err = receive(conn); err == nil {
			return conn, &Link{ns: ns, index: re.Index}, nil
		}
	}
	return nil, nil, errors.Join(fmt.Errorf("asking the agent's daemon for a network: %w", err), conn.Close())
}

func dialDaemon(ctx context.Context) (*net.UnixConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(Folder, socketName))
	if err != nil {
		return nil, fmt.Errorf("asking the agent's daemon, which seal starts: %w", err)
	}
	return conn.(*net.UnixConn), nil
}

// askDaemon returns the answer to what needs no handle.
func askDaemon(ctx context.Context, do string) (re reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout) // it may be stopped
	defer cancel()
	conn, err := dialDaemon(ctx)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return reply{}, err
	}
	if err := send(conn, request{Do: do}, nil); err != nil {
		return reply{}, fmt.Errorf("asking the agent's daemon: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&re); err != nil {
		return reply{}, fmt.Errorf("asking the agent's daemon: %w", err)
	}
	if re.Error != "" {
		return reply{}, errors.New(re.Error)
	}
	return re, nil
}

// printBackground prints what the daemon has seen.
func printBackground(ctx context.Context, w io.Writer) error {
	re, err := askDaemon(ctx, "background")
	if err != nil {
		return err
	}
	if re.Attempts == nil {
		re.Attempts = []Attempt{} // a list, not null
	}
	return json.NewEncoder(w).Encode(re.Attempts)
}

// whenHungUp calls f when nobody can read any more what is written to a pipe, socket or terminal, until stop is called.
// That is how a command learns that its connection broke before it writes.
func whenHungUp(file *os.File, f func()) (stop func(), err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	if err := raw.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	wait, end, err := os.Pipe()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	go func() {
		defer unix.Close(fd)
		defer wait.Close()
		polled := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(wait.Fd())}} // errors and hang-ups come unasked
		for {
			_, err := unix.Poll(polled, -1)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil || polled[1].Revents != 0:
				return
			}
			f()
			return
		}
	}()
	return func() { end.Close() }, nil
}
