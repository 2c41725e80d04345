package sandbox_test

import (
	"errors"
	"testing"

	"github.com/offbake/offbake/provision/sandbox"
)

func states(r reply) [2]string {
	return [2]string{r.text("UHostSet.0.State"), r.text("UHostSet.0.BootDiskState")}
}

// TestStatesAreSeen counts how often each state is told.
func TestStatesAreSeen(t *testing.T) {
	for polls, want := range map[int]int{0: 1, 3: 3} {
		s := open(t, &park{}, sandbox.Options{Polls: polls})
		id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
		seen := map[[2]string]int{}
		for i := 0; seen[[2]string{"Running", "Normal"}] == 0; i++ {
			seen[states(ok(t, s, "DescribeUHostInstance", values{"UHostIds.0": id}))]++
			if i > 1e5 {
				t.Fatalf("Polls %d: got states %v, want one that lasts", polls, seen)
			}
		}
		if first := seen[[2]string{"Initializing", "Initializing"}]; first < want {
			t.Errorf("Polls %d: got Initializing %d times, want %d at least", polls, first, want)
		}
		if second := seen[[2]string{"Running", "Initializing"}]; second != want {
			t.Errorf("Polls %d: got a boot disk that is not ready %d times, want %d", polls, second, want)
		}
		if len(seen) != 3 {
			t.Errorf("Polls %d: got states %v, want three", polls, seen)
		}
	}
}

func TestStatesComeAtOnce(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{Polls: -1})
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	if r := hostIs(t, s, id, "Running"); states(r)[1] != "Normal" {
		t.Errorf("got a running host whose boot disk is %s, want Normal", states(r)[1])
	}
	ok(t, s, "StopUHostInstance", values{"UHostId": id})
	hostIs(t, s, id, "Stopped")
	terminate(t, s, id)
}

// TestStatesWaitForWork holds a boot up.
func TestStatesWaitForWork(t *testing.T) {
	p := &park{gate: make(chan struct{})}
	s := open(t, p, sandbox.Options{Polls: -1})
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	for range 20 {
		if got := states(ok(t, s, "DescribeUHostInstance", values{"UHostIds.0": id})); got[0] != "Initializing" {
			t.Fatalf("got %v while the machine starts", got)
		}
	}
	close(p.gate)
	hostIs(t, s, id, "Running")
}

// TestTerminateDuringBoot ends a host whose machine is being started: the boot is given up.
func TestTerminateDuringBoot(t *testing.T) {
	p := &park{gate: make(chan struct{})}
	s := open(t, p, sandbox.Options{})
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	hostIs(t, s, id, "Initializing")
	terminate(t, s, id)
	if len(s.Hosts())+len(s.EIPs())+len(p.machines()) != 0 {
		t.Errorf("left: hosts %v, EIPs %v, machines %v", s.Hosts(), s.EIPs(), p.machines())
	}
}

func TestBootThatFails(t *testing.T) {
	s := open(t, &park{broken: errors.New("no such kernel")}, sandbox.Options{})
	id := ok(t, s, "CreateUHostInstance", create(s)).text("UHostIds.0")
	hostIs(t, s, id, "Install Fail")
	for action, want := range map[string]int{"StopUHostInstance": 8905, "StartUHostInstance": 8905, "PoweroffUHostInstance": 8905} {
		if r := call(t, s, action, values{"UHostId": id}); r.code() != want {
			t.Errorf("%s: got RetCode %d, want %d", action, r.code(), want)
		}
	}
	terminate(t, s, id)
}

