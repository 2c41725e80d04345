package seal

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMain makes the test program an agent where it is called as one, and looks at the end whether one was left behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Verb {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		status := Agent(ctx, os.Args[2:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(status)
	}
	code := m.Run()
	if left := agents(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "left behind: %s\n", left)
		code = 1
	}
	os.Exit(code)
}

// agents are other processes of this program.
func agents() (found []string) {
	own, _ := os.Readlink("/proc/self/exe")
	all, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, path := range all {
		if exe, err := os.Readlink(path); err == nil && exe == own && path != fmt.Sprintf("/proc/%d/exe", os.Getpid()) {
			found = append(found, path)
		}
	}
	return found
}
