package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/guest"
	"github.com/offbake/offbake/provision/seal"
)

// dialer is a daemon that tries to reach the outside as long as the host runs.
const dialer = `[Unit]
Description=Dials
[Service]
ExecStart=/bin/bash -c 'while :; do echo x >/dev/udp/198.51.100.9/4000; sleep 0.05; done'
[Install]
WantedBy=multi-user.target
`

// host is a guest with the agent on it, reached as over SSH.
type host struct {
	*testing.T
	guest   *guest.Guest
	outside atomic.Int32 // requests that got out, to where an SSH client would be
}

func newHost(t *testing.T) *host {
	t.Helper()
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	rootfs, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	h := &host{T: t}
	h.guest, err = guest.Start(context.Background(), guest.Config{
		Name: fmt.Sprintf("test-%d-agent", os.Getpid()), Rootfs: strings.TrimSpace(string(rootfs)), Work: t.TempDir(), NetAdmin: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.outside.Add(1)
			io.WriteString(w, "outside\n")
		}),
		Prepare: func(root string) error {
			units := filepath.Join(root, "etc/systemd/system")
			return errors.Join(
				os.WriteFile(filepath.Join(units, "dialer.service"), []byte(dialer), 0o644),
				os.Symlink("../dialer.service", filepath.Join(units, "multi-user.target.wants/dialer.service")))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.guest.Close(); err != nil {
			t.Error(err)
		}
	})
	h.install()
	return h
}

// install puts this test program where the agent lies, as a builder does: over standard input.
func (h *host) install() {
	h.Helper()
	program, err := os.Open(os.Args[0])
	if err != nil {
		h.Fatal(err)
	}
	defer program.Close()
	err = h.guest.Run(context.Background(), guest.Process{
		Argv:  []string{"sh", "-c", "mkdir -p /run/offbake && cat >" + seal.Program + " && chmod 0700 " + seal.Program},
		Stdin: program,
	})
	if err != nil {
		h.Fatal(err)
	}
}

// sh runs a script on the host, not isolated, and returns what it prints and its status.
func (h *host) sh(script string) (out string, status int) {
	h.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := h.guest.Run(ctx, guest.Process{Argv: []string{"bash", "-c", script}, Stdout: &stdout, Stderr: &stderr})
	var exit *guest.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatalf("%s: %v", script, err)
	}
	if exit != nil {
		status = exit.Code
	}
	return stdout.String() + stderr.String(), status
}

func (h *host) must(script string) string {
	h.Helper()
	out, status := h.sh(script)
	if status != 0 {
		h.Fatalf("%s: status %d, %s", script, status, out)
	}
	return out
}

// run runs a script isolated, by the agent. The report is "" where there is none.
func (h *host) run(script string) (out string, status int, report string) {
	h.Helper()
	out, status = h.sh("rm -f /run/report; " + agent("run --report /run/report -- bash -c "+quote(script)))
	report, _ = h.sh("cat /run/report 2>/dev/null")
	return out, status, report
}

func agent(args string) string { return seal.Program + " " + seal.Verb + " " + args }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// ssh dials the port that the seal leaves open and returns what it is greeted with.
func (h *host) ssh() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := h.guest.Dial(ctx, 22)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	return string(text), err
}
