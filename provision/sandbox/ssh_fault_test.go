package sandbox_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/offbake/offbake/provision/sandbox"
)

// errGaveUp is a client who has waited for long enough.
var errGaveUp = errors.New("gave up")

// exchange is what a builder does on a host: it logs in and runs two commands, within a time.
func (h host) exchange(within time.Duration) (err error) {
	conn, err := net.Dial("tcp", h.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	giveUp := time.AfterFunc(within, func() { conn.Close() })
	defer func() {
		if !giveUp.Stop() {
			err = errGaveUp
		}
	}()
	c, chans, reqs, err := gossh.NewClientConn(conn, h.address(), clientConfig())
	if err != nil {
		return err
	}
	client := gossh.NewClient(c, chans, reqs)
	defer client.Close()
	for _, command := range []string{"printf x; printf 1 >>did", "printf 2 >>did"} {
		s, err := client.NewSession()
		if err != nil {
			return err
		}
		if _, err := s.Output(command); err != nil {
			return err
		}
	}
	return nil
}

// TestSSHFaults fails every step of an exchange in every way. Each time the client learns of it, and can do it again.
func TestSSHFaults(t *testing.T) {
	var at, seen atomic.Int64
	var kind atomic.Value
	var what []string
	p := newProcess(t)
	h := start(t, sandbox.Options{Boot: p.boot, SSHFault: func(n int, step string) sandbox.SSHFault {
		if i := seen.Add(1); i == at.Load() {
			return kind.Load().(sandbox.SSHFault)
		}
		if at.Load() == 0 {
			what = append(what, step)
		}
		return ""
	}}, nil)
	kind.Store(sandbox.SSHFault(""))
	if err := h.exchange(patience); err != nil {
		t.Fatal(err)
	}
	steps := append([]string{}, what...)
	want := "connect|auth|channel|exec printf x; printf 1 >>did|channel|exec printf 2 >>did"
	if got := strings.Join(steps, "|"); got != want {
		t.Fatalf("steps: got %s, want %s", got, want)
	}
	faults := 0
	for i, step := range steps {
		for _, k := range []sandbox.SSHFault{
			sandbox.SSHRefuse, sandbox.SSHBanner, sandbox.SSHDrop, sandbox.SSHHang, sandbox.SSHLoseStatus,
		} {
			faults++
			kind.Store(k)
			seen.Store(0)
			at.Store(int64(i + 1))
			within := patience
			if k == sandbox.SSHHang {
				within = 300 * time.Millisecond
			}
			err := h.exchange(within)
			if err == nil || errors.Is(err, errGaveUp) != (k == sandbox.SSHHang) {
				t.Errorf("%s at %q: got %v, want an error, and to give up only when it hangs", k, step, err)
			}
			var missing *gossh.ExitMissingError
			if lost := k == sandbox.SSHLoseStatus && strings.HasPrefix(step, "exec"); lost && !errors.As(err, &missing) {
				t.Errorf("%s at %q: got %v, want that the status is missing", k, step, err)
			}
			at.Store(-1)
			if err := h.exchange(patience); err != nil {
				t.Fatalf("after %s at %q: %v", k, step, err)
			}
		}
	}
	t.Logf("%d faults", faults)
	if did := content(t, filepath.Join(p.root, "did")); strings.Count(did, "12") < faults {
		t.Errorf("commands that were run: got %q", did)
	}
}
