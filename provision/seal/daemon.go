package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockName   = "lock"
	socketName = "agent.sock"
	// sealTimeout bounds what may wait: another program's lock on the firewall's rules.
	sealTimeout = time.Minute
	sealed      = "sealed"
	checkTries  = 3
	checkPause  = 50 * time.Millisecond
)

// start starts a daemon and waits until it has sealed the host.
func (s sealing) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	// Not by its name: the file may be gone or another one. No standard streams, and a session of its own, so that it
	// neither holds nor follows the connection over which it was started.
	cmd := exec.Command("/proc/self/exe", append([]string{Verb, "daemon"}, s.args()...)...)
	cmd.Args[0] = os.Args[0] // the name by which the program knows itself, and which shows in a process list
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + commandPath, "LANG=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{in}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("starting the agent's daemon: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) }) // so that it opens again
	defer stop()
	said, err := io.ReadAll(out)
	if err == nil && strings.TrimSpace(string(said)) == sealed {
		return cmd.Process.Release()
	}
	cmd.Wait() // it has said why, or nothing can be learnt
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("sealing the host: %w", context.Cause(ctx))
	case len(said) > 0:
		return fmt.Errorf("sealing the host: %s", said)
	}
	return errors.New("sealing the host: the agent's daemon ended before it was done")
}

// daemon seals the host, says so on file descriptor 3, and serves until ctx ends. Its end opens nothing: the rules stay.
func (s sealing) daemon(ctx context.Context) error {
	parent := os.NewFile(3, "parent")
	unix.CloseOnExec(3)
	d, err := s.seal(ctx)
	if err != nil {
		fmt.Fprint(parent, err)
		return errors.Join(err, parent.Close())
	}
	defer d.close()
	go func() {
		if err := d.own.keepMending(ctx); err != nil {
			d.listener.Close() // a seal that nobody keeps is none
		}
	}()
	_, err = fmt.Fprintln(parent, sealed)
	if err := errors.Join(err, parent.Close()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { d.listener.Close() })
	defer stop()
	for {
		conn, err := d.listener.AcceptUnix()
		if err != nil {
			return err
		}
		go d.serve(conn)
	}
}

// daemon is what keeps a sealed host sealed and watched.
type daemon struct {
	lock     *os.File
	gateway  *Gateway
	link     *Link // of the host's own network
	record   *Record
	own      ownNetwork
	listener *net.UnixListener
}

// seal does all that daemon does before it serves. On error the host's network is as before.
func (s sealing) seal(ctx context.Context) (d *daemon, err error) {
	d = &daemon{own: ownNetwork{client: s.client, port: s.port}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.own.open(), d.close())
		}
	}()
	if d.lock, err = lockFolder(); err != nil {
		return d, err
	}
	if d.gateway, err = NewGateway(folder(s.root)); err != nil {
		return d, err
	}
	if d.link, err = d.gateway.attach(); err != nil {
		return d, err
	}
	if d.record, err = newRecord(d.link, d.own.replies()); err != nil {
		return d, err
	}
	if err := d.own.shut(ctx); err != nil {
		return d, err
	}
	d.record.Reset() // what left before had every right to
	path := filepath.Join(Folder, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return d, err
	}
	d.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	return d, err
}

// lockFolder makes the agent's folder and takes the lock by which there is one daemon.
func lockFolder() (*os.File, error) {
	if err := os.MkdirAll(Folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(Folder, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(Folder, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("it is sealed already")
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

func (d *daemon) close() error {
	if d.listener != nil {
		d.listener.Close()
	}
	if d.record != nil {
		d.record.Close()
	}
	if d.link != nil {
		d.gateway.Disconnect(d.link)
	}
	if d.gateway != nil {
		d.gateway.Close()
	}
	d.lock.Close() // also of a nil file; nothing was written
	return nil
}

func (d *daemon) serve(conn *net.UnixConn) {
	defer conn.Close()
	var q request
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return
	}
	if err := d.check(); err != nil { // somebody took the rules away: no verdict can be trusted
		send(conn, reply{Error: err.Error()}, nil)
		return
	}
	switch q.Do {
	case "link":
		d.serveLink(conn)
	case "background":
		send(conn, reply{Attempts: d.record.Attempts()}, nil)
	case "check":
		send(conn, reply{}, nil)
	}
}

// check looks again where it finds something wrong: an interface that comes or goes at this moment is not mended yet, and
// the kernel does not list what changes meanwhile.
func (d *daemon) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	for tries := 1; ; tries++ {
		err := d.own.check(ctx)
		if err == nil || tries == checkTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(checkPause):
		}
	}
}

// serveLink lends a link to an agent. When it is gone, whatever it left in the link's network goes too.
func (d *daemon) serveLink(conn *net.UnixConn) {
	l, err := d.gateway.Connect()
	if err != nil {
		send(conn, reply{Error: err.Error()}, nil)
		return
	}
	defer d.gateway.Disconnect(l)
	if err := send(conn, reply{Index: l.index}, l.ns); err != nil {
		return
	}
	// The handle, not its number: that of a namespace that is gone may soon be another's.
	_, mounts, err := receive(conn)
	if err != nil {
		return // it ended before its command began
	}
	defer mounts.Close()
	conn.Read(make([]byte, 1)) // until the connection ends
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	killIn(ctx, l.ns, mounts) // there is nobody to tell
}
