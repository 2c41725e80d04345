package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/sandbox"
)

func rule(t *testing.T, text string) sandbox.Rule {
	t.Helper()
	r, err := sandbox.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// faulty opens a sandbox in which the rules hold.
func faulty(t *testing.T, p *park, rules ...string) *sandbox.Sandbox {
	t.Helper()
	var all []sandbox.Rule
	for _, text := range rules {
		all = append(all, rule(t, text))
	}
	return open(t, p, sandbox.Options{Fault: sandbox.Faults(all...)})
}

func TestParseFault(t *testing.T) {
	for text, want := range map[string]sandbox.Rule{
		"CreateUHostInstance=hang":           {Action: "CreateUHostInstance", Fault: sandbox.Fault{Kind: sandbox.FaultHang}},
		"StopUHostInstance:2=503":            {Action: "StopUHostInstance", Nth: 2, Fault: sandbox.Fault{Kind: sandbox.FaultHTTP503}},
		"*:7=drop":                           {Action: "*", Nth: 7, Fault: sandbox.Fault{Kind: sandbox.FaultDrop}},
		"CreateUHostInstance:1=retcode:8095": {Action: "CreateUHostInstance", Nth: 1, Fault: sandbox.Fault{Kind: sandbox.FaultRetCode, Code: 8095}},
	} {
		if got, err := sandbox.ParseFault(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "hang", "Nothing=hang", "*=melt", "*:0=hang", "*:x=hang", "*=hang:5", "*=retcode", "*=retcode:x"} {
		if got, err := sandbox.ParseFault(text); err == nil || !strings.HasPrefix(err.Error(), "reading fault ") {
			t.Errorf("%q: got %+v, %v, want an error", text, got, err)
		}
	}
}

// TestFaultsBeforeAction are answered and leave nothing.
func TestFaultsBeforeAction(t *testing.T) {
	s := faulty(t, &park{}, "CreateUHostInstance:1=retcode:8833", "CreateUHostInstance:2=503", "CreateUHostInstance:3=drop")
	if r := call(t, s, "CreateUHostInstance", create(s)); r.code() != 8833 || r.text("Message") == "" {
		t.Errorf("got %v, want RetCode 8833", r)
	}
	if _, err := try(s, "CreateUHostInstance", create(s)); err == nil || err.Error() != "status 503" {
		t.Errorf("got %v, want status 503", err)
	}
	if _, err := try(s, "CreateUHostInstance", create(s)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a cut connection", err)
	}
	if hosts := s.Hosts(); len(hosts) != 0 {
		t.Errorf("got hosts %v, want none", hosts)
	}
	ok(t, s, "CreateUHostInstance", create(s))
	if hosts := s.Hosts(); len(hosts) != 1 {
		t.Errorf("got hosts %v, want that of the fourth call", hosts)
	}
}

func TestFaultDropsReply(t *testing.T) {
	s := faulty(t, &park{}, "CreateUHostInstance=drop-reply")
	if _, err := try(s, "CreateUHostInstance", create(s)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a cut connection", err)
	}
	r := ok(t, s, "DescribeUHostInstance", nil)
	if r.text("TotalCount") != "1" || r.text("UHostSet.0.Name") != "offbake-1" {
		t.Errorf("got %v, want the host that was made", r)
	}
}

// TestFaultHangs: neither a client that waits nor Close is held up for ever.
func TestFaultHangs(t *testing.T) {
	s := faulty(t, &park{}, "GetRegion=hang")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Ready().API+"?Action=GetRegion", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
	ended := make(chan error)
	go func() {
		_, err := http.Get(s.Ready().API + "?Action=GetRegion")
		ended <- err
	}()
	for deadline := time.Now().Add(patience); len(s.Calls()) < 2 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("got an answer from a sandbox that was closed")
	}
}

// TestFaultStuck: the state does not come however often one asks, and the host can still be got rid of.
func TestFaultStuck(t *testing.T) {
	s := faulty(t, &park{}, "CreateUHostInstance:1=stuck", "StopUHostInstance:1=stuck", "TerminateUHostInstance:1=stuck",
		"CreateCustomImage:2=stuck", "TerminateCustomImage:1=stuck", "CreateUHostInstance:2=stuck-disk")
	stays := func(action string, v values, path, want string) {
		t.Helper()
		for range 50 {
			if r := ok(t, s, action, v); r.text(path) != want {
				t.Fatalf("got %s %q, want %q", path, r.text(path), want)
			}
		}
	}
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	stays("DescribeUHostInstance", nil, "UHostSet.0.State", "Initializing")
	ok(t, s, "TerminateUHostInstance", values{"UHostId": id, "ReleaseEIP": "true"})
	stays("DescribeUHostInstance", nil, "TotalCount", "1")
	terminate(t, s, id)

	id = ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	hostIs(t, s, id, "Running")
	stays("DescribeUHostInstance", nil, "UHostSet.0.BootDiskState", "Initializing")
	ok(t, s, "StopUHostInstance", values{"UHostId": id})
	stays("DescribeUHostInstance", nil, "UHostSet.0.State", "Stopping")
	ok(t, s, "PoweroffUHostInstance", values{"UHostId": id})
	hostIs(t, s, id, "Stopped")
	if r := call(t, s, "CreateCustomImage", values{"UHostId": id, "ImageName": "x"}); r.code() != 8905 {
		t.Errorf("image of a boot disk that is not ready: got RetCode %d, want 8905", r.code())
	}
	terminate(t, s, id)

	id = stopped(t, s, create(s))
	image := values{"ImageId": ok(t, s, "CreateCustomImage", values{"UHostId": id, "ImageName": "x"}).text("ImageId")}
	stays("DescribeImage", image, "ImageSet.0.State", "Making")
	ok(t, s, "TerminateCustomImage", image)
	stays("DescribeImage", image, "TotalCount", "1")
	ok(t, s, "TerminateCustomImage", image)
	stays("DescribeImage", image, "TotalCount", "0")
	terminate(t, s, id)
	if len(s.Hosts())+len(s.Images())+len(s.EIPs()) != 0 {
		t.Errorf("left: %v %v %v", s.Hosts(), s.Images(), s.EIPs())
	}
}

func TestFaultInstallFail(t *testing.T) {
	p := &park{}
	s := faulty(t, p, "CreateUHostInstance=install-fail")
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	hostIs(t, s, id, "Initializing")
	hostIs(t, s, id, "Install Fail")
	if len(p.machines()) != 0 {
		t.Errorf("got machines %v of a host that was not installed", p.machines())
	}
	terminate(t, s, id)
	if len(s.Hosts())+len(s.EIPs()) != 0 {
		t.Errorf("left: %v %v", s.Hosts(), s.EIPs())
	}
}

func TestFaultUnavailable(t *testing.T) {
	s := faulty(t, &park{}, "CreateCustomImage:1=unavailable", "CopyCustomImage:2=unavailable")
	id := stopped(t, s, create(s))
	image := ok(t, s, "CreateCustomImage", values{"UHostId": id, "ImageName": "x"}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Unavailable")
	to := values{"SourceImageId": image, "TargetProjectId": s.Ready().Project, "TargetRegion": "hk"}
	if r := call(t, s, "CopyCustomImage", to); r.code() != 8961 {
		t.Errorf("copying it: got RetCode %d, want 8961", r.code())
	}
	ok(t, s, "TerminateCustomImage", values{"ImageId": image})
	image = ok(t, s, "CreateCustomImage", values{"UHostId": id, "ImageName": "x"}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Available")
	copied := ok(t, s, "CopyCustomImage", to.with("SourceImageId="+image)).text("TargetImageId")
	await(t, s, "DescribeImage", values{"ImageId": copied, "Region": "hk"}, "ImageSet.0.State", "Unavailable")
}

func TestCallsAreCounted(t *testing.T) {
	s := faulty(t, &park{}, "*:2=retcode:110", "GetRegion:3=retcode:150")
	var got []int
	for _, action := range []string{"GetRegion", "GetRegion", "GetProjectList", "GetRegion"} {
		got = append(got, call(t, s, action, nil).code())
	}
	if want := []int{0, 110, 0, 150}; !slices.Equal(got, want) {
		t.Errorf("got RetCodes %v, want %v", got, want)
	}
	want := []sandbox.Call{{N: 1, Action: "GetRegion", Nth: 1}, {N: 2, Action: "GetRegion", Nth: 2},
		{N: 3, Action: "GetProjectList", Nth: 1}, {N: 4, Action: "GetRegion", Nth: 3}}
	if d := cmp.Diff(want, s.Calls()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}
