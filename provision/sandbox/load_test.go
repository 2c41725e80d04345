package sandbox_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/provision/sandbox"
)

// wait is await for goroutines, which must not end the test.
func wait(s *sandbox.Sandbox, action string, v values, path, want string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		r, err := try(s, action, v)
		if err != nil || r.code() != 0 {
			return fmt.Errorf("%s: %v, %v", action, r, err)
		}
		if r.text(path) == want {
			return nil
		}
	}
	return fmt.Errorf("%s: %s is not %q", action, path, want)
}

// bake is a whole life of a host.
func bake(s *sandbox.Sandbox, name string) error {
	do := func(action string, v values) reply {
		r, err := try(s, action, v)
		if err != nil {
			return reply{"RetCode": -1.0, "Message": err.Error()}
		}
		return r
	}
	made := do("CreateUHostInstance", create(s).with("Name="+name))
	host := values{"UHostId": made.text("UHostIds.0")}
	one := values{"UHostIds.0": made.text("UHostIds.0")}
	if err := wait(s, "DescribeUHostInstance", one, "UHostSet.0.BootDiskState", "Normal"); err != nil {
		return err
	}
	do("StopUHostInstance", host)
	if err := wait(s, "DescribeUHostInstance", one, "UHostSet.0.State", "Stopped"); err != nil {
		return err
	}
	image := do("CreateCustomImage", host.with("ImageName="+name))
	if err := wait(s, "DescribeImage", values{"ImageId": image.text("ImageId")}, "ImageSet.0.State", "Available"); err != nil {
		return err
	}
	if r := do("TerminateUHostInstance", host.with("ReleaseEIP=true")); r.code() != 0 {
		return fmt.Errorf("ending: %v", r)
	}
	return wait(s, "DescribeUHostInstance", one, "TotalCount", "0")
}

// TestManyAtOnce bakes side by side while others look on.
func TestManyAtOnce(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	const bakes = 6
	errs := make(chan error, bakes)
	for i := range bakes {
		go func() { errs <- bake(s, fmt.Sprintf("b%d", i)) }()
	}
	stop := make(chan struct{})
	var lookers sync.WaitGroup
	lookers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				s.Hosts()
				s.Images()
				s.EIPs()
				s.Calls()
				s.Ready()
			}
		}
	})
	for range bakes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	lookers.Wait()
	if len(s.Hosts())+len(s.EIPs())+len(p.machines()) != 0 || len(s.Images()) != bakes {
		t.Errorf("left: hosts %v, EIPs %v, machines %v, images %v", s.Hosts(), s.EIPs(), p.machines(), s.Images())
	}
	addresses := map[string]bool{}
	for _, c := range p.boots {
		addresses[c.Name] = true
	}
	if len(addresses) != bakes {
		t.Errorf("got %d machines of different names, want %d", len(addresses), bakes)
	}
}

// TestLogTellsNoSecrets reads the log of a bake, an import and of requests that are wrong.
func TestLogTellsNoSecrets(t *testing.T) {
	var log safeBuffer
	s := open(t, &park{}, sandbox.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	running(t, s, create(s).with("UserData=c2VjcmV0LXVzZXItZGF0YQ=="))
	link := put(t, s, "a.raw", raw(0x83))
	id := ok(t, s, "ImportCustomImage", values{"ImageName": "i", "OsType": "Other", "OsName": "Other", "Auth": "true", "Format": "VHD",
		"UFileUrl": link}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": id}, "ImageSet.0.State", "Unavailable")
	call(t, s, "Evil\n"+s.Ready().PublicKey, nil)
	text := log.String()
	for name, secret := range map[string]string{"private key": s.Ready().PrivateKey, "password": password,
		"password in base64": create(s)["Password"], "user data": "c2VjcmV0LXVzZXItZGF0YQ", "signed URL": "Signature=",
		"line of its own": "\nEvil"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log tells the %s:\n%s", name, text)
		}
	}
	if !strings.Contains(text, "action=") || !strings.Contains(text, "CreateUHostInstance") || !strings.Contains(text, "making image") {
		t.Errorf("the log tells no calls, or not why an image was not made:\n%s", text)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
