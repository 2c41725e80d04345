package ucloud_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// whole says that every fault is tried at every position.
func whole() bool { return os.Getenv("OFFBAKE_SWEEP") == "whole" }

var errInterrupted = errors.New("interrupted by the test")

// trouble is what happens to one API call.
type trouble struct {
	name    string
	fault   sandbox.Fault
	cancel  bool     // the user's Ctrl-C, just then
	lasting bool     // to all calls from then on
	actions []string // that it means something for; nil for all
}

func troubles() []trouble {
	makes := []string{"CreateUHostInstance", "CreateCustomImage", "CopyCustomImage"}
	moves := append([]string{"StopUHostInstance", "PoweroffUHostInstance", "TerminateUHostInstance"}, makes...)
	return []trouble{
		{name: "refused", fault: sandbox.Fault{Kind: sandbox.FaultRetCode, Code: 8095}},
		{name: "passing RetCode", fault: sandbox.Fault{Kind: sandbox.FaultRetCode, Code: 150}},
		{name: "503", fault: sandbox.Fault{Kind: sandbox.FaultHTTP503}},
		{name: "cut", fault: sandbox.Fault{Kind: sandbox.FaultDrop}},
		{name: "reply lost", fault: sandbox.Fault{Kind: sandbox.FaultDropReply}},
		{name: "Ctrl-C", cancel: true},
		{name: "Ctrl-C, reply lost", cancel: true, fault: sandbox.Fault{Kind: sandbox.FaultDropReply}},
		{name: "hang", fault: sandbox.Fault{Kind: sandbox.FaultHang}},
		{name: "API gone", fault: sandbox.Fault{Kind: sandbox.FaultDrop}, lasting: true},
		{name: "stuck", fault: sandbox.Fault{Kind: sandbox.FaultStuck}, actions: moves},
		{name: "stuck disk", fault: sandbox.Fault{Kind: sandbox.FaultStuckDisk}, actions: []string{"CreateUHostInstance"}},
		{name: "Install Fail", fault: sandbox.Fault{Kind: sandbox.FaultInstallFail}, actions: []string{"CreateUHostInstance"}},
		{name: "Unavailable", fault: sandbox.Fault{Kind: sandbox.FaultUnavailable}, actions: makes[1:]},
	}
}

// sweepImage has all that can be left behind: a host with an EIP, an image, a copy of it.
func sweepImage(b *bench) manifest.Image {
	return b.image("db", func(i *manifest.Image) { i.Cloud.SSH.PrivateIP, i.Cloud.CopyTo = false, []string{"cn-sh2"} })
}

// hurry gives up soon what a trouble makes hopeless.
func hurry(p *ucloud.Patience) {
	p.Call, p.Boot, p.Disk, p.Stop, p.Image = 500*time.Millisecond, time.Second, time.Second, time.Second, time.Second
}

// cleanRun bakes without a fault and returns the actions of its API calls, and how many SSH steps it took.
func cleanRun(t *testing.T) (actions []string, steps int) {
	t.Helper()
	b := newBench(t, sandbox.Options{})
	var n atomic.Int64
	b.sshFault.Store(pointer(func(int, string) sandbox.SSHFault { n.Add(1); return "" }))
	res, err := provision.Bake(t.Context(), b.request(sweepImage(b)))
	if err != nil {
		t.Fatalf("without a fault: %v\n%s", err, b.out.String())
	}
	if err := b.left(res.Images[0].Made); err != nil || len(res.Images[0].Copies) != 1 {
		t.Fatalf("without a fault: got %+v, %v", res, err)
	}
	for _, c := range b.sandbox.Calls() {
		actions = append(actions, c.Action)
	}
	return actions, int(n.Load())
}

func pointer[T any](v T) *T { return &v }

// slots bounds how many bakes run at once.
func slots() chan struct{} { return make(chan struct{}, 4) }

// TestSweepAPI has something happen to each API call of a bake. Afterwards no host, no image and no address is left but
// for a bake that succeeded in spite of it, which has exactly its image; the error names image, step and cause; and the
// next run succeeds. In a usual run each call meets some of the troubles in turn; OFFBAKE_SWEEP=whole tries all.
func TestSweepAPI(t *testing.T) {
	actions, _ := cleanRun(t)
	if len(actions) < 20 {
		t.Fatalf("a bake makes %d calls only: the sweep misses its aim", len(actions))
	}
	runs, slot := 0, slots()
	for k, action := range actions {
		for i, tr := range troubles() {
			if tr.actions != nil && !slices.Contains(tr.actions, action) || tr.actions == nil && !whole() && (k+i)%5 != 0 {
				continue
			}
			runs++
			t.Run(fmt.Sprintf("%s at call %d %s", tr.name, k+1, action), func(t *testing.T) {
				t.Parallel()
				slot <- struct{}{}
				defer func() { <-slot }()
				sweepOne(t, 1, k+1, tr)
			})
		}
	}
	t.Logf("%d API calls, %d runs with a fault", len(actions), runs)
}

