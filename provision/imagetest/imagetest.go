// Package imagetest tells whether the tree of a finished image is what its users rely on: for tests.
//
// testdata/images/IMAGE.golden lists, path by path, what the three images hold; it is written by hand from what users
// of the published images find there, never made from the recipes. A line is one of
//
//	include NAME                                 the lines of NAME.part
//	PATH dir MODE OWNER:GROUP
//	PATH file MODE OWNER:GROUP same BUNDLE-PATH  the bytes of a file of the bundle
//	PATH file MODE OWNER:GROUP text NAME         the bytes of testdata/images/text/NAME
//	PATH file MODE OWNER:GROUP line TEXT         TEXT is exactly one of its lines
//	PATH file MODE OWNER:GROUP empty
//	PATH file MODE OWNER:GROUP any
//	PATH link                                    a symbolic link
//	PATH absent                                  PATH may hold * as in path.Match
//	PATH absent-file                             not a regular file
//	NAME user HOME SHELL GROUP                   an account that cannot log in
//
// MODE "-" is not looked at. ${variable} stands for the variable's value.
package imagetest

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

//go:embed testdata/images
var images embed.FS

// Want is what goldens are filled in with.
type Want struct {
	Variables map[string]string
	// Bundle returns the bytes of a file of the bundle.
	Bundle func(path string) ([]byte, error)
}

// Check fails the test for each line of the image's golden that the tree at root does not meet.
func Check(t testing.TB, root, image string, want Want) {
	t.Helper()
	diffs, err := Compare(root, image, want)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diffs {
		t.Errorf("image %s: %s", image, d)
	}
}

// Compare returns what is different in the tree at root, one text for each line of the golden that it does not meet.
func Compare(root, image string, want Want) ([]string, error) {
	lines, err := load("testdata/images/" + image + ".golden")
	if err != nil {
		return nil, err
	}
	c := checker{root: root, want: want}
	if c.users, err = accounts(filepath.Join(root, "etc/passwd")); err != nil {
		return nil, err
	}
	if c.groups, err = accounts(filepath.Join(root, "etc/group")); err != nil {
		return nil, err
	}
	var diffs []string
	for _, line := range lines {
		fields := strings.SplitN(os.Expand(line, func(name string) string { return want.Variables[name] }), " ", 6)
		if d := c.line(fields); d != "" {
			diffs = append(diffs, fields[0]+": "+d)
		}
	}
	return diffs, nil
}

func load(name string) ([]string, error) {
	data, err := images.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if part, ok := strings.CutPrefix(line, "include "); ok {
			lines, err := load("testdata/images/" + part + ".part")
			if err != nil {
				return nil, err
			}
			out = append(out, lines...)
		} else if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out, nil
}

// accounts reads passwd or group: the fields after the password, by name.
func accounts(path string) (map[string][]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 {
			out[f[0]] = f[2:]
		}
	}
	return out, nil
}

type checker struct {
	root          string
	want          Want
	users, groups map[string][]string
}

// line returns what is different, "" for nothing.
func (c *checker) line(f []string) string {
	if len(f) < 2 {
		return "the golden's line is too short"
	}
	path := filepath.Join(c.root, f[0])
	switch {
	case f[1] == "absent":
		return absent(c.root, path, func(fs.FileInfo) bool { return true })
	case f[1] == "absent-file":
		return absent(c.root, path, func(i fs.FileInfo) bool { return i.Mode().IsRegular() })
	case f[1] == "user" && len(f) == 5:
		return c.user(f[0], f[2], f[3], f[4])
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "missing"
	}
	switch {
	case f[1] == "link" && len(f) == 2:
		if info.Mode().Type() != fs.ModeSymlink {
			return fmt.Sprintf("got %v, want a symbolic link", info.Mode())
		}
		return ""
	case f[1] == "dir" && len(f) == 4 && info.IsDir(), f[1] == "file" && len(f) >= 5 && info.Mode().IsRegular():
		if d := c.owned(info, f[2], f[3]); d != "" || f[1] == "dir" {
			return d
		}
		return c.content(path, f[4], strings.Join(f[5:], " "))
	}
	return fmt.Sprintf("got %v, want %s", info.Mode(), strings.Join(f[1:], " "))
}

func absent(root, pattern string, counts func(fs.FileInfo) bool) string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return err.Error()
	}
	for _, path := range found {
		if info, err := os.Lstat(path); err != nil || counts(info) {
			return strings.TrimPrefix(path, root) + " is there"
		}
	}
	return ""
}

func (c *checker) owned(info fs.FileInfo, mode, owner string) string {
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); mode != "-" && got != mode {
		return fmt.Sprintf("got mode %s, want %s", got, mode)
	}
	if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		return fmt.Sprintf("got mode %v, want none of the special bits", info.Mode())
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "no owner known"
	}
	user, group, _ := strings.Cut(owner, ":")
	if got, want := fmt.Sprint(stat.Uid), first(c.users[user]); got != want {
		return fmt.Sprintf("got uid %s, want %q of %s", got, want, user)
	}
	if got, want := fmt.Sprint(stat.Gid), first(c.groups[group]); got != want {
		return fmt.Sprintf("got gid %s, want %q of %s", got, want, group)
	}
	return ""
}

func first(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

func (c *checker) content(path, how, what string) string {
	got, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var want []byte
	switch how {
	case "any":
		return ""
	case "empty":
	case "line":
		n := 0
		for line := range strings.Lines(string(got)) {
			if strings.TrimSuffix(line, "\n") == what {
				n++
			}
		}
		if n != 1 {
			return fmt.Sprintf("got %d lines %q, want 1", n, what)
		}
		return ""
	case "text":
		want, err = images.ReadFile("testdata/images/text/" + what)
	case "same":
		want, err = c.want.Bundle(what)
	default:
		return "the golden asks for " + how
	}
	if err != nil {
		return err.Error()
	}
	if !bytes.Equal(got, want) {
		return fmt.Sprintf("got other bytes than %s:\n%.2000q\nwant\n%.2000q", what, got, want)
	}
	return ""
}

// user checks an account: passwd(5) has uid, gid, comment, home and shell after the password.
func (c *checker) user(name, home, shell, group string) string {
	f := c.users[name]
	if len(f) != 5 {
		return "no such user"
	}
	if f[3] != home || f[4] != shell || f[1] != first(c.groups[group]) {
		return fmt.Sprintf("got %q, want home %s, shell %s, group %s", f, home, shell, group)
	}
	return ""
}
