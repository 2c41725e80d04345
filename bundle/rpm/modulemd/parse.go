package modulemd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxSize         = 64 << 20 // bytes of a file
	maxDocument     = 4 << 20  // bytes of one document
	maxDocuments    = 20_000
	maxBuilds       = 1_000 // documents of one module
	maxName         = 255   // bytes of a name, stream, context or architecture
	maxItems        = 50_000
	maxContext      = 13 // bytes of a static context (libmodulemd)
	maxRequirements = 1_000
	maxProfiles     = 1_000
)

// Parse reads the documents of a modules.yaml. A document that libmodulemd does not count is listed in Index.Skipped: one of
// an unknown kind or version, or that lacks what it must have, or has something in the wrong form. What is no YAML is an
// error, and so is what exceeds a limit: where libmodulemd gives up, no package can be told to be modular or not.
//
// Read are modulemd documents of version 1 and 2 and modulemd-defaults of version 1. Translations and obsoletes are passed
// over: dnf does not act on obsoletes unless module_obsoletes is set. Fields that do not bear on which packages are
// offered are not looked at.
func Parse(r io.Reader) (*Index, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading module metadata: %w", err)
	}
	if len(src) > maxSize {
		return nil, fmt.Errorf("reading module metadata: got more than %d bytes", maxSize)
	}
	b := builder{modules: make(map[string]*moduleDocs)}
	count := 0
	for doc := range split(bytes.TrimPrefix(src, []byte("\ufeff"))) {
		err := b.add(doc)
		if count++; err == nil && count > maxDocuments {
			err = fmt.Errorf("got more than %d documents", maxDocuments)
		}
		if err != nil {
			return nil, fmt.Errorf("reading module metadata: %w", err)
		}
	}
	return b.index(), nil
}

// builder gathers the documents of a file.
type builder struct {
	modules map[string]*moduleDocs
	skipped []Skipped
}

type moduleDocs struct {
	streams  []*Stream
	defaults *Defaults
}

// unusable is why a document does not count.
type unusable struct{ reason string }

func (u *unusable) Error() string { return u.reason }

func refuse(format string, args ...any) error { return &unusable{fmt.Sprintf(format, args...)} }

func (b *builder) add(doc document) error {
	if len(doc.text) > maxDocument {
		return fmt.Errorf("the document at line %d has more than %d bytes", doc.line, maxDocument)
	}
	root, err := doc.parse()
	if err != nil || root == nil {
		return err
	}
	var u *unusable
	if err := b.take(root); errors.As(err, &u) {
		b.skipped = append(b.skipped, Skipped{Line: doc.line, Reason: u.reason})
	} else if err != nil {
		return err
	}
	return nil
}

// take adds what a document says.
func (b *builder) take(root *node) error {
	if root.kind != kindMap {
		return refuse("got %s, want a document", root.kind)
	}
	data := root.lookup("data")
	kind, err := text(root, "document")
	if err != nil {
		return err
	}
	version, err := number(root, "version")
	if err != nil {
		return err
	}
	if data == nil || data.kind != kindMap {
		return refuse("the document has no data")
	}
	switch {
	case kind == "modulemd" && (version == 1 || version == 2):
		return b.takeStream(data, version)
	case kind == "modulemd-defaults" && version == 1:
		return b.takeDefaults(data)
	case kind == "modulemd-translations" || kind == "modulemd-obsoletes":
		return nil
	}
	return refuse("documents of kind %.40q version %d are not known", kind, version)
}

func (b *builder) module(name string) *moduleDocs {
	m := b.modules[name]
	if m == nil {
		m = &moduleDocs{}
		b.modules[name] = m
	}
	return m
}

func (b *builder) takeStream(data *node, version uint64) error {
	s, err := readStream(data, version)
	if err != nil {
		return err
	}
	m := b.module(s.Name)
	for _, other := range m.streams {
		if other.FullID() != s.FullID() {
			continue
		}
		if reflect.DeepEqual(other, s) {
			return nil
		}
		return refuse("%s is there already, with other content", s.FullID()) // the first counts
	}
	if len(m.streams) >= maxBuilds {
		return fmt.Errorf("module %q has more than %d documents", s.Name, maxBuilds)
	}
	m.streams = append(m.streams, s)
	return nil
}

func (b *builder) takeDefaults(data *node) error {
	d := Defaults{Profiles: make(map[string][]string)}
	var err error
	if d.Module, err = name(data, "module"); err != nil {
		return err
	}
	if d.Module == "" {
		return refuse("the defaults name no module")
	}
	if d.Stream, err = name(data, "stream"); err != nil {
		return err
	}
	if d.Modified, err = number(data, "modified"); err != nil {
		return err
	}
	if profiles := data.lookup("profiles"); profiles != nil {
		if profiles.kind != kindMap {
			return refuse("profiles: got %s, want %s", profiles.kind, kindMap)
		}
		for i, stream := range profiles.keys {
			if d.Profiles[stream], err = nameSet(profiles.items[i]); err != nil {
				return err
			}
		}
	}
	b.module(d.Module).defaults = &d // the last counts
	return nil
}

func (b *builder) index() *Index {
	idx := &Index{Skipped: b.skipped}
	for _, m := range b.modules {
		idx.Streams = append(idx.Streams, m.streams...)
		if m.defaults != nil {
			idx.Defaults = append(idx.Defaults, *m.defaults)
		}
	}
	// Stable: the streams of one module stay as they were read.
	slices.SortStableFunc(idx.Streams, func(a, b *Stream) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(idx.Defaults, func(a, b Defaults) int { return cmp.Compare(a.Module, b.Module) })
	return idx
}

// text is the scalar of a key, "" where it is not there.
func text(n *node, key string) (string, error) {
	v := n.lookup(key)
	if v == nil {
		return "", nil
	}
	if v.kind != kindScalar {
		return "", refuse("%s: got %s, want %s", key, v.kind, kindScalar)
	}
	return v.text, nil
}

// name is text that may stand in messages and be compared with other names.
func name(n *node, key string) (string, error) {
	s, err := text(n, key)
	if err == nil {
		err = checkName(s)
	}
	return s, err
}

func checkName(s string) error {
	if len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return refuse("got the name %.40q, want at most %d printable characters", s, maxName)
	}
	return nil
}

func number(n *node, key string) (uint64, error) {
	s, err := text(n, key)
	if err != nil || s == "" && n.lookup(key) == nil {
		return 0, err
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, refuse("%s: got %.40q, want a whole number", key, s)
	}
	return v, nil
}

func formatVersion(v uint64) string { return strconv.FormatUint(v, 10) }

// nameSet is a list of names, or one name: sorted, each once.
func nameSet(n *node) ([]string, error) {
	items := []*node{n}
	if n.kind == kindList {
		items = n.items
	}
	if len(items) > maxItems {
		return nil, refuse("got a list of %d, want at most %d", len(items), maxItems)
	}
	set := make([]string, 0, len(items))
	for _, item := range items {
		if item.kind != kindScalar {
			return nil, refuse("got %s in a list, want %s", item.kind, kindScalar)
		}
		if err := checkName(item.text); err != nil {
			return nil, err
		}
		set = append(set, item.text)
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}
