package guest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/provision/guest"
)

// TestMain makes one work folder for all tests, so that the root file system is unpacked once, and looks at the end
// whether anything was left behind. As a child of TestReap it is the process that gets killed.
func TestMain(m *testing.M) {
	if work := os.Getenv("OFFBAKE_TEST_GUEST"); work != "" {
		beKilled(work)
	}
	links := linkNames()
	code := m.Run()
	if left := leftBehind(links); left != "" {
		fmt.Fprintf(os.Stderr, "left behind:\n%s", left)
		code = 1
	}
	os.RemoveAll(workDir())
	os.Exit(code)
}

// workDir is the same for all tests of this process.
func workDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("offbake-guest-test-%d", os.Getpid()))
}

// name is unique to this process, for guests' names are the machine's.
func name(s string) string { return fmt.Sprintf("test-%d-%s", os.Getpid(), s) }

func rootfs(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("../../.ci/rootfs")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("making root file system: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func start(t testing.TB, c guest.Config) *guest.Guest {
	t.Helper()
	c.Rootfs, c.Work = rootfs(t), workDir()
	if c.Handler == nil {
		c.Handler = http.NotFoundHandler()
	}
	g, err := guest.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func linkNames() string {
	links, err := net.Interfaces()
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

// leftBehind says what of this process's guests is still on the machine.
func leftBehind(links string) string {
	var left strings.Builder
	add := func(what string, found ...string) {
		for _, f := range found {
			fmt.Fprintf(&left, "%s: %s\n", what, f)
		}
	}
	if now := linkNames(); now != links {
		add("links", "got "+now+", want "+links)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, workDir()) {
			add("mount", line)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if line, _ := os.ReadFile(path); strings.Contains(string(line), workDir()) {
			add("process", path+" "+string(line))
		}
	}
	infos, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, path := range infos {
		if info, _ := os.ReadFile(path); strings.Contains(string(info), workDir()) {
			add("mount namespace", path)
		}
	}
	for _, pattern := range []string{
		workDir() + "/hosts/*", workDir() + "/rootfs/*.tmp",
		"/sys/fs/cgroup/offbake-" + name("*"), "/sys/fs/cgroup/*/offbake-" + name("*"),
		"/sys/fs/cgroup/*/*/offbake-" + name("*"),
		"/run/systemd/nspawn/propagate/" + name("*"), "/run/netns/*" + name("*"),
	} {
		found, _ := filepath.Glob(pattern)
		add("file", found...)
	}
	own, _ := os.Readlink("/proc/self/ns/net")
	threads, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, path := range threads {
		if ns, err := os.Readlink(path); err == nil && ns != own {
			add("thread in another network", path)
		}
	}
	return left.String()
}
