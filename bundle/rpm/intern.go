package rpm

import (
	"hash/maphash"
	"strings"
)

// interner makes strings and versions of bytes, one for equal bytes that come again soon or often. It remembers only so
// many, each in the one place that its hash gives: a table of all would take more memory than it saves, since half of
// what large metadata names stands there once. Strings lie side by side in blocks, which live as long as one of them.
type interner struct {
	seed    maphash.Seed
	strings []string // by hash
	block   strings.Builder

	evrs     []*EVR // by hash
	last     *EVR   // dependencies of one version stand together
	key      []byte // of the version that is looked up
	evrBlock []EVR
}

const (
	minSlots     = 1 << 8
	maxSlots     = 1 << 16
	internBlock  = 32 << 10 // bytes
	internedEVRs = 256
)

// newInterner is one for a document of so many bytes, negative when nobody knows.
func newInterner(size int64) *interner {
	slots := int64(minSlots)
	for slots < maxSlots && (size < 0 || slots < size/64) {
		slots *= 2
	}
	return &interner{seed: maphash.MakeSeed(), strings: make([]string, slots), evrs: make([]*EVR, slots)}
}

// text is s as a string.
func (n *interner) text(s []byte) string {
	if len(s) == 0 {
		return ""
	}
	slot := &n.strings[maphash.Bytes(n.seed, s)%uint64(len(n.strings))]
	if *slot != string(s) {
		*slot = n.add(s)
	}
	return *slot
}

func (n *interner) add(s []byte) string {
	if len(s) > internBlock/8 { // rare, and would waste the rest of a block
		return string(s)
	}
	if n.block.Len()+len(s) > n.block.Cap() {
		n.block = strings.Builder{} // what was written stays where it is, in the strings made of it
		n.block.Grow(internBlock)
	}
	start := n.block.Len()
	n.block.Write(s)
	return n.block.String()[start:]
}

// evr is a version of its parts.
func (n *interner) evr(epoch, version, release []byte) *EVR {
	same := func(e *EVR) bool {
		return e != nil && e.Version == string(version) && e.Release == string(release) && e.Epoch == string(epoch)
	}
	if same(n.last) {
		return n.last
	}
	n.key = append(append(append(append(append(n.key[:0], epoch...), 0), version...), 0), release...)
	slot := &n.evrs[maphash.Bytes(n.seed, n.key)%uint64(len(n.evrs))]
	if !same(*slot) {
		if len(n.evrBlock) == 0 {
			n.evrBlock = make([]EVR, internedEVRs)
		}
		*slot, n.evrBlock = &n.evrBlock[0], n.evrBlock[1:]
		**slot = EVR{Epoch: n.text(epoch), Version: n.text(version), Release: n.text(release)}
	}
	n.last = *slot
	return n.last
}
