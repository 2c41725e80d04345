package serve

import (
	"container/heap"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// limit reads the wanted length of a page.
func (c *call) limit(name string, standard int) (int, error) {
	text := c.query.Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badRequest("%s: got %.20q, want 1 to %d", name, text, ufile.MaxList)
	}
	return min(n, ufile.MaxList), nil
}

// entry is one line of a listing: an object, or all those whose keys begin with a common prefix.
type entry struct {
	object
	prefix string // not "" for a common prefix
}

// page is one page of a listing: the first limit entries after marker, bytewise.
type page struct {
	entries []entry
	next    string // the marker of the next page; "" at the end
}

// page reads names only, and the trailers of the objects it returns.
func (s *Objects) page(prefix, marker, delimiter string, limit int) (page, error) {
	first := &smallest{most: limit + 1, has: map[string]bool{}}
	err := s.disk.keys(func(key string) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			return
		}
		name := key
		if delimiter != "" {
			if i := strings.Index(rest, delimiter); i >= 0 {
				name = prefix + rest[:i+len(delimiter)]
			}
		}
		if name > marker {
			first.add(name, name != key)
		}
	})
	if err != nil {
		return page{}, err
	}
	slices.Sort(first.names)
	var p page
	if len(first.names) > limit {
		first.names = first.names[:limit]
		p.next = first.names[limit-1]
	}
	for _, name := range first.names {
		e := entry{prefix: name}
		if !first.has[name] {
			f, o, err := s.disk.open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				return page{}, err
			}
			f.Close()
			e = entry{object: o}
		}
		p.entries = append(p.entries, e)
	}
	return p, nil
}

// smallest keeps the smallest names that it is given, each once: a heap with the largest on top.
type smallest struct {
	names []string
	most  int
	has   map[string]bool // by name: whether it is a common prefix
}

func (s *smallest) add(name string, isPrefix bool) {
	if _, ok := s.has[name]; ok || len(s.names) == s.most && name > s.names[0] {
		return
	}
	s.has[name] = isPrefix
	heap.Push(s, name)
	if len(s.names) > s.most {
		delete(s.has, heap.Pop(s).(string))
	}
}

func (s *smallest) Len() int           { return len(s.names) }
func (s *smallest) Less(i, j int) bool { return s.names[i] > s.names[j] }
func (s *smallest) Swap(i, j int)      { s.names[i], s.names[j] = s.names[j], s.names[i] }
func (s *smallest) Push(x any)         { s.names = append(s.names, x.(string)) }
func (s *smallest) Pop() any {
	last := s.names[len(s.names)-1]
	s.names = s.names[:len(s.names)-1]
	return last
}

// list answers the older listing, without folders.
func (c *call) list() error {
	limit, err := c.limit("limit", 20)
	if err != nil {
		return err
	}
	p, err := c.s.page(c.query.Get("prefix"), c.query.Get("marker"), "", limit)
	if err != nil {
		return err
	}
	type file struct {
		BucketName             string
		FileName, ObjectName   string // SDKs read the first, the documentation has the second
		Hash, MimeType         string
		Size                   int64
		CreateTime, ModifyTime int64
		StorageClass           string
	}
	set := []file{}
	for _, e := range p.entries {
		set = append(set, file{c.s.o.Bucket, e.Key, e.Key, e.ETag, e.Type, e.Size, e.Modified, e.Modified, "STANDARD"})
	}
	return c.reply(struct {
		BucketName string
		BucketID   string `json:"BucketId"`
		NextMarker string
		DataSet    []file
	}{c.s.o.Bucket, c.s.o.Bucket, p.next, set})
}

