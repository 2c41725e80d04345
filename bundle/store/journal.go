package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/offbake/offbake/internal/atomicfile"
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
