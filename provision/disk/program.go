package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// program is one run of a stock tool, which dies with this process.
type program struct {
	name  string
	args  []string
	stdin *os.File
	// apart runs it with mounts and processes of its own: both end with it, whatever it is doing, and nobody else can keep
	// a mount of its busy.
	apart bool
}

// output runs the program and returns what it printed. An error quotes the first line that it complained with.
func (p program) output(ctx context.Context) ([]byte, error) {
	// A child's parent-death signal is sent when the thread ends that started it (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.name, p.args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if p.stdin != nil {
		cmd.Stdin = p.stdin
	}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // an interrupt at the terminal is for us alone
	if p.apart {
		cmd.SysProcAttr.Cloneflags, cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWPID, syscall.CLONE_NEWNS
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, &programError{name: p.name, err: err, said: complaint(stderr.String() + stdout.String())}
	}
	return stdout.Bytes(), nil
}

// programError is a program that failed.
type programError struct {
	name string
	err  error
	said string // the line that tells why, or ""
}

func (e *programError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("running %s: %v", e.name, e.err)
	}
	return fmt.Sprintf("running %s: %v: %q", e.name, e.err, e.said)
}

func (e *programError) Unwrap() error { return e.err }

// complaint is the first line that is no mere title, of a bounded length.
func complaint(output string) string {
	title := regexp.MustCompile(`^(e2fsck \d|Pass \d|\s*$)`)
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); !title.MatchString(line) {
			return line[:min(len(line), 400)]
		}
	}
	return ""
}
