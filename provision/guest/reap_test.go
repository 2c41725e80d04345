package guest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/guest"
)

// beKilled boots a guest, runs an isolated command in it that says when it runs, and waits for the end.
func beKilled(work string) {
	g, err := guest.Start(context.Background(), guest.Config{
		Name: os.Getenv("OFFBAKE_TEST_NAME"), Rootfs: os.Getenv("OFFBAKE_TEST_ROOTFS"), Work: work, Handler: http.NotFoundHandler(),
	})
	if err == nil {
		err = g.Run(context.Background(), guest.Process{
			Argv: []string{"sh", "-c", "echo running; sleep 86397"}, Stdout: os.Stdout, Isolated: true,
		})
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestReap kills a process that has a guest, at rest and while it boots.
func TestReap(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait func(*testing.T, *bufio.Reader, string)
	}{
		{"running", func(t *testing.T, r *bufio.Reader, _ string) {
			if line, err := r.ReadString('\n'); err != nil || line != "running\n" {
				t.Fatalf("child: got %q, %v, want running", line, err)
			}
		}},
		{"booting", func(t *testing.T, _ *bufio.Reader, host string) {
			deadline := time.Now().Add(30 * time.Second)
			for !booting(host) {
				if time.Now().After(deadline) {
					t.Fatal("the child did not begin to boot")
				}
				time.Sleep(time.Millisecond)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := name("reap-" + tt.name)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "OFFBAKE_TEST_GUEST="+workDir(), "OFFBAKE_TEST_NAME="+host, "OFFBAKE_TEST_ROOTFS="+rootfs(t))
			child.Stderr = os.Stderr
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { child.Process.Kill() }) // also when the wait below gives up
			tt.wait(t, bufio.NewReader(out), host)
			child.Process.Kill()
			child.Wait()
			if !strings.Contains(leftBehind(linkNames()), "mount:") {
				t.Error("nothing was left to reap: the test proves nothing")
			}
			for range 2 {
				if err := guest.Reap(workDir(), host); err != nil {
					t.Error(err)
				}
			}
			if left := leftBehind(linkNames()); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

// booting reports whether the guest's systemd-nspawn runs.
func booting(host string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, _ := os.ReadFile(path)
		program, args, _ := strings.Cut(string(line), "\x00") // systemd-run finds it by its path
		if filepath.Base(program) == "systemd-nspawn" && strings.Contains(args, host) {
			return true
		}
	}
	return false
}

// TestStartCancelled cancels a start at ever later moments, until one succeeds.
func TestStartCancelled(t *testing.T) {
	stopped := errors.New("stopped by the test")
	c := guest.Config{Name: name("cancelled"), Rootfs: rootfs(t), Work: workDir()}
	for after := time.Duration(0); ; after = 2*after + 10*time.Millisecond {
		ctx, cancel := context.WithTimeoutCause(context.Background(), after, stopped)
		g, err := guest.Start(ctx, c)
		cancel()
		if err == nil {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, stopped) {
			t.Errorf("after %s: got %v, want %v", after, err, stopped)
		}
		if left := leftBehind(linkNames()); left != "" {
			t.Errorf("after %s, left behind:\n%s", after, left)
		}
		if err == nil {
			return
		}
	}
}

// TestTwoGuests shows that guests of one name are refused and of two names know nothing of each other.
func TestTwoGuests(t *testing.T) {
	handler := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) })
	}
	guests := map[string]*guest.Guest{}
	for _, s := range []string{"a", "b"} {
		guests[s] = start(t, guest.Config{Name: name(s), Handler: handler(s)})
	}
	if _, err := guest.Start(context.Background(), guest.Config{Name: name("a"), Rootfs: rootfs(t), Work: workDir()}); err == nil {
		t.Error("a second guest of one name: got nil, want an error")
	}
	for s, g := range guests {
		if got := mustOutput(t, g, true, `curl -s http://10.213.0.1/; touch /etc/$(curl -s http://10.213.0.1/); ls /etc | grep -x '[ab]' | xargs`); got != s+s+"\n" {
			t.Errorf("guest %s: got %q, want %q", s, got, s+s)
		}
	}
	if err := guests["a"].Close(); err != nil {
		t.Error(err)
	}
	if got := mustOutput(t, guests["b"], true, `curl -s http://10.213.0.1/`); got != "b" {
		t.Errorf("guest b after the end of a: got %q, want b", got)
	}
}

// TestStartFails has a root file system that cannot boot.
func TestStartFails(t *testing.T) {
	empty := t.TempDir()
	small := filepath.Join(t.TempDir(), "small.tar")
	f, err := os.Create(small)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := guest.Pack(context.Background(), empty, f); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		c    guest.Config
	}{
		{"no such root file system", guest.Config{Name: name("x"), Rootfs: "/no/such/file", Work: workDir()}},
		{"empty root file system", guest.Config{Name: name("x"), Rootfs: empty, Work: workDir()}},
		{"name that is a path", guest.Config{Name: "../x", Rootfs: empty, Work: workDir()}},
		{"no name", guest.Config{Rootfs: empty, Work: workDir()}},
		{"digest that is a path", guest.Config{Name: name("x"), Rootfs: rootfs(t), Work: workDir(), Digest: "../x"}},
		{"digest of other bytes", guest.Config{Name: name("x"), Rootfs: small, Work: workDir(), Digest: strings.Repeat("0", 64)}},
		{"relative work folder", guest.Config{Name: name("x"), Rootfs: empty, Work: "work"}},
		{"prepare that fails", guest.Config{Name: name("x"), Rootfs: empty, Work: workDir(),
			Prepare: func(string) error { return errors.New("no") }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if g, err := guest.Start(context.Background(), tt.c); err == nil {
				g.Close()
				t.Error("got nil, want an error")
			} else if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of more than one line: %v", err)
			}
			if left := leftBehind(linkNames()); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}
