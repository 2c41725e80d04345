package guest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/guest"
)

func TestView(t *testing.T) {
	g := start(t, guest.Config{Name: name("view")})
	tree, err := g.Tree()
	if err != nil {
		t.Fatal(err)
	}
	inside := fmt.Sprintf("/proc/self/fd/%d/tmp/from-outside", tree.Fd())
	if err := os.WriteFile(inside, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := g.Run(ctx, guest.Process{Argv: []string{"test", "-s", "/tmp/from-outside"}}); err != nil {
		t.Errorf("a file put into the tree, seen from inside: %v", err)
	}
	if _, err := os.Stat(filepath.Join(g.Root(), "tmp/from-outside")); !os.IsNotExist(err) {
		t.Errorf("a file in the guest's /tmp, seen under Root: got %v, want that it is not there", err)
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-g.Down():
		t.Error("down while it runs")
	default:
	}
	if err := g.Run(ctx, guest.Process{Argv: []string{"systemctl", "poweroff"}}); err != nil {
		t.Logf("ended with its guest: %v", err)
	}
	select {
	case <-g.Down():
	case <-time.After(time.Minute):
		t.Error("not down after it was told to power off")
	}
	if g.Rebooted() {
		t.Error("rebooted: it was told to power off")
	}
}

func TestRebooted(t *testing.T) {
	g := start(t, guest.Config{Name: name("reboot")})
	if g.Rebooted() {
		t.Error("rebooted while it runs")
	}
	if err := g.Run(context.Background(), guest.Process{Argv: []string{"systemctl", "reboot"}}); err != nil {
		t.Logf("ended with its guest: %v", err)
	}
	select {
	case <-g.Down():
	case <-time.After(time.Minute):
		t.Fatal("not down after it was told to reboot")
	}
	if !g.Rebooted() {
		t.Error("down for good, want that it asks to be started again")
	}
}
