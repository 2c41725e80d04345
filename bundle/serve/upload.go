package serve

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

// upload is one unfinished multipart upload: a folder with what the finished object will be like (about.json), its
// bytes (data, sparse, each part at its own offset) and one record for each part that is whole (parts). Finishing
// thus copies nothing: it appends the trailer to data and renames it.
type upload struct {
	dir   string
	about uploadAbout

	mu       sync.RWMutex // held for writing while records change, for reading while bytes of a part are written
	gone     bool         // finished or aborted
	attempts map[int]int  // the attempt that may write a part now
	count    int
}

// uploadAbout is about.json.
type uploadAbout struct {
	ID      string            `json:"id"`
	Key     string            `json:"key"`
	Type    string            `json:"type"`
	Meta    map[string]string `json:"meta,omitempty"`
	Started int64             `json:"started"` // Unix seconds
}

var (
	errNoUpload   = errors.New("no such upload")
	errDuplicate  = errors.New("the part is there already")
	errSuperseded = errors.New("another request writes the same part now, or the upload ended")
)

const (
	aboutName = "about.json"
	dataName  = "data"
	partsName = "parts"
)

func (d *disk) uploadDir(id string) string { return filepath.Join(d.dir, uploadsDir, id) }

// newUpload makes the folder under another name first: an upload without about.json is never seen.
func (d *disk) newUpload(a uploadAbout) (*upload, error) {
	a.ID = rand.Text()
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	temp := filepath.Join(d.dir, tempDir, a.ID)
	defer os.RemoveAll(temp)
	if err := os.Mkdir(temp, 0o777); err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{aboutName: text, dataName: nil, partsName: nil} {
		if err := writeSynced(filepath.Join(temp, name), content); err != nil {
			return nil, err
		}
	}
	if err := syncDir(temp); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, d.uploadDir(a.ID)); err != nil {
		return nil, err
	}
	return d.asUpload(a), syncDir(filepath.Join(d.dir, uploadsDir))
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *disk) asUpload(a uploadAbout) *upload {
	return &upload{dir: d.uploadDir(a.ID), about: a, attempts: map[int]int{}}
}

// loadUpload reads an upload's about.json; errNoUpload says that there is none, or one already renamed into place.
func (d *disk) loadUpload(id string) (*upload, error) {
	if len(id) != 26 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" { // as rand.Text makes them
		return nil, errNoUpload
	}
	text, err := os.ReadFile(filepath.Join(d.uploadDir(id), aboutName))
	if err == nil {
		_, err = os.Stat(filepath.Join(d.uploadDir(id), dataName))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoUpload
	}
	if err != nil {
		return nil, err
	}
	var a uploadAbout
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("reading upload %s: %w", id, err)
	}
	return d.asUpload(a), nil
}

// uploadIDs lists the folders of uploads, in no order.
func (d *disk) uploadIDs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, uploadsDir))
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, err
}

func (d *disk) dropOldUploads(before time.Time) error {
	ids, err := d.uploadIDs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		u, err := d.loadUpload(id)
		if err == nil && u.about.Started >= before.Unix() {
			continue
		}
		if err != nil && !errors.Is(err, errNoUpload) {
			return err
		}
		if err := d.dropUpload(id); err != nil {
			return err
		}
	}
	return nil
}

// dropUpload removes an upload's folder: from sight at once, then from disk.
func (d *disk) dropUpload(id string) error {
	temp := filepath.Join(d.dir, tempDir, rand.Text())
	if err := os.Rename(d.uploadDir(id), temp); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Join(d.dir, uploadsDir)), os.RemoveAll(temp))
}

// begin claims a part. A later claim of the same part ends this one: a client whose connection died sends the part
// again before the server notices.
func (u *upload) begin(n int) (attempt int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return 0, errNoUpload
	}
	if _, err := u.part(n); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = errDuplicate
		}
		return 0, err
	}
	u.count++
	u.attempts[n] = u.count
	return u.count, nil
}

func (u *upload) end(n, attempt int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.attempts[n] == attempt {
		delete(u.attempts, n)
	}
}

// partBody is what a request brings for a part.
type partBody struct {
	r    io.Reader
	size int64
	md5  *contentMD5 // nil when the request names none
}