// listObjects answers the newer listing; its numbers are text where the service has text.
func (c *call) listObjects() error {
	limit, err := c.limit("max-keys", 100)
	if err != nil {
		return err
	}
	delimiter := c.query.Get("delimiter")
	if delimiter != "" && delimiter != "/" {
		return badRequest("delimiter: got %.20q, want \"/\" or none", delimiter)
	}
	p, err := c.s.page(c.query.Get("prefix"), c.query.Get("marker"), delimiter, limit)
	if err != nil {
		return err
	}
	type content struct {
		Key, MimeType, ETag, Size, StorageClass string
		LastModified, CreateTime                int64
		UserMeta                                map[string]string
	}
	type common struct{ Prefix string }
	contents, prefixes := []content{}, []common{}
	for _, e := range p.entries {
		if e.prefix != "" {
			prefixes = append(prefixes, common{e.prefix})
			continue
		}
		if e.Meta == nil {
			e.Meta = map[string]string{} // an object in the answer, not null
		}
		contents = append(contents, content{e.Key, e.Type, e.ETag, itoa(e.Size), "STANDARD", e.Modified, e.Modified, e.Meta})
	}
	return c.reply(struct {
		Name, Prefix, MaxKeys, Delimiter string
		IsTruncated                      bool
		NextMarker                       string
		Contents                         []content
		CommonPrefixes                   []common
	}{c.s.o.Bucket, c.query.Get("prefix"), strconv.Itoa(limit), delimiter, p.next != "", p.next, contents, prefixes})
}

// listParts answers with the parts from part-number-marker on. The service's documentation has those after it, and its
// SDK starts with 0: here part 0 is never left out, and a client that sends NextPartNumberMarker back misses none.
func (c *call) listParts() error {
	limit, err := c.limit("max-parts", 100)
	if err != nil {
		return err
	}
	marker, err := strconv.ParseUint(c.query.Get("part-number-marker"), 10, 32)
	if err != nil && c.query.Get("part-number-marker") != "" {
		return badRequest("part-number-marker: got %.20q", c.query.Get("part-number-marker"))
	}
	u, err := c.upload()
	if err != nil {
		return err
	}
	type line struct {
		PartNum      int
		Etag         string
		Size         int64
		LastModified int64
	}
	parts, more := []line{}, false
	next := int(marker)
	u.mu.RLock()
	err = u.eachPart(int(marker), func(p part) bool {
		more = len(parts) == limit
		if !more {
			parts = append(parts, line{p.Num, p.ETag, p.Size, p.Modified})
			next = p.Num + 1
		}
		return !more
	})
	u.mu.RUnlock()
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoUpload // ended meanwhile
	}
	if err != nil {
		return err
	}
	return c.reply(struct {
		UploadID             string `json:"UploadId"`
		Bucket, Key          string
		Parts                []line
		MaxParts             int
		IsTruncated          bool
		NextPartNumberMarker int
	}{u.about.ID, c.s.o.Bucket, u.about.Key, parts, limit, more, next})
}

// listUploads answers with the unfinished uploads, by key. All of one key are on one page, so that the key is a marker.
func (c *call) listUploads() error {
	limit, err := c.limit("limit", 20)
	if err != nil {
		return err
	}
	all, err := c.s.unfinished(c.query.Get("prefix"), c.query.Get("marker"))
	if err != nil {
		return err
	}
	type line struct {
		UploadID  string `json:"UploadId"`
		FileName  string
		StartTime int64
	}
	set, next := []line{}, ""
	for i, a := range all {
		if len(set) >= limit && a.Key != all[i-1].Key {
			next = all[i-1].Key
			break
		}
		set = append(set, line{a.ID, a.Key, a.Started})
	}
	return c.reply(struct {
		BucketName string
		NextMarker string
		DataSet    []line
	}{c.s.o.Bucket, next, set})
}

// unfinished describes the uploads to keys with the prefix and after the marker, sorted by key.
func (s *Objects) unfinished(prefix, marker string) ([]uploadAbout, error) {
	ids, err := s.disk.uploadIDs()
	if err != nil {
		return nil, err
	}
	var all []uploadAbout
	for _, id := range ids {
		u, err := s.disk.loadUpload(id)
		if errors.Is(err, errNoUpload) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(u.about.Key, prefix) && u.about.Key > marker {
			all = append(all, u.about)
		}
	}
	slices.SortFunc(all, func(a, b uploadAbout) int {
		return strings.Compare(a.Key+"\x00"+a.ID, b.Key+"\x00"+b.ID)
	})
	return all, nil
}
