package rpm

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// record is one file that repomd.xml names.
type record struct {
	kind     string // "primary", "filelists", ...
	href     string
	digest   Digest // as stored
	open     Digest // uncompressed; Type "" when not given
	size     int64  // bytes; negative when not given
	openSize int64
	problem  error // why it cannot be used; it counts when somebody wants to
}

// parseRepomd reads repomd.xml. Of several records of one kind the first counts, as in dnf; zchunk files are passed over,
// whether they have a kind of their own ("primary_zck", as from createrepo_c) or not, and so are SQLite ones ("primary_db").
func parseRepomd(r io.Reader) (map[string]record, error) {
	records := map[string]record{}
	var current *record
	var text strings.Builder
	digestType := ""
	err := walkXML(r, func(t *xmlToken) error {
		switch {
		case t.kind == startElement && string(t.name) == "data":
			current = &record{kind: string(t.attr("type")), size: -1, openSize: -1}
		case current == nil:
		case t.kind == startElement:
			text.Reset()
			digestType = string(t.attr("type"))
			if string(t.name) == "location" {
				current.href = string(t.attr("href"))
			}
		case t.kind == charData:
			text.Write(t.text)
		case string(t.name) == "data":
			if _, seen := records[current.kind]; !seen && path.Ext(current.href) != ".zck" {
				records[current.kind] = current.checked()
			}
			current = nil
		default:
			current.set(string(t.name), strings.TrimSpace(text.String()), digestType)
		}
		return nil
	})
	return records, err
}

func (r *record) set(element, text, digestType string) {
	var err error
	switch element {
	case "checksum":
		r.digest, err = parseDigest(digestType, text)
	case "open-checksum":
		r.open, err = parseDigest(digestType, text)
	case "size":
		r.size, err = parseSize(text)
	case "open-size":
		r.openSize, err = parseSize(text)
	}
	if r.problem == nil {
		r.problem = err
	}
}

// checked is r with what it lacks as its problem.
func (r *record) checked() record {
	if r.problem == nil {
		r.problem = checkHref(r.href)
	}
	if r.problem == nil && r.digest.Type == "" {
		r.problem = errors.New("no checksum")
	}
	return *r
}

// checkHref refuses what would lead out of the repository.
func checkHref(href string) error {
	if href == "" || href != path.Clean(href) || path.IsAbs(href) || strings.HasPrefix(href, "..") || strings.ContainsAny(href, ":\\?#") {
		return fmt.Errorf("got location %q, want a clean relative path", href)
	}
	return nil
}

func parseDigest(kind, text string) (Digest, error) {
	d := Digest{Type: kind, Hex: strings.ToLower(text)}
	sum, err := d.NewHash()
	if err != nil {
		return Digest{}, err
	}
	if len(d.Hex) != 2*sum.Size() || strings.Trim(d.Hex, "0123456789abcdef") != "" {
		return Digest{}, fmt.Errorf("got %s %q, want %d hexadecimal digits", kind, text, 2*sum.Size())
	}
	return d, nil
}

func parseSize(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("got size %q, want a whole number of bytes", text)
	}
	return int64(n), nil
}
