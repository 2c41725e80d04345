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
func (c *call) authorize(need access) error {
	switch {
	case need == byForm:
		return nil
	case c.r.Header.Get("Authorization") != "":
		return c.checkAuthorization(c.r.Header.Get("Authorization"), c.r.Header)
	case c.query.Has(ufile.QuerySignature) && need == byHeader:
		return refused("a presigned URL does not allow this")
	case c.query.Has(ufile.QuerySignature):
		return c.checkPresigned()
	case need == readable && (c.s.o.Public || c.readByAnyone()):
		return nil
	}
	return unauthorized()
}

func unauthorized() error {
	return &ufile.Error{Status: http.StatusForbidden, RetCode: ufile.NoAuthorization, Message: "no authorization found"}
}

func refused(why string) error {
	return &ufile.Error{Status: http.StatusForbidden, RetCode: ufile.InvalidSignature, Message: why}
}

// checkAuthorization checks an Authorization header or form field over the headers that it signs. An upload policy asks
// for a callback; a store of an isolated network calls nobody, and says so in the log.
func (c *call) checkAuthorization(value string, header http.Header) error {
	a, err := ufile.ParseAuthorization(value)
	if err != nil {
		return refused("invalid signature")
	}
	if !c.signedBy(a.Public, a.Signature, ufile.Request{Header: header, Policy: a.Policy}) {
		return refused("invalid signature")
	}
	if a.Policy == "" {
		return nil
	}
	p, err := parsePolicy(a.Policy)
	if err == nil && p.CallbackURL != "" {
		c.s.o.Log.Warn("the callback of an upload policy is not made", "key", c.key)
	}
	return err
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
	signed := ufile.Request{Header: c.r.Header, Expires: expires}
	if !c.signedBy(c.query.Get(ufile.QueryPublicKey), c.query.Get(ufile.QuerySignature), signed) {
		return refused("invalid signature")
	}
	return nil
}

// signedBy fills in the request that was signed, and compares with the pair of the public key.
func (c *call) signedBy(public, signature string, signed ufile.Request) bool {
	signed.Method, signed.Bucket, signed.Key = c.r.Method, c.s.o.Bucket, c.key
	for _, k := range c.s.o.Keys {
		if k.Public == public {
			return k.Verify(signed, signature)
		}
	}
	return false
}

// readByAnyone says whether the object's ACL lets anyone read it.
func (c *call) readByAnyone() bool {
	if ufile.CheckKey(c.key) != nil {
		return false
	}
	f, o, err := c.s.disk.open(c.key)
	if err != nil {
		return false
	}
	f.Close()
	return o.ACL == aclPublic
}
