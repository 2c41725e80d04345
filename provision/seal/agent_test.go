package seal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/guest"
	"github.com/offbake/offbake/provision/seal"
)

// TestAgent goes through the life of a sealed host; its parts share the boot.
func TestAgent(t *testing.T) {
	h := newHost(t)
	l, err := h.guest.Listen("10.213.0.2:22")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "welcome\n")
			conn.Close()
		}
	}()
	h.must(`mkdir -p /var/lib/offbake/files && echo content >/var/lib/offbake/files/x`)
	h.must(`head -c 64M /dev/zero >/var/lib/offbake/files/big && mkfifo /var/lib/offbake/files/fifo`)
	h.must(`ln -s x /var/lib/offbake/files/inside && ln -s /etc/passwd /var/lib/offbake/files/outside`)
	if got := h.must(`curl -s http://10.213.0.1/`); got != "outside\n" || h.outside.Load() != 1 {
		t.Fatalf("before the seal: got %q, want it from outside", got)
	}
	begun := time.Now()
	if out, status := h.sh(agent("seal --root /var/lib/offbake --client 10.213.0.1 --port 22")); status != 0 || out != "" {
		t.Fatalf("seal: got status %d, %q", status, out)
	}
	t.Logf("sealed in %s", time.Since(begun))
	t.Run("own network", func(t *testing.T) { testOwn(&host{T: t, guest: h.guest}, &h.outside) })
	t.Run("files", func(t *testing.T) { testFiles(&host{T: t, guest: h.guest}) })
	t.Run("allowed", func(t *testing.T) { testAllowed(&host{T: t, guest: h.guest}) })
	t.Run("egress", func(t *testing.T) { testEgress(&host{T: t, guest: h.guest}) })
	t.Run("streams", func(t *testing.T) { testStreams(&host{T: t, guest: h.guest}) })
	t.Run("view", func(t *testing.T) { testView(&host{T: t, guest: h.guest}) })
	t.Run("several", func(t *testing.T) { testSeveral(&host{T: t, guest: h.guest}) })
	t.Run("ends", func(t *testing.T) { testEnds(&host{T: t, guest: h.guest}) })
	t.Run("background", func(t *testing.T) { testBackground(&host{T: t, guest: h.guest}) })
	t.Run("tampered", func(t *testing.T) { testTampered(&host{T: t, guest: h.guest}) })
	if got, err := h.ssh(); got != "welcome\n" {
		t.Errorf("ssh at the end: got %q, %v", got, err)
	}
	if n := h.outside.Load(); n != 1 {
		t.Errorf("%d requests got out", n-1)
	}
	t.Run("shutdown", func(t *testing.T) { testShutdown(&host{T: t, guest: h.guest}) })
}

// testOwn has the host's own processes try to reach the client, at a port where there is somebody.
func testOwn(h *host, outside *atomic.Int32) {
	if got, err := h.ssh(); got != "welcome\n" {
		h.Errorf("ssh: got %q, %v", got, err)
	}
	if out, status := h.sh(`curl -s --max-time 1 --interface eth0 http://10.213.0.1/`); status == 0 {
		h.Errorf("over eth0: got %q", out)
	}
	if out, _ := h.sh(`curl -s --max-time 1 http://10.213.0.1/files/x`); out != "content\n" {
		h.Errorf("the file server, from the host's own network: got %q", out)
	}
	if n := outside.Load(); n != 1 {
		h.Errorf("%d requests got out", n-1)
	}
	if out, status := h.sh(agent("seal --root / --client 10.213.0.1 --port 22")); status != 1 || !strings.Contains(out, "sealed already") {
		h.Errorf("second seal: got status %d, %q", status, out)
	}
	// It stands alone: no terminal, no connection, no folder.
	out := h.must(`pid=$(pgrep -f 'host-agent [d]aemon') && ps -o tty=,ppid= -p $pid | xargs && readlink /proc/$pid/cwd && ls -l /proc/$pid/fd`)
	if !strings.HasPrefix(out, "? 1\n/\n") || strings.Contains(out, "/var/lib") {
		h.Errorf("daemon: got %s", out)
	}
	for fd := range 3 {
		if !strings.Contains(out, fmt.Sprintf(" %d -> /dev/null\n", fd)) {
			h.Errorf("daemon's standard stream %d is not shut: %s", fd, out)
		}
	}
	if out := h.must(`stat -c %a /run/offbake`); out != "700\n" {
		h.Errorf("folder: got mode %s", out)
	}
}

