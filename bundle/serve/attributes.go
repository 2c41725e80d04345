package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/offbake/offbake/bundle/ufile"
)

// lookup reads what is known of the object.
func (c *call) lookup() (object, error) {
	f, o, err := c.s.disk.open(c.key)
	if errors.Is(err, fs.ErrNotExist) {
		return o, notFound()
	}
	if err != nil {
		return o, err
	}
	return o, f.Close()
}

// edit changes what is kept of an object beside its bytes. As both are one file, the bytes are copied.
func (c *call) edit(change func(*object)) error {
	const tries = 10
	for range tries {
		f, o, err := c.s.disk.open(c.key)
		if errors.Is(err, fs.ErrNotExist) {
			return notFound()
		}
		if err != nil {
			return err
		}
		change(&o)
		err = c.s.disk.commitCopy(f, o, still(f))
		f.Close()
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return &requestError{http.StatusConflict, "the object changes all the time"}
}

// edited edits, and answers 200 without a body.
func (c *call) edited(change func(*object)) error {
	if err := c.edit(change); err != nil {
		return err
	}
	c.sendJSON(nil)
	return nil
}

// restore answers as for an object that is not archived: here all are at hand.
func (c *call) restore() error {
	if _, err := c.lookup(); err != nil {
		return err
	}
	c.sendJSON(nil)
	return nil
}

// switchClass knows the storage classes, and keeps all in the same place.
func (c *call) switchClass() error {
	switch class := c.query.Get("storageClass"); class {
	case "STANDARD", "IA", "ARCHIVE":
		return c.restore()
	default:
		return badRequest("storageClass: got %.40q, want STANDARD, IA or ARCHIVE", class)
	}
}

// tag is a label of an object.
type tag struct{ Key, Value string }

// tagSet is the body of requests for tags.
type tagSet struct{ Tags []tag }

// Limits of tags (UCloud's guide to object tagging), in characters.
const (
	maxTags     = 10
	maxTagKey   = 128
	maxTagValue = 256
)

func (t tag) check() error {
	for _, field := range []struct {
		name, text string
		most       int
	}{{"key", t.Key, maxTagKey}, {"value", t.Value, maxTagValue}} {
		if n := utf8.RuneCountInString(field.text); n == 0 || n > field.most {
			return badRequest("tag %s: got %d characters, want 1 to %d", field.name, n, field.most)
		}
		if strings.ContainsFunc(field.text, func(r rune) bool { return r > 0x7e || !plain(byte(r)) && !strings.ContainsRune(" +=:/@", r) }) {
			return badRequest("tag %s: got %q, want letters, digits, spaces and + - = . _ : / @", field.name, field.text)
		}
	}
	return nil
}

func (c *call) putTags() error {
	var set tagSet
	if err := c.readJSON(&set); err != nil {
		return err
	}
	if len(set.Tags) > maxTags {
		return badRequest("tags: got %d, want at most %d", len(set.Tags), maxTags)
	}
	seen := map[string]bool{}
	for _, t := range set.Tags {
		if err := t.check(); err != nil {
			return err
		}
		if seen[t.Key] {
			return badRequest("tags: got %q twice", t.Key)
		}
		seen[t.Key] = true
	}
	return c.edited(func(o *object) { o.Tags = set.Tags })
}

func (c *call) getTags() error {
	o, err := c.lookup()
	if err != nil {
		return err
	}
	return c.reply(tagSet{append([]tag{}, o.Tags...)}) // a list in the answer, not null
}

func (c *call) deleteTags() error {
	if err := c.edit(func(o *object) { o.Tags = nil }); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// What an ACL can be: as the bucket, or readable by anyone.
const (
	aclDefault = "default"
	aclPublic  = "public-read"
)

func (c *call) putACL() error {
	switch acl := c.r.Header.Get(ufile.ObjectACL); acl {
	case aclDefault:
		return c.edited(func(o *object) { o.ACL = "" })
	case aclPublic:
		return c.edited(func(o *object) { o.ACL = acl })
	default:
		return badRequest("%s: got %.40q, want %s or %s", ufile.ObjectACL, acl, aclDefault, aclPublic)
	}
}

func (c *call) getACL() error {
	o, err := c.lookup()
	if err != nil {
		return err
	}
	if o.ACL == "" {
		o.ACL = aclDefault
	}
	type owner struct{ ID, DisplayName string }
	type list struct{ Grant string }
	return c.reply(struct {
		Owner             owner
		AccessControlList list
	}{owner{c.s.o.Bucket, c.s.o.Bucket}, list{o.ACL}})
}

// setType sets an object's content type: of what OpMeta could do, the service allows only that.
func (c *call) setType() error {
	var asked struct{ Op, MetaK, MetaV string }
	if err := c.readJSON(&asked); err != nil {
		return err
	}
	if asked.Op != "set" || asked.MetaK != "mimetype" {
		return badRequest("opmeta: got %.40q of %.40q, want \"set\" of \"mimetype\"", asked.Op, asked.MetaK)
	}
	if _, _, err := mime.ParseMediaType(asked.MetaV); err != nil || len(asked.MetaV) > 255 {
		return badRequest("opmeta: got the type %.100q", asked.MetaV)
	}
	return c.edited(func(o *object) { o.Type = asked.MetaV })
}

// maxJSON bounds a request's JSON, in bytes.
const maxJSON = 64 << 10

func (c *call) readJSON(v any) error {
	size, err := c.bodySize(maxJSON)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := copyExactly(&text, c.body, size); err != nil {
		return err
	}
	if err := json.Unmarshal(text.Bytes(), v); err != nil {
		return badRequest("body: not the JSON that is wanted here")
	}
	return nil
}
