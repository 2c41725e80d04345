package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// scpArgs is a shell command line that prints the arguments of an scp, as the host's own shell reads them, each with a
// NUL behind it; nothing where the host has an scp of its own.
const scpArgs = `command -v scp >/dev/null 2>&1 && exit; scp() { printf '%s\0' "$@"; }; `

// lacksSCP reports whether command is one end of the classic protocol on a host without scp, and with what arguments.
func (s *sshServer) lacksSCP(ctx context.Context, command string) (lacks bool, args []string, err error) {
	if !strings.HasPrefix(command, "scp ") || s.machine.Root == "" {
		return false, nil, nil
	}
	var out bytes.Buffer
	status, err := s.machine.Exec(ctx, Exec{Command: scpArgs + command, Stdout: &out, Stderr: io.Discard})
	if err != nil || status != 0 {
		return false, nil, err
	}
	args = strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00")
	o := parseSCP(args)
	return o.sink != o.source, args, nil
}

// scpOptions are those with which one scp starts the other: they are in no manual, but in scp.c.
type scpOptions struct {
	sink, source bool // -t, -f
	recursive    bool // -r
	times        bool // -p
	folder       bool // -d: the target must be a folder
	paths        []string
}

func parseSCP(args []string) (o scpOptions) {
	for i, arg := range args {
		if arg == "--" {
			o.paths = append(o.paths, args[i+1:]...)
			return o
		}
		if len(arg) < 2 || arg[0] != '-' {
			o.paths = append(o.paths, arg)
			continue
		}
		o.sink = o.sink || strings.Contains(arg, "t")
		o.source = o.source || strings.Contains(arg, "f")
		o.recursive = o.recursive || strings.Contains(arg, "r")
		o.times = o.times || strings.Contains(arg, "p")
		o.folder = o.folder || strings.Contains(arg, "d")
	}
	return o
}

// scp is one end of the protocol on the host's tree.
func (s *sshServer) scp(args []string, e Exec) (status int, err error) {
	t, err := openTree(s.machine.Root)
	if err != nil {
		return 0, err
	}
	defer t.close()
	c := &scpConn{tree: t, in: bufio.NewReader(e.Stdin), out: e.Stdout, options: parseSCP(args)}
	if c.options.sink {
		err = c.receive()
	} else {
		err = c.send()
	}
	if err != nil || c.failed {
		return 1, nil // the client was told, or is gone
	}
	return 0, nil
}

// scpConn is a running scp. Methods return an error when the other side is gone or speaks something else; what goes wrong
// with a file is told to the other side, remembered in failed, and not the end.
type scpConn struct {
	*tree
	in      *bufio.Reader
	out     io.Writer
	options scpOptions
	failed  bool
}

const (
	scpOK      = 0
	scpWarning = 1
	scpFatal   = 2
)

// path is where a path of the command line is in the tree.
func (c *scpConn) path(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return c.home() + "/" + name
}

func (c *scpConn) ok() error {
	_, err := c.out.Write([]byte{scpOK})
	return err
}

// warn tells the other side what went wrong, with the file called name where it is one.
func (c *scpConn) warn(name string, err error) error {
	c.failed = true
	text := reason(err).Error()
	if name != "" {
		text = name + ": " + text
	}
	_, err = fmt.Fprintf(c.out, "%cscp: %s\n", scpWarning, strings.ReplaceAll(text, "\n", " "))
	return err
}

// reason is a path error without the path, which is not the host's.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// answer reads what the other side says to what it was sent last: whether it goes on with that.
func (c *scpConn) answer() (bool, error) {
	code, err := c.in.ReadByte()
	if err != nil {
		return false, err
	}
	switch code {
	case scpOK:
		return true, nil
	case scpWarning, scpFatal:
		c.failed = true
		if _, err := c.line(); err != nil {
			return false, err
		}
		if code == scpFatal {
			return false, errors.New("the other side gave up")
		}
		return false, nil
	}
	return false, fmt.Errorf("got answer %d, want 0, 1 or 2", code)
}

// line reads to the end of a line, of which a peer may not make more than a path needs.
func (c *scpConn) line() (string, error) {
	var line []byte
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(line), nil
		}
		if line = append(line, b); len(line) > 8192 {
			return "", errors.New("got a line of more than 8192 bytes")
		}
	}
}
