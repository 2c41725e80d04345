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

func (r runner) isolated(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, l, err := borrowLink(ctx)
	if err != nil {
		return err
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
			return err
		}
		defer stop()
	}
	l.onEnter = func(mounts *os.File) error { return send(conn, reply{}, mounts) }
	return Place{}.Run(ctx, Process{Argv: r.argv, Stdin: r.stdin, Stdout: r.stdout, Stderr: r.stderr, Link: l})
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

// printBackground prints what the daemon has seen.
func printBackground(ctx context.Context, w io.Writer) error {
	conn, err := dialDaemon(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := send(conn, request{Do: "background"}, nil); err != nil {
		return err
	}
	re := reply{}
	if err := json.NewDecoder(conn).Decode(&re); err != nil {
		return fmt.Errorf("asking the agent's daemon: %w", err)
	}
	if re.Error != "" {
		return errors.New(re.Error)
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
