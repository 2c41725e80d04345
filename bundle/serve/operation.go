package serve

import (
	"net"
	"net/http"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// access says what a request must bring.
type access int

const (
	signed   access = iota // a signature, in the header or the query
	readable               // a signature, unless anyone may read the object
	byHeader               // a signature in the header
	byForm                 // a signature in the form, which the operation checks itself
)

// operation is one thing that a store can be asked to do.
//
// A presigned URL covers a method and a key, not the query and not the X-Ufile headers: whoever was given one to PUT an
// object could add to it what renames the object or copies another one. What such additions ask for is byHeader.
type operation struct {
	do     func() error
	access access
}

// serve checks what every request must hold, then does what it asks.
func (c *call) serve() error {
	if !c.bucketExists() {
		return noBucket()
	}
	op, err := c.operation()
	if err != nil {
		return err
	}
	if err := c.authorize(op.access); err != nil {
		return err
	}
	if c.key != "" {
		if err := ufile.CheckKey(c.key); err != nil {
			return badRequest("%v", err)
		}
	}
	return op.do()
}

// bucketExists resolves the bucket from the request's host.
func (c *call) bucketExists() bool {
	if c.s.o.Domain == "" {
		return true
	}
	host := c.r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	label, under := strings.CutSuffix(strings.ToLower(host), "."+strings.ToLower(c.s.o.Domain))
	return !under || label == c.s.o.Bucket
}

// operation finds what the request asks for. A query or header that this server does not know is refused where
// ignoring it would change an object: PUT /key?restore is not an upload of nothing.
func (c *call) operation() (operation, error) {
	ops := c.objectOperations
	if c.key == "" {
		ops = c.bucketOperations
	}
	asked := c.r.Method
	if c.r.Header.Get(ufile.CopySource) != "" {
		asked += " copy"
	}
	asked += ": " + c.asks()
	if c.key == hitKey && asked == "POST: FileName FileSize Hash" {
		c.key = c.query.Get("FileName") // that is what is signed, not "uploadhit"
		return operation{c.hit, byHeader}, nil
	}
	op, ok := ops()[asked]
	if !ok {
		return operation{}, &requestError{http.StatusNotImplemented, "this store does not know this request"}
	}
	return op, nil
}

// bucketOperations are those on the bucket, by method and query.
func (c *call) bucketOperations() map[string]operation {
	return map[string]operation{
		"GET: list":        {c.list, signed},
		"GET: listobjects": {c.listObjects, signed},
		"GET: muploadpart": {c.listParts, signed},
		"GET: muploadid":   {c.listUploads, signed},
		"POST: ":           {c.postForm, byForm},
	}
}

// objectOperations are those on an object, by method, whether it is a copy, and query.
func (c *call) objectOperations() map[string]operation {
	return map[string]operation{
		"GET: ":                         {c.get, readable},
		"HEAD: ":                        {c.get, readable},
		"PUT: ":                         {c.put, signed},
		"PUT copy: ":                    {c.copy, byHeader},
		"DELETE: ":                      {c.remove, signed},
		"POST: uploads":                 {c.initiate, signed},
		"PUT: partNumber uploadId":      {c.putPart, signed},
		"PUT copy: partNumber uploadId": {c.copyPart, byHeader},
		"POST: uploadId":                {c.finish, signed},
		"DELETE: uploadId":              {c.abort, signed},
		"PUT: restore":                  {c.restore, byHeader},
		"PUT: storageClass":             {c.switchClass, byHeader},
		"PUT: tagging":                  {c.putTags, byHeader},
		"GET: tagging":                  {c.getTags, signed},
		"DELETE: tagging":               {c.deleteTags, byHeader},
		"PUT: acl":                      {c.putACL, byHeader},
		"GET: acl":                      {c.getACL, signed},
		"POST: opmeta":                  {c.setType, byHeader},
		"PUT: newFileName":              {c.rename, byHeader},
		"PUT: force newFileName":        {c.rename, byHeader},
	}
}

// asks returns the names in the query that say what is asked for, sorted: those that only carry a signature or a
// setting of the one operation they belong to are left out.
func (c *call) asks() string {
	names := map[string]bool{}
	for name := range c.query {
		names[name] = true
	}
	for _, name := range []string{ufile.QueryExpires, ufile.QueryPublicKey, ufile.QuerySignature} {
		delete(names, name)
	}
	for op, settings := range map[string][]string{
		"list":        {"prefix", "marker", "limit"},
		"listobjects": {"prefix", "marker", "delimiter", "max-keys"},
		"muploadpart": {"uploadId", "max-parts", "part-number-marker"},
		"muploadid":   {"prefix", "marker", "limit"},
	} {
		if c.key == "" && names[op] {
			for _, name := range settings {
				delete(names, name)
			}
		}
	}
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		delete(names, "ufileattname")
	}
	return strings.Join(sortedKeys(names), " ")
}
