package progress_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/internal/progress"
)

func TestLines(t *testing.T) {
	var out bytes.Buffer
	r := progress.New(&out, progress.Options{})
	r.Expect(3, 5000)
	a := r.Start("a.zip", 2048)
	a.Add(1024)
	a.Add(1024)
	b := r.Start("b\x1b[2J\r\nname", -1)
	b.Resume(512)
	b.Add(512)
	r.Line("%d warnings about %s", 2, "x\ny")
	a.Done("fetched")
	a.Done("fetched")         // an item ends once
	a.Fail(errors.New("not")) // and in one way
	b.Done("resumed")
	c := r.Start("c", 100)
	c.Fail(errors.New("GET http://h/c: status 404\x07"))
	d := r.Start("d", 100)
	d.Drop()
	d.Done("not")
	r.Close()
	r.Line("afterwards")
	want := `offbake: 2 warnings about x\ny
offbake: a.zip: fetched, 2.0 KiB
offbake: b\x1b[2J\r\nname: resumed, 1.0 KiB
offbake: c: GET http://h/c: status 404\a
offbake: afterwards
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	for _, r := range []*progress.Reporter{nil, progress.New(&out, progress.Options{Quiet: true}), progress.New(&out, progress.Options{Quiet: true, Terminal: true})} {
		r.Expect(1, 1)
		r.Line("x")
		i := r.Start("a", 1)
		i.Add(1)
		i.Resume(1)
		i.Done("fetched")
		r.Start("b", 1).Fail(errors.New("x"))
		r.Start("c", 1).Drop()
		r.Close()
	}
	if out.Len() != 0 {
		t.Errorf("got %q, want nothing", &out)
	}
}

func TestWholeLinesFromMany(t *testing.T) {
	var out bytes.Buffer
	r := progress.New(&out, progress.Options{})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 50 {
				i := r.Start(fmt.Sprintf("item-%d-%d", n, k), 10)
				i.Add(10)
				i.Done("fetched")
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	form := regexp.MustCompile(`^offbake: item-\d-\d+: fetched, 10 B$`)
	for _, line := range lines {
		if !form.MatchString(line) {
			t.Errorf("got %q", line)
		}
	}
	if len(lines) != 400 {
		t.Errorf("got %d lines, want 400", len(lines))
	}
}

// syncBuffer is a writer that is read while others write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// until waits for what a drawing goroutine does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come: %s", what)
		}
	}
}

func TestTerminal(t *testing.T) {
	out := &syncBuffer{}
	r := progress.New(out, progress.Options{Terminal: true})
	r.Expect(3, 3<<20)
	long := strings.Repeat("long-", 20)
	i := r.Start(long+"\x1b[31mname_1.0.zip", 1<<20)
	j := r.Start("of unknown size", -1)
	i.Resume(256 << 10)
	i.Add(256 << 10)
	j.Add(5000)
	has := func(texts ...string) func() bool {
		return func() bool {
			for _, text := range texts {
				if !strings.Contains(out.String(), text) {
					return false
				}
			}
			return true
		}
	}
	until(t, "the bars", has("0/3", "3.0 MiB", "512 KiB/1.0 MiB", "of unknown size", "4.9 KiB", `\x1b[31mname_1.0.zip`))
	for range 20 { // so that there is a rate
		i.Add(10 << 10)
		time.Sleep(20 * time.Millisecond)
	}
	until(t, "a rate and the time left", has("/s", " left"))
	r.Line("a message\x1b[2J")
	i.Done("fetched")
	until(t, "the count", has("1/3"))
	j.Fail(errors.New("broken"))
	r.Close()
	r.Close()
	r.Line("at the end")
	all := out.String()
	for _, want := range []string{"offbake: a message\\x1b[2J\n", "offbake: of unknown size: broken\n", "offbake: at the end\n"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("got %d times %q, want it once", strings.Count(all, want), want)
		}
	}
	if strings.Contains(all, ": fetched") {
		t.Error("got a line for a finished item, want only its bar")
	}
	if strings.Contains(all, "\x1b[31m") || strings.Contains(all, "\x1b[2J") {
		t.Error("got escape sequences of the names and messages")
	}
	// After the last escape sequence nothing of the bars is left on the screen.
	tail := all[strings.LastIndex(all, "\x1b[J")+1:]
	if i := strings.LastIndex(all, "\x1b["); i >= 0 {
		tail = all[i:]
	}
	if strings.Contains(tail, "MiB") {
		t.Errorf("got %q after Close, want the bars gone", tail)
	}
	if strings.Contains(all, long) {
		t.Error("got the whole long name, want its end")
	}
}

func TestShortItemsGetNoBar(t *testing.T) {
	out := &syncBuffer{}
	r := progress.New(out, progress.Options{Terminal: true})
	for n := range 100 {
		i := r.Start(fmt.Sprintf("item-%d", n), 1)
		i.Add(1)
		i.Done("fetched")
	}
	until(t, "the count", func() bool { return strings.Contains(out.String(), "100/100") })
	r.Close()
	if strings.Contains(out.String(), "item-") {
		t.Errorf("got bars of items that took no time: %q", out.String())
	}
}

// TestPseudoTerminal draws on a real one, which has a width.
func TestPseudoTerminal(t *testing.T) {
	ptmx, tty := openPTY(t)
	out := &syncBuffer{}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := ptmx.Read(buf)
			out.Write(buf[:n])
			if err != nil {
				return
			}
		}
	})
	r := progress.New(tty, progress.Options{Terminal: true})
	i := r.Start("consul_1.6.1_linux_amd64.zip", 100)
	i.Add(50)
	until(t, "the bar", func() bool { return strings.Contains(out.String(), "50 B/100 B") })
	r.Line("message")
	i.Done("fetched")
	r.Close()
	tty.Close()
	reading.Wait()
	if !strings.Contains(out.String(), "offbake: message\r\n") {
		t.Errorf("got %q, want the message", out.String())
	}
}

func openPTY(t *testing.T) (ptmx, tty *os.File) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	n, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(ptmx.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return ptmx, tty
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ünïcode 文件":        "plain, ünïcode 文件",
		"tab\tand\nline\r":         `tab\tand\nline\r`,
		"\x1b]0;title\x07":         `\x1b]0;title\a`,
		"\u202egnp.exe":            `\u202egnp.exe`,
		"bad\xff\xfeutf8\x80":      `bad\xff\xfeutf8\x80`,
		"\u0085next\u2028line":     `\u0085next\u2028line`,
		"it's \"quoted\" \\ plain": "it's \"quoted\" \\ plain",
		"":                         "",
	} {
		if got := progress.Clean(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2Jb\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := progress.Clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q: got %q", s, got)
		}
		if again := progress.Clean(got); again != got {
			t.Errorf("%q: got %q, then %q", s, got, again)
		}
	})
}
