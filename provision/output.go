package provision

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	tailLines = 10
	tailWidth = 300      // bytes of a line that an error shows
	lineMax   = 64 << 10 // bytes of a line that are kept at all
)

// output takes what the commands on one host print. Lines are told as they come and the last ones kept, both without
// the secrets.
type output struct {
	mu      sync.Mutex
	secrets *strings.Replacer
	tell    func(line string) // may be nil
	tail    []string
}

// newOutput hides secrets: each value as it is, and each line of those that have several.
func newOutput(secrets []string, tell func(string)) *output {
	var hide []string
	for _, s := range secrets {
		for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
			hide = append(hide, part)
		}
	}
	// At one place the replacer takes the first that matches: the longest has to come first.
	slices.SortFunc(hide, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, s := range hide {
		pairs = append(pairs, s, "[secret]")
	}
	return &output{secrets: strings.NewReplacer(pairs...), tell: tell}
}

// last returns the last lines and forgets them.
func (o *output) last() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tail
	o.tail = nil
	return t
}

func (o *output) line(b []byte) {
	text := strings.TrimRight(o.secrets.Replace(strings.ToValidUTF8(string(b), "�")), " \t")
	if text == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tell != nil {
		o.tell(text)
	}
	if len(o.tail) == tailLines {
		o.tail = o.tail[1:]
	}
	o.tail = append(o.tail, shorten(text, tailWidth))
}

// shorten cuts s to at most n bytes, between characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// stream is one of the writers of an output, which cuts it into lines. A secret that came in two writes is whole again
// in its line; of a line that is too long nothing is shown, for where it is cut a secret might be.
type stream struct {
	out  *output
	line []byte
	long bool
}

func (s *stream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			s.add(p)
			break
		}
		s.add(p[:i])
		s.flush()
		p = p[i+1:]
	}
	return n, nil
}

func (s *stream) add(p []byte) {
	if s.long || len(s.line)+len(p) > lineMax {
		s.long, s.line = true, nil
		return
	}
	s.line = append(s.line, p...)
}

// flush ends the line.
func (s *stream) flush() {
	if s.long {
		s.line = []byte("[a line of more than 64 KiB]")
	}
	s.out.line(s.line)
	s.line, s.long = s.line[:0], false
}