// again takes a part that is there already, if it is the same.
func (u *upload) again(n int, body partBody) (part, error) {
	u.mu.RLock()
	p, err := u.part(n)
	u.mu.RUnlock()
	if err != nil {
		return part{}, err
	}
	sum := sha1.New()
	if err := copyExactly(body.md5.tee(sum), body.r, body.size); err != nil {
		return part{}, err
	}
	if err := body.md5.check(); err != nil {
		return part{}, err
	}
	if p.ETag != base64.URLEncoding.EncodeToString(sum.Sum(nil)) || p.Size != body.size {
		return part{}, errDuplicate
	}
	return p, nil
}

// write stores the part n and records it once it is on disk. It is errDuplicate, and nothing of the body is read, when
// the part is there.
func (u *upload) write(n int, body partBody) (part, error) {
	attempt, err := u.begin(n)
	if err != nil {
		return part{}, err
	}
	defer u.end(n, attempt)
	data, err := os.OpenFile(filepath.Join(u.dir, dataName), os.O_WRONLY, 0)
	if err != nil {
		return part{}, err
	}
	defer data.Close()
	sum := sha1.New()
	w := &partWriter{u: u, n: n, attempt: attempt, file: data, offset: int64(n) * ufile.BlockSize}
	if err := copyExactly(body.md5.tee(io.MultiWriter(w, sum)), body.r, body.size); err != nil {
		return part{}, err
	}
	if err := body.md5.check(); err != nil {
		return part{}, err
	}
	if err := data.Sync(); err != nil {
		return part{}, err
	}
	p := part{Num: n, ETag: base64.URLEncoding.EncodeToString(sum.Sum(nil)), Size: body.size, Modified: time.Now().Unix()}
	return p, u.record(p, attempt)
}

// partWriter writes bytes of one part for as long as its attempt holds the claim.
type partWriter struct {
	u          *upload
	n, attempt int
	file       *os.File
	offset     int64
}

func (w *partWriter) Write(p []byte) (int, error) {
	w.u.mu.RLock()
	defer w.u.mu.RUnlock()
	if w.u.gone || w.u.attempts[w.n] != w.attempt {
		return 0, errSuperseded
	}
	n, err := w.file.WriteAt(p, w.offset)
	w.offset += int64(n)
	return n, err
}

// finish makes the object of exactly the parts that etags names, in order. A *finishError says why they do not fit.
func (u *upload) finish(d *disk, etags []string) (object, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return object{}, errNoUpload
	}
	o := object{Key: u.about.Key, Type: u.about.Type, Meta: u.about.Meta, Modified: time.Now().Unix()}
	if err := u.check(&o, etags); err != nil {
		return object{}, err
	}
	clear(u.attempts) // whoever still writes a part that is not listed must not write behind the end
	data, err := os.OpenFile(filepath.Join(u.dir, dataName), os.O_RDWR, 0)
	if err != nil {
		return object{}, err
	}
	defer data.Close()
	if err := data.Truncate(o.Size); err != nil {
		return object{}, err
	}
	if err := d.commit(data, o, nil); err != nil {
		return object{}, err
	}
	u.gone = true
	return o, nil
}

// finishError says why a list of parts does not make an object.
type finishError struct{ text string }

func (e *finishError) Error() string { return e.text }

// check compares the listed parts with those that are there, and sets o's size and ETag.
func (u *upload) check(o *object, etags []string) error {
	var blocks ufile.Blocks
	var fault error
	next := 0
	err := u.eachPart(0, func(p part) bool {
		switch {
		case p.Num != next:
			fault = &finishError{fmt.Sprintf("part %d is missing", next)}
		case next >= len(etags):
			fault = &finishError{fmt.Sprintf("got %d parts in the list, want part %d too", len(etags), p.Num)}
		case p.ETag != etags[next]:
			fault = &finishError{fmt.Sprintf("part %d: got ETag %.40q, want %q", next, etags[next], p.ETag)}
		case p.Size != ufile.BlockSize && next != len(etags)-1:
			fault = &finishError{fmt.Sprintf("part %d: got %d bytes, want %d in all but the last", next, p.Size, ufile.BlockSize)}
		default:
			digest, err := ufile.ParsePartETag(p.ETag)
			if err != nil {
				fault = err
				return false
			}
			blocks.Add(digest)
			o.Size += p.Size
			next++
		}
		return fault == nil
	})
	if err != nil || fault != nil {
		return errors.Join(err, fault)
	}
	if next != len(etags) {
		return &finishError{fmt.Sprintf("part %d is missing", next)}
	}
	o.ETag = blocks.ETag()
	return nil
}

// abort ends the upload; no request writes to it afterwards.
func (u *upload) abort() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return errNoUpload
	}
	u.gone = true
	return nil
}
