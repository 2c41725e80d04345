package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// session is the work on one host.
type session struct {
	host Host
	out  *output
}

// printedError is a command that failed and what it printed last.
type printedError struct {
	err  error
	tail []string
}

func (e *printedError) Error() string { return e.err.Error() }
func (e *printedError) Unwrap() error { return e.err }

// run runs a command; what it prints goes to the session's output. c.Stdout may be set to take that itself.
func (s *session) run(ctx context.Context, c Command) error {
	s.out.last()
	stdout, stderr := &stream{out: s.out}, &stream{out: s.out}
	if c.Stdout == nil {
		c.Stdout = stdout
	}
	c.Stderr = stderr
	err := s.host.Run(ctx, c)
	stdout.flush()
	stderr.flush()
	if err == nil {
		return nil
	}
	var exit *ExitError
	if tail := s.out.last(); errors.As(err, &exit) {
		return &printedError{err, tail}
	}
	return err
}

// whole makes a program one that a shell reads to its end before it begins: half of it, of a connection that broke, does
// nothing, and what it runs cannot read the rest of it as its own input.
func whole(program string) string { return "{\n" + program + "\n} </dev/null\n" }

// shell runs the text of a POSIX sh program, which is given on standard input and never shows in a process list.
func (s *session) shell(ctx context.Context, program string, sealed bool) error {
	return s.run(ctx, Command{
		Argv:   []string{"/bin/sh", "-s"},
		Stdin:  strings.NewReader(whole(program)),
		Sealed: sealed,
	})
}

// tries is how often what a broken connection may spoil is tried.
const tries = 3

// send writes a file on the host, whole and with the given digest, or not at all.
func (s *session) send(ctx context.Context, path, sha256, mode string, open func() (io.ReadCloser, error)) error {
	var err error
	for range tries {
		if err = s.sendOnce(ctx, []string{path, sha256, mode}, open); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("sending %q: %w", path, err)
	}
	return nil
}

func (s *session) sendOnce(ctx context.Context, args []string, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	return s.run(ctx, Command{
		Argv:  append([]string{"/bin/sh", "-c", text("steps/receive.sh"), "receive"}, args...),
		Stdin: r,
	})
}

// sendText is send for a text of ours.
func (s *session) sendText(ctx context.Context, path, mode, content string) error {
	return s.send(ctx, path, hexSHA256(content), mode, func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	})
}
