package atomicfile_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/internal/atomicfile"
)

// childEnv names the target that a child process starts and never ends.
const childEnv = "ATOMICFILE_TEST_TARGET"

func TestMain(m *testing.M) {
	if target := os.Getenv(childEnv); target != "" {
		f, err := atomicfile.Create(target, 0o644)
		if err != nil {
			panic(err)
		}
		f.WriteString("half")
		os.Stdout.WriteString("written\n")
		bufio.NewReader(os.Stdin).ReadByte() // until killed
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	return got
}

func want(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, name := range names(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(data)
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
}

func create(t *testing.T, path string) *atomicfile.File {
	t.Helper()
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCommit(t *testing.T) {
	for name, before := range map[string]map[string]string{"new": {}, "replaced": {"f": "old"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			for n, data := range before {
				if err := os.WriteFile(filepath.Join(dir, n), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f := create(t, path)
			if _, err := f.WriteString("new"); err != nil {
				t.Fatal(err)
			}
			if data, _ := os.ReadFile(path); string(data) != before["f"] {
				t.Errorf("before Commit: got %q, want %q", data, before["f"])
			}
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			want(t, dir, map[string]string{"f": "new"})
			fi, err := os.Stat(path)
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("mode: got %v (%v), want 0600", fi.Mode(), err)
			}
			if err := f.Abort(); err != nil {
				t.Errorf("Abort after Commit: %v", err)
			}
			if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("second Commit: got %v, want os.ErrClosed", err)
			}
			want(t, dir, map[string]string{"f": "new"})
		})
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := create(t, filepath.Join(dir, "f"))
	f.WriteString("half")
	for range 2 {
		if err := f.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	want(t, dir, map[string]string{})
	if _, err := f.WriteString("more"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after Abort: got %v, want os.ErrClosed", err)
	}
}

func TestCommitFailures(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, f *atomicfile.File, path string){
		"closed by the caller": func(_ *testing.T, f *atomicfile.File, _ string) { f.Close() },
		"target became a folder": func(t *testing.T, _ *atomicfile.File, path string) {
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(path) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			f := create(t, path)
			f.WriteString("x")
			breakIt(t, f, path)
			if err := f.Commit(); err == nil {
				t.Error("Commit: got nil, want an error")
			}
			for _, n := range names(t, dir) {
				if n != "f" {
					t.Errorf("left behind: %s", n)
				}
			}
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := atomicfile.Create(dir, 0o644); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a folder: got %v, want is a directory", err)
	}
	if _, err := atomicfile.Create(filepath.Join(dir, "none", "f"), 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: got %v, want fs.ErrNotExist", err)
	}
	want(t, dir, map[string]string{})
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("n", 255)
	if err := atomicfile.WriteFile(filepath.Join(dir, long), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string]string{long: "data"})
}

func TestReplacesLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "real"), []byte("real"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, "link"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string]string{"real": "real", "link": "new"})
}

func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "written\n" {
		t.Fatalf("child: got %q, %v", line, err)
	}
	// While the child lives, its file is its own.
	if err := atomicfile.WriteFile(path, []byte("ours"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("with the child alive: got %q, want f and the child's temporary file", got)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if err := atomicfile.WriteFile(filepath.Join(dir, "other"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("after another target: got %q, want the leftover still there", got)
	}
	if err := atomicfile.WriteFile(path, []byte("again"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string]string{"f": "again", "other": ""})
}

func TestManyWritersOfOneTarget(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if err := atomicfile.WriteFile(path, []byte("whole"), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want(t, dir, map[string]string{"f": "whole"})
}
