package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// commandPath is the PATH of commands: that of a root login everywhere.
const commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// outputDelay is how long output of a command is awaited that left a process which holds it open.
const outputDelay = 5 * time.Second

// Process is one command.
type Process struct {
	// Argv is the program, found where it is to run, and its arguments.
	Argv []string
	// Stdin is fed to it; nil for nothing. A Read of it may still be going on when Run returns, if the command ended
	// without reading all. An *os.File is handed over as it is.
	Stdin io.Reader
	// Stdout and Stderr take its output; nil to drop it.
	Stdout, Stderr io.Writer
	// Link, when set, is the network, of its own, in which it runs isolated: only Address answers. The first attempt to
	// reach anything else ends it and all that it started: Run returns an *EgressError. What it leaves running is ended
	// in any case.
	Link *Link
}

// ExitError is a command that ran and failed. Code is its exit status, or 128 and the number of the signal that ended it.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return "exit status " + strconv.Itoa(e.Code) }

// EgressError is an isolated command that tried to reach what it may not. Attempts has at least one element.
type EgressError struct{ Attempts []Attempt }

func (e *EgressError) Error() string {
	a := e.Attempts[0]
	return fmt.Sprintf("tried to reach %s port %d (%s %s) and %d more", a.Address, a.Port, a.Proto, a.Name, len(e.Attempts)-1)
}

// Run runs a command as root and waits for it. Where ctx ends first, the command and what it started are killed. The
// environment is PATH, HOME, USER, LOGNAME, SHELL and LANG.
func (h Place) Run(ctx context.Context, p Process) (err error) {
	if len(p.Argv) == 0 {
		return errors.New("no program named")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r := &running{place: h, Process: p, stop: make(chan error, 1)}
	if p.Link != nil {
		if r.witness, err = openWitness(p.Link.ns, view{index: p.Link.index, isolated: true}); err != nil {
			return err
		}
		defer r.witness.close()
	}
	defer func() { r.mounts.Close() }() // also of a nil file
	if err := OnThread(r.start); err != nil {
		return err
	}
	return r.wait(ctx)
}

// running is a command from its start to its end.
type running struct {
	place Place
	Process
	mounts  *os.File // the mount namespace of an isolated command
	witness *witness // of an isolated command
	cmd     *exec.Cmd
	stop    chan error // why it was ended before its time
	tried   attempts
}

// start runs on a thread of its own.
func (r *running) start() error {
	if err := r.enter(); err != nil {
		return fmt.Errorf("entering namespaces: %w", err)
	}
	program, err := lookPath(r.Argv[0])
	if err != nil {
		return err
	}
	r.cmd = &exec.Cmd{
		Path: program, Args: r.Argv, Dir: "/", Stdout: r.Stdout, Stderr: r.Stderr,
		Env: []string{"PATH=" + commandPath, "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8"},
		// A session of its own: a group to kill, and no terminal to take or to be interrupted from.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   outputDelay,
	}
	if info, err := os.Stat("/root"); err == nil && info.IsDir() {
		r.cmd.Dir = "/root"
	}
	var feed io.WriteCloser
	if file, ok := r.Stdin.(*os.File); ok {
		r.cmd.Stdin = file
	} else if r.Stdin != nil {
		if feed, err = r.cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	if feed != nil {
		go r.feed(feed)
	}
	return nil
}

// lookPath finds a program; the caller's thread is there.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(commandPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// feed copies Stdin to the command. A source that fails ends the command: it must not take half for the whole.
func (r *running) feed(w io.WriteCloser) {
	src := &source{r: r.Stdin}
	io.Copy(w, src) // the command may end without reading all
	if src.err != nil {
		r.end(fmt.Errorf("reading standard input: %w", src.err))
		return
	}
	w.Close()
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

// end makes wait kill the command; the first reason counts.
func (r *running) end(err error) {
	select {
	case r.stop <- err:
	default:
	}
}

// wait returns when the command and, if it is isolated, everything that it started has ended.
func (r *running) wait(ctx context.Context) error {
	if r.witness != nil {
		go r.witness.each(func(a Attempt) bool {
			r.tried.add(a)
			r.end(nil)
			return false
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- awaitExit(r.cmd.Process.Pid) }()
	var reason error
	select {
	case reason = <-ended:
	case reason = <-r.stop:
	case <-ctx.Done():
		reason = context.Cause(ctx)
	}
	killErr := r.kill()
	err := r.cmd.Wait()
	if r.witness != nil {
		if err := r.egress(); err != nil {
			return errors.Join(err, killErr)
		}
	}
	if reason == nil {
		select {
		case reason = <-r.stop: // it ended by itself while its input failed
		default:
		}
	}
	if reason != nil || killErr != nil {
		return errors.Join(reason, killErr)
	}
	return exitError(err)
}

// awaitExit waits until a child has ended and leaves it to be waited for, so that its number is not taken again.
func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// kill ends what is left of the command: of an isolated one whatever is in its network or sees its files, of another
// its session.
func (r *running) kill() error {
	if r.Link == nil {
		err := unix.Kill(-r.cmd.Process.Pid, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return os.NewSyscallError("kill", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	return killIn(ctx, r.Link.ns, r.mounts)
}

// egress is the verdict on an isolated command, when nothing of it runs any more: every packet that it sent is either
// read or in the kernel's buffer.
func (r *running) egress() error {
	r.witness.stop()
	left, err := r.witness.drain()
	r.tried.add(left...)
	if len(r.tried.list) > 0 {
		return &EgressError{r.tried.list}
	}
	return err
}

func exitError(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return err
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return &ExitError{128 + int(status.Signal())}
	}
	return &ExitError{status.ExitStatus()}
}
