package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A key becomes a file name by escaping: letters, digits, '.', '_' and '-' stand for themselves, every other byte is
// %XX. One that is longer than a file name may be is cut into pieces; all but the last name folders. The first byte of
// a name tells the two apart, and no name is hidden, "." or "..".
const (
	filePrefix   = "="
	folderPrefix = "+"
	pieceLen     = 200 // bytes; file systems take 255
)

const hexDigits = "0123456789ABCDEF"

func escapeName(key string) string {
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// unescapeName is escapeName's inverse; it takes nothing that escapeName does not make.
func unescapeName(name string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' {
			if len(name)-i < 3 {
				return "", fmt.Errorf("file name %q: ends in an escape", name)
			}
			hi, lo := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
			if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
				return "", fmt.Errorf("file name %q: not an escape: %q", name, name[i:i+3])
			}
			c = byte(hi<<4 | lo)
			i += 2
		} else if !plain(c) {
			return "", fmt.Errorf("file name %q: %q is not escaped", name, c)
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// path is where an object of that key is.
func (d *disk) path(key string) string {
	path := filepath.Join(d.dir, objectsDir)
	name := escapeName(key)
	for len(name) > pieceLen {
		path = filepath.Join(path, folderPrefix+name[:pieceLen])
		name = name[pieceLen:]
	}
	return filepath.Join(path, filePrefix+name)
}

// keys calls yield with the key of every object, in no order, a few at a time: memory does not grow with the store.
func (d *disk) keys(yield func(key string)) error {
	return walkNames(filepath.Join(d.dir, objectsDir), "", yield)
}

func walkNames(dir, above string, yield func(key string)) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			name := e.Name()
			if piece, ok := strings.CutPrefix(name, folderPrefix); ok {
				if err := walkNames(filepath.Join(dir, name), above+piece, yield); err != nil {
					return err
				}
				continue
			}
			piece, ok := strings.CutPrefix(name, filePrefix)
			if !ok {
				continue // not ours
			}
			key, err := unescapeName(above + piece)
			if err != nil {
				return err
			}
			yield(key)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
