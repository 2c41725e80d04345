package disk_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
)

// beKilled is the process that TestKilled kills: it captures an image and comes to no end.
func beKilled(work, base string) {
	ctx, f := context.Background(), newTarget(filepath.Join(work, "target"))
	f.failAt(func(_ context.Context, step string) error {
		if step == "import" {
			fmt.Println("importing")
			select {}
		}
		return nil
	})
	b := must(disk.New(ctx, disk.Config{Base: base, Work: work, Target: f.target(), Handler: http.NotFoundHandler()}))
	host := os.Getenv("OFFBAKE_TEST_HOST")
	h := must(b.Create(ctx, host, must(b.Base(ctx, manifest.Image{})), manifest.Image{}))
	if strings.HasSuffix(host, "write") { // a file that takes long to be read, and no room
		huge := must(os.Create(filepath.Join(work, "hosts", host, "root/srv/huge")))
		must(0, huge.Truncate(200<<30))
	}
	must(b.Capture(ctx, h, provision.Capture{Name: "thing", Description: "offbake abc " + host}))
}

// TestKilled kills a process while it writes a disk and while that is imported. What it ran ends with it, and a later
// process finds all the rest.
func TestKilled(t *testing.T) {
	base := theBase(t)
	for _, at := range []string{"write", "import"} {
		t.Run(at, func(t *testing.T) {
			work, host := newWork(t), name(at)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "OFFBAKE_TEST_DISK="+work, "OFFBAKE_TEST_BASE="+base, "OFFBAKE_TEST_HOST="+host)
			cmd.Stderr = os.Stderr
			stdout := must(cmd.StdoutPipe())
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if at == "write" {
				if running("--delete-before", work) == 0 {
					t.Error("no rsync runs")
				}
			} else if line := make([]byte, 9); must(stdout.Read(line)) == 0 || string(line) != "importing" {
				t.Errorf("got %q, want importing", line)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it ended by itself")
			}
			awaitEnd(t, filepath.Join(work, "disks", host))
			sweepAfter(t, work, host)
		})
	}
}

// awaitEnd waits until nothing runs, and nothing is attached to a loop device, below dir. Files may be left.
func awaitEnd(t *testing.T, dir string) {
	t.Helper()
	left := "?"
	for end := time.Now().Add(10 * time.Second); left != "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = leftNow(dir)
	}
	if left != "" {
		t.Errorf("goes on after the process was killed: %s", left)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("was killed too late: %v", err)
	}
}

// sweepAfter does what a later bake and clean do.
func sweepAfter(t *testing.T, work, host string) {
	t.Helper()
	f := newTarget(filepath.Join(work, "target"))
	defer f.server.Close()
	b, err := open(t, disk.Config{Work: work, Target: f.target()})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(work, "disks", "*")); len(left) != 0 {
		t.Errorf("after New: got %v, want nothing", left)
	}
	if _, err := b.Create(t.Context(), host, provision.Base{}, manifest.Image{}); err == nil || !strings.Contains(err.Error(), "no base") {
		t.Errorf("create without a base: got %v", err)
	}
	if err := b.Discard(t.Context(), host, nil); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if left := leftBehind(work) + f.holds(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
