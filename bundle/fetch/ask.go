package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/offbake/offbake/internal/transport"
)

// errChanged says that a server has another version of the file than the one whose prefix we have.
var errChanged = errors.New("the remote file changed")

// tooLargeError says that a file exceeds Request.MaxSize.
type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string { return fmt.Sprintf("got more than %d bytes", e.limit) }

// ask sends one request for what is missing, checks the answer's head, and makes its body the current one.
func (d *download) ask() error {
	m := d.mirrors.now()
	if d.offset > 0 && !d.resumable(m) {
		if err := d.begin(); err != nil {
			return err
		}
	}
	// Trying again is ours: at another mirror, from where the body broke.
	req, err := http.NewRequestWithContext(transport.Once(d.ctx), http.MethodGet, m.raw, nil)
	if err != nil {
		return transport.Scrub(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if d.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.offset))
		if o := d.part.origin; o.URL == hashText(m.raw) && o.validator() != "" {
			req.Header.Set("If-Range", o.validator())
		}
	}
	resp, err := transport.Do(d.fetcher.httpClient(), req)
	if err != nil {
		return err
	}
	if err := d.accept(m, resp); err != nil {
		resp.Body.Close()
		return err
	}
	d.body = resp.Body
	return nil
}

// resumable says whether m may go on with our prefix: where the digest is known any mirror may, because the digest
// decides; where it is not, only the server that sent the prefix and can say that it still has that version.
func (d *download) resumable(m *mirror) bool {
	if m.noRanges {
		return false
	}
	o := d.part.origin
	return d.req.SHA256 != "" || o.URL == hashText(m.raw) && o.validator() != ""
}

// accept checks the head of an answer against what was asked for. After nil, the body starts at d.offset.
func (d *download) accept(m *mirror, resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		return d.acceptWhole(m, resp)
	case resp.StatusCode == http.StatusPartialContent && d.offset > 0:
		return d.acceptRest(m, resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.offset > 0:
		return d.acceptNothing(m, resp)
	}
	return transport.NewStatusError(resp)
}

// acceptWhole takes a 200: the answer to a request without a range, and to one with a range where the server knows no
// ranges or has another version.
func (d *download) acceptWhole(m *mirror, resp *http.Response) error {
	size := resp.ContentLength
	m.note = ""
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		m.note = " of an HTML page" // many networks answer everything with their login page
	}
	if size >= 0 && d.req.Size >= 0 && size != d.req.Size {
		return d.req.wrongSize(m.raw, fmt.Sprintf("%d bytes%s", size, m.note))
	}
	if d.req.MaxSize > 0 && size > d.req.MaxSize {
		return m.tooLarge(d.req)
	}
	if d.offset > 0 {
		if err := d.begin(); err != nil {
			return err
		}
	}
	if d.size < 0 {
		d.size = size
	}
	if d.req.SHA256 != "" && d.size >= 0 && d.size <= smallBody {
		return nil
	}
	return d.part.writeOrigin(originOf(m.raw, resp))
}

// acceptRest takes a 206 that starts where our prefix ends.
func (d *download) acceptRest(m *mirror, resp *http.Response) error {
	start, total, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err == nil && start != d.offset {
		err = fmt.Errorf("range starts wrong: got %d, want %d", start, d.offset)
	}
	if err != nil {
		m.noRanges = true
		return m.fault(err)
	}
	if total >= 0 && d.req.Size >= 0 && total != d.req.Size {
		return d.req.wrongSize(m.raw, fmt.Sprintf("%d bytes", total))
	}
	o := d.part.origin
	if o.URL == hashText(m.raw) && (!o.sameVersion(resp) || total >= 0 && o.Size >= 0 && total != o.Size) {
		return both(m.fault(errChanged), d.begin())
	}
	if d.size < 0 {
		d.size = total
	}
	return nil
}

// acceptNothing takes a 416: there is nothing after our prefix. Where nothing says otherwise the prefix is the file.
func (d *download) acceptNothing(m *mirror, resp *http.Response) error {
	text, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes */")
	if ok && text == strconv.FormatInt(d.offset, 10) && d.req.Size < 0 && d.part.origin.sameVersion(resp) {
		d.size = d.offset
		resp.Body.Close() // it holds words about the error
		resp.Body = http.NoBody
		return nil
	}
	m.noRanges = true
	return m.fault(fmt.Errorf("status 416: got nothing after byte %d", d.offset))
}

// parseContentRange reads "bytes FIRST-LAST/TOTAL" (RFC 9110 14.4); total is -1 where it is "*".
func parseContentRange(text string) (first, total int64, err error) {
	bad := fmt.Errorf("invalid Content-Range %q", text)
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, totalText, ok2 := strings.Cut(rest, "/")
	firstText, lastText, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	first, err = parseSize(firstText)
	last, err2 := parseSize(lastText)
	total = -1
	var err3 error
	if totalText != "*" {
		total, err3 = parseSize(totalText)
	}
	if err != nil || err2 != nil || err3 != nil || last < first || total >= 0 && last >= total {
		return 0, 0, bad
	}
	return first, total, nil
}

// parseSize reads digits only: no sign, no space.
func parseSize(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}
