package seal

import (
	"net/netip"
	"slices"
	"sync"
)

// Record is what processes in the network of a link tried to reach. Its methods may be called from several goroutines.
type Record struct {
	witness *witness

	mu    sync.Mutex
	tried attempts
}

// NewRecord begins to record. What answers somebody who asked from outside is no attempt. The caller owes a Close.
func NewRecord(l *Link) (*Record, error) { return newRecord(l, netip.AddrPort{}) }

// newRecord passes over what replies says, as view does.
func newRecord(l *Link, replies netip.AddrPort) (*Record, error) {
	w, err := openWitness(l.ns, view{index: l.index, replies: replies})
	if err != nil {
		return nil, err
	}
	r := &Record{witness: w}
	go w.each(r.note)
	return r, nil
}

func (r *Record) note(a Attempt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried.add(a)
	return true
}

// Reset forgets what was tried before.
func (r *Record) Reset() {
	r.witness.drain() //nolint:errcheck // what was tried before does not count
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried = attempts{}
}

// Attempts lists, without repetition and in order of first sight, all that left before the call. Of more than 1000
// different tries the rest is left out, and so is what came faster than it could be read.
func (r *Record) Attempts() []Attempt {
	left, _ := r.witness.drain() // lost packets, or a closed record: the list is for people to read, no verdict
	for _, a := range left {
		r.note(a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tried.list)
}

// Close ends the record; what it holds can still be read.
func (r *Record) Close() { r.witness.close() }
