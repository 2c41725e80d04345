package ucloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/sandbox"
	"github.com/offbake/offbake/provision/ucloud"
)

// TestCleanBeforeItIsMade kills a process while its host is asked for, and cleans up while that is still being done.
func TestCleanBeforeItIsMade(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	cmd, out := b.child(sweepImage(b))
	started, looked := make(chan struct{}), make(chan struct{})
	served := sync.OnceFunc(func() { close(looked) })
	defer served()
	var killed atomic.Bool
	var looks atomic.Int64
	b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
		switch {
		case c.Action == "CreateUHostInstance" && c.Nth == 1:
			<-started
			killed.Store(true)
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Errorf("killing: %v", err)
			}
			<-looked
		case c.Action == "DescribeUHostInstance" && killed.Load() && looks.Add(1) == 3:
			served() // two looks have found nothing
		}
		return sandbox.Fault{}
	}))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	if err := cmd.Wait(); err == nil || !killed.Load() {
		t.Fatalf("got %v, want it killed\n%s", err, out)
	}
	b.tune = func(c *ucloud.Config) { c.Patience.Seen = 30 * time.Second }
	ended, err := provision.Clean(t.Context(), b.cloud(), b.journal(), b.target())
	served()
	if err != nil || len(ended) != 1 {
		t.Errorf("got %v, %v, want one host ended", ended, err)
	}
	if err := b.left(); err != nil {
		t.Error(err)
	}
	calls := b.sandbox.Calls()
	if !slices.ContainsFunc(calls, func(c sandbox.Call) bool { return c.Action == "TerminateUHostInstance" }) {
		t.Error("no host was ended: the test misses its aim")
	}
}

// account is an API with hosts and custom images.
type account struct {
	*scripted
	mu      sync.Mutex
	hosts   []map[string]any
	customs []map[string]any
	listed  func(action, offset string) // before a listing is made, under mu
}

func newAccount(t *testing.T) *account {
	a := &account{scripted: newScripted(t), listed: func(string, string) {}}
	a.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		action := form.Get("Action")
		drop := func(list []map[string]any, key string) []map[string]any {
			return slices.DeleteFunc(list, func(m map[string]any) bool { return m[key] == form.Get(key) })
		}
		byID := func(list []map[string]any, key, id string) []map[string]any {
			return slices.DeleteFunc(slices.Clone(list), func(m map[string]any) bool { return id != "" && m[key] != id })
		}
		switch action {
		case "DescribeUHostInstance":
			if form.Get("UHostIds.0") == "" {
				a.listed(action, form.Get("Offset"))
			}
			list := byID(a.hosts, "UHostId", form.Get("UHostIds.0"))
			reply(w, "UHostSet", page(list, form), "TotalCount", len(list))
		case "DescribeImage":
			if form.Get("ImageId") == "" {
				a.listed(action, form.Get("Offset"))
			}
			list := byID(a.customs, "ImageId", form.Get("ImageId"))
			reply(w, "ImageSet", page(list, form), "TotalCount", len(list))
		case "TerminateUHostInstance":
			a.hosts = drop(a.hosts, "UHostId")
			reply(w)
		case "TerminateCustomImage":
			a.customs = drop(a.customs, "ImageId")
			reply(w)
		case "PoweroffUHostInstance":
			for _, h := range a.hosts {
				if h["UHostId"] == form.Get("UHostId") {
					h["State"] = "Stopped"
				}
			}
			reply(w)
		default:
			return false
		}
		return true
	}
	return a
}

