package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"

	"github.com/cavaliergopher/grab/v3"

	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/internal/transport"
)

const (
	// readBuffer is what grab reads and writes at once. It allocates one for each file, so small files get small ones.
	readBuffer    = 256 << 10
	minReadBuffer = 4 << 10
)

// download is one transfer. grab writes the file; download is the HTTPClient under it and gives it one ordered body,
// whatever happens below: answers that break off are continued by range requests, at another mirror where there is one,
// and a file that turns out wrong is begun again. The digest is fed as the body is read, and the body ends with an error
// instead of io.EOF unless the digest is right. So grab's own resume, length and checksum logic never decides anything.
//
// grab opens the partial for appending (it exists, and the HEAD says that ranges work). That lets begin truncate it
// between two reads: all that was read before has been written by then, and the next write goes to the new end.
type download struct {
	fetcher *Fetcher
	req     Request
	part    *partial
	item    *progress.Item
	mirrors mirrors
	ctx     context.Context // of grab's GET; Read has no other way to get it

	hash     hash.Hash     // of the first offset bytes, which are on disk or in grab's hands
	offset   int64         // bytes
	size     int64         // bytes of the whole file, -1 until known
	body     io.ReadCloser // of the current answer; nil between answers
	received int64         // bytes that came over the network
}

// run gets the file whole into the partial, or returns why not.
func (d *download) run(ctx context.Context, urls []*url.URL) error {
	d.mirrors.add(urls)
	d.hash, d.size = sha256.New(), d.req.Size
	if whole, err := d.resume(ctx); whole || err != nil {
		return err
	}
	defer d.closeBody()
	req, err := grab.NewRequest(d.part.Name(), d.mirrors.list[0].raw)
	if err != nil {
		return transport.Scrub(err)
	}
	req.IgnoreRemoteTime, req.NoCreateDirectories = true, true
	client := &grab.Client{HTTPClient: d, BufferSize: d.bufferSize()}
	if err := client.Do(req.WithContext(ctx)).Err(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// resume hashes what an earlier run left and says whether that is the whole file already.
func (d *download) resume(ctx context.Context) (whole bool, err error) {
	d.offset, err = d.fetcher.Cache.feed(ctx, d.hash, d.part.File)
	if err != nil || d.offset == 0 {
		return false, err
	}
	d.item.Resume(d.offset)
	if d.req.SHA256 != "" && d.digest() == d.req.SHA256 && d.req.verify("", d.req.SHA256, d.offset) == nil {
		return true, nil
	}
	if d.req.Size >= 0 && d.offset >= d.req.Size {
		return false, d.begin()
	}
	return false, nil
}

func (d *download) bufferSize() int {
	if d.req.Size < 0 {
		return readBuffer
	}
	return int(min(max(d.req.Size, minReadBuffer), readBuffer))
}

// Do answers grab: HEAD at once, so that it costs no request, and GET with the ordered body, whose first Read sends it.
func (d *download) Do(req *http.Request) (*http.Response, error) {
	resp := &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Accept-Ranges": {"bytes"}}, Body: http.NoBody, ContentLength: -1, Request: req,
	}
	if req.Method == http.MethodHead {
		return resp, nil
	}
	// grab takes its offset from the size of the file, we ours from hashing it.
	if got, want := req.Header.Get("Range"), fmt.Sprintf("bytes=%d-", d.offset); got != want {
		return nil, fmt.Errorf("resuming %s: got range %q, want %q", d.part.Name(), got, want)
	}
	d.ctx = req.Context()
	resp.Status, resp.StatusCode, resp.Body = "206 Partial Content", http.StatusPartialContent, d
	return resp, nil
}

// Read is the ordered body. It returns io.EOF only after the whole file with the right digest.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.receive(p)
		if n > 0 || err == io.EOF {
			return n, err
		}
		if err != nil {
			d.closeBody()
			if err := d.failed(err); err != nil {
				return 0, err
			}
		}
	}
}

// receive reads once from the current answer and asks for one where there is none.
func (d *download) receive(p []byte) (int, error) {
	if d.offset == d.size {
		return 0, d.finish()
	}
	if d.body == nil {
		return 0, d.ask()
	}
	if d.req.MaxSize > 0 && d.offset > d.req.MaxSize {
		return 0, both(d.mirrors.now().tooLarge(d.req), d.begin())
	}
	n, err := d.body.Read(d.limit(p))
	if n > 0 {
		d.take(p[:n])
		return n, nil // a body repeats its error
	}
	switch {
	case err == io.EOF && d.size < 0:
		d.size = d.offset
		return 0, d.finish()
	case err == io.EOF:
		err = fmt.Errorf("body ended: got %d bytes, want %d", d.offset, d.size)
	}
	return 0, d.mirrors.now().fault(err)
}

// limit keeps a read within what the file may measure.
func (d *download) limit(p []byte) []byte {
	most := int64(len(p))
	if d.size >= 0 {
		most = min(most, d.size-d.offset)
	}
	if d.req.MaxSize > 0 {
		most = min(most, d.req.MaxSize+1-d.offset) // one more shows that it is too large
	}
	return p[:most]
}

// take counts and hashes what is about to be handed to grab.
func (d *download) take(p []byte) {
	d.hash.Write(p)
	d.offset += int64(len(p))
	d.received += int64(len(p))
	d.item.Add(int64(len(p)))
}

// finish judges a file of the right length. It returns io.EOF when the file is what was asked for; else the file is
// begun again.
func (d *download) finish() error {
	m := d.mirrors.now()
	if d.body != nil {
		var one [1]byte
		if n, _ := d.body.Read(one[:]); n > 0 {
			return both(d.req.wrongSize(m.raw, fmt.Sprintf("more than %d bytes", d.size)), d.begin())
		}
		d.closeBody()
	}
	if got := d.digest(); d.req.SHA256 != "" && got != d.req.SHA256 {
		return both(d.req.wrongDigest(m.raw, got+m.note), d.begin())
	}
	return io.EOF
}

// begin throws away what is there and starts at the first byte.
func (d *download) begin() error {
	d.item.Resume(-d.offset)
	d.hash.Reset()
	d.offset, d.size = 0, d.req.Size
	return d.part.reset()
}

func (d *download) digest() string { return hex.EncodeToString(d.hash.Sum(nil)) }

func (d *download) closeBody() {
	if d.body != nil {
		d.body.Close() // only read from
		d.body = nil
	}
}

// Close is grab's sign that it is done.
func (d *download) Close() error {
	d.closeBody()
	return nil
}
