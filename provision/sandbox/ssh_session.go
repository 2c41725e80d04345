package sandbox

import (
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// request decides whether a session may begin.
func (s *sshServer) request(sess ssh.Session, kind string) bool {
	channel := sess.Context().(*sshChannel)
	what := kind
	switch kind {
	case "exec":
		what = "exec " + sess.RawCommand()
	case "subsystem":
		what = sess.Subsystem()
	}
	channel.fault = s.fault(what)
	switch channel.fault {
	case SSHRefuse:
		return false
	case SSHHang:
		connOf(channel).freeze()
		return false
	}
	return true
}

// session runs a command, or a shell that reads its commands from the client.
func (s *sshServer) session(sess ssh.Session) {
	if !s.conns.begin() {
		return
	}
	defer s.conns.end()
	channel := sess.Context().(*sshChannel)
	var stdout, stderr writer = writer{w: sess.Write}, writer{w: sess.Stderr().Write}
	drop := channel.fault != "" && channel.fault != SSHLoseStatus
	if drop {
		stdout.before, stderr.before = connOf(channel).cut, connOf(channel).cut
	}
	e := Exec{
		Command: sess.RawCommand(), Env: sessionEnv(sess), Stdin: sess, Stdout: &stdout, Stderr: &stderr,
		Signals: channel.signals,
	}
	if e.Command == "" {
		e.Command = "exec /bin/sh -l"
	}
	status, err := s.exec(channel, e)
	switch {
	case channel.Err() != nil: // the client went away, with this channel or altogether
	case err != nil:
		s.log.Warn("ssh: running a command", "cause", err)
		connOf(channel).cut()
	case drop: // it printed nothing
		connOf(channel).cut()
	case channel.fault == SSHLoseStatus:
		sess.Close()
	default:
		tellStatus(sess, channel, status)
	}
}

// exec runs a command, or stands in for the scp that a base may lack.
func (s *sshServer) exec(channel *sshChannel, e Exec) (status int, err error) {
	own, args, err := s.lacksSCP(channel, e.Command)
	if err != nil {
		return 0, err
	}
	if own {
		return s.scp(args, e)
	}
	return s.machine.Exec(channel, e)
}

// tellStatus ends a session as sshd does. That a signal ended the command is told where the client sent it; otherwise the
// machine cannot tell it from a status.
func tellStatus(sess ssh.Session, channel *sshChannel, status int) {
	if name := channel.endedBy(status); name != "" {
		message := struct {
			Name        string
			Dumped      bool
			Text, Empty string
		}{Name: name}
		sess.SendRequest("exit-signal", false, gossh.Marshal(&message))
		sess.Close()
		return
	}
	sess.Exit(status) // fails only where the client is gone
}

// sessionEnv is what sshd adds to root's environment.
func sessionEnv(sess ssh.Session) []string {
	from, to := endpoint(sess.RemoteAddr()), endpoint(sess.LocalAddr())
	env := append(sess.Environ(),
		fmt.Sprintf("SSH_CONNECTION=%s %s %s %s", from.ip, from.port, to.ip, to.port),
		fmt.Sprintf("SSH_CLIENT=%s %s %s", from.ip, from.port, to.port))
	if pty, _, wanted := sess.Pty(); wanted {
		env = append(env, "TERM="+pty.Term)
	}
	return env
}

type hostPort struct{ ip, port string }

func endpoint(a net.Addr) hostPort {
	ip, port, _ := net.SplitHostPort(a.String()) // of a TCP connection
	return hostPort{ip, port}
}

// writer is one stream of a session.
type writer struct {
	w      func([]byte) (int, error)
	before func() // called before the first write; nil for nothing
	once   sync.Once
}

func (w *writer) Write(p []byte) (int, error) {
	if w.before != nil && len(p) > 0 {
		w.once.Do(w.before)
	}
	return w.w(p)
}

// signal takes a signal from the client.
func (c *sshChannel) signal(r *gossh.Request) {
	var payload struct{ Name string }
	if gossh.Unmarshal(r.Payload, &payload) != nil {
		return
	}
	if sig, known := signalNames()[payload.Name]; known {
		c.mu.Lock()
		c.sent[sig] = true
		c.mu.Unlock()
		select {
		case c.signals <- sig:
		default: // nobody takes them: the command is over, or was never there
		}
	}
	r.Reply(true, nil)
}

// signalNames are those of RFC 4254, section 6.10.
func signalNames() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
		"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
		"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1,
		"USR2": syscall.SIGUSR2,
	}
}

// endedBy names the signal from the client that a status speaks of; "" for none.
func (c *sshChannel) endedBy(status int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, sig := range signalNames() {
		if c.sent[sig] && status == 128+int(sig) {
			return name
		}
	}
	return ""
}