// cloud is one that waits so long for listings.
func (a *account) cloud(t *testing.T, seen time.Duration) *ucloud.Cloud {
	t.Helper()
	patience := quick()
	patience.Seen = seen
	c, err := ucloud.New(ucloud.Config{PublicKey: publicKey, PrivateKey: privateKey, BaseURL: a.URL, Patience: patience}, place())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const dead = "offbake-dead-db"

func uhost(id, name, state string) map[string]any {
	return map[string]any{"UHostId": id, "Name": name, "State": state, "Tag": "offbake"}
}

func custom(id, host string) map[string]any {
	return map[string]any{"ImageId": id, "ImageName": "db-1", "ImageType": "Custom", "State": "Making",
		"ImageDescription": "offbake key " + host}
}

// TestDiscardLooksOut: what another process had asked for may be listed late.
func TestDiscardLooksOut(t *testing.T) {
	for name, c := range map[string]struct {
		host   map[string]any // that is listed at once
		late   string         // the listing that has more at its fourth time
		thing  map[string]any
		copyTo []string
	}{
		"a host":                  {late: "DescribeUHostInstance", thing: uhost("uhost-1", dead, "Starting")},
		"an image":                {host: uhost("uhost-1", dead, "Stopped"), late: "DescribeImage", thing: custom("uimage-1", dead)},
		"a copy":                  {host: uhost("uhost-1", dead, "Stopped"), late: "DescribeImage", thing: custom("uimage-1", dead), copyTo: []string{"cn-sh2"}},
		"one whose power is gone": {host: uhost("uhost-1", dead, "Stopping"), late: "DescribeImage", thing: custom("uimage-1", dead)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			if c.host != nil {
				a.hosts = []map[string]any{c.host}
			}
			a.hosts, a.customs = append(a.hosts, uhost("uhost-2", "other", "Running")), []map[string]any{custom("uimage-2", "other")}
			looks := 0
			a.listed = func(action, _ string) {
				if action != c.late {
					return
				}
				switch looks++; {
				case looks == 4 && action == "DescribeImage":
					a.customs = append(a.customs, c.thing)
				case looks == 4:
					a.hosts = append(a.hosts, c.thing)
				case looks == 5 && c.copyTo != nil: // what the copy is of
					a.customs = append(a.customs, custom("uimage-3", dead))
				}
			}
			if err := a.cloud(t, 30*time.Second).Discard(t.Context(), dead, c.copyTo); err != nil {
				t.Error(err)
			}
			if looks < 4 || len(a.hosts) != 1 || a.hosts[0]["Name"] != "other" || len(a.customs) != 1 || a.customs[0]["ImageId"] != "uimage-2" {
				t.Errorf("got %d looks, hosts %v and images %v left, want the others' alone", looks, a.hosts, a.customs)
			}
		})
	}
}

// TestDiscardDoesNotWait where all that there may be is known, and is not taken for done while it is waited.
func TestDiscardDoesNotWait(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	b.tune = func(c *ucloud.Config) { c.Patience.Seen = time.Hour }
	own, other, img := b.cloud(), b.cloud(), b.image("db", nil)
	base, err := own.Base(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		by      *ucloud.Cloud
		capture bool
	}{"a host of this process": {own, false}, "its image": {own, true}, "another's host at work": {other, false}} {
		name := "offbake-run-" + strings.ReplaceAll(strings.ReplaceAll(what, " ", "-"), "'", "")
		h, err := own.Create(t.Context(), name, base, img)
		if err != nil {
			t.Fatal(err)
		}
		if c.capture {
			if _, err := own.Capture(t.Context(), h, provision.Capture{Name: "x", Description: "offbake key " + name}); err != nil {
				t.Fatal(err)
			}
		}
		h.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		looks := lookedFor(b, func() { cancel(errors.New("nothing is there any more, and it is still looked for")) })
		if err := errors.Join(c.by.Discard(ctx, name, nil), b.left()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		cancel(nil)
		b.fault.Store(nil)
		if looks.Load() == 0 {
			t.Errorf("%s: it was not looked whether it is gone: the test misses its aim", what)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := other.Discard(ctx, dead, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted while it waits: got %v, want that", err)
	}
	if err := other.Terminate(t.Context(), dead); err != nil {
		t.Errorf("terminating: got %v", err)
	}
}

// lookedFor counts the listings that are asked for when no host and no image is left, and calls enough at more of them
// than tell that. It is a measure of waiting that does not hang on how busy the machine is.
func lookedFor(b *bench, enough func()) *atomic.Int64 {
	var looks atomic.Int64
	b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
		if strings.HasPrefix(c.Action, "Describe") && len(b.sandbox.Hosts())+len(b.sandbox.Images()) == 0 && looks.Add(1) > 10 {
			enough()
		}
		return sandbox.Fault{}
	}))
	return &looks
}