func sweepOne(t *testing.T, n, k int, tr trouble) {
	b := newBench(t, sandbox.Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var struck atomic.Bool
	b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
		if c.N != k && !(tr.lasting && c.N > k) {
			return sandbox.Fault{}
		}
		struck.Store(true)
		if tr.cancel {
			cancel(errInterrupted)
		}
		return tr.fault
	}))
	r := b.request(imagesOf(b, n)...)
	switch tr.fault.Kind {
	case sandbox.FaultHang, sandbox.FaultStuck, sandbox.FaultStuckDisk:
		b.tune = func(c *ucloud.Config) { hurry(&c.Patience) }
		r.Cloud, b.tune = b.cloud(), nil
	}
	res, err := provision.Bake(ctx, r)
	b.fault.Store(nil)
	if tr.cancel && err != nil && !errors.Is(err, errInterrupted) {
		t.Errorf("got %v, want it to be the interruption", err)
	}
	after(t, b, outcome{imagesOf(b, n), res, err, struck.Load()})
}

// imagesOf are n images, for what happens to several at once.
func imagesOf(b *bench, n int) []manifest.Image {
	list := []manifest.Image{sweepImage(b)}
	for i := 1; i < n; i++ {
		img := sweepImage(b)
		img.Name = fmt.Sprintf("db%d", i)
		img.ImageName = img.Name + "-1"
		list = append(list, img)
	}
	return list
}

// outcome is a bake with a fault.
type outcome struct {
	images []manifest.Image
	res    provision.Result
	err    error
	struck bool // by the fault
}

// after checks what a bake with a fault left, and that the next one succeeds.
func after(t *testing.T, b *bench, o outcome) {
	t.Helper()
	if o.err != nil {
		checkError(t, o.err)
		// Only a cloud that could not be asked any more may still have something, and then the journal knows it.
		if _, err := provision.Clean(t.Context(), b.cloud(), b.journal(), b.target()); err != nil {
			t.Errorf("cleaning: %v", err)
		}
	}
	if !o.struck && o.err != nil {
		t.Errorf("got %v, and nothing had happened", o.err)
	}
	if err := b.left(madeOf(o.res)...); err != nil {
		t.Errorf("after %v: %v\n%s", o.err, err, b.out.String())
	}
	again, err := provision.Bake(t.Context(), b.request(o.images...))
	if err != nil || len(again.Images) != len(o.images) {
		t.Fatalf("the next run: %+v, %v\n%s", again, err, b.out.String())
	}
	if err := b.left(madeOf(again)...); err != nil {
		t.Errorf("after the next run: %v", err)
	}
}

func madeOf(res provision.Result) (made []provision.Made) {
	for _, i := range res.Images {
		made = append(made, i.Made)
	}
	return made
}

// checkError holds an error to naming image, step and cause.
func checkError(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	step, ok := errors.AsType[*provision.StepError](err)
	switch {
	case ok && (!strings.HasPrefix(step.Image, "db") || step.Step == "" || step.Err == nil):
		t.Errorf("got %#v, want image, step and cause", step)
	case !ok && !strings.HasPrefix(text, `planning "db`):
		t.Errorf("got %q, want image and step", text)
	}
	_, api := errors.AsType[*ucloud.Error](err)
	_, state := errors.AsType[*ucloud.StateError](err)
	ssh := strings.Contains(text, `"offbake-`) // which names the host and what it did
	if !api && !state && !ssh && !errors.Is(err, errInterrupted) {
		t.Errorf("got %q, want the cause", text)
	}
}

// TestSweepThree interrupts a bake of three images at once. In a usual run, at some of the calls.
func TestSweepThree(t *testing.T) {
	actions, _ := cleanRun(t)
	runs, slot := 0, slots()
	for k := 1; k <= 3*len(actions); k++ {
		for i, tr := range troubles() {
			if !tr.cancel || !whole() && (k+10*i)%20 != 0 {
				continue
			}
			runs++
			t.Run(fmt.Sprintf("%s at call %d", tr.name, k), func(t *testing.T) {
				t.Parallel()
				slot <- struct{}{}
				defer func() { <-slot }()
				sweepOne(t, 3, k, tr)
			})
		}
	}
	t.Logf("%d runs with three images", runs)
}

func (b *bench) target() provision.Target {
	c := b.place()
	return provision.Target{API: c.API, Region: c.Region, Zone: c.Zone, Project: c.Project}
}
