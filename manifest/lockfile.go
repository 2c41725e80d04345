package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offbake/offbake/internal/atomicfile"
)

// maxLock bounds the text of a lock: about 100,000 rows.
const maxLock = 64 << 20

var (
	verified = matches(`^((hashicorp|provider|rpm)-pgp [0-9A-F]{16,64}|pinned|oci-digest|first-use)$`,
		"hashicorp-pgp, provider-pgp or rpm-pgp with a KEYID, pinned, oci-digest or first-use")
	rowKind = oneOf(KindHashiCorp, KindProvider, KindRPM, KindContainer, KindFile, KindEvidence)
)

// LoadLock reads the lock at path. One that is not there is fs.ErrNotExist; problems of its text are an Errors.
func LoadLock(path string) (*Lock, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading lock: %w", err)
	}
	return ParseLock(path, src)
}

// ParseLock reads the text of a lock as strictly as Parse reads a manifest. Rows come back sorted by path.
func ParseLock(file string, src []byte) (*Lock, error) {
	root, errs := grow(file, src, maxLock)
	if root == nil {
		return nil, errs
	}
	d := decoder{file: file, errs: errs}
	l := &Lock{}
	d.lock(root, l)
	if err := d.err(); err != nil {
		return nil, err
	}
	return l.normal(), nil
}

func (d *decoder) lock(root *node, l *Lock) {
	if d.object(root, []string{"schema", "name", "version", "platform", "created", "inputs"}, "variables", "rows") == nil {
		return
	}
	l.Schema = d.plain(root.lookup("schema"), oneOf(LockSchema))
	l.Name = d.plain(root.lookup("name"), slugName)
	l.Version = d.plain(root.lookup("version"), semantic)
	l.Platform = d.plain(root.lookup("platform"), platform)
	l.Inputs = d.plain(root.lookup("inputs"), digest)
	if s := d.plain(root.lookup("created"), wholeSecond); s != "" {
		l.Created, _ = time.Parse(time.RFC3339, s) // wholeSecond has parsed it
	}
	l.Variables = make(map[string]string)
	if n := root.lookup("variables"); d.is(n, kindMap) {
		for _, p := range n.pairs {
			if what := variableName(p.key); what != "" || Secret(p.key) {
				d.fail(p.value, cmp.Or(what, "a secret does not belong into a lock"))
			}
			l.Variables[p.key] = d.plain(p.value, anyText)
		}
	}
	items := d.list(root.lookup("rows"))
	for _, item := range items {
		l.Rows = append(l.Rows, d.row(item))
	}
	d.rows(items, l.Rows)
}

func (d *decoder) row(item *node) Row {
	n := d.object(item, []string{"path", "kind", "name", "size", "sha256", "mode"}, "url", "verified", "evidence")
	if n == nil {
		return Row{}
	}
	r := Row{
		Path:     d.plain(n.lookup("path"), rowPath),
		Kind:     d.plain(n.lookup("kind"), rowKind),
		Name:     d.plain(n.lookup("name"), oneLine),
		URL:      d.plain(n.lookup("url"), CheckURL),
		SHA256:   d.plain(n.lookup("sha256"), digest),
		Mode:     d.plain(n.lookup("mode"), fileMode),
		Verified: d.plain(n.lookup("verified"), verified),
	}
	if r.Kind != KindEvidence && (n.lookup("url") == nil || n.lookup("verified") == nil) {
		// Evidence may be a key that is built in, and is what others are verified with.
		d.fail(n, "want url and verified")
	}
	if v := n.lookup("size"); d.is(v, kindInt) {
		size, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil || size < 0 || strconv.FormatInt(size, 10) != v.text {
			d.fail(v, "want a number of bytes")
		}
		r.Size = size
	}
	for _, v := range d.list(n.lookup("evidence")) {
		r.Evidence = append(r.Evidence, d.plain(v, rowPath))
	}
	return r
}

// rows checks what one row cannot know: that paths differ, and that evidence is there.
func (d *decoder) rows(items []*node, rows []Row) {
	evidence := make(map[string]bool)
	for _, r := range rows {
		evidence[r.Path] = evidence[r.Path] || r.Kind == KindEvidence
	}
	d.folded = make(map[string]string)
	for i, r := range rows {
		if r.Path != "" {
			d.claim(items[i], r.Path)
		}
		for _, p := range r.Evidence {
			if p != "" && !evidence[p] {
				d.fail(items[i], "evidence names a path that is no row of kind evidence")
			}
		}
	}
}

// plain decodes text as it stands: a lock knows no references.
func (d *decoder) plain(n *node, c check) string {
	if !d.is(n, kindText) || !d.passes(n, n.text, c) {
		return ""
	}
	return n.text
}

// rowPath takes a path of a bundle that is not one of its own files at the top.
func rowPath(s string) string {
	if what := CheckPath(s); what != "" {
		return what
	}
	if !strings.Contains(s, "/") {
		return "want a path in a folder of the bundle"
	}
	return ""
}

// CheckURL takes a URL as a lock holds it. An image reference of a registry is written docker://. What it returns says what
// is wrong with s, "" for nothing.
func CheckURL(s string) string {
	return location("http", "https", "file", "docker")(s)
}

