package serve

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/offbake/offbake/bundle/ufile"
)

// countingWriter remembers what was answered.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps the connection's own way to copy, with sendfile where it can.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// stallReader gives up on a body that gives no byte for a while. A large one may take as long as it needs.
type stallReader struct {
	r     io.Reader
	c     *http.ResponseController
	stall time.Duration
}

func (s *stallReader) Read(p []byte) (int, error) {
	// Without support for deadlines (a recorder in a test) the body cannot stall either.
	_ = s.c.SetReadDeadline(time.Now().Add(s.stall))
	n, err := s.r.Read(p)
	if err != nil { // else the deadline would end the connection while the request is still being worked on
		_ = s.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// bodySize is the length of the request's body; the service wants it told, and so do we: a body that ends early is
// then known to be cut.
func (c *call) bodySize(most int64) (int64, error) {
	n := c.r.ContentLength
	if n < 0 || len(c.r.TransferEncoding) > 0 {
		return 0, &requestError{http.StatusLengthRequired, "content length is missing"}
	}
	if n > most {
		return 0, &requestError{http.StatusBadRequest, fmt.Sprintf("content length:%d larger than limit:%d", n, most)}
	}
	return n, nil
}

// copyExactly copies size bytes. A short or failing source is the client's fault, anything else the writer's.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	src := &sourceReader{r: r}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(src, size), make([]byte, 128<<10))
	if src.err != nil {
		return badRequest("reading the body after %d of %d bytes", n, size)
	}
	if err == nil && n != size {
		return badRequest("got a body of %d bytes, want %d", n, size)
	}
	return err
}

// sourceReader remembers the error of reading, to tell it from one of writing.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// contentMD5 checks a Content-MD5 header while the body passes. The SDK sends hex, RFC 1864 says base64.
type contentMD5 struct {
	want []byte
	hash.Hash
}

func newContentMD5(header string) (*contentMD5, error) {
	if header == "" {
		return nil, nil
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if want, err := decode(header); err == nil && len(want) == md5.Size {
			return &contentMD5{want, md5.New()}, nil
		}
	}
	return nil, badRequest("Content-MD5: got %.64q, want an MD5 in hex or base64", header)
}

// tee sends the bytes to w and to the digest, when there is one.
func (m *contentMD5) tee(w io.Writer) io.Writer {
	if m == nil {
		return w
	}
	return io.MultiWriter(w, m.Hash)
}

func (m *contentMD5) check() error {
	if m == nil {
		return nil
	}
	if got := m.Sum(nil); string(got) != string(m.want) {
		return badRequest("Content-MD5: got a body with %x, want %x", got, m.want)
	}
	return nil
}

// metaOf takes an object's own metadata from a request.
func metaOf(h http.Header) (map[string]string, error) {
	meta := map[string]string{}
	size := 0
	for header, values := range h {
		name, ok := strings.CutPrefix(header, ufile.MetaPrefix)
		if !ok {
			continue
		}
		if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return nil, badRequest("metadata name: got %.64q, want letters, digits and '-'", name)
		}
		value := strings.Join(values, ",")
		if !utf8.ValidString(value) {
			return nil, badRequest("metadata %q: not UTF-8", name)
		}
		meta[name] = value
		size += len(name) + len(value)
	}
	if size > ufile.MaxMeta {
		return nil, badRequest("metadata: got %d bytes, want at most %d", size, ufile.MaxMeta)
	}
	return meta, nil
}
