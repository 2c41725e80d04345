package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/guest"
)

// dialer is a daemon that tries to reach the outside as long as the guest runs.
const dialer = `[Unit]
Description=Dials
[Service]
ExecStart=/bin/sh -c 'while :; do echo x >/dev/udp/198.51.100.9/4000; sleep 0.05; done'
[Install]
WantedBy=multi-user.target
`

// TestGuest goes through the life of one guest; its parts share the boot.
func TestGuest(t *testing.T) {
	begun := time.Now()
	g := start(t, guest.Config{
		Name:    name("life"),
		Handler: http.HandlerFunc(serve),
		Prepare: func(root string) error {
			units := filepath.Join(root, "etc/systemd/system")
			unit := strings.Replace(dialer, "/bin/sh", "/bin/bash", 1)
			return errors.Join(
				os.WriteFile(filepath.Join(units, "dialer.service"), []byte(unit), 0o644),
				os.Symlink("../dialer.service", filepath.Join(units, "multi-user.target.wants/dialer.service")))
		},
	})
	t.Logf("booted in %s", time.Since(begun))
	t.Run("boot", func(t *testing.T) { testBoot(t, g) })
	t.Run("exit", func(t *testing.T) { testExit(t, g) })
	t.Run("streams", func(t *testing.T) { testStreams(t, g) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, g) })
	t.Run("allowed", func(t *testing.T) { testAllowed(t, g) })
	t.Run("egress", func(t *testing.T) { testEgress(t, g) })
	t.Run("leftovers", func(t *testing.T) { testLeftovers(t, g) })
	t.Run("resolvers", func(t *testing.T) { testResolvers(t, g) })
	t.Run("capabilities", func(t *testing.T) { testCapabilities(t, g) })
	t.Run("background", func(t *testing.T) { testBackground(t, g) })
	t.Run("copy", func(t *testing.T) { testCopy(t, g) })
	t.Run("close", func(t *testing.T) { testClose(t, g) })
}

// serve is the one thing that guests reach: it says who asked, and has a big file.
func serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/big" {
		chunk := make([]byte, 1<<20)
		for range 64 {
			w.Write(chunk)
		}
		return
	}
	host, _, _ := strings.Cut(r.RemoteAddr, ":")
	fmt.Fprintf(w, "%s for %s\n", r.URL.Path, host)
}

// output runs a shell script in the guest and returns what it printed.
func output(t *testing.T, g *guest.Guest, isolated bool, script string) (string, error) {
	t.Helper()
	var out, stderr bytes.Buffer
	err := g.Run(context.Background(), guest.Process{
		Argv: []string{"bash", "-c", script}, Stdout: &out, Stderr: &stderr, Isolated: isolated,
	})
	if stderr.Len() > 0 {
		t.Logf("stderr: %s", stderr.Bytes())
	}
	return out.String(), err
}

func mustOutput(t *testing.T, g *guest.Guest, isolated bool, script string) string {
	t.Helper()
	out, err := output(t, g, isolated, script)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out
}

func testBoot(t *testing.T, g *guest.Guest) {
	got := mustOutput(t, g, false, `systemctl is-system-running; hostname; id -u; pwd; env | grep -v ^_ | cut -d= -f1 | sort | xargs`)
	want := "running\nlocalhost\n0\n/root\nHOME LANG LOGNAME PATH PWD SHELL SHLVL USER\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("guest (-want +got):\n%s", diff)
	}
	if got := mustOutput(t, g, false, `curl -s http://10.213.0.1/a`); got != "/a for 10.213.0.2\n" {
		t.Errorf("curl in the guest: got %q", got)
	}
	want = mustOutput(t, g, false, `echo seen >/etc/mark; cat /etc/mark`)
	if got, err := os.ReadFile(filepath.Join(g.Root(), "etc/mark")); err != nil || string(got) != want {
		t.Errorf("etc/mark under Root: got %q, %v, want %q", got, err, want)
	}
}

