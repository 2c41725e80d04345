package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSandboxVerb starts the program itself: it tells how to reach it in one line, answers until a signal, and leaves
// nothing.
func TestSandboxVerb(t *testing.T) {
	tmp, base := t.TempDir(), t.TempDir()
	cmd := exec.Command(os.Args[0], "sandbox", "--base", base)
	cmd.Args[0], cmd.Env = "offbake", append(os.Environ(), "TMPDIR="+tmp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // where the test failed
	var ready map[string]any
	if err := json.NewDecoder(stdout).Decode(&ready); err != nil {
		t.Fatalf("reading what it prints: %v", err)
	}
	want := []string{"api", "bucket", "endpoint", "images", "private_key", "project", "public_key", "region", "vpc", "subnet", "zone"}
	for _, name := range want {
		if ready[name] == nil || ready[name] == "" {
			t.Errorf("ready: got no %s in %v", name, ready)
		}
	}
	if len(ready) != len(want) {
		t.Errorf("ready: got %d fields, want %d: %v", len(ready), len(want), ready)
	}
	resp, err := http.Get(ready["api"].(string) + "?Action=GetRegion")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ RetCode int }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	resp.Body.Close()
	if err != nil || answer.RetCode != 170 {
		t.Errorf("a request without a signature: got %d, %v, want RetCode 170", answer.RetCode, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stdout)
	if err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after the one line: got %q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: got %v, want exit code 0: %s", err, &stderr)
	}
	if !strings.Contains(stderr.String(), "GetRegion") || strings.Contains(stderr.String(), ready["private_key"].(string)) {
		t.Errorf("log: got %q, want a line for the call and no key", &stderr)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if diff := cmp.Diff([]string(nil), left); diff != "" || err != nil {
		t.Errorf("left in the temporary folder: %v%s", err, diff)
	}
}

func TestSandboxUsage(t *testing.T) {
	base := t.TempDir()
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "needs --base"},
		{[]string{"--base", base, "more"}, 2, "unknown command"},
		{[]string{"--base", base, "--fault", "NoSuchAction=503"}, 2, "no action"},
		{[]string{"--base", base, "--fault", "GetRegion=no-such-kind"}, 2, "want one of"},
		{[]string{"--base", base, "--listen", "0.0.0.0:0"}, 1, "want an IPv4 loopback address"},
		{[]string{"--base", filepath.Join(base, "none")}, 1, "no such file"},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"sandbox", "--dir", filepath.Join(base, "dir")}, tc.args...),
			console{in: strings.NewReader(""), out: &out, err: &errs, getenv: func(string) string { return "" }})
		if code != tc.code || !strings.Contains(errs.String(), tc.says) || out.Len() != 0 {
			t.Errorf("%q: got %d, %q, %q, want %d, %q", tc.args, code, &out, &errs, tc.code, tc.says)
		}
	}
}

// TestSandboxNeedsRoot runs the program as nobody.
func TestSandboxNeedsRoot(t *testing.T) {
	folder, err := os.MkdirTemp("", "offbake-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "offbake")
	if out, err := exec.Command("cp", "--reflink=auto", os.Args[0], program).CombinedOutput(); err != nil {
		t.Fatalf("copying the program: %v: %s", err, out)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "sandbox", "--base", "/")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 || !strings.Contains(string(out), "need root") {
		t.Errorf("got %d, %q, want 1 and that it needs root", code, out)
	}
}
