package progress

import (
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	showAfter  = 300 * time.Millisecond // an item that ends sooner gets no bar of its own
	nameWidth  = 40
	barWidth   = 24
	rateWindow = 5 * time.Second // over which the rate is smoothed
)

// bars draws a total bar and one bar for each item that runs. The bars read the counters when they are drawn; counting
// costs no message to a drawing goroutine.
type bars struct {
	r     *Reporter
	p     *mpb.Progress
	total *mpb.Bar

	mu     sync.Mutex // guards what follows and every Item.shown
	closed bool
	count  int // of the items shown so far: each stays below those before it
}

// shown is an item's place on the screen.
type shown struct {
	timer *time.Timer
	bar   *mpb.Bar
}

func newBars(r *Reporter) *bars {
	b := &bars{r: r, p: mpb.New(mpb.WithOutput(r.w), mpb.WithAutoRefresh())}
	meter := &meter{}
	b.total = b.add(math.MaxInt, r.total,
		decor.Any(func(decor.Statistics) string {
			finished, all := r.items()
			return fmt.Sprintf("%d/%d ", finished, all)
		}),
		decor.Any(func(decor.Statistics) string {
			current, size := r.total()
			return " " + bytesOf(current, size) + meter.text(r.received.Load(), size-current)
		}))
	return b
}

// add puts a bar on the screen that shows what count says at the moment of drawing.
func (b *bars) add(priority int, count func() (current, size int64), before, after decor.Decorator) *mpb.Bar {
	drawn := mpb.BarStyle().Build()
	filler := mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		s.Current, s.Total = count()
		return drawn.Fill(w, s)
	})
	bar, err := b.p.Add(0, filler, mpb.BarPriority(priority), mpb.BarWidth(barWidth),
		mpb.PrependDecorators(before), mpb.AppendDecorators(after))
	if err != nil {
		return nil // the container stopped because the terminal is gone; the work goes on
	}
	return bar
}

func (b *bars) show(i *Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || i.finished.Load() {
		return
	}
	count := func() (int64, int64) { return i.current.Load(), i.size }
	b.count++
	i.shown.bar = b.add(b.count, count,
		decor.Name(shorten(Clean(i.name)), decor.WCSyncSpaceR),
		decor.Any(func(decor.Statistics) string { return " " + bytesOf(count()) }))
}

func (b *bars) hide(i *Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i.shown.timer.Stop()
	if i.shown.bar != nil {
		i.shown.bar.Abort(true)
	}
}

func (b *bars) write(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		if _, err := io.WriteString(b.p, text); err == nil {
			return
		}
	}
	io.WriteString(b.r.w, text)
}

func (b *bars) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	if b.total != nil {
		b.total.Abort(true)
	}
	b.p.Shutdown()
}

// meter turns a growing count of bytes into a rate and the time left. It is used by one drawing goroutine.
type meter struct {
	last   time.Time
	count  int64
	rate   float64 // bytes per second, of the time seen so far
	weight float64 // of that time in the window, from 0 to 1
}

func (m *meter) text(count, left int64) string {
	now := time.Now()
	if m.last.IsZero() {
		m.last, m.count = now, count
		return ""
	}
	if dt := now.Sub(m.last).Seconds(); dt > 0 {
		weight := 1 - math.Exp(-dt/rateWindow.Seconds())
		m.rate += weight * (float64(count-m.count)/dt - m.rate)
		m.weight += weight * (1 - m.weight)
		m.last, m.count = now, count
	}
	if m.rate < 1 {
		return ""
	}
	rate := m.rate / m.weight // at the start most of the window has not been seen
	text := "  " + humanize.IBytes(uint64(rate)) + "/s"
	if left <= 0 {
		return text
	}
	eta := time.Duration(float64(left) / rate * float64(time.Second))
	return text + "  " + eta.Round(time.Second).String() + " left"
}

func bytesOf(current, size int64) string {
	if size < 0 {
		return humanize.IBytes(uint64(max(current, 0)))
	}
	return humanize.IBytes(uint64(max(current, 0))) + "/" + humanize.IBytes(uint64(size))
}

// shorten keeps the end of a name: versions and platforms stand there.
func shorten(name string) string {
	r := []rune(name)
	if len(r) <= nameWidth {
		return name
	}
	return "…" + string(r[len(r)-nameWidth+1:])
}
