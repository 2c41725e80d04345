package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// scpEntry is one file or folder that a source announces.
type scpEntry struct {
	mode  fs.FileMode
	size  int64
	name  string
	times *scpTimes // nil without -p
}

type scpTimes struct{ modified, accessed time.Time }

// receive is scp -t.
func (c *scpConn) receive() error {
	if len(c.options.paths) != 1 {
		return c.warn("", errors.New("ambiguous target"))
	}
	target := c.path(c.options.paths[0])
	if c.options.folder && !c.isDir(target) {
		return c.warn(target, syscall.ENOTDIR)
	}
	return c.receiveInto(target, false)
}

// receiveInto takes files and folders into target until the source is through, or has left the folder that nested says
// this is.
func (c *scpConn) receiveInto(target string, nested bool) error {
	if err := c.ok(); err != nil {
		return err
	}
	var times *scpTimes
	for {
		line, err := c.line()
		switch {
		case err == io.EOF && !nested:
			return nil
		case err != nil:
			return err
		case line == "":
			return errors.New("got an empty line")
		}
		switch line[0] {
		case scpWarning:
			c.failed = true
		case scpFatal:
			c.failed = true
			return errors.New("the source gave up")
		case 'E':
			if !nested {
				return errors.New("got the end of a folder that was not begun")
			}
			return c.ok()
		case 'T':
			if times, err = parseTimes(line[1:]); err == nil {
				err = c.ok()
			}
		case 'C', 'D':
			err = c.receiveEntry(target, line, times)
			times = nil
		default:
			err = fmt.Errorf("got %q, want a file, a folder or times", line[:1])
		}
		if err != nil {
			return err
		}
	}
}

func (c *scpConn) receiveEntry(target, line string, times *scpTimes) error {
	e, err := parseEntry(line[1:])
	if err != nil {
		c.warn("", err)
		return err
	}
	e.times = times
	if c.isDir(target) {
		target = path.Join(target, e.name)
	}
	if line[0] == 'C' {
		return c.receiveFile(target, e)
	}
	if !c.options.recursive {
		c.warn("", errors.New("received directory without -r"))
		return errors.New("got a folder, want a file")
	}
	return c.receiveFolder(target, e)
}

func (c *scpConn) receiveFolder(target string, e scpEntry) error {
	made := false
	if !c.isDir(target) {
		if err := c.mkdir(target, e.mode|0o700); err != nil {
			return c.warn(target, err) // the source leaves it out
		}
		made = true
	}
	if err := c.receiveInto(target, true); err != nil {
		return err
	}
	if made && !c.options.times {
		e.mode &^= umask
	}
	if made || c.options.times {
		if err := c.setAttributes(target, e, true); err != nil {
			c.failed = true // too late to tell which
		}
	}
	return nil
}

// receiveFile takes as many bytes as were announced, also where they cannot be kept.
func (c *scpConn) receiveFile(target string, e scpEntry) error {
	_, missing := c.stat(target)
	file, err := c.open(target, os.O_WRONLY|os.O_CREATE, e.mode|0o200)
	if err != nil {
		return c.warn(target, err)
	}
	defer file.Close()
	if err := c.ok(); err != nil {
		return err
	}
	w := &keeper{w: file}
	if _, err := io.CopyN(w, c.in, e.size); err != nil {
		return err
	}
	if _, err := c.answer(); err != nil { // the source could read all of it, or says so
		return err
	}
	if w.err == nil {
		w.err = file.Truncate(e.size)
	}
	if closeErr := file.Close(); w.err == nil {
		w.err = closeErr
	}
	if !c.options.times {
		e.mode &^= umask
	}
	if w.err == nil {
		w.err = c.setAttributes(target, e, c.options.times || missing != nil)
	}
	if w.err != nil {
		return c.warn(target, w.err)
	}
	return c.ok()
}

func (c *scpConn) setAttributes(target string, e scpEntry, mode bool) error {
	at, err := c.resolve(target, true)
	if err != nil {
		return err
	}
	if mode {
		if err := c.root.Chmod(at, e.mode); err != nil {
			return err
		}
	}
	if e.times != nil {
		return c.root.Chtimes(at, e.times.accessed, e.times.modified)
	}
	return nil
}

// keeper remembers the first error and takes the rest for nothing.
type keeper struct {
	w   io.Writer
	err error
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.err == nil {
		_, k.err = k.w.Write(p)
	}
	return len(p), nil
}

// parseEntry reads "MODE SIZE NAME", the mode octal.
func parseEntry(text string) (e scpEntry, err error) {
	fields := strings.SplitN(text, " ", 3)
	if len(fields) != 3 {
		return e, errors.New("protocol error: want mode, size and name")
	}
	mode, err := strconv.ParseUint(fields[0], 8, 12)
	if err != nil {
		return e, errors.New("protocol error: bad mode")
	}
	e.mode = modeOf(uint32(mode))
	e.size, err = strconv.ParseInt(fields[1], 10, 64)
	if err != nil || e.size < 0 {
		return e, errors.New("protocol error: size not delimited")
	}
	e.name = fields[2]
	if e.name == "" || e.name == "." || e.name == ".." || strings.ContainsAny(e.name, "/\x00") {
		return e, errors.New("error: unexpected filename")
	}
	return e, nil
}

// parseTimes reads "MTIME 0 ATIME 0", seconds and microseconds.
func parseTimes(text string) (*scpTimes, error) {
	var n [4]int64
	fields := strings.Fields(text)
	if len(fields) != len(n) {
		return nil, fmt.Errorf("got %d numbers for times, want %d", len(fields), len(n))
	}
	for i, f := range fields {
		var err error
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil || n[i] < 0 {
			return nil, errors.New("got times that are no numbers")
		}
	}
	return &scpTimes{modified: time.Unix(n[0], n[1]*1000), accessed: time.Unix(n[2], n[3]*1000)}, nil
}

// modeOf is the Go form of chmod(2)'s bits.
func modeOf(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits).Perm()
	for bit, m := range map[uint32]fs.FileMode{
		syscall.S_ISUID: fs.ModeSetuid, syscall.S_ISGID: fs.ModeSetgid, syscall.S_ISVTX: fs.ModeSticky,
	} {
		if bits&bit != 0 {
			mode |= m
		}
	}
	return mode
}
