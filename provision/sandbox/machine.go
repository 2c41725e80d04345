package sandbox

import (
	"context"
	"io"
	"net"
	"net/netip"
	"syscall"
)

// BootConfig says what machine a host needs.
type BootConfig struct {
	Name  string // of the host, unique in its sandbox: a-z, 0-9 and -
	Image string // root file system: a folder, which must not be changed, or a tar file
	Work  string // folder for what the machine needs on disk; shared by all machines of a sandbox
	// Forward are loopback addresses of this machine that processes in the host reach under the same address and port.
	Forward []netip.AddrPort
}

// Machine is what runs behind a host: a real guest, or an in-process one of a test. Its functions may be called from
// several goroutines; none of them after Close.
type Machine struct {
	// Exec runs a command line by /bin/sh -c as root and waits for it. status is the command's, or 128 and the number of
	// the signal that ended it; err says that it could not be run, or that ctx ended, with which the command is killed.
	Exec func(ctx context.Context, e Exec) (status int, err error)
	// Root is the file tree for sftp and scp, as the machine's own processes see it; "" for none.
	Root string
	// Down, unless nil, returns a channel that is closed when the machine has gone down since it was last started,
	// by itself or by Stop.
	Down func() <-chan struct{}
	// Rebooted, unless nil, says after Down whether the machine went down by itself to start again. The sandbox starts it.
	Rebooted func() bool
	// Start, unless nil, starts the machine again after Stop, from what it then had on disk.
	Start func(ctx context.Context) error
	// Listen listens inside the machine, on its eth0. Nil: the SSH server is served directly.
	Listen func(port int) (net.Listener, error)
	// Dial connects from outside to a port inside.
	Dial func(ctx context.Context, port int) (net.Conn, error)
	// Stop shuts down cleanly, as a power button does, and returns when that is over. Where ctx ends first the machine is
	// off all the same, and the error says that its files may be half written.
	Stop func(ctx context.Context) error
	// Pack writes the file system as a tar, of a machine that runs as far as that is possible.
	Pack func(ctx context.Context, w io.Writer) error
	// Close ends the machine, running or not, and removes all that it has on disk.
	Close func() error
}

// Exec is one command.
type Exec struct {
	Command        string   // a command line for /bin/sh -c
	Env            []string // NAME=VALUE, beside what root has anyway
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Signals are passed on to the command and to what it started; nil for none.
	Signals <-chan syscall.Signal
}
