// Package serve answers HTTP with a bundle's tree (Bundle) or with an object store in a folder that speaks the UFile
// protocol (Store).
//
// Both are handlers without state of their own in the network: the caller brings the http.Server with its listener,
// TLS and header timeout. Neither ever compresses or chunks a file. No path of a request becomes a path of the file
// system: bundles look it up in the index, stores escape it (docs/store-layout.md).
package serve

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// defaultType is the content type of a file that has none.
const defaultType = "application/octet-stream"

// requestKey is the object that a request names, decoded; "" for the bucket itself.
func requestKey(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }

// sessionID names one request in its answer and in the log, in the form of a random UUID.
func sessionID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func quoteETag(etag string) string { return `"` + etag + `"` }

// sendError answers with an error as the service does.
func sendError(w http.ResponseWriter, e *ufile.Error) {
	body := e.Body()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	h.Del("ETag")
	h.Del("Last-Modified")
	h.Del("Content-Range")
	w.WriteHeader(e.Status)
	w.Write(body) // the peer may be gone; nobody is left to tell
}