func wholeSecond(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UTC().Format(time.RFC3339) != s || t.Year() < 1970 {
		return "want a time like 2006-01-02T15:04:05Z"
	}
	return ""
}

// Marshal returns the text of the lock: the same bytes for the same value, whatever the order of its rows. It is checked
// by reading it back, so that no lock is written that could not be read; the problems then are an Errors.
func (l *Lock) Marshal() ([]byte, error) {
	c := l.normal()
	var w lockWriter
	w.field("", "schema", c.Schema)
	w.field("", "name", c.Name)
	w.field("", "version", c.Version)
	w.field("", "platform", c.Platform)
	w.field("", "created", c.Created.Format(time.RFC3339))
	w.field("", "inputs", c.Inputs)
	w.head("variables", len(c.Variables), "{}")
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		w.field("  ", name, c.Variables[name])
	}
	w.head("rows", len(c.Rows), "[]")
	for _, r := range c.Rows {
		w.row(r)
	}
	back, err := ParseLock("lock", w.text)
	if err != nil {
		return nil, fmt.Errorf("writing lock: %w", err)
	}
	if !maps.Equal(back.Variables, c.Variables) || !back.Diff(c).Empty() {
		return nil, errors.New("writing lock: got text that is not UTF-8, want UTF-8")
	}
	return w.text, nil
}

// normal returns a copy of the lock in the form that its text has.
func (l *Lock) normal() *Lock {
	c := *l
	c.Created = l.Created.UTC().Truncate(time.Second)
	c.Rows = slices.Clone(l.Rows)
	slices.SortFunc(c.Rows, func(a, b Row) int { return strings.Compare(a.Path, b.Path) })
	for i, r := range c.Rows {
		c.Rows[i].Evidence = slices.Compact(slices.Sorted(slices.Values(r.Evidence)))
	}
	return &c
}

// lockWriter writes the YAML of a lock. Every text is a JSON string, which YAML reads the same and in one way only.
type lockWriter struct{ text []byte }

func (w *lockWriter) field(indent, key, value string) {
	w.text = fmt.Appendf(w.text, "%s%s: %s\n", indent, key, quote(value))
}

func (w *lockWriter) head(key string, n int, empty string) {
	if n == 0 {
		w.text = fmt.Appendf(w.text, "%s: %s\n", key, empty)
		return
	}
	w.text = fmt.Appendf(w.text, "%s:\n", key)
}

func (w *lockWriter) row(r Row) {
	w.field("  - ", "path", r.Path)
	w.field("    ", "kind", r.Kind)
	w.field("    ", "name", r.Name)
	if r.URL != "" {
		w.field("    ", "url", r.URL)
	}
	w.text = fmt.Appendf(w.text, "    size: %d\n", r.Size)
	w.field("    ", "sha256", r.SHA256)
	w.field("    ", "mode", r.Mode)
	if r.Verified != "" {
		w.field("    ", "verified", r.Verified)
	}
	if len(r.Evidence) > 0 {
		w.text = append(w.text, "    evidence:\n"...)
	}
	for _, p := range r.Evidence {
		w.text = fmt.Appendf(w.text, "      - %s\n", quote(p))
	}
}

// quote writes a JSON string without the escapes that are for HTML only.
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Changes is how a lock differs from an older one, by path, each sorted.
type Changes struct {
	Added   []string
	Removed []string
	Changed []string
}

// Empty reports whether no row changed.
func (c Changes) Empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// Diff compares the rows of l with those of an older lock; nil stands for none.
func (l *Lock) Diff(old *Lock) Changes {
	before := make(map[string]Row)
	if old != nil {
		for _, r := range old.Rows {
			before[r.Path] = r
		}
	}
	var c Changes
	for _, r := range l.Rows {
		was, ok := before[r.Path]
		delete(before, r.Path)
		switch {
		case !ok:
			c.Added = append(c.Added, r.Path)
		case !was.equal(r):
			c.Changed = append(c.Changed, r.Path)
		}
	}
	c.Removed = slices.Sorted(maps.Keys(before))
	slices.Sort(c.Added)
	slices.Sort(c.Changed)
	return c
}

func (r Row) equal(o Row) bool {
	return r.Path == o.Path && r.Kind == o.Kind && r.Name == o.Name && r.URL == o.URL && r.Size == o.Size &&
		r.SHA256 == o.SHA256 && r.Mode == o.Mode && r.Verified == o.Verified && slices.Equal(r.Evidence, o.Evidence)
}

// Lines tells the changes to people, a line each: + added, - removed, ~ changed.
func (c Changes) Lines() []string {
	var out []string
	add := func(sign string, paths []string) {
		for _, p := range paths {
			out = append(out, sign+" "+p)
		}
	}
	add("+", c.Added)
	add("-", c.Removed)
	add("~", c.Changed)
	return out
}

// Write writes the lock to path, whole or not at all.
func (l *Lock) Write(path string) error {
	text, err := l.Marshal()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("writing lock: %w", err)
	}
	return nil
}
