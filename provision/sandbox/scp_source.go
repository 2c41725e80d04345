package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// send is scp -f.
func (c *scpConn) send() error {
	if ok, err := c.answer(); err != nil || !ok {
		return err
	}
	for _, name := range c.options.paths {
		if err := c.sendEntry(c.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *scpConn) sendEntry(name string) error {
	info, err := c.stat(name)
	switch {
	case err != nil:
		return c.warn(name, err)
	case info.IsDir() && c.options.recursive:
		return c.sendFolder(name, info)
	case !info.Mode().IsRegular():
		return c.warn(name, errors.New("not a regular file"))
	}
	return c.sendFile(name)
}

func (c *scpConn) sendFile(name string) error {
	file, err := c.open(name, os.O_RDONLY, 0)
	if err != nil {
		return c.warn(name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return c.warn(name, err)
	}
	if ok, err := c.announce('C', info, path.Base(name)); err != nil || !ok {
		return err
	}
	n, err := io.Copy(c.out, io.LimitReader(file, info.Size()))
	if err != nil || n < info.Size() {
		// The client waits for as many bytes as it was told, whatever they are.
		if _, padErr := io.CopyN(c.out, zeros{}, info.Size()-n); padErr != nil {
			return padErr
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		err = c.warn(name, err)
	} else {
		err = c.ok()
	}
	if err != nil {
		return err
	}
	_, err = c.answer()
	return err
}

func (c *scpConn) sendFolder(name string, info fs.FileInfo) error {
	entries, err := c.readDir(name)
	if err != nil {
		return c.warn(name, err)
	}
	if ok, err := c.announce('D', info, path.Base(name)); err != nil || !ok {
		return err
	}
	for _, e := range entries {
		if err := c.sendEntry(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c.out, "E\n"); err != nil {
		return err
	}
	_, err = c.answer()
	return err
}

// announce tells the sink what comes, and whether it wants it.
func (c *scpConn) announce(kind byte, info fs.FileInfo, name string) (bool, error) {
	if c.options.times {
		accessed := info.ModTime().Unix()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			accessed = st.Atim.Sec
		}
		if _, err := fmt.Fprintf(c.out, "T%d 0 %d 0\n", info.ModTime().Unix(), accessed); err != nil {
			return false, err
		}
		if ok, err := c.answer(); err != nil || !ok {
			return false, err
		}
	}
	size := info.Size()
	if kind == 'D' {
		size = 0
	}
	if _, err := fmt.Fprintf(c.out, "%c%04o %d %s\n", kind, bitsOf(info.Mode()), size, name); err != nil {
		return false, err
	}
	return c.answer()
}

// bitsOf is the inverse of modeOf.
func bitsOf(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for m, bit := range map[fs.FileMode]uint32{
		fs.ModeSetuid: syscall.S_ISUID, fs.ModeSetgid: syscall.S_ISGID, fs.ModeSticky: syscall.S_ISVTX,
	} {
		if mode&m != 0 {
			bits |= bit
		}
	}
	return bits
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
