// Package progress tells a person on stderr how work goes: live bars on a terminal, one line per finished item
// elsewhere, nothing when quiet. Text from outside (names, errors of servers) is printed with control characters quoted,
// so that no server can move the cursor. It writes no results; those are stdout's.
package progress

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
)

// Options say how a Reporter talks.
type Options struct {
	Quiet    bool // print nothing at all
	Terminal bool // draw bars with escape sequences; the writer is a terminal
}

// Reporter shows items and messages. A nil *Reporter is valid and silent. Its methods may be called concurrently.
type Reporter struct {
	mu   sync.Mutex
	w    io.Writer
	bars *bars // nil unless on a terminal

	expectedItems, expectedBytes atomic.Int64
	startedItems, startedBytes   atomic.Int64
	finished                     atomic.Int64
	current                      atomic.Int64 // bytes there, resumed ones included
	received                     atomic.Int64 // bytes that came in this run: what a rate is made of
}

// New returns a Reporter that writes to w. The caller closes it before it writes to w itself. With Quiet it is nil.
func New(w io.Writer, o Options) *Reporter {
	if o.Quiet {
		return nil
	}
	r := &Reporter{w: w}
	if o.Terminal {
		r.bars = newBars(r)
	}
	return r
}

// Expect announces work to come, so that the total is known before each item has started. Sizes are in bytes.
func (r *Reporter) Expect(items int, size int64) {
	if r == nil {
		return
	}
	r.expectedItems.Add(int64(items))
	r.expectedBytes.Add(max(size, 0))
}

// Line prints a message above the bars, with the prefix "offbake: ". It is one line whatever it holds.
func (r *Reporter) Line(format string, args ...any) {
	if r == nil {
		return
	}
	text := "offbake: " + Clean(fmt.Sprintf(format, args...)) + "\n"
	if r.bars != nil {
		r.bars.write(text)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	io.WriteString(r.w, text) // a closed stderr is no reason to stop the work
}

// Close takes the bars off the screen and flushes what was printed. Lines may still be printed afterwards.
func (r *Reporter) Close() {
	if r == nil || r.bars == nil {
		return
	}
	r.bars.close()
}

// total returns bytes there and bytes wanted, at least what has started.
func (r *Reporter) total() (current, size int64) {
	current = r.current.Load()
	return current, max(r.expectedBytes.Load(), r.startedBytes.Load(), current)
}

func (r *Reporter) items() (finished, all int64) {
	finished = r.finished.Load()
	return finished, max(r.expectedItems.Load(), r.startedItems.Load())
}

// Item is one piece of work, for example a download. A nil *Item is valid and silent.
type Item struct {
	r        *Reporter
	name     string
	size     int64 // bytes, -1 unknown
	current  atomic.Int64
	finished atomic.Bool
	shown    shown
}

// Start begins an item of size bytes, -1 if unknown. The caller ends it with Done, Fail or Drop.
func (r *Reporter) Start(name string, size int64) *Item {
	if r == nil {
		return nil
	}
	r.startedItems.Add(1)
	r.startedBytes.Add(max(size, 0))
	i := &Item{r: r, name: name, size: size}
	if r.bars != nil {
		// Most files are there sooner than anybody can read their names.
		i.shown.timer = time.AfterFunc(showAfter, func() { r.bars.show(i) })
	}
	return i
}

// Add counts n bytes that came in.
func (i *Item) Add(n int64) {
	if i == nil {
		return
	}
	i.current.Add(n)
	i.r.current.Add(n)
	i.r.received.Add(n)
}

// Resume says that n bytes were there before, from an earlier run or the cache. A negative n takes bytes back that have
// to be fetched again.
func (i *Item) Resume(n int64) {
	if i == nil {
		return
	}
	i.current.Add(n)
	i.r.current.Add(n)
}

// Done ends the item; result says how, for example "fetched". Only the first Done, Fail or Drop counts.
func (i *Item) Done(result string) {
	if i == nil || !i.end() {
		return
	}
	if i.r.bars == nil {
		i.r.Line("%s: %s, %s", i.name, result, humanize.IBytes(uint64(max(i.current.Load(), 0))))
	}
}

// Fail ends the item with a message, also on a terminal.
func (i *Item) Fail(err error) {
	if i == nil || !i.end() {
		return
	}
	i.r.Line("%s: %v", i.name, err)
}

// Drop ends the item without a word, for work that was called off.
func (i *Item) Drop() {
	if i != nil {
		i.end()
	}
}

func (i *Item) end() bool {
	if i.finished.Swap(true) {
		return false
	}
	i.r.finished.Add(1)
	if i.r.bars != nil {
		i.r.bars.hide(i)
	}
	return true
}