// testFiles asks for files, all in one isolated command.
func testFiles(h *host) {
	var script, want strings.Builder
	for _, tt := range []struct{ args, want string }{
		{`http://10.213.0.1/files/x`, "content\n200"},
		{`http://10.213.0.1/files/inside`, "content\n200"},
		{`--range 2-4 http://10.213.0.1/files/x`, "nte206"},
		{`--range 99- http://10.213.0.1/files/x -o /dev/null`, "416"},
		{`--head http://10.213.0.1/files/x -o /dev/null`, "200"},
		{`http://10.213.0.1/files/big -o /dev/null`, "200"},
		{`http://10.213.0.1/files -o /dev/null`, "404"},
		{`http://10.213.0.1/files/ -o /dev/null`, "404"},
		{`http://10.213.0.1/ -o /dev/null`, "404"},
		{`http://10.213.0.1/files/no -o /dev/null`, "404"},
		{`http://10.213.0.1/files/outside -o /dev/null`, "404"},
		{`http://10.213.0.1/files/fifo -o /dev/null`, "404"},
		{`--path-as-is http://10.213.0.1/../../../etc/passwd -o /dev/null`, "404"},
		{`--path-as-is http://10.213.0.1/files/%2e%2e/%2e%2e/etc/passwd -o /dev/null`, "404"},
		{`-X POST -d x http://10.213.0.1/files/x -o /dev/null`, "405"},
	} {
		fmt.Fprintf(&script, "curl -s -m 20 -w '%%{http_code}\n' %s; ", tt.args)
		fmt.Fprintln(&want, tt.want)
	}
	out, status, report := h.run(script.String())
	if diff := cmp.Diff(want.String(), out); diff != "" || status != 0 || report != "" {
		h.Errorf("status %d, report %q, files (-want +got):\n%s", status, report, diff)
	}
	// The folder may go and come back: nothing of it is held.
	h.must(`mv /var/lib/offbake /var/lib/moved`)
	if out, _, _ := h.run(`curl -s -o /dev/null -w '%{http_code}' http://10.213.0.1/files/x`); out != "404" {
		h.Errorf("without the folder: got %q", out)
	}
	h.must(`mv /var/lib/moved /var/lib/offbake`)
	if out, _, _ := h.run(`curl -s http://10.213.0.1/files/x`); out != "content\n" {
		h.Errorf("with the folder back: got %q", out)
	}
}

func testAllowed(h *host) {
	for _, tt := range []struct {
		name, script, want string
		status             int
	}{
		{"nothing at all", `true`, "", 0},
		{"status", `exit 7`, "", 7},
		{"signal", `kill -TERM $$`, "", 143},
		{"a status of the agent's", `exit 213`, "", 213},
		{"systemd", `systemctl is-active dialer`, "active\n", 0},
		{"loopback", `exec 3<>/dev/tcp/127.0.0.1/1; echo refused`, "refused\n", 0},
		{"environment", `env | grep -v ^_ | cut -d= -f1 | sort | xargs; pwd`, "HOME LANG LOGNAME PATH PWD SHELL SHLVL USER\n/root\n", 0},
	} {
		out, status, report := h.run(tt.script)
		if !strings.HasSuffix(out, tt.want) || status != tt.status || report != "" {
			h.Errorf("%s: got %q, status %d, report %q, want %q, %d", tt.name, out, status, report, tt.want, tt.status)
		}
	}
	if out, status := h.sh(agent("run --report /run/report -- no-such-program")); status != seal.ExitUnable {
		h.Errorf("a program that is not there: got status %d, %q", status, out)
	}
	if out := h.must(`cat /run/report`); !strings.Contains(out, "not found") {
		h.Errorf("a program that is not there: got report %q", out)
	}
}

