package guest_test

import (
	"bytes"
	"context"
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

func TestSpike(t *testing.T) {
	work := t.TempDir()
	ctx := context.Background()
	t0 := time.Now()
	step := func(s string) { fmt.Println(s, time.Since(t0)); t0 = time.Now() }
	tar := rootfs(t)
	step("rootfs")
	g, err := guest.Start(ctx, guest.Config{Name: "spike", Rootfs: tar, Work: work, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", r.URL.Path, r.RemoteAddr)
	})})
	if err != nil {
		t.Fatal(err)
	}
	step("start")
	defer func() { step("x"); fmt.Println(g.Close()); step("close") }()
	run := func(iso bool, argv ...string) {
		var out bytes.Buffer
		err := g.Run(ctx, guest.Process{Argv: argv, Stdout: &out, Stderr: &out, Isolated: iso, Stdin: strings.NewReader("in\n")})
		fmt.Printf("%v: %v\n%s\n", argv, err, out.String())
		step("run")
	}
	run(false, "sh", "-c", "id; ip addr; ip route; curl -s http://10.213.0.1/foo; cat; exit 3; ")
	run(true, "sh", "-c", "ip addr; ip route; ip -6 route; ip neigh; curl -s http://10.213.0.1/foo; cat; systemctl is-system-running; exit 3; ")
	run(true, "curl", "http://example.com/")
	run(true, "curl", "http://192.0.2.1/")
	run(true, "curl", "http://[2001:db8::1]/")
	run(true, "ping", "-c", "1", "2001:db8::1")
	run(true, "sh", "-c", "(sleep 1000 &) ; (sleep 1000 >/dev/null 2>&1 & )")
	run(false, "sh", "-c", "curl -m 1 http://192.0.2.7")
	run(true, "systemctl", "list-units", "--failed")
	fmt.Println(g.Background())
	step("bg")
	fmt.Println(g.Stop(ctx))
	step("stop")
	_ = filepath.Join
}
