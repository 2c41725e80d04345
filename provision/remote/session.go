package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision"
)

const (
	outputDelay = 5 * time.Second // how long more output is awaited of a command that has ended
	outputLimit = time.Minute     // and how long at most while some comes
)

var (
	errExecRefused = errors.New("the host refused to run it")
	errNoStatus    = errors.New("the host ended the session without an exit status")
)

// session is one command from its start to its end (RFC 4254 6). It does without ssh.Session, which waits for a host
// that has told the exit status to close the session, and so for daemons that hold the output open.
type session struct {
	host *Host
	link *link
	ch   ssh.Channel
	what string // the command, for people
	mark string // by which it can be found on the host, "" for what need not be found
	gate gate

	exited chan struct{} // closed when the command has ended, or the session without that
	known  bool          // whether the exit status is known; to be read after exited, like code
	code   int
}

func newSession(h *Host, l *link, ch ssh.Channel, reqs <-chan *ssh.Request) *session {
	s := &session{host: h, link: l, ch: ch, exited: make(chan struct{})}
	h.running.Go(func() { s.listen(reqs) })
	return s
}

// listen takes what the host says beside the output.
func (s *session) listen(reqs <-chan *ssh.Request) {
	end := sync.OnceFunc(func() { close(s.exited) })
	defer end()
	for r := range reqs {
		if code, ok := exitCode(r); ok && !s.known {
			s.code, s.known = code, true
			end()
		}
		if r.WantReply {
			r.Reply(false, nil) //nolint:errcheck // the connection is broken then
		}
	}
}

// exitCode reads an exit status, or the signal that ended a command (RFC 4254 6.10).
func exitCode(r *ssh.Request) (int, bool) {
	switch r.Type {
	case "exit-status":
		if len(r.Payload) >= 4 {
			return int(binary.BigEndian.Uint32(r.Payload)), true
		}
	case "exit-signal":
		var signal struct {
			Name   string
			Dumped bool
			Text   string
			Lang   string
		}
		if ssh.Unmarshal(r.Payload, &signal) == nil {
			return 128 + signalNumber(signal.Name), true
		}
	}
	return 0, false
}

// signalNumber is Linux's number of a signal that RFC 4254 6.10 names, 0 for another.
func signalNumber(name string) int {
	return map[string]int{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12,
		"PIPE": 13, "ALRM": 14, "TERM": 15,
	}[name]
}

// run has the host run the command and waits for its end, or ctx's.
func (s *session) run(ctx context.Context, c provision.Command) error {
	s.what = brief(c.Argv)
	defer s.close()
	if err := s.exec(ctx, commandLine(marked(s.mark, c.Argv))); err != nil {
		return err
	}
	output := s.copyOutput(c.Stdout, c.Stderr)
	fed := make(chan error, 1)
	go s.feed(c.Stdin, fed) // may be in a Read of the caller's when all else is over
	select {
	case <-s.exited:
	case err := <-fed:
		s.kill()
		return err
	case <-ctx.Done():
		s.kill()
		return context.Cause(ctx)
	}
	if err := s.drain(ctx, output); err != nil {
		return err
	}
	select {
	case err := <-fed: // it ended by itself while its input failed
		return err
	default:
		return s.verdict()
	}
}

func (s *session) verdict() error {
	switch {
	case !s.known:
		return s.lost(errNoStatus)
	case s.code != 0:
		return &provision.ExitError{Code: s.code}
	}
	if err := s.gate.failure(); err != nil {
		return fmt.Errorf("running %s on %q: writing its output: %w", s.what, s.host.Name(), err)
	}
	return nil
}

func (s *session) lost(err error) error {
	if fault := s.link.fault(); fault != nil {
		err = fault
	}
	return &LostError{Host: s.host.Name(), Command: s.what, Err: err}
}

// exec asks the host to run the command line. Whatever becomes of it then, it is not asked again.
func (s *session) exec(ctx context.Context, line string) error {
	answer := make(chan error, 1)
	s.host.running.Go(func() {
		ok, err := s.ch.SendRequest("exec", true, ssh.Marshal(&struct{ Command string }{line}))
		if err == nil && !ok {
			err = errExecRefused
		}
		answer <- err
	})
	limit := time.NewTimer(s.host.config.Handshake)
	defer limit.Stop()
	select {
	case err := <-answer:
		switch {
		case errors.Is(err, errExecRefused):
			return fmt.Errorf("running %s on %q: %w", s.what, s.host.Name(), err)
		case err != nil:
			return s.lost(errNoStatus)
		}
		return nil
	case <-limit.C:
		s.host.retire(s.link)
		return &LostError{Host: s.host.Name(), Command: s.what,
			Err: fmt.Errorf("the host did not say within %s whether it runs it", s.host.config.Handshake)}
	case <-ctx.Done():
		s.kill()
		return context.Cause(ctx)
	}
}

// copyOutput begins to copy; the channel that it returns is closed at the end of the output.
func (s *session) copyOutput(stdout, stderr io.Writer) <-chan struct{} {
	done := make(chan struct{})
	var both sync.WaitGroup
	for _, c := range []struct {
		to   io.Writer
		from io.Reader
	}{{stdout, s.ch}, {stderr, s.ch.Stderr()}} {
		both.Add(1)
		s.host.running.Go(func() {
			defer both.Done()
			io.Copy(s.gate.through(c.to), c.from) //nolint:errcheck // ends with the session, whose end is looked at
		})
	}
	s.host.running.Go(func() {
		both.Wait()
		close(done)
	})
	return done
}

// feed gives the command its input. A source that fails is told: the command must not take half for the whole.
func (s *session) feed(r io.Reader, fed chan<- error) {
	if r != nil {
		src := &source{r: r}
		io.Copy(s.ch, src) //nolint:errcheck // the command may end without reading all
		if src.err != nil {
			fed <- fmt.Errorf("running %s on %q: reading its input: %w", s.what, s.host.Name(), src.err)
			return
		}
	}
	s.ch.CloseWrite() //nolint:errcheck // the session is over then
}

type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// drain awaits the rest of the output of a command that has ended.
func (s *session) drain(ctx context.Context, output <-chan struct{}) error {
	limit := time.NewTimer(outputLimit)
	defer limit.Stop()
	idle := time.NewTicker(outputDelay)
	defer idle.Stop()
	for seen := s.gate.written(); ; {
		select {
		case <-output:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return nil
		case <-idle.C:
			now := s.gate.written()
			if now == seen && !s.gate.busy() {
				return nil
			}
			seen = now
		}
	}
}

// close ends the session and all writing to the caller's streams.
func (s *session) close() {
	s.gate.shut()
	s.host.running.Go(func() { s.ch.Close() })
}
