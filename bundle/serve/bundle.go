package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/offbake/offbake/bundle"
)

// Bundle serves the tree of a bundle that Trust or Verify accepted, read-only: GET and HEAD with ranges and conditions,
// index.html at "/". The ETag of a file is its sha256.
//
// Bytes are checked as they are sent. Where a file is not what the index says, the connection is cut before its last
// bytes, so that nobody takes what came for the whole. A range is sent only after the whole file was checked: once for
// each file of a tar that Verify has not read, and kept in mind.
func Bundle(b *bundle.Bundle) http.Handler {
	x := b.Index()
	s := &bundleServer{b: b, files: make(map[string]bundle.File, len(x.Files)), sections: map[string]*section{}}
	s.created, _ = time.Parse(time.RFC3339, x.Created) // the index was checked
	for _, f := range x.Files {
		s.files[f.Path] = f
	}
	return s
}

type bundleServer struct {
	b       *bundle.Bundle
	files   map[string]bundle.File
	created time.Time

	mu       sync.Mutex
	sections map[string]*section
}

// maxSections bounds the files held open for ranges.
const maxSections = 128

// section is a file that was checked whole, and stays open for ranges.
type section struct {
	once sync.Once
	at   *bundle.Section
	err  error
}

func (s *bundleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "a bundle is read-only", http.StatusMethodNotAllowed)
		return
	}
	name := requestKey(r)
	if name == "" {
		name = "index.html"
	}
	f, ok := s.find(name)
	if !ok {
		http.Error(w, "not in the bundle", http.StatusNotFound)
		return
	}
	content, err := s.open(r, f)
	if err != nil {
		http.Error(w, "the bundle cannot be read", http.StatusInternalServerError)
		return
	}
	defer content.Close()
	h.Set("Content-Type", typeOf(f.Path))
	h.Set("ETag", quoteETag(f.SHA256))
	http.ServeContent(w, r, "", s.created, content)
	if content.err != nil {
		panic(http.ErrAbortHandler) // the head is out: only a cut connection still says that this is not the file
	}
}

// find describes a file of the bundle, also one that no index lists.
func (s *bundleServer) find(name string) (bundle.File, bool) {
	if f, ok := s.files[name]; ok {
		return f, true
	}
	data, err := s.b.ReadFile(name, bundle.MaxIndex)
	if err != nil {
		return bundle.File{}, false
	}
	sum := sha256.Sum256(data)
	return bundle.File{Path: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, true
}

// open chooses how a file is read: as a stream that is checked at its end, or at random after it was checked.
func (s *bundleServer) open(r *http.Request, f bundle.File) (*content, error) {
	if r.Method == http.MethodHead {
		return &content{size: f.Size, closer: io.NopCloser(nil)}, nil
	}
	if r.Header.Get("Range") == "" {
		rc, err := s.b.Open(f.Path)
		return &content{stream: rc, size: f.Size, closer: rc}, err
	}
	at, closer, err := s.section(f.Path)
	return &content{at: at, size: f.Size, closer: closer}, err
}

// section opens a file for random access, or finds it open.
func (s *bundleServer) section(name string) (io.ReaderAt, io.Closer, error) {
	s.mu.Lock()
	kept, ok := s.sections[name]
	if !ok && len(s.sections) < maxSections {
		kept = &section{}
		s.sections[name] = kept
		ok = true
	}
	s.mu.Unlock()
	if !ok {
		at, err := s.b.OpenAt(name)
		return at, at, err
	}
	kept.once.Do(func() { kept.at, kept.err = s.b.OpenAt(name) })
	return kept.at, io.NopCloser(nil), kept.err
}

// content is a file as http.ServeContent wants it. It remembers the error that ServeContent drops.
type content struct {
	stream io.Reader   // from the start only
	at     io.ReaderAt // anywhere
	size   int64
	offset int64
	closer io.Closer
	err    error
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seeking to %d", offset)
	}
	c.offset = offset
	return offset, nil
}

func (c *content) Read(p []byte) (n int, err error) {
	switch {
	case c.at != nil:
		n, err = io.NewSectionReader(c.at, c.offset, c.size-c.offset).Read(p)
	case c.stream != nil:
		n, err = c.stream.Read(p)
	default:
		return 0, io.EOF
	}
	c.offset += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *content) Close() error { return c.closer.Close() }

// typeOf is the content type of a path in a bundle. The system's own table is not asked: answers are the same everywhere.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".json":
		return "application/json"
	case ".xml":
		return "application/xml"
	case ".gz":
		return "application/gzip"
	case ".zip":
		return "application/zip"
	case ".rpm":
		return "application/x-rpm"
	case ".asc", ".conf", ".lock", ".minisig", ".repo", ".sh", ".txt", ".yaml", ".yml":
		return "text/plain; charset=utf-8"
	}
	if path.Base(name) == bundle.SumsFile {
		return "text/plain; charset=utf-8"
	}
	return defaultType
}