// TestMadeTwice: a request whose answer comes late is sent again, and both are granted.
func TestMadeTwice(t *testing.T) {
	for _, action := range []string{"CreateUHostInstance", "CreateCustomImage", "CopyCustomImage"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, sandbox.Options{})
			second := make(chan struct{})
			// An image that is being made keeps another one of the host from being asked for.
			count := func() int {
				whole := slices.DeleteFunc(b.sandbox.Images(), func(i sandbox.Image) bool { return i.State != "Available" })
				return len(b.sandbox.Hosts()) + len(whole)
			}
			b.fault.Store(pointer(func(c sandbox.Call) sandbox.Fault {
				if c.Action != action {
					return sandbox.Fault{}
				}
				switch c.Nth {
				case 1:
					<-second
				case 2:
					before := count()
					close(second)
					for end := time.Now().Add(20 * time.Second); count() == before; time.Sleep(time.Millisecond) {
						if time.Now().After(end) {
							t.Error("the first request was not granted")
							break
						}
					}
				}
				return sandbox.Fault{}
			}))
			b.tune = func(c *ucloud.Config) { c.Patience.Call = time.Second }
			res, err := provision.Bake(t.Context(), b.request(sweepImage(b)))
			if err != nil {
				t.Fatalf("%v\n%s", err, b.out.String())
			}
			if err := b.left(madeOf(res)...); err != nil {
				t.Error(err)
			}
			ended := 0
			for _, c := range b.sandbox.Calls() {
				if strings.HasPrefix(c.Action, "Terminate") {
					ended++
				}
			}
			if ended < 2 {
				t.Errorf("got %d things ended, want the host and a twin", ended)
			}
		})
	}
}

// TestSoughtAcrossPages: one host goes and another comes while pages are read, so that the total stays and ours moves to
// the page that was read already. Images likewise.
func TestSoughtAcrossPages(t *testing.T) {
	a := newAccount(t)
	for i := range 150 {
		h, image := uhost(fmt.Sprintf("uhost-%d", i), "other", "Running"), custom(fmt.Sprintf("uimage-%d", i), "other")
		if i == 100 {
			h, image = uhost("uhost-ours", dead, "Stopped"), custom("uimage-ours", dead)
		}
		a.hosts, a.customs = append(a.hosts, h), append(a.customs, image)
	}
	moved := map[string]bool{}
	a.listed = func(action, offset string) {
		if offset != "100" || moved[action] {
			return
		}
		moved[action] = true
		if action == "DescribeImage" {
			a.customs = append(a.customs[1:], custom("uimage-new", "other"))
		} else {
			a.hosts = append(a.hosts[1:], uhost("uhost-new", "other", "Running"))
		}
	}
	if err := a.cloud(t, time.Nanosecond).Discard(t.Context(), dead, nil); err != nil {
		t.Error(err)
	}
	if len(moved) != 2 || len(a.hosts) != 149 || len(a.customs) != 149 {
		t.Errorf("got %v moved, %d hosts and %d images left, want both and 149", moved, len(a.hosts), len(a.customs))
	}
	for _, m := range slices.Concat(a.hosts, a.customs) {
		if m["Name"] == dead || m["ImageId"] == "uimage-ours" {
			t.Errorf("%v is left", m)
		}
	}
}
