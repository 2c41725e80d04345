package source

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// maxLocal bounds a key file, bytes.
const maxLocal = 4 << 20

// Local reads the keys that lie beside a manifest, each once, so that what was checked with is what is bundled.
type Local struct {
	dir  string
	mu   sync.Mutex
	read map[string][]byte
}

// NewLocal returns a reader of files below dir, the manifest's folder.
func NewLocal(dir string) *Local { return &Local{dir: dir, read: map[string][]byte{}} }

// Read returns the content of a file; name has slashes, as the manifest has it. The caller does not change it.
func (l *Local) Read(name string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if data, ok := l.read[name]; ok {
		return data, nil
	}
	f, err := os.Open(filepath.Join(l.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	defer f.Close() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxLocal+1))
	if err == nil && len(data) > maxLocal {
		err = fmt.Errorf("got more than %d bytes", maxLocal)
	}
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", name, err)
	}
	l.read[name] = data
	return data, nil
}

// Seen returns what Read has read of a file, nil if nothing.
func (l *Local) Seen(name string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read[name]
}