func testExit(t *testing.T, g *guest.Guest) {
	for _, tt := range []struct {
		argv []string
		want int
	}{
		{[]string{"true"}, 0},
		{[]string{"sh", "-c", "exit 7"}, 7},
		{[]string{"/bin/sh", "-c", "kill -TERM $$"}, 128 + 15},
	} {
		for _, isolated := range []bool{false, true} {
			err := g.Run(context.Background(), guest.Process{Argv: tt.argv, Isolated: isolated})
			var exit *guest.ExitError
			switch {
			case tt.want == 0 && err == nil:
			case !errors.As(err, &exit) || exit.Code != tt.want:
				t.Errorf("%q, isolated %t: got %v, want exit status %d", tt.argv, isolated, err, tt.want)
			}
		}
	}
	for _, argv := range [][]string{{"no-such-program"}, {"/no/such/program"}, nil} {
		var exit *guest.ExitError
		if err := g.Run(context.Background(), guest.Process{Argv: argv}); err == nil || errors.As(err, &exit) {
			t.Errorf("%q: got %v, want an error that is no exit status", argv, err)
		}
	}
}

func testStreams(t *testing.T, g *guest.Guest) {
	// Each line comes back before the next is sent: nothing waits for the end of input.
	in, toGuest := io.Pipe()
	fromGuest, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := g.Run(context.Background(), guest.Process{
			Argv: []string{"sh", "-c", "while read l; do echo got $l; done"}, Stdin: in, Stdout: out, Isolated: true,
		})
		out.Close()
		done <- err
	}()
	buf := make([]byte, 64)
	for _, line := range []string{"one", "two"} {
		fmt.Fprintln(toGuest, line)
		if n, err := fromGuest.Read(buf); err != nil || string(buf[:n]) != "got "+line+"\n" {
			t.Errorf("got %q, %v, want %q", buf[:n], err, "got "+line+"\n")
		}
	}
	toGuest.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}

	// A source that fails must not look like a source that ended.
	broken := errors.New("disk on fire")
	var got bytes.Buffer
	err := g.Run(context.Background(), guest.Process{
		Argv: []string{"sh", "-c", "cat; echo complete"}, Stdout: &got,
		Stdin: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)),
	})
	if !errors.Is(err, broken) || strings.Contains(got.String(), "complete") {
		t.Errorf("with failing input: got %v and %q, want %v and no complete", err, got.String(), broken)
	}

	// Input that nobody reads and that never ends does not hold Run up.
	endless, w := io.Pipe()
	defer w.Close()
	if err := g.Run(context.Background(), guest.Process{Argv: []string{"true"}, Stdin: endless}); err != nil {
		t.Errorf("with endless input: %v", err)
	}
}

