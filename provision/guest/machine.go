package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/offbake/offbake/provision/seal"
)

// bootTimeout is generous: a base image may bring daemons that wait for a network in vain.
const bootTimeout = 3 * time.Minute

// signalPowerOff is SIGRTMIN+4, systemd's "start poweroff.target" (systemd(1), SIGNALS).
const signalPowerOff = syscall.Signal(34 + 4)

// exitReboot is how systemd-nspawn with --keep-unit ends when its guest reboots: it leaves that to its service (systemd's
// nspawn.c, EXIT_FORCE_RESTART).
const exitReboot = 133

// machine is one systemd-nspawn with a systemd in it.
type machine struct {
	console *tail
	exited  chan struct{} // closed when systemd-nspawn has ended
	again   bool          // after exited: the guest asked to be started again
	leader  *os.Process   // the guest's PID 1
	// spaces are the leader's namespaces, held from the moment it was known: a process id may change its meaning.
	spaces map[string]*os.File
	caps   uint64 // the leader's capability bounding set
}

// boot says what to boot: dir's tree in the network net.
type boot struct {
	dir      hostDir
	net      *os.File
	netAdmin bool
}

// bootMachine starts a guest and waits until its systemd has finished starting. On error it may still run; Reap ends it.
func bootMachine(ctx context.Context, b boot) (*machine, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, errors.New("start-up did not finish"))
	defer cancel()
	folder, err := os.Open(b.dir.path())
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	// A socket's address holds 108 bytes and the folder's path may be longer; the folder keeps strangers out.
	address := fmt.Sprintf("/proc/%d/fd/%d/notify", os.Getpid(), folder.Fd())
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	m := &machine{console: &tail{}, exited: make(chan struct{}), spaces: map[string]*os.File{}}
	cmd, err := b.nspawn()
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+address)
	cmd.Stdout, cmd.Stderr = m.console, m.console
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait() // what it says of the guest the console says better
		m.again = cmd.ProcessState.ExitCode() == exitReboot
		close(m.exited)
	}()
	if err := m.awaitReady(ctx, notify); err != nil {
		m.close()
		return nil, fmt.Errorf("booting: %w%s", err, m.console)
	}
	return m, nil
}

// nspawn is the command that boots the guest, in a control group of its own: two systemds cannot share one.
func (b boot) nspawn() (*exec.Cmd, error) {
	env := os.Environ()
	args := []string{"systemd-nspawn", "--quiet", "--boot", "--settings=no", "--register=no", "--keep-unit",
		"--machine=" + machineName(b.dir.name), "--hostname=localhost", // a name that every base resolves without asking anybody
		"--directory=" + b.dir.root(),
		fmt.Sprintf("--network-namespace-path=/proc/%d/fd/%d", os.Getpid(), b.net.Fd()),
		"--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe", "--notify-ready=yes"}
	if b.netAdmin {
		// For a network that it did not make itself nspawn grants neither. The variable: systemd's docs/ENVIRONMENT.md.
		args = append(args, "--capability=CAP_NET_ADMIN")
		env = append(env, "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, err
	}
	group := controlGroup(b.dir.name)
	if systemdRuns() {
		args = append([]string{"systemd-run", "--scope", "--quiet", "--collect", "--unit=" + group,
			"--property=Delegate=yes", "--"}, args...)
	} else {
		join := ""
		for _, root := range controlGroupRoots() {
			if err := os.Mkdir(filepath.Join(root, group), 0o755); err != nil {
				return nil, err
			}
			join += fmt.Sprintf("echo $$ >'%s/cgroup.procs' && ", filepath.Join(root, group))
		}
		args = append([]string{"/bin/sh", "-c", join + `exec "$@"`, "sh"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt at the terminal is for us alone
	cmd.WaitDelay = time.Second                          // should the guest outlive it with the console
	return cmd, nil
}

// awaitReady follows sd_notify(3) messages until the guest is up.
func (m *machine) awaitReady(ctx context.Context, notify *net.UnixConn) error {
	stop := context.AfterFunc(ctx, func() { notify.Close() })
	defer stop()
	go func() {
		<-m.exited
		notify.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return errors.New("systemd-nspawn ended")
		}
		for line := range strings.Lines(string(buf[:n])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "X_NSPAWN_LEADER_PID":
				if err := m.hold(value); err != nil {
					return err
				}
			case "READY":
				if m.leader == nil {
					return errors.New("got READY before the leader's process id")
				}
				return nil
			}
		}
	}
}

// hold opens the leader's namespaces while systemd-nspawn, its parent, cannot yet have waited for it.
func (m *machine) hold(value string) error {
	pid, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("reading leader's process id: %w", err)
	}
	if m.leader, err = os.FindProcess(pid); err != nil {
		return err
	}
	for _, kind := range kinds() {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if errors.Is(err, os.ErrNotExist) && kind == "cgroup" {
			continue // a kernel without them
		}
		if err != nil {
			return err
		}
		m.spaces[kind] = f
	}
	m.caps, err = boundingSet(pid)
	return err
}

func boundingSet(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, errors.New("reading capabilities: no CapBnd")
}

// place is where the guest's processes are.
func (m *machine) place() seal.Place {
	p := seal.Place{Capabilities: m.caps}
	for _, kind := range kinds() {
		if ns := m.spaces[kind]; ns != nil {
			p.Spaces = append(p.Spaces, ns)
		}
	}
	return p
}

// kinds are the namespaces in which a guest has its own, in the order to enter them.
func kinds() []string { return []string{"cgroup", "ipc", "uts", "net", "pid", "mnt"} }

// up reports whether the guest still runs.
func (m *machine) up() bool {
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// powerOff asks systemd to shut down and waits for systemd-nspawn to end.
func (m *machine) powerOff(ctx context.Context) error {
	if !m.up() {
		return nil
	}
	if err := m.leader.Signal(signalPowerOff); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-m.exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *machine) close() {
	for _, f := range m.spaces {
		closeFiles(f)
	}
	if m.leader != nil {
		m.leader.Release()
	}
}

// tail keeps the end of what a guest prints on its console.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-4096):]
	return len(p), nil
}

// String is what an error can add: the last lines, quoted, or nothing.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.buf)
	if len(text) == 0 {
		return ""
	}
	return fmt.Sprintf(" (console: %q)", text[max(0, len(text)-512):])
}
