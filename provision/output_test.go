package provision

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func printed(secrets []string, writes ...string) (told, tail []string) {
	o := newOutput(secrets, func(line string) { told = append(told, line) })
	s := &stream{out: o}
	for _, w := range writes {
		if n, err := s.Write([]byte(w)); n != len(w) || err != nil {
			panic("short write")
		}
	}
	s.flush()
	return told, o.last()
}

func TestOutputHidesSecrets(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
		writes  []string
		want    []string
	}{
		{"in a line", []string{"hunter2"}, []string{"password is hunter2!\n"}, []string{"password is [secret]!"}},
		{"cut by a write at each byte", []string{"hunter2"}, strings.Split("a hunter2 b\n", ""), []string{"a [secret] b"}},
		{"without a line end", []string{"hunter2"}, []string{"hunt", "er2"}, []string{"[secret]"}},
		{"one that holds another", []string{"hunter", "hunter2"}, []string{"hunter2 hunter\n"}, []string{"[secret] [secret]"}},
		{"of several lines", []string{"top\nmiddle\nend"}, []string{"x middle y\nend\n"}, []string{"x [secret] y", "[secret]"}},
		{"empty ones hide nothing", []string{"", "\n"}, []string{"abc\n"}, []string{"abc"}},
		{"in a line too long to show", []string{"hunter2"}, []string{strings.Repeat("x", lineMax-3), "hunter2", "\nok\n"},
			[]string{"[a line of more than 64 KiB]", "ok"}},
		{"progress bars are lines", nil, []string{"10%\r20%\r\ndone\n"}, []string{"10%", "20%", "done"}},
		{"bytes that are no text", nil, []string{"a\xffb\n"}, []string{"a\ufffdb"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told, tail := printed(tt.secrets, tt.writes...)
			if diff := cmp.Diff(tt.want, told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, tail); diff != "" {
				t.Errorf("tail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutputKeepsTheLastLines(t *testing.T) {
	_, tail := printed(nil, strings.Repeat("early\n", 50), strings.Repeat("ä", 400)+"\n", "last\n")
	if len(tail) != tailLines || tail[len(tail)-1] != "last" {
		t.Fatalf("got %q, want %d lines up to the last", tail, tailLines)
	}
	if long := tail[len(tail)-2]; long != strings.Repeat("ä", tailWidth/2)+"…" {
		t.Errorf("got a line of %d bytes, want it cut at %d between characters", len(long), tailWidth)
	}
}

func FuzzOutputHidesSecrets(f *testing.F) {
	f.Add("hunter2", "the password is hunter2\r\n", 3)
	f.Add("aa", "aaaa", 1)
	f.Fuzz(func(t *testing.T, secret, text string, step int) {
		if secret == "" || strings.ContainsAny(secret, "\r\n") || strings.Contains("[secret]…\ufffd[a line of more than 64 KiB]", secret) ||
			strings.ToValidUTF8(secret, "") != secret || step <= 0 {
			return
		}
		var writes []string
		for len(text) > 0 {
			n := min(step, len(text))
			writes, text = append(writes, text[:n]), text[n:]
		}
		told, _ := printed([]string{secret}, writes...)
		for _, line := range told {
			// What stands on both sides of a replaced secret may make one with the replacement's own letters.
			for _, part := range strings.Split(line, "[secret]") {
				if strings.Contains(part, secret) {
					t.Errorf("told %q, which holds the secret %q", line, secret)
				}
			}
		}
	})
}
