package imagetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLineTells gives each kind of line a tree that meets it and trees that do not.
func TestLineTells(t *testing.T) {
	root := t.TempDir()
	c := checker{root: root, want: Want{Bundle: func(path string) ([]byte, error) { return []byte("of " + path), nil }}}
	me := fmt.Sprint(os.Getuid())
	c.users = map[string][]string{"me": {me, "0", "", "/home/me", "/bin/false"}, "other": {"4242", "4242"}}
	c.groups = map[string][]string{"me": {fmt.Sprint(os.Getgid())}, "other": {"4242"}, "root": {"0"}}
	for path, content := range map[string]string{"same": "of files/x", "lines": "one\ntwo\ntwo\n", "empty": "", "dir/a": "x"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("same", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ line, want string }{
		{"/same file 0640 me:me same files/x", ""},
		{"/same file 0640 me:me same files/y", "other bytes"},
		{"/same file 0644 me:me any", "got mode 0640, want 0644"},
		{"/same file - me:me any", ""},
		{"/same file 0640 other:me any", "uid"},
		{"/same file 0640 me:other any", "gid"},
		{"/same file 0640 nobody:me any", "uid"},
		{"/same dir 0640 me:me", "want dir"},
		{"/same link", "want a symbolic link"},
		{"/same file 0640 me:me", "want file"},
		{"/none file 0640 me:me any", "missing"},
		{"/link file 0640 me:me any", "want file"},
		{"/link link", ""},
		{"/lines file 0640 me:me line one", ""},
		{"/lines file 0640 me:me line two", `got 2 lines "two", want 1`},
		{"/lines file 0640 me:me line on", "got 0 lines"},
		{"/lines file 0640 me:me empty", "other bytes"},
		{"/lines file 0640 me:me text consul.service", "other bytes"},
		{"/lines file 0640 me:me text none", "none"},
		{"/lines file 0640 me:me like this", "asks for like"},
		{"/empty file 0640 me:me empty", ""},
		{"/dir dir 0755 me:me", ""},
		{"/dir file 0755 me:me any", "want file"},
		{"/dir/* absent", "/dir/a is there"},
		{"/dir/b* absent", ""},
		{"/link absent-file", ""},
		{"/same absent-file", "/same is there"},
		{"me user /home/me /bin/false root", ""},
		{"me user /home/me /bin/sh root", "want home"},
		{"me user /home/me /bin/false me2", "want home"},
		{"you user /home/me /bin/false root", "no such user"},
		{"/same", "too short"},
	} {
		got := c.line(strings.SplitN(tt.line, " ", 6))
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q in it", tt.line, got, tt.want)
		}
	}
}

func TestEveryGoldenCanBeRead(t *testing.T) {
	for _, image := range []string{"consul-server", "nomad-server", "nomad-client"} {
		lines, err := load("testdata/images/" + image + ".golden")
		if err != nil || len(lines) < 20 {
			t.Errorf("%s: got %d lines, %v", image, len(lines), err)
		}
	}
	if _, err := load("testdata/images/none.golden"); err == nil {
		t.Error("a golden that does not exist was read")
	}
	if _, err := Compare(t.TempDir(), "consul-server", Want{}); err == nil {
		t.Error("a tree without accounts was compared")
	}
}
