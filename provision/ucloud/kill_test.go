package ucloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/internal/progress"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// baker is what a process of its own is told to bake.
type baker struct {
	BaseURL, PublicKey, PrivateKey string
	Bundle, Journal                string
	Images                         []manifest.Image
	Place                          manifest.Cloud
}

// bakerVariable holds a baker: the test program is one then.
const bakerVariable = "OFFBAKE_TEST_BAKER"

func TestMain(m *testing.M) {
	if text := os.Getenv(bakerVariable); text != "" {
		if err := bake(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func bake(text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var job baker
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	b, err := bundle.Open(job.Bundle)
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := b.Trust(nil, true); err != nil {
		return err
	}
	out := progress.New(os.Stderr, progress.Options{})
	c, err := ucloud.New(ucloud.Config{PublicKey: job.PublicKey, PrivateKey: job.PrivateKey, BaseURL: job.BaseURL, Agent: "/bin/true",
		Progress: out, Verbose: true, Patience: quick()}, job.Place)
	if err != nil {
		return err
	}
	_, err = provision.Bake(ctx, provision.Request{Bundle: b, Images: job.Images, Cloud: c, Files: files(b), Offline: true,
		Journal: job.Journal, Progress: out, Verbose: true})
	return err
}

// child starts a process that bakes; what it prints is in the buffer when it has ended.
func (b *bench) child(images ...manifest.Image) (*exec.Cmd, *bytes.Buffer) {
	b.t.Helper()
	b.open()
	text, err := json.Marshal(baker{BaseURL: b.ready.API, PublicKey: b.ready.PublicKey, PrivateKey: b.ready.PrivateKey,
		Bundle: b.bundleDir, Journal: b.journal(), Images: images, Place: b.place()})
	if err != nil {
		b.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd, out := exec.Command(self), &bytes.Buffer{}
	cmd.Env = append(os.Environ(), bakerVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// TestSweepKill kills the process (SIGKILL) at each API call of its bake, which is then done without anybody to hear of
// it, or not done. Afterwards `clean` by another process leaves nothing but images that are finished, and the next run
// succeeds.
func TestSweepKill(t *testing.T) {
	actions, _ := cleanRun(t)
	runs, slot := 0, slots()
	for _, n := range []int{1, 3} {
		for k := 1; k <= n*len(actions); k++ {
			if !whole() && (n == 1 && k%3 != 0 || n == 3 && k%25 != 0) {
				continue
			}
			fault := sandbox.Fault{}
			if k%2 == 0 {
				fault.Kind = sandbox.FaultDrop
			}
			runs++
			t.Run(fmt.Sprintf("%d images at call %d %s", n, k, fault.Kind), func(t *testing.T) {
				t.Parallel()
				slot <- struct{}{}
				defer func() { <-slot }()
				killOne(t, n, k, fault)
			})
		}
	}
	t.Logf("%d runs with a kill", runs)
}

func killOne(t *testing.T, n, k int, fault sandbox.Fault) {
	b := newBench(t, sandbox.Options{})
	cmd, out := b.child(imagesOf(b, n)...)
	started, dead := make(chan struct{}), make(chan struct{})
	b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
		if c.N != k {
			return sandbox.Fault{}
		}
		<-started
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Errorf("killing: %v", err)
		}
		<-dead
		return fault
	}))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	close(dead)
	b.fault.Store(nil)
	if killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL; !killed && err != nil {
		t.Fatalf("got %v, want it killed or done\n%s", err, out)
	}
	if _, err := provision.Clean(t.Context(), b.cloud(), b.journal(), b.target()); err != nil {
		t.Errorf("cleaning: %v", err)
	}
	finished := b.finished()
	if err := b.left(finished...); err != nil {
		t.Errorf("after clean: %v\n%s", err, out)
	}
	again, err := provision.Bake(t.Context(), b.request(imagesOf(b, n)...))
	if err != nil || len(again.Images) != n {
		t.Fatalf("the next run: %+v, %v\n%s", again, err, b.out.String())
	}
	for _, m := range finished {
		if !slices.ContainsFunc(madeOf(again), func(have provision.Made) bool { return have.ID == m.ID }) {
			t.Errorf("image %s is left, and the next run does not know it", m.ID)
		}
	}
	if err := b.left(madeOf(again)...); err != nil {
		t.Errorf("after the next run: %v", err)
	}
}

// finished are the images that are there with their copy, each Available.
func (b *bench) finished() (out []provision.Made) {
	all := b.sandbox.Images()
	for _, i := range all {
		for _, other := range all {
			if i.Region == b.ready.Region && other.Region == "cn-sh2" && other.Description == i.Description &&
				i.State == "Available" && other.State == "Available" {
				out = append(out, provision.Made{ID: i.ID, Copies: []provision.Made{{ID: other.ID}}})
			}
		}
	}
	return out
}
