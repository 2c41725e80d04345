package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

// Key is a key pair that may use a store.
type Key = ufile.KeyPair

// DefaultBucket is the bucket of a store whose options name none.
const DefaultBucket = "bundles"

// StoreOptions configure Store.
type StoreOptions struct {
	// Dir is the store's folder; it is made where it is missing. A folder that holds something else is refused.
	Dir string
	// Bucket is the one bucket of this store; "" is DefaultBucket. It is part of what clients sign.
	Bucket string
	// Domain, when given, is what follows "BUCKET." in the Host of requests: a host under it with another label is
	// another bucket, which does not exist. Any other Host means Bucket.
	Domain string
	// Keys may read, write and list. Without any, nothing can be written.
	Keys []Key
	// Strict answers as the real service does where that makes a client's life harder: a part that is there already is an
	// error also when it is sent again with the same bytes, and a PUT is at most ufile.MaxPut.
	Strict bool
	// Public lets anyone read an object whose key they know. Listing and writing still need a key.
	Public bool
	// Stall is how long a request's body may give no byte; 0 is a minute.
	Stall time.Duration
	// Log gets one line a request, without its query, which may be a signature. Nil is silent.
	Log *slog.Logger
}

// Objects is a UFile-compatible object store in a folder. It is safe for concurrent use. What it answered 2xx to is on disk.
type Objects struct {
	o    StoreOptions
	disk *disk

	mu      sync.Mutex
	uploads map[string]*upload // those that a request has named since the start
}

// Store opens a store. It is one process's alone until Close or the end of the process; what a killed one left half
// done is removed. The server that uses it should set ReadHeaderTimeout and IdleTimeout.
func Store(o StoreOptions) (*Objects, error) {
	if o.Bucket == "" {
		o.Bucket = DefaultBucket
	}
	if strings.Trim(o.Bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(o.Bucket) > 63 {
		return nil, fmt.Errorf("opening store %q: bucket name: got %q, want lower-case letters, digits and '-'", o.Dir, o.Bucket)
	}
	for _, k := range o.Keys {
		if k.Public == "" || k.Private == "" || strings.Contains(k.Public, ":") {
			return nil, fmt.Errorf("opening store %q: a key pair is incomplete or has a colon in its public key", o.Dir)
		}
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := openDisk(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", o.Dir, err)
	}
	return &Objects{o: o, disk: d, uploads: map[string]*upload{}}, nil
}

// Close lets another process have the folder. The caller has ended all requests before.
func (s *Objects) Close() error { return s.disk.close() }

// ServeHTTP answers one request.
func (s *Objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	session := sessionID()
	h := w.Header()
	h[ufile.SessionHeader] = []string{session} // as the service spells it, not canonical
	h.Set("X-Content-Type-Options", "nosniff")
	c := &call{s: s, w: &countingWriter{ResponseWriter: w}, r: r, key: requestKey(r), query: r.URL.Query()}
	c.body = &stallReader{r: r.Body, c: http.NewResponseController(w), stall: s.o.Stall}
	if err := c.serve(); err != nil {
		answer := asAnswer(err)
		if answer.Status >= http.StatusInternalServerError {
			s.o.Log.LogAttrs(r.Context(), slog.LevelError, "answering",
				slog.String("session", session), slog.Any("cause", err))
		}
		if c.w.status != 0 {
			panic(http.ErrAbortHandler) // too late to say it: cut the connection, so that the body is not taken for whole
		}
		c.drain()
		sendError(c.w, answer)
	}
	s.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("session", session),
		slog.String("method", r.Method), slog.String("key", c.key), slog.Int("status", c.w.status),
		slog.Int64("bytes", c.w.bytes), slog.Duration("took", time.Since(start)))
}

// call is one request being answered.
type call struct {
	s     *Objects
	w     *countingWriter
	r     *http.Request
	key   string
	query url.Values
	body  io.Reader
}

// drainTime bounds drain: whoever has no key must not hold a connection for long.
const drainTime = 5 * time.Second

// drain reads what a client still sends, up to a part's worth: one that is cut off while it sends would see a reset
// connection instead of the answer.
func (c *call) drain() {
	if c.r.Header.Get("Expect") != "" {
		return // one that waits for leave to send is just not given it
	}
	// Without support for deadlines (a recorder in a test) the body cannot stall either.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(drainTime))
	io.CopyN(io.Discard, c.r.Body, ufile.BlockSize+1)
}

// asAnswer says to the client what it may know of an error: all of one that is its own, nothing of a server's.
func asAnswer(err error) *ufile.Error {
	var answer *ufile.Error
	var finish *finishError
	var limit *requestError
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &limit):
		return &ufile.Error{Status: limit.status, Message: limit.text}
	case errors.As(err, &finish):
		return &ufile.Error{Status: http.StatusBadRequest, Message: finish.text}
	case errors.Is(err, errNoUpload):
		return &ufile.Error{Status: http.StatusNotFound, Message: "upload not exist"}
	case errors.Is(err, errDuplicate):
		return &ufile.Error{Status: http.StatusInternalServerError, RetCode: ufile.DuplicatePart, Message: "put duplicate key error"}
	case errors.Is(err, errSuperseded):
		return &ufile.Error{Status: http.StatusConflict, Message: "another request writes this part"}
	}
	return &ufile.Error{Status: http.StatusInternalServerError, Message: "internal error"}
}

// requestError is a fault of the request for which the service has no RetCode that we know.
type requestError struct {
	status int
	text   string
}

func (e *requestError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func noBucket() error {
	return &ufile.Error{Status: http.StatusNotFound, RetCode: ufile.BucketNotExist, Message: "bucket not exist"}
}

func notFound() error {
	return &ufile.Error{Status: http.StatusNotFound, RetCode: ufile.FileNotExist, Message: "file not exist"}
}
