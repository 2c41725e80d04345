package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
)

// List reads all pages before it yields the first object: an escaped key sorts elsewhere than its path.
func (s *ufileStore) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return yieldAll(prefix, func() ([]Object, error) { return s.list(ctx, prefix) })
}

// list asks for pages until one is empty or says it is the last. The service is known to send a NextMarker that is not
// the page's last key: the larger of the two continues, and nothing is taken twice.
func (s *ufileStore) list(ctx context.Context, prefix string) ([]Object, error) {
	root := ""
	if s.prefix != "" {
		root = s.prefix + "/"
	}
	var all []Object
	marker, last := "", ""
	for {
		page, err := s.page(ctx, root+prefix, marker)
		if err != nil {
			return nil, err
		}
		for _, o := range page.objects {
			path, ours := strings.CutPrefix(ufile.UnescapeKey(o.Key), root)
			if !ours || o.Key <= last || strings.Contains(o.Key, "+") || !strings.HasPrefix(path, prefix) {
				continue // again, or an object that no key of ours names
			}
			last = o.Key
			o.Key = path
			all = append(all, o)
		}
		next := max(page.next, last)
		if len(page.objects) == 0 || !page.more || next <= marker {
			break
		}
		marker = next
	}
	slices.SortFunc(all, byKey)
	return all, nil
}

func byKey(a, b Object) int { return strings.Compare(a.Key, b.Key) }

type listPage struct {
	objects []Object // by key
	next    string
	more    bool
}

func (s *ufileStore) page(ctx context.Context, prefix, marker string) (listPage, error) {
	escaped, err := ufile.EscapeKey(prefix) // the beginning of a path that can be escaped can be
	if err != nil {
		return listPage{}, err
	}
	var list ufsdk.ListObjectsResponse
	err = s.try(ctx, nil, func(req *ufsdk.UFileRequest) (err error) {
		list, err = req.ListObjects(escaped, marker, "", ufile.MaxList)
		return err
	})
	if err != nil {
		return listPage{}, err
	}
	p := listPage{next: list.NextMarker, more: list.IsTruncated}
	for _, c := range list.Contents {
		size, err := strconv.ParseInt(c.Size, 10, 64)
		if err != nil || size < 0 {
			return listPage{}, fmt.Errorf("size of %.200q: got %.40q, want a number", c.Key, c.Size)
		}
		o := Object{Key: c.Key, Size: size, ETag: strings.Trim(c.Etag, `"`)}
		for name, value := range c.UserMeta { // with or without the header's prefix, in any case
			if len(name) >= 6 && strings.EqualFold(name[len(name)-6:], "sha256") {
				o.SHA256 = asSHA256(value)
			}
		}
		p.objects = append(p.objects, o)
	}
	slices.SortFunc(p.objects, byKey)
	return p, nil
}

// uploads lists the IDs of the unfinished uploads to one key. The SDK has no call for it.
func (s *ufileStore) uploads(ctx context.Context, key string) ([]string, error) {
	u := *s.base
	u.Path = "/"
	u.RawQuery = "muploadid&" + url.Values{"prefix": {key}, "marker": {""}, "limit": {strconv.Itoa(ufile.MaxList)}}.Encode()
	var list struct {
		DataSet []struct{ UploadID, FileName string }
	}
	err := s.retry(ctx, func() error {
		req, err := http.NewRequestWithContext(transport.Once(ctx), http.MethodGet, u.String(), nil)
		if err != nil {
			return err
		}
		s.sign(req, "")
		return s.getJSON(req, &list)
	})
	var ids []string
	for _, d := range list.DataSet {
		if d.FileName == key {
			ids = append(ids, d.UploadID)
		}
	}
	return ids, err
}

// getJSON sends a request of our own and decodes its answer.
func (s *ufileStore) getJSON(req *http.Request, v any) error {
	resp, err := transport.Do(s.sdk, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := checkAnswer(resp, 0); err != nil {
		return err
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
