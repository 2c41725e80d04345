package remote

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is one connection on which a login succeeded.
type link struct {
	wire *wire
	conn ssh.Conn
	done chan struct{} // closed when nothing comes over it any more
	err  error         // why; to be read after done

	// Of the Host, under its lock:
	commands int  // that run on it
	retired  bool // takes no more commands, and is closed after the last
}

// serve starts what a connection needs as long as it stands; wg counts it.
func (l *link) serve(wg *sync.WaitGroup, stall time.Duration, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
	wg.Go(func() { ssh.DiscardRequests(reqs) })
	wg.Go(func() {
		for c := range chans {
			c.Reject(ssh.Prohibited, "nothing is forwarded") //nolint:errcheck // the connection is broken then
		}
	})
	wg.Go(func() {
		l.err = l.conn.Wait()
		if reason := l.wire.reason(); reason != nil && !errors.Is(reason, net.ErrClosed) {
			l.err = reason // else it was closed for what Wait says, which is never nil
		}
		close(l.done)
	})
	wg.Go(func() { l.watch(wg, stall) })
}

// watch breaks the connection when nothing comes for that long although an answer was asked for: TCP alone would not
// notice for hours that the other end is gone. The request is OpenSSH's own; any answer to it will do, a refusal too.
func (l *link) watch(wg *sync.WaitGroup, stall time.Duration) {
	tick := time.NewTicker(max(stall/4, time.Millisecond))
	defer tick.Stop()
	asked := make(chan struct{}, 1) // holds one while a question is out
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		silent := l.wire.silent()
		if silent >= stall {
			l.wire.fail(fmt.Errorf("nothing came for %s", silent.Round(time.Millisecond)))
			return
		}
		if silent < stall/4 {
			continue
		}
		select {
		case asked <- struct{}{}:
			wg.Go(func() {
				l.conn.SendRequest("keepalive@openssh.com", true, nil) //nolint:errcheck // its bytes count, not its words
				<-asked
			})
		default:
		}
	}
}

// up reports whether the connection stands, as far as is known.
func (l *link) up() bool {
	select {
	case <-l.done:
		return false
	default:
		return l.wire.reason() == nil
	}
}

// fault is why the connection ended, nil where it stands. What ends all sessions on it is known a moment later than they end.
func (l *link) fault() error {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-l.done:
		return l.err
	case <-t.C:
		return l.wire.reason()
	}
}
