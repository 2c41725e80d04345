package remote_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/remote"
)

const (
	hostName = "offbake-run1-web"
	address  = "192.0.2.2:22"
	password = "hunter2-Pa55word"
)

// newSigner makes a key that depends on nothing but its name.
func newSigner(name string) ssh.Signer {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	signer, err := ssh.NewSignerFromSigner(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		panic(err)
	}
	return signer
}

// server is an SSH server in this process. Hooks may be nil; those that are given a number get that of the connection or
// request, from 1 on.
type server struct {
	onDial    func(n int) error           // instead of connecting
	onWrite   func(n int) (up, down hook) // faults of the n-th connection
	onConn    func(n int, c net.Conn) bool
	hostKey   func(n int) ssh.Signer
	refuse    func(n int) bool // a login
	onOpen    func(n int, c ssh.NewChannel) bool
	onExec    func(n int, r *ssh.Request) bool
	config    func(c *ssh.ServerConfig)
	signals   bool                               // obeyed; OpenSSH does not for root
	afterExit func(c *call, ch ssh.Channel) bool // true leaves the session open
	run       func(c *call) int                  // instead of the commands of builtin; negative for no exit status

	mu                  sync.Mutex
	dials, opens, execs int
	logins              int
	commands            []string // without what makes them findable
	marks               map[string]context.CancelFunc
	conns               []net.Conn
}

type hook func(n int) fate

// call is one command that the server runs.
type call struct {
	ctx            context.Context // ends when the client asks for a kill, or the connection is over
	gone           <-chan struct{} // closed when the connection is over
	line           string
	stdin          io.Reader
	stdout, stderr io.Writer
	conn           net.Conn
}

// sleep waits and reports whether the connection is still there.
func (c *call) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.gone:
		return false
	}
}

func (s *server) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" || addr != address {
		return nil, fmt.Errorf("dialling %s %s, want tcp %s", network, addr, address)
	}
	s.mu.Lock()
	s.dials++
	n := s.dials
	s.mu.Unlock()
	if s.onDial != nil {
		if err := s.onDial(n); err != nil {
			return nil, err
		}
	}
	var up, down hook
	if s.onWrite != nil {
		up, down = s.onWrite(n)
	}
	client, own := newPipe(up, down)
	s.mu.Lock()
	s.conns = append(s.conns, own)
	s.mu.Unlock()
	go s.serve(n, own)
	return client, nil
}

// close ends all connections.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *server) count(what *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *what
}

func (s *server) next(what *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what++
	return *what
}

func (s *server) serve(n int, c net.Conn) {
	defer c.Close()
	if s.onConn != nil && !s.onConn(n, c) {
		return
	}
	check := func(ok bool) (*ssh.Permissions, error) {
		if !ok || s.refuse != nil && s.refuse(n) {
			return nil, errors.New("refused")
		}
		return nil, nil
	}
	config := &ssh.ServerConfig{
		PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			return check(string(p) == password)
		},
		PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			return check(string(k.Marshal()) == string(newSigner("user").PublicKey().Marshal()))
		},
	}
	if s.config != nil {
		s.config(config)
	}
	key := newSigner("host")
	if s.hostKey != nil {
		key = s.hostKey(n)
	}
	config.AddHostKey(key)
	conn, chans, reqs, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	s.next(&s.logins)
	gone := make(chan struct{})
	defer close(gone)
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		if s.onOpen != nil && !s.onOpen(s.next(&s.opens), nc) {
			continue
		}
		ch, reqs, err := nc.Accept()
		if err == nil {
			go s.session(c, gone, ch, reqs)
		}
	}
	conn.Close()
}

func (s *server) session(c net.Conn, gone <-chan struct{}, ch ssh.Channel, reqs <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for r := range reqs {
		switch r.Type {
		case "exec":
			if s.onExec != nil && !s.onExec(s.next(&s.execs), r) {
				continue
			}
			line := s.note(string(r.Payload[4:]), cancel)
			r.Reply(true, nil)
			go s.command(&call{ctx, gone, line, ch, ch, ch.Stderr(), c}, ch)
		case "signal":
			if s.signals {
				cancel()
			}
		default:
			r.Reply(false, nil)
		}
	}
}

// note keeps a command line and how to kill what has its mark. It returns what runs.
func (s *server) note(line string, cancel context.CancelFunc) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := strings.Split(line, "' '")
	if last := len(words) - 1; words[last-1] == "kill" && strings.Contains(line, "# Kills the command") {
		if kill := s.marks[strings.Trim(words[last], "'")]; kill != nil {
			kill()
		}
		return "'true'"
	}
	if program, rest, ok := strings.Cut(line, "' 'sh' "); ok && strings.HasPrefix(program, "'/bin/sh' '-c' '\"$@\"; exit $? # offbake ") {
		if s.marks == nil {
			s.marks = map[string]context.CancelFunc{}
		}
		s.marks[program[strings.LastIndex(program, " ")+1:]] = cancel
		line = rest
	}
	s.commands = append(s.commands, line)
	return line
}

func (s *server) command(c *call, ch ssh.Channel) {
	run := builtin
	if s.run != nil {
		run = s.run
	}
	status := run(c)
	switch {
	case c.ctx.Err() != nil:
		ch.SendRequest("exit-signal", false, ssh.Marshal(&struct {
			Name   string
			Dumped bool
			A, B   string
		}{Name: "KILL"}))
	case status >= 0:
		ch.SendRequest("exit-status", false, ssh.Marshal(&struct{ Status uint32 }{uint32(status)}))
	}
	if s.afterExit != nil && s.afterExit(c, ch) {
		return
	}
	ch.CloseWrite()
	ch.Close()
}

// builtin knows a few commands, whose words hold no quotes.
func builtin(c *call) int {
	words := strings.Split(strings.Trim(c.line, "'"), "' '")
	switch words[0] {
	case "true":
		return 0
	case "exit":
		n, _ := strconv.Atoi(words[1])
		return n
	case "cat":
		io.Copy(c.stdout, c.stdin)
		return 0
	case "echo":
		fmt.Fprintln(c.stdout, strings.Join(words[1:], " "))
		return 0
	case "warn":
		fmt.Fprintln(c.stderr, strings.Join(words[1:], " "))
		return 0
	case "hang": // until it is killed
		<-c.ctx.Done()
		return 0
	case "wait": // seconds
		n, _ := strconv.Atoi(words[1])
		c.sleep(time.Duration(n) * time.Second)
		return 0
	}
	fmt.Fprintf(c.stderr, "%s: not found\n", words[0])
	return 127
}

// config is how to connect to s.
func (s *server) clientConfig() remote.Config {
	return remote.Config{
		Name: hostName, Address: address, User: "root", Password: password, Key: newSigner("user"),
		HostKey: newSigner("host").PublicKey(), Dial: s.dial,
	}
}

// connected connects to s or ends the test. What it returns is closed at the test's end, and the server with it.
func connected(t *testing.T, s *server, c remote.Config) *remote.Host {
	t.Helper()
	t.Cleanup(s.close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	h, err := remote.Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// refusedDial is what the kernel says where nobody listens.
func refusedDial() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}