func testCancel(t *testing.T, g *guest.Guest) {
	for _, isolated := range []bool{false, true} {
		stopped := errors.New("stopped by the test")
		ctx, cancel := context.WithCancelCause(context.Background())
		started := writerFunc(func(p []byte) (int, error) { cancel(stopped); return len(p), nil })
		err := g.Run(ctx, guest.Process{
			Argv: []string{"bash", "-c", "sleep 86399 & echo started; wait"}, Stdout: started, Isolated: isolated,
		})
		if !errors.Is(err, stopped) {
			t.Errorf("isolated %t: got %v, want %v", isolated, err, stopped)
		}
		if got, _ := output(t, g, false, "pgrep -fx 'sleep 86399'"); got != "" {
			t.Errorf("isolated %t: still there after cancel: %s", isolated, got)
		}
		if err := g.Run(ctx, guest.Process{Argv: []string{"touch", "/cancelled"}}); !errors.Is(err, stopped) {
			t.Errorf("run after cancel: got %v, want %v", err, stopped)
		}
	}
	if _, err := os.Stat(filepath.Join(g.Root(), "cancelled")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command ran after cancel: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func testLeftovers(t *testing.T, g *guest.Guest) {
	// A daemon that an isolated command leaves behind ends with it, whatever it does to get away.
	mustOutput(t, g, true, `setsid sleep 86398 >/dev/null 2>&1 </dev/null & (nohup setsid sh -c 'sleep 86398 & wait' &) ; unshare -n sleep 86398 & true`)
	if got, _ := output(t, g, false, "pgrep -fx 'sleep 86398'"); got != "" {
		t.Errorf("still there: %s", got)
	}
	// What one wrote stays.
	mustOutput(t, g, true, `mkdir -p /opt/x && echo kept >/opt/x/file`)
	if got := mustOutput(t, g, false, `cat /opt/x/file`); got != "kept\n" {
		t.Errorf("got %q, want kept", got)
	}
}

func testResolvers(t *testing.T, g *guest.Guest) {
	mustOutput(t, g, false, `mkdir -p /run/systemd/resolve /run/nscd && touch /run/systemd/resolve/a /run/nscd/socket`)
	look := `ls -A /run/systemd/resolve /run/nscd | grep -c -e '^a$' -e socket`
	if got, _ := output(t, g, true, look); got != "0\n" {
		t.Errorf("isolated command sees resolvers' sockets: %s", got)
	}
	if got, _ := output(t, g, false, look); got != "2\n" {
		t.Errorf("guest's own view changed: got %q, want 2", got)
	}
	if got := mustOutput(t, g, false, `grep -c -e /run/nscd -e /run/systemd/resolve /proc/1/mounts || true`); got != "0\n" {
		t.Errorf("mounts of an isolated command show in the guest: %s", got)
	}
}

func testCapabilities(t *testing.T, g *guest.Guest) {
	const read = `sed -n 's/^CapEff:\t//p'`
	want := mustOutput(t, g, false, read+` /proc/1/status`)
	for _, isolated := range []bool{false, true} {
		if got := mustOutput(t, g, isolated, read+` /proc/self/status`); got != want {
			t.Errorf("isolated %t: got capabilities %s, want the guest's %s", isolated, got, want)
		}
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil || strings.Contains(string(own), "CapEff:\t"+want) {
		t.Errorf("this process lost capabilities, or the guest has all: %v", err)
	}
}

func testBackground(t *testing.T, g *guest.Guest) {
	daemon := guest.Attempt{Address: "198.51.100.9", Port: 4000, Proto: "udp"}
	g.Seal()
	// The daemon's tries go on while isolated commands run, and are not charged to them.
	for deadline := time.Now().Add(30 * time.Second); len(g.Background()) == 0 && time.Now().Before(deadline); {
		mustOutput(t, g, true, `sleep 0.1`)
	}
	if got := g.Background(); !slices.Equal(got, []guest.Attempt{daemon}) {
		t.Errorf("background: got %v, want only %v", got, daemon)
	}
	if _, err := output(t, g, true, `echo x >/dev/udp/203.0.113.5/53`); err == nil {
		t.Error("isolated command: got nil, want an attempt")
	}
	if got := g.Background(); !slices.Equal(got, []guest.Attempt{daemon}) {
		t.Errorf("background after an isolated command's attempt: got %v, want only %v", got, daemon)
	}
	mustOutput(t, g, false, `systemctl stop dialer; sleep 0.2`)
	g.Seal()
	mustOutput(t, g, true, `sleep 0.2`)
	if got := g.Background(); len(got) != 0 {
		t.Errorf("background with the daemon stopped: got %v, want none", got)
	}
}

// testCopy stops the guest.
func testCopy(t *testing.T, g *guest.Guest) {
	// Of a folder of the base, one moved, one emptied and one removed: what layers get wrong.
	mustOutput(t, g, false, `mv /etc/skel /etc/skeleton && rm -r /usr/share/bash-completion && rm -r /opt && mkdir /opt && touch /opt/new`)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(ctx, guest.Process{Argv: []string{"true"}}); err == nil {
		t.Error("Run in a stopped guest: got nil, want an error")
	}
	c, err := g.Copy(ctx, guest.Config{Name: name("copy"), Prepare: func(root string) error {
		return os.Mkdir(filepath.Join(root, "data"), 0o755)
	}})
	if err != nil {
		t.Fatal(err)
	}
	const look = `cat /etc/mark; ls -d /etc/skel* /usr/share/bash-completion /opt/* /data 2>/dev/null`
	if got, want := mustQuiet(t, c, look), "seen\n/data\n/etc/skeleton\n/opt/new\n"; got != want {
		t.Errorf("copy: got %q, want %q", got, want)
	}
	if _, err := output(t, c, true, `curl -sf http://10.213.0.1/a`); err == nil {
		t.Error("a copy without handler reached something")
	}
	mustOutput(t, c, false, `echo changed >/etc/mark`)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(g.Root(), "etc/mark")); err != nil || string(got) != "seen\n" {
		t.Errorf("original after its copy: got %q, %v, want seen", got, err)
	}
	if _, err := os.Stat(filepath.Join(g.Root(), "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy's folder shows in the original: %v", err)
	}
}

// mustQuiet is for scripts whose last command may fail.
func mustQuiet(t *testing.T, g *guest.Guest, script string) string {
	t.Helper()
	return mustOutput(t, g, false, script+"; true")
}

func testClose(t *testing.T, g *guest.Guest) {
	for range 2 {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(g.Root())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the guest's folder after Close: %v", err)
	}
}
