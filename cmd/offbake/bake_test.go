package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/provision/imagetest"
)

// TestBake bakes in real guests: a root file system with systemd, dnf and rpm, as .ci/rootfs makes it.
func TestBake(t *testing.T) {
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	rootfs := exec.Command("../../.ci/rootfs")
	rootfs.Stderr = &stderr
	base, err := rootfs.Output()
	if err != nil {
		t.Fatalf("making the root file system: %v: %s", err, &stderr)
	}
	// What bakes, and what hosts get, is the program as users have it: static, and without race detection, which makes SSH
	// ten times as slow and is what the tests of the packages run under.
	agent := filepath.Join(t.TempDir(), "offbake")
	build := exec.Command("go", "build", "-trimpath", "-o", agent, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v: %s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/bake",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "image": image, "nothing-left": nothingLeft,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOTFS", strings.TrimSpace(string(base)))
			env.Setenv("AGENT", agent)
			env.Setenv("PATH", filepath.Dir(agent)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return w.setup(env)
		},
	})
}

// image holds a finished image to the golden of what its users rely on.
func image(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: image NAME ROOTFS BUNDLE")
	}
	root, err := os.MkdirTemp(ts.Getenv("WORK"), "image-")
	ts.Check(err)
	ts.Check(ts.Exec("tar", "-xpf", ts.MkAbs(args[1]), "-C", root))
	b, err := bundle.Open(ts.MkAbs(args[2]))
	ts.Check(err)
	defer b.Close()
	_, err = b.Trust(nil, true)
	ts.Check(err)
	diffs, err := imagetest.Compare(root, args[0], imagetest.Want{
		Variables: b.Index().Variables,
		Bundle:    func(path string) ([]byte, error) { return b.ReadFile(path, 1<<30) },
	})
	ts.Check(err)
	if len(diffs) > 0 {
		ts.Fatalf("image %s:\n%s", args[0], strings.Join(diffs, "\n"))
	}
	ts.Check(os.RemoveAll(filepath.Clean(root)))
}

// nothingLeft fails when a guest, a mount or an overlay of this script's bakes is still there.
func nothingLeft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: nothing-left")
	}
	work := ts.Getenv("WORK")
	mounts, err := os.ReadFile("/proc/self/mounts")
	ts.Check(err)
	if strings.Contains(string(mounts), work) {
		ts.Fatalf("a mount is left below %s:\n%s", work, mounts)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, p := range processes {
		line, err := os.ReadFile(p)
		if err == nil && bytes.Contains(line, []byte("systemd-nspawn")) && bytes.Contains(line, []byte(work)) {
			ts.Fatalf("a guest is left: %s", bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
	left, err := filepath.Glob(filepath.Join(ts.Getenv("OFFBAKE_CACHE"), "state", "journal*", "offbake-*"))
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("the journal still names hosts: %s", left)
	}
}