// TestPowerRules tries every action on a host in every state that lasts.
func TestPowerRules(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{Polls: 2}) // a state that was seen once stays
	id := running(t, s, create(s))
	host := values{"UHostId": id}
	image := values{"UHostId": id, "ImageName": "x"}
	refused := func(action string, v values, want int) {
		t.Helper()
		if r := call(t, s, action, v); r.code() != want {
			t.Errorf("%s: got RetCode %d, want %d", action, r.code(), want)
		}
	}
	refused("StartUHostInstance", host, 8905)
	refused("TerminateUHostInstance", host, 8856)
	made := ok(t, s, "CreateCustomImage", image).text("ImageId") // of a running host, too
	refused("CreateCustomImage", image, 8905)
	await(t, s, "DescribeImage", values{"ImageId": made}, "ImageSet.0.State", "Available")
	refused("StopUHostInstance", values{"UHostId": "uhost-none"}, 8039)
	refused("StopUHostInstance", nil, 230)
	refused("StopUHostInstance", host.with("ProjectId=org-sandbox2"), 8039)
	refused("StopUHostInstance", host.with("Region=hk"), 8039)
	ok(t, s, "RebootUHostInstance", host)
	hostIs(t, s, id, "Rebooting")
	refused("RebootUHostInstance", host, 8905)
	hostIs(t, s, id, "Running")
	ok(t, s, "StopUHostInstance", host)
	refused("TerminateUHostInstance", host, 8856)
	hostIs(t, s, id, "Stopped")
	for _, up := range p.machines() {
		if up {
			t.Error("the machine of a stopped host runs")
		}
	}
	refused("StopUHostInstance", host, 8905)
	refused("RebootUHostInstance", host, 8905)
	ok(t, s, "StartUHostInstance", host)
	hostIs(t, s, id, "Running")
	ok(t, s, "PoweroffUHostInstance", host)
	hostIs(t, s, id, "Stopped")
	ok(t, s, "TerminateUHostInstance", host)
	refused("TerminateUHostInstance", host, 8039)
	refused("StartUHostInstance", host, 8039)
	await(t, s, "DescribeUHostInstance", values{}, "TotalCount", "0")
	if len(p.machines()) != 0 {
		t.Errorf("machines of a host that is gone: %v", p.machines())
	}
}

// TestEIPs has one that outlives its host.
func TestEIPs(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	id := stopped(t, s, create(s))
	r := ok(t, s, "DescribeEIP", nil)
	eip := r.text("EIPSet.0.EIPId")
	if r.text("TotalCount") != "1" || r.text("EIPSet.0.Resource.ResourceID") != id || r.text("EIPSet.0.Status") != "used" {
		t.Errorf("got %v, want the EIP of %s", r, id)
	}
	if one := s.EIPs(); len(one) != 1 || one[0].Host != id || one[0].IP != s.Hosts()[0].EIP {
		t.Errorf("got EIPs %+v, want that of host %+v", one, s.Hosts()[0])
	}
	if r := call(t, s, "ReleaseEIP", values{"EIPId": eip}); r.code() != 230 {
		t.Errorf("releasing an EIP that is in use: got RetCode %d, want 230", r.code())
	}
	ok(t, s, "TerminateUHostInstance", values{"UHostId": id, "ReleaseEIP": "false"})
	if r := ok(t, s, "DescribeEIP", nil); r.text("UnbindCount") != "1" || r.text("EIPSet.0.Status") != "free" {
		t.Errorf("got %v, want an EIP that is left", r)
	}
	ok(t, s, "ReleaseEIP", values{"EIPId": eip})
	if r := call(t, s, "ReleaseEIP", values{"EIPId": eip}); r.code() != 54002 || len(s.EIPs()) != 0 {
		t.Errorf("releasing twice: got RetCode %d and EIPs %v, want 54002 and none", r.code(), s.EIPs())
	}
}

func TestHostFilters(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	ids := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		v := create(s).with("Name="+name, "Tag="+name)
		ids[name] = ok(t, s, "CreateUHostInstance", v).text("UHostIds.0")
	}
	for name, c := range map[string]struct {
		v    values
		want string
	}{
		"all":     {nil, "3"},
		"tag":     {values{"Tag": "b"}, "1"},
		"no tag":  {values{"Tag": "d"}, "0"},
		"ids":     {values{"UHostIds.0": ids["a"], "UHostIds.1": ids["c"]}, "2"},
		"no id":   {values{"UHostIds.0": "uhost-none"}, "0"},
		"vpc":     {values{"VPCId": "uvnet-hk"}, "0"},
		"subnet":  {values{"SubnetId": s.Ready().Subnet}, "3"},
		"zone":    {values{"Zone": "cn-bj2-05"}, "0"},
		"region":  {values{"Region": "hk"}, "0"},
		"project": {values{"ProjectId": "org-sandbox2"}, "0"},
	} {
		if r := ok(t, s, "DescribeUHostInstance", c.v); r.text("TotalCount") != c.want {
			t.Errorf("%s: got %s hosts, want %s", name, r.text("TotalCount"), c.want)
		}
	}
	r := ok(t, s, "DescribeUHostInstance", values{"Limit": "1", "Offset": "1"})
	if r.text("TotalCount") != "3" || r.text("UHostSet.0.Name") != "b" || r.text("UHostSet.1.Name") != "" {
		t.Errorf("a page of one: got %v, want host b", r)
	}
	if r := call(t, s, "DescribeUHostInstance", values{"Limit": "101"}); r.code() != 230 {
		t.Errorf("a page of 101: got RetCode %d, want 230", r.code())
	}
}
