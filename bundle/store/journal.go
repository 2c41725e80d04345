package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/offbake/offbake/internal/atomicfile"
	"github.com/offbake/offbake/internal/transport"
)

// journal notes unfinished uploads of large objects in a folder, one file each. With an empty dir it notes nothing.
type journal struct{ dir string }

// entry is one upload. What parts are there is asked of the service, and each is compared with the source again.
type entry struct {
	Endpoint string `json:"endpoint"`
	Bucket   string `json:"bucket"`
	Key      string `json:"key"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	// UploadID is "" between the request for an upload and its answer: then the service may have one that nobody knows.
	UploadID string `json:"upload_id"`
	BlkSize  int    `json:"blk_size"`
}

func (j journal) path(e entry) string {
	sum := sha256.Sum256([]byte(e.Endpoint + "\n" + e.Bucket + "\n" + e.Key))
	return filepath.Join(j.dir, hex.EncodeToString(sum[:])+".json")
}

// entry is an upload before it has an ID.
func (s *ufileStore) entry(key string, u Upload) entry {
	return entry{Endpoint: s.base.String(), Bucket: s.bucket, Key: key, Size: u.Size, SHA256: u.SHA256}
}

// lockPause is how often a lock that another process has is tried again.
const lockPause = 100 * time.Millisecond

// lock waits until no other process, and no other Put of this one, works on the entry's key. It ends with the process.
func (j journal) lock(ctx context.Context, e entry) (unlock func(), waited bool, err error) {
	if j.dir == "" {
		return func() {}, false, nil
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("locking the upload journal: %w", err)
	}
	name := strings.TrimSuffix(j.path(e), ".json") + ".lock"
	for {
		f, err := tryLock(name)
		if err != nil {
			return nil, false, fmt.Errorf("locking the upload journal: %w", err)
		}
		if f != nil {
			return func() {
				os.Remove(name) // while it is locked; who has it open already will see that it is another file
				f.Close()
			}, waited, nil
		}
		waited = true
		if err := transport.Sleep(ctx, lockPause); err != nil {
			return nil, false, err
		}
	}
}

// tryLock returns nil when somebody else has the lock.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		var open, named os.FileInfo
		if open, err = f.Stat(); err == nil {
			if named, err = os.Stat(name); err == nil && os.SameFile(open, named) {
				return f, nil
			}
		}
	}
	f.Close()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return nil, err
}

// load returns what is noted for the endpoint, bucket and key of e. A file that does not read as such is as none.
func (j journal) load(e entry) (entry, bool, error) {
	if j.dir == "" {
		return entry{}, false, nil
	}
	text, err := os.ReadFile(j.path(e))
	if errors.Is(err, fs.ErrNotExist) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, fmt.Errorf("reading the upload journal: %w", err)
	}
	var old entry
	if json.Unmarshal(text, &old) != nil || old.Endpoint != e.Endpoint || old.Bucket != e.Bucket || old.Key != e.Key {
		return entry{}, false, nil
	}
	return old, true, nil
}

func (j journal) save(e entry) error {
	if j.dir == "" {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return fmt.Errorf("writing the upload journal: %w", err)
	}
	if err := atomicfile.WriteFile(j.path(e), text, 0o600); err != nil {
		return fmt.Errorf("writing the upload journal: %w", err)
	}
	return nil
}

func (j journal) remove(e entry) error {
	if j.dir == "" {
		return nil
	}
	if err := os.Remove(j.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing the upload journal: %w", err)
	}
	return nil
}
