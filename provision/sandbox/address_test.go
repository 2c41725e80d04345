package sandbox_test

import (
	"net"
	"testing"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestAddresses: hosts of all sandboxes on a machine have addresses of their own, and none that somebody else has.
func TestAddresses(t *testing.T) {
	const taken = "127.213.0.1" // where a new sandbox begins to look
	if l, err := net.Listen("tcp4", taken+":22"); err == nil {
		defer l.Close()
	} // else another sandbox has it
	seen := map[string]bool{taken: true, "": true}
	one := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	other := start(t, sandbox.Options{Boot: newProcess(t).boot}, nil)
	for _, h := range []host{one, other, hostIn(t, one.s, nil)} {
		for _, ip := range []string{h.inner, h.public} {
			if seen[ip] {
				t.Errorf("host %s: got address %q, which is another's", h.id, ip)
			}
			seen[ip] = true
		}
		h.dial(t).Close()
	}
	// A host without an EIP has one address, and what was given back does not come again at once.
	ok(t, one.s, "StopUHostInstance", values{"UHostId": one.id})
	hostIs(t, one.s, one.id, "Stopped")
	terminate(t, one.s, one.id)
	id := running(t, one.s, create(one.s).with("NetworkInterface.0.EIP.Bandwidth=", "NetworkInterface.0.EIP.PayMode=",
		"NetworkInterface.0.EIP.OperatorName="))
	r := ok(t, one.s, "DescribeUHostInstance", values{"UHostIds.0": id})
	if ip := r.text("UHostSet.0.IPSet.0.IP"); seen[ip] || r.text("UHostSet.0.IPSet.1.IP") != "" {
		t.Errorf("without an EIP: got %v, want one new address", r.text("UHostSet.0.IPSet"))
	}
}
