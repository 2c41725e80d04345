package serve

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
)

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// authorize lets a request pass whose signature is good, or that needs none. A signature that is given must be good
// even where none is needed. A header goes before the query, and only one of the two is looked at.
func (c *call) authorize(op operation) error {
	switch {
	case c.r.Header.Get("Authorization") != "":
		return c.checkHeader()
	case c.query.Has(ufile.QuerySignature):
		return c.checkPresigned()
	case op.public && c.s.o.Public:
		return nil
	}
	return &ufile.Error{Status: http.StatusForbidden, RetCode: ufile.NoAuthorization, Message: "no authorization found"}
}

func refused(why string) error {
	return &ufile.Error{Status: http.StatusForbidden, RetCode: ufile.InvalidSignature, Message: why}
}

func (c *call) checkHeader() error {
	a, err := ufile.ParseAuthorization(c.r.Header.Get("Authorization"))
	if err != nil {
		return refused("invalid signature")
	}
	if !c.signedBy(a.Public, a.Signature, ufile.Request{Policy: a.Policy}) {
		return refused("invalid signature")
	}
	if a.Policy != "" { // its callback would be promised and not made
		return &requestError{http.StatusNotImplemented, "this store does not know upload policies"}
	}
	return nil
}

func (c *call) checkPresigned() error {
	expires := c.query.Get(ufile.QueryExpires)
	at, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		return refused("invalid signature")
	}
	if time.Now().Unix() > at { // before the signature, as the service does
		return refused("signature expired")
	}
	if !c.signedBy(c.query.Get(ufile.QueryPublicKey), c.query.Get(ufile.QuerySignature), ufile.Request{Expires: expires}) {
		return refused("invalid signature")
	}
	return nil
}

// signedBy fills in the request that was signed, and compares with the pair of the public key.
func (c *call) signedBy(public, signature string, signed ufile.Request) bool {
	signed.Method, signed.Bucket, signed.Key, signed.Header = c.r.Method, c.s.o.Bucket, c.key, c.r.Header
	for _, k := range c.s.o.Keys {
		if k.Public == public {
			return k.Verify(signed, signature)
		}
	}
	return false
}
