package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// disk is the folder of a store; docs/store-layout.md describes it. Every change that a reader may see is one rename.
type disk struct {
	dir  string
	lock *os.File   // held while the store is open
	mu   sync.Mutex // held while a name of an object changes
}

const (
	layoutName = "format"
	layoutText = "offbake store 1\n"
	objectsDir = "objects"
	uploadsDir = "uploads"
	tempDir    = "tmp"
)

// uploadLife is how long an unfinished upload waits to be resumed.
const uploadLife = 7 * 24 * time.Hour

// openDisk makes or opens the folder, takes its lock and removes what a killed server left half done.
func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := checkLayout(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking %q: another server has it: %w", lock.Name(), err)
	}
	d := &disk{dir: dir, lock: lock}
	if err := d.prepare(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// checkLayout refuses a folder that holds something else than a store.
func checkLayout(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, layoutName))
	if err == nil && string(text) != layoutText {
		return fmt.Errorf("%q: format: got %.40q, want %q", dir, text, layoutText)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != "lock" && !strings.HasPrefix(name, tempDir) && name != "lost+found" {
			return fmt.Errorf("%q is not a store: it is not empty and holds %q", dir, name)
		}
	}
	return nil
}

func (d *disk) prepare() error {
	if err := os.RemoveAll(filepath.Join(d.dir, tempDir)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.dir, tempDir), 0o777); err != nil {
		return err
	}
	// The format file comes before anything else, so that a half-made store is still known as one.
	if _, err := os.Stat(filepath.Join(d.dir, layoutName)); errors.Is(err, fs.ErrNotExist) {
		if err := d.writeFormat(); err != nil {
			return err
		}
	}
	for _, sub := range []string{objectsDir, uploadsDir} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o777); err != nil {
			return err
		}
	}
	if err := syncDir(d.dir); err != nil {
		return err
	}
	return d.dropOldUploads(time.Now().Add(-uploadLife))
}

func (d *disk) writeFormat() error {
	f, err := d.temp()
	if err != nil {
		return err
	}
	defer discard(f)
	if _, err := f.WriteString(layoutText); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(d.dir, layoutName))
}

func (d *disk) close() error { return d.lock.Close() }

// temp makes a file that is invisible and that the next start removes.
func (d *disk) temp() (*os.File, error) { return os.CreateTemp(filepath.Join(d.dir, tempDir), "") }

// discard closes a temporary file and removes it, unless a rename has put it in place.
func discard(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}

// object is what the store knows about one object. It is kept behind the object's bytes, in the same file.
type object struct {
	Key      string            `json:"key"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag"`
	Type     string            `json:"type"`
	Meta     map[string]string `json:"meta,omitempty"` // by name, without the header's prefix
	Tags     []tag             `json:"tags,omitempty"`
	ACL      string            `json:"acl,omitempty"` // "" is aclDefault
	Modified int64             `json:"modified"`      // Unix seconds
}

// The end of an object file: the JSON of object, a line end, and a tail that says how long the JSON is.
const (
	tailFormat = "%08x offbake\n"
	tailSize   = 17
	maxTrailer = 64 << 10 // above twice what key and metadata may take
)

func (o object) trailer() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		return nil, err
	}
	n := b.Len()
	fmt.Fprintf(&b, tailFormat, n)
	if b.Len() > maxTrailer {
		return nil, fmt.Errorf("describing %q: got %d bytes, want at most %d", o.Key, b.Len(), maxTrailer)
	}
	return b.Bytes(), nil
}

// readTrailer reads what stands behind an object's bytes. Its errors mean a damaged file.
func readTrailer(f *os.File) (object, error) {
	fi, err := f.Stat()
	if err != nil {
		return object{}, err
	}
	buf := make([]byte, min(fi.Size(), maxTrailer))
	if _, err := f.ReadAt(buf, fi.Size()-int64(len(buf))); err != nil && !errors.Is(err, io.EOF) {
		return object{}, err
	}
	if len(buf) < tailSize {
		return object{}, fmt.Errorf("object file %q: got %d bytes", f.Name(), len(buf))
	}
	body, tail := buf[:len(buf)-tailSize], string(buf[len(buf)-tailSize:])
	n, err := strconv.ParseUint(tail[:8], 16, 32)
	if err != nil || tail[8:] != " offbake\n" || n > uint64(len(body)) {
		return object{}, fmt.Errorf("object file %q: its tail is damaged", f.Name())
	}
	var o object
	if err := json.Unmarshal(body[len(body)-int(n):], &o); err != nil {
		return object{}, fmt.Errorf("object file %q: %w", f.Name(), err)
	}
	if o.Size != fi.Size()-tailSize-int64(n) {
		return object{}, fmt.Errorf("object file %q: got %d bytes of content, want %d",
			f.Name(), fi.Size()-tailSize-int64(n), o.Size)
	}
	return o, nil
}

// condition is asked with an object's path right before a change there, while no other change is made. Its error is the
// change's. Nil is no condition.
type condition func(path string) error

var errChanged = errors.New("the object was changed meanwhile")

// still is the condition that the object is the one that was opened.
func still(f *os.File) condition {
	return func(path string) error {
		was, err := f.Stat()
		if err != nil {
			return err
		}
		is, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(was, is) {
			return errChanged
		}
		return err
	}
}

// absent is the condition that there is no such object; fs.ErrExist says that there is one.
func absent(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fs.ErrExist
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// change makes a change at a path of objects, if the condition holds.
func (d *disk) change(path string, when condition, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if when != nil {
		if err := when(path); err != nil {
			return err
		}
	}
	return do()
}

// commit makes f, which holds o.Size bytes of content, the object of o.Key, in one step that survives a power cut.
// f stays open.
func (d *disk) commit(f *os.File, o object, when condition) error {
	trailer, err := o.trailer()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(trailer, o.Size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	path := d.path(o.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := d.change(path, when, func() error { return os.Rename(f.Name(), path) }); err != nil {
		return err
	}
	return d.syncUp(filepath.Dir(path))
}

// commitCopy makes the content of src the object o, whose size and ETag it has. The kernel copies, and shares blocks where
// the file system can. The caller has just opened src, so that it stands at its start.
func (d *disk) commitCopy(src *os.File, o object, when condition) error {
	f, err := d.temp()
	if err != nil {
		return err
	}
	defer discard(f)
	if n, err := f.ReadFrom(io.LimitReader(src, o.Size)); err != nil {
		return err
	} else if n != o.Size {
		return fmt.Errorf("copying %q: got %d bytes, want %d", o.Key, n, o.Size)
	}
	return d.commit(f, o, when)
}

// syncUp puts a folder of objects, and those above it, on disk: those of a long key may be new.
func (d *disk) syncUp(dir string) error {
	for ; len(dir) > len(d.dir); dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// open opens an object for reading: content from 0 to its size. fs.ErrNotExist says that there is none.
func (d *disk) open(key string) (*os.File, object, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, object{}, err
	}
	o, err := readTrailer(f)
	if err == nil && o.Key != key {
		err = fmt.Errorf("object file %q: got the key %q, want %q", f.Name(), o.Key, key)
	}
	if err != nil {
		f.Close()
		return nil, object{}, err
	}
	return f, o, nil
}

// remove deletes an object.
func (d *disk) remove(key string, when condition) error {
	path := d.path(key)
	if err := d.change(path, when, func() error { return os.Remove(path) }); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
