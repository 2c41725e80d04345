package serve

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// form is an upload by POST (ufile-gosdk v1.0.7 file.go:103): some fields, then the file. The fields say under which key
// and carry the signature, so they are read first, and no more of them than maxFields.
type form struct {
	c      *call
	parts  *multipart.Reader
	meter  *meter
	fields map[string]string // Authorization, FileName or ObjectName, Content-Type, Content-MD5
}

// maxFields bounds, in bytes, what a form has beside its file, and what is read before its signature is checked.
const maxFields = 64 << 10

// postForm stores the file of a form. It reaches the disk as it comes, and appears once the form's end has been seen.
func (c *call) postForm() error {
	most := int64(ufile.MaxObject)
	if c.s.o.Strict {
		most = ufile.MaxForm
	}
	size, err := c.bodySize(most + maxFields)
	if err != nil {
		return err
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return badRequest("Content-Type: got %.100q, want a multipart/form-data with a boundary", c.r.Header.Get("Content-Type"))
	}
	m := &meter{r: c.body, left: maxFields}
	f := &form{c, multipart.NewReader(m, params["boundary"]), m, map[string]string{}}
	file, err := f.readFields()
	if err != nil {
		return err
	}
	header, err := f.authorize(file)
	if err != nil {
		return err
	}
	m.left = size
	o, sum, err := describe(c.key, header)
	if err != nil {
		return err
	}
	return f.store(file, o, sum)
}

// readFields reads up to the file, which it returns.
func (f *form) readFields() (*multipart.Part, error) {
	for {
		part, err := f.parts.NextRawPart()
		if err == io.EOF { // as it is, for the end of the form; a body that was cut has it wrapped
			return nil, badRequest("form: has no file")
		}
		if err != nil {
			return nil, badForm(err)
		}
		name := fieldName(part)
		if name == "file" {
			return part, nil
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, badForm(err)
		}
		if _, ok := f.fields[name]; ok {
			return nil, badRequest("form: has the field %.40q twice", name)
		}
		f.fields[name] = string(value)
	}
}

// fieldName reads the name of a part. The SDK writes the key into the file's name as it is, quotes included, which makes
// a header that does not parse.
func fieldName(part *multipart.Part) string {
	text := part.Header.Get("Content-Disposition")
	kind, params, err := mime.ParseMediaType(text)
	if err != nil {
		before, _, _ := strings.Cut(text, "; filename=")
		kind, params, err = mime.ParseMediaType(before)
	}
	if err != nil || kind != "form-data" {
		return ""
	}
	return params["name"]
}

// authorize finds the key, checks the signature, and returns the headers that describe the object. The signature covers
// the Content-Type of the file, not of the form.
func (f *form) authorize(file *multipart.Part) (http.Header, error) {
	c := f.c
	c.key = f.fields["FileName"] // SDKs have the first, the documentation the second
	if name := f.fields["ObjectName"]; name != "" && c.key != "" && c.key != name {
		return nil, badRequest("form: FileName and ObjectName differ")
	} else if name != "" {
		c.key = name
	}
	header := c.r.Header.Clone()
	header.Del("Content-Type")
	if kind, ok := f.fields["Content-Type"]; ok {
		header.Set("Content-Type", kind)
	}
	if sum := f.fields["Content-MD5"]; sum != "" {
		if got := header.Get("Content-Md5"); got != "" && got != sum {
			return nil, badRequest("Content-MD5: the header has %.64q and the form %.64q", got, sum)
		}
		header.Set("Content-Md5", sum)
	}
	if f.fields["Authorization"] == "" {
		return nil, unauthorized()
	}
	if err := c.checkAuthorization(f.fields["Authorization"], header); err != nil {
		return nil, err
	}
	if err := ufile.CheckKey(c.key); err != nil {
		return nil, badRequest("%v", err)
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", file.Header.Get("Content-Type"))
	}
	return header, nil
}

func (f *form) store(file *multipart.Part, o object, sum *contentMD5) error {
	temp, err := f.c.s.disk.temp()
	if err != nil {
		return err
	}
	defer discard(temp)
	var etag ufile.ETag
	src := &sourceReader{r: file}
	o.Size, err = io.CopyBuffer(struct{ io.Writer }{sum.tee(io.MultiWriter(temp, &etag))}, src, make([]byte, 128<<10))
	if src.err != nil {
		return badForm(src.err)
	}
	if err != nil {
		return err
	}
	if err := f.readRest(); err != nil {
		return err
	}
	if err := sum.check(); err != nil {
		return err
	}
	o.ETag = etag.String()
	if err := f.c.s.disk.commit(temp, o, nil); err != nil {
		return err
	}
	f.c.stored(o.ETag, nil)
	return nil
}

// readRest reads to the form's end, past the empty part that the SDK leaves there. Without the end the file may be cut.
func (f *form) readRest() error {
	for {
		part, err := f.parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badForm(err)
		}
		if fieldName(part) == "file" {
			return badRequest("form: has two files")
		}
	}
}

func badForm(err error) error {
	if errors.Is(err, errMeter) {
		return badRequest("form: %v", err)
	}
	return badRequest("form: cut, or not well-formed")
}

// meter ends a form whose fields are larger than they may be.
type meter struct {
	r    io.Reader
	left int64
}

var errMeter = fmt.Errorf("its fields take more than %d bytes", maxFields)

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errMeter
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}
