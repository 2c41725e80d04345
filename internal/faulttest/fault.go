package faulttest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of faults. N, Code, Wait and To are fields of Fault.
const (
	None        Kind = ""
	Refuse      Kind = "refuse"       // the connection is reset before a head
	Reset       Kind = "reset"        // the connection is reset after N bytes of body
	Stall       Kind = "stall"        // nothing comes after N bytes of body, not even an end; N < 0: no head
	Slow        Kind = "slow"         // N bytes at a time, with Wait before each
	Status      Kind = "status"       // Code, with Retry-After of Wait where that is set
	WrongByte   Kind = "wrong byte"   // byte N of the body is another one
	Short       Kind = "short"        // the body is N bytes long, and the head says so
	Long        Kind = "long"         // N more bytes come, and the head says so
	IgnoreRange Kind = "ignore range" // a range is answered by 200 and the whole file
	LyingRange  Kind = "lying range"  // Content-Range starts N bytes later than the body
	WrongRange  Kind = "wrong range"  // Content-Range is as asked for, the bytes are the file's first ones
	NoRange     Kind = "416"          // a range is answered by 416
	Redirect    Kind = "redirect"     // 302 to To
	Gzip        Kind = "gzip label"   // Content-Encoding: gzip on a body that is not encoded
	HTML        Kind = "html"         // 200 and a login page
	Changed     Kind = "changed"      // another version of the file: each byte differs, and so does the ETag
	Chunked     Kind = "chunked"      // no Content-Length
)

// Fault is one thing that goes wrong with requests that fit.
type Fault struct {
	Path    string // only requests of this path; "" for any
	Request int    // only the k-th request that arrives, from 1; 0 for any
	Times   int    // how often at most; 0 for ever

	Kind Kind
	N    int64 // bytes
	Code int
	Wait time.Duration
	To   string // URL
}

// String names the fault for a test's name.
func (f Fault) String() string {
	text := string(f.Kind)
	if f.Code != 0 {
		text += fmt.Sprint(" ", f.Code)
	}
	if f.N != 0 {
		text += fmt.Sprint(" ", f.N)
	}
	return text
}

func (f Fault) fits(r *Request, arrival int) bool {
	return (f.Path == "" || f.Path == r.Path) && (f.Request == 0 || f.Request == arrival)
}

// answers gives the answers that need no file, and says whether it did.
func (f Fault) answers(w *writer, req *http.Request) bool {
	switch {
	case f.Kind == Refuse:
		reset(w.ResponseWriter)
	case f.Kind == Stall && f.N < 0:
		w.stall()
	case f.Kind == Status:
		if f.Wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.Wait.Seconds())))
		}
		http.Error(w, http.StatusText(f.Code), f.Code)
	case f.Kind == Redirect:
		http.Redirect(w, req, f.To, http.StatusFound)
	case f.Kind == HTML:
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<html><title>Log in to the hotel network</title></html>\n"))
	case f.Kind == NoRange && req.Header.Get("Range") != "":
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	default:
		return false
	}
	return true
}

// changed returns the request that the server behind gets.
func (f Fault) changed(req *http.Request) *http.Request {
	drop := f.Kind == IgnoreRange || f.Kind == WrongRange
	if f.Kind == Changed && req.Header.Get("If-Range") != "" && !strings.HasSuffix(req.Header.Get("If-Range"), changedMark) {
		drop = true
	}
	out := req.Clone(req.Context())
	if drop {
		out.Header.Del("Range")
	}
	if f.Kind == Changed {
		// The server behind knows its own version only.
		out.Header.Del("If-Range")
	}
	return out
}

const changedMark = `-changed"`

// head changes an answer's head before it goes out.
func (f Fault) head(h http.Header, req string, code int) int {
	switch f.Kind {
	case Short:
		setLength(h, func(n int64) int64 { return min(n, f.N) })
	case Long:
		setLength(h, func(n int64) int64 { return n + f.N })
	case Chunked:
		h.Del("Content-Length")
	case Gzip:
		h.Set("Content-Encoding", "gzip")
	case Changed:
		h.Set("ETag", strings.TrimSuffix(h.Get("ETag"), `"`)+changedMark)
	case LyingRange:
		var first, last, total int64
		if n, _ := fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); n == 3 {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first+f.N, last, total))
		}
	case WrongRange:
		var first int64
		size, _ := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
		if n, _ := fmt.Sscanf(req, "bytes=%d-", &first); n == 1 && code == http.StatusOK && first < size {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, size-1, size))
			h.Set("Content-Length", strconv.FormatInt(size-first, 10))
			return http.StatusPartialContent
		}
	}
	return code
}

func setLength(h http.Header, change func(int64) int64) {
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil {
		h.Set("Content-Length", strconv.FormatInt(change(n), 10))
	}
}

// body changes a piece of a body that starts at byte at. p is not written to.
func (f Fault) body(p []byte, at int64) []byte {
	switch f.Kind {
	case WrongByte:
		if i := f.N - at; i >= 0 && i < int64(len(p)) {
			p = bytes.Clone(p)
			p[i] ^= 0xff
		}
	case Changed:
		p = bytes.Clone(p)
		for i := range p {
			p[i] ^= 0xff
		}
	}
	return p
}

// reset ends a connection so that the client sees a reset, not an end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: resets the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
