package sandbox

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// sshServer is the SSH server of one host from a start to a stop. It lets root in, runs commands, sftp and scp, and forwards
// nothing. A pty is granted in name only: commands have pipes.
type sshServer struct {
	machine *Machine
	login   login
	fault   func(what string) SSHFault
	log     *slog.Logger
	server  *ssh.Server
	conns   conns
}

func newSSHServer(m *Machine, l login, fault func(what string) SSHFault, log *slog.Logger) *sshServer {
	s := &sshServer{machine: m, login: l, fault: fault, log: log}
	s.server = &ssh.Server{
		Version:                "offbake-sandbox",
		HostSigners:            []ssh.Signer{l.hostKey},
		PublicKeyHandler:       s.publicKey,
		ConnCallback:           s.connect,
		SessionRequestCallback: s.request,
		Handler:                s.session,
		SubsystemHandlers:      map[string]ssh.SubsystemHandler{"sftp": s.sftp},
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session":      s.channel,
			"direct-tcpip": refuseForwarding,
		},
	}
	if l.password != "" {
		s.server.PasswordHandler = s.password
	}
	return s
}

// serve accepts connections until l is closed.
func (s *sshServer) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.serveConn(conn)
	}
}

// serveConn answers one client and closes conn.
func (s *sshServer) serveConn(conn net.Conn) {
	s.conns.serve(&sshConn{Conn: conn, gone: make(chan struct{})}, s.server.HandleConn)
}

// close cuts all clients, ends their commands and waits for that.
func (s *sshServer) close() {
	s.conns.close()
	s.server.Close() // no listener that could fail
}

type connKey struct{}

// connOf is the connection under an SSH context.
func connOf(ctx ssh.Context) *sshConn { return ctx.Value(connKey{}).(*sshConn) }

// connect is the first that happens on a connection; nil ends it.
func (s *sshServer) connect(ctx ssh.Context, conn net.Conn) net.Conn {
	c := conn.(*sshConn)
	ctx.SetValue(connKey{}, c)
	switch s.fault("connect") {
	case "":
		return c
	case SSHBanner:
		io.WriteString(c, "SSH-2.0-"+s.server.Version+"\r\n")
	case SSHHang:
		io.Copy(io.Discard, c)
	default:
		c.cut()
	}
	return nil
}

func (s *sshServer) password(ctx ssh.Context, password string) bool {
	return s.authentic(ctx, s.login.hasPassword(ctx.User(), password))
}

func (s *sshServer) publicKey(ctx ssh.Context, key ssh.PublicKey) bool {
	return s.authentic(ctx, s.login.hasKey(ctx.User(), key))
}

func (s *sshServer) authentic(ctx ssh.Context, ok bool) bool {
	switch s.fault("auth") {
	case "":
		return ok
	case SSHRefuse:
	case SSHHang:
		connOf(ctx).freeze()
	default:
		connOf(ctx).cut()
	}
	return false
}

// sshChannel is the context of one session channel: it ends with the channel.
type sshChannel struct {
	ssh.Context
	life    context.Context
	signals chan syscall.Signal
	fault   SSHFault // of what the session does; set before that begins

	mu   sync.Mutex
	sent map[syscall.Signal]bool // by the client
}

func (c *sshChannel) Done() <-chan struct{} { return c.life.Done() }
func (c *sshChannel) Err() error            { return c.life.Err() }

func (s *sshServer) channel(server *ssh.Server, conn *gossh.ServerConn, opened gossh.NewChannel, ctx ssh.Context) {
	switch s.fault("channel") {
	case "":
	case SSHRefuse:
		opened.Reject(gossh.ResourceShortage, "no channel to be had")
		return
	case SSHHang:
		connOf(ctx).freeze()
		return
	default:
		connOf(ctx).cut()
		return
	}
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &sshChannel{Context: ctx, life: life, signals: make(chan syscall.Signal, 16), sent: map[syscall.Signal]bool{}}
	// It returns when the channel is closed, by either side.
	ssh.DefaultSessionHandler(server, conn, accepted{opened, c}, c)
}

// accepted keeps from gliderlabs/ssh the requests that it would answer otherwise than sshd, or with a lock held for as
// long as a receiver takes (signal, window-change: its session.go).
type accepted struct {
	gossh.NewChannel
	channel *sshChannel
}

func (a accepted) Accept() (gossh.Channel, <-chan *gossh.Request, error) {
	channel, requests, err := a.NewChannel.Accept()
	if err != nil {
		return nil, nil, err
	}
	passed := make(chan *gossh.Request)
	go func() {
		defer close(passed)
		for r := range requests {
			switch {
			case r.Type == "signal":
				a.channel.signal(r)
			case r.Type == "window-change":
				r.Reply(true, nil)
			case r.Type == "env" && !acceptsEnv(r.Payload), r.Type == "auth-agent-req@openssh.com":
				r.Reply(false, nil)
			default:
				passed <- r
			}
		}
	}()
	return channel, passed, nil
}

// acceptsEnv is AcceptEnv of CentOS and Debian: what a client asks for beside the language is refused.
func acceptsEnv(payload []byte) bool {
	var kv struct{ Name, Value string }
	if gossh.Unmarshal(payload, &kv) != nil {
		return false
	}
	return kv.Name == "LANG" || kv.Name == "LANGUAGE" || strings.HasPrefix(kv.Name, "LC_") || kv.Name == "XMODIFIERS"
}

func refuseForwarding(_ *ssh.Server, _ *gossh.ServerConn, opened gossh.NewChannel, _ ssh.Context) {
	opened.Reject(gossh.Prohibited, "forwarding is off")
}

// sshConn is a connection that can be made to go wrong.
type sshConn struct {
	net.Conn
	frozen atomic.Bool
	closed atomic.Bool
	gone   chan struct{} // closed with the connection
}

// freeze makes the network dead in both directions; that the client has gone is still noticed.
func (c *sshConn) freeze() { c.frozen.Store(true) }

func (c *sshConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if !c.frozen.Load() {
			return n, err
		}
		if err != nil {
			c.Close() // for a Write that waits
			return 0, err
		}
	}
}

func (c *sshConn) Write(p []byte) (int, error) {
	if c.frozen.Load() {
		<-c.gone
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// cut ends the connection with an error for the client.
func (c *sshConn) cut() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func (c *sshConn) Close() error {
	if !c.closed.Swap(true) {
		close(c.gone)
	}
	return c.Conn.Close()
}