func testEgress(h *host) {
	for _, tt := range []struct {
		name, script string
		want         seal.Attempt
	}{
		{"tcp", `exec 3<>/dev/tcp/192.0.2.1/443; sleep 600`, seal.Attempt{Address: "192.0.2.1", Port: 443, Proto: "tcp"}},
		{"the ssh client", `exec 3<>/dev/tcp/10.213.0.1/22; sleep 600`, seal.Attempt{Address: "10.213.0.1", Port: 22, Proto: "tcp"}},
		{"the host's sshd", `exec 3<>/dev/tcp/10.213.0.2/22; sleep 600`, seal.Attempt{Address: "10.213.0.2", Port: 22, Proto: "tcp"}},
		{"udp", `echo x >/dev/udp/192.0.2.1/9999; sleep 600`, seal.Attempt{Address: "192.0.2.1", Port: 9999, Proto: "udp"}},
		{"IPv6", `exec 3<>/dev/tcp/2001:db8::1/443; sleep 600`, seal.Attempt{Address: "2001:db8::1", Port: 443, Proto: "tcp"}},
		{"dns", `curl -s http://mirror.example/x; sleep 600`, seal.Attempt{Address: "192.0.2.53", Port: 53, Proto: "udp", Name: "mirror.example"}},
		{"icmp", `python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.sendto(b"\x08\0\xf7\xff\0\0\0\0", ("192.0.2.1", 0))'; sleep 600`,
			seal.Attempt{Address: "192.0.2.1", Proto: "icmp"}},
		{"as the last thing it does", `echo x >/dev/udp/192.0.2.1/514`, seal.Attempt{Address: "192.0.2.1", Port: 514, Proto: "udp"}},
		{"a child that gets away", `(setsid bash -c "exec 3<>/dev/tcp/192.0.2.1/443" &); sleep 600`,
			seal.Attempt{Address: "192.0.2.1", Port: 443, Proto: "tcp"}},
	} {
		out, status, report := h.run(tt.script)
		var got []seal.Attempt
		if err := json.Unmarshal([]byte(report), &got); err != nil || status != seal.ExitEgress {
			h.Errorf("%s: got status %d, report %q, %v, %s", tt.name, status, report, err, out)
			continue
		}
		if diff := cmp.Diff([]seal.Attempt{tt.want}, got); diff != "" {
			h.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if out, _ := h.sh(`pgrep -fx 'sleep 600'`); out != "" {
		h.Errorf("still there after an attempt: %s", out)
	}
}

// testStreams shows that standard streams are the command's own, and nothing waits for their end.
func testStreams(h *host) {
	in, toHost := io.Pipe()
	fromHost, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- h.guest.Run(context.Background(), guest.Process{
			Argv:  []string{seal.Program, seal.Verb, "run", "--report", "/run/report", "--", "sh", "-c", `while read l; do echo "got $l"; done; echo end >&2`},
			Stdin: in, Stdout: out, Stderr: out,
		})
	}()
	buf := make([]byte, 99)
	for _, line := range []string{"one\n", "two\n"} {
		io.WriteString(toHost, line)
		if n, err := fromHost.Read(buf); err != nil || string(buf[:n]) != "got "+line {
			h.Fatalf("got %q, %v, want %q back", buf[:n], err, line)
		}
	}
	toHost.Close()
	if n, err := fromHost.Read(buf); err != nil || string(buf[:n]) != "end\n" {
		h.Errorf("got %q, %v, want end", buf[:n], err)
	}
	if err := <-done; err != nil {
		h.Error(err)
	}
}

// testView shows that an isolated command sees the host's files, but no resolver's socket.
func testView(h *host) {
	h.must(`mkdir -p /run/systemd/resolve && cd /run/systemd/resolve && touch io.systemd.Resolve && echo 'nameserver 127.0.0.53' >stub-resolv.conf
		mkdir -p /run/nscd && touch /run/nscd/socket && mv /etc/resolv.conf /etc/resolv.saved && ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf`)
	out, status, _ := h.run(`ls -A /run/systemd/resolve /run/nscd | xargs; cat /etc/resolv.conf; echo x >/opt/written`)
	if want := "/run/nscd: /run/systemd/resolve: stub-resolv.conf\nnameserver 127.0.0.53\n"; out != want || status != 0 {
		h.Errorf("isolated: got %q, status %d, want %q", out, status, want)
	}
	if out := h.must(`cat /opt/written; ls -A /run/nscd; grep -c -e /run/nscd -e /run/systemd/resolve /proc/1/mounts || true`); out != "x\nsocket\n0\n" {
		h.Errorf("the host afterwards: got %q", out)
	}
	_, status, report := h.run(`curl -s http://mirror.example/x; sleep 600`)
	if want := `[{"address":"127.0.0.53","port":53,"proto":"udp","name":"mirror.example"}]` + "\n"; status != seal.ExitEgress || report != want {
		h.Errorf("asking the stub resolver: got status %d, report %q, want %q", status, report, want)
	}
	h.must(`rm /etc/resolv.conf && mv /etc/resolv.saved /etc/resolv.conf && rm -r /run/nscd /run/systemd/resolve`)
}

// testSeveral runs commands at once: each has its own network and verdict.
func testSeveral(h *host) {
	out := h.must(`cd /run; for i in 1 2 3 4 5 6; do
		script="sleep 0.2; ip -br -4 addr show eth0 | awk '{print \$3}'"
		[ $((i % 2)) = 0 ] || script="$script; echo x >/dev/udp/192.0.2.$i/9"
		( s=0; ` + agent(`run --report /run/report-$i -- bash -c "$script" >out-$i`) + ` || s=$?; echo $s >status-$i ) &
	done; wait; cat out-* | sort -u | wc -l; cat status-? | xargs; ls report-? | xargs; rm out-? status-? report-?`)
	if want := "6\n213 0 213 0 213 0\nreport-1 report-3 report-5\n"; out != want {
		h.Errorf("got %q, want %q", out, want)
	}
}

// testEnds has commands end in all the ways in which an SSH session does: nothing of them may go on.
func testEnds(h *host) {
	const command = `bash -c 'setsid sleep 86395 & unshare --net sleep 86395 & echo running; wait'`
	run := agent("run --report /run/report -- " + command)
	for _, tt := range []struct{ name, script string }{
		{"left behind", agent(`run --report /run/report -- bash -c 'setsid sleep 86395 >/dev/null 2>&1 & true'`)},
		{"killed", run + ` >/run/out & pid=$!; until grep -q running /run/out; do sleep 0.01; done; kill -9 $pid`},
		{"hung up", run + ` >/run/out & pid=$!; until grep -q running /run/out; do sleep 0.01; done; kill -HUP $pid`},
		{"terminated", run + ` >/run/out & pid=$!; until grep -q running /run/out; do sleep 0.01; done; kill $pid; wait $pid`},
		{"reader gone", run + ` | grep -m 1 running`},
		{"program gone", `rm ` + seal.Program + `.2; ln ` + seal.Program + ` ` + seal.Program + `.2; ` + run +
			` >/run/out & pid=$!; until grep -q running /run/out; do sleep 0.01; done; rm ` + seal.Program + `; kill $pid; wait $pid`},
	} {
		h.sh("rm -f /run/out; " + tt.script)
		deadline := time.Now().Add(20 * time.Second)
		for {
			out, _ := h.sh(`pgrep -fx 'sleep 86395'`)
			if out == "" {
				break
			}
			if time.Now().After(deadline) {
				h.Fatalf("%s: still there: %s", tt.name, out)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	h.must(`mv ` + seal.Program + `.2 ` + seal.Program)
	// All networks but the host's own are given back.
	if out, status, _ := h.run(`ip -br -4 addr show eth0 | awk '{print $3}'`); status != 0 || out != "10.213.0.3/32\n" {
		h.Errorf("the next command: got %q, status %d", out, status)
	}
}

// testBackground shows that a daemon's tries are listed, and are charged to no command.
func testBackground(h *host) {
	daemon := seal.Attempt{Address: "198.51.100.9", Port: 4000, Proto: "udp"}
	var got []seal.Attempt
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, status, report := h.run(`sleep 0.1`); status != 0 || report != "" {
			h.Fatalf("a clean command: got status %d, report %q", status, report)
		}
		if err := json.Unmarshal([]byte(h.must(agent("background"))), &got); err != nil {
			h.Fatal(err)
		}
		if slices.Contains(got, daemon) || time.Now().After(deadline) {
			break
		}
	}
	if diff := cmp.Diff([]seal.Attempt{daemon}, got); diff != "" {
		h.Errorf("background (-want +got):\n%s", diff)
	}
}

// testTampered takes a rule away: from then on nothing is said that would need the seal.
func testTampered(h *host) {
	h.must(`ip rule del priority 13`)
	if out, status := h.sh(agent("background")); status != 1 || !strings.Contains(out, "not sealed any more") {
		h.Errorf("background: got status %d, %q", status, out)
	}
	if _, status, report := h.run(`touch /run/ran`); status != seal.ExitUnable || !strings.Contains(report, "not sealed any more") {
		h.Errorf("run: got status %d, report %q", status, report)
	}
	if _, status := h.sh(`test -e /run/ran`); status == 0 {
		h.Error("the command ran on a host that is not sealed")
	}
	h.must(`ip rule add priority 13 prohibit`)
	if out, status := h.sh(agent("background")); status != 0 {
		h.Errorf("background with the rule back: got status %d, %q", status, out)
	}
}

// testShutdown shows that the daemon holds nothing up.
func testShutdown(h *host) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.guest.Stop(ctx); err != nil {
		h.Error(err)
	}
	if _, err := os.Stat(filepath.Join(h.guest.Root(), "run/offbake")); !errors.Is(err, os.ErrNotExist) {
		h.Errorf("the agent's folder is in the image: %v", err)
	}
}
