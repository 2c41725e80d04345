package seal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	witnessBuffer  = 16 << 20 // bytes the kernel may hold for us
	witnessSnaplen = 2048     // bytes of a packet that we look at
)

// witness sees every packet that leaves a network, before anything can drop it, except those for Address. The kernel
// sorts, so a download through the gateway cannot fill its buffer.
type witness struct {
	file    *os.File
	raw     syscall.RawConn
	answers bool          // they count as attempts
	done    chan struct{} // closed when each has returned

	taking sync.Mutex // from a packet's receipt until what it tried is handed over
}

// openWitness begins to record what leaves network ns.
func openWitness(ns *os.File, watch view) (*witness, error) {
	filter, err := bpf.Assemble(watch.filter())
	if err != nil {
		return nil, fmt.Errorf("assembling packet filter: %w", err)
	}
	var fd int
	err = inNetwork(ns, func() (err error) {
		// Protocol 0 receives nothing: the filter stands before the first packet.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, fmt.Errorf("opening packet socket: %w", err)
	}
	if err := bindWitness(fd, filter); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening packet socket: %w", err)
	}
	w := &witness{file: os.NewFile(uintptr(fd), "witness"), answers: watch.isolated, done: make(chan struct{})}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.close()
		return nil, fmt.Errorf("opening packet socket: %w", err)
	}
	return w, nil
}

func bindWitness(fd int, filter []bpf.RawInstruction) error {
	program := make([]unix.SockFilter, len(filter))
	for i, in := range filter {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return os.NewSyscallError("attaching filter", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, witnessBuffer); err != nil {
		return os.NewSyscallError("setting buffer", err)
	}
	// No interface: all of them, also those that a command makes for itself.
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL)})
	return os.NewSyscallError("bind", err)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// each calls f for every attempt until f returns false, stop is called or the witness closed.
func (w *witness) each(f func(Attempt) bool) {
	defer close(w.done)
	buf := make([]byte, witnessSnaplen)
	for {
		more := true
		var recvErr error
		err := w.raw.Read(func(fd uintptr) bool {
			w.taking.Lock()
			defer w.taking.Unlock()
			var a Attempt
			var ok bool
			if a, ok, recvErr = w.receive(int(fd), buf); ok {
				more = f(a)
			}
			return !errors.Is(recvErr, unix.EAGAIN)
		})
		if err != nil || recvErr != nil || !more {
			return
		}
	}
}

// stop ends each and waits for it.
func (w *witness) stop() {
	w.file.SetReadDeadline(time.Unix(1, 0)) // a packet socket takes deadlines
	<-w.done
}

// drain returns what the kernel still holds. It fails when the kernel had to drop any packet since it was opened:
// then nobody can say what was tried. What each has taken before it has handed over.
func (w *witness) drain() (left []Attempt, err error) {
	w.taking.Lock()
	defer w.taking.Unlock()
	buf := make([]byte, witnessSnaplen)
	ctlErr := w.raw.Control(func(fd uintptr) {
		for {
			a, ok, recvErr := w.receive(int(fd), buf)
			if errors.Is(recvErr, unix.EAGAIN) {
				break
			}
			if recvErr != nil {
				err = fmt.Errorf("reading packet socket: %w", recvErr)
				return
			}
			if ok {
				left = append(left, a)
			}
		}
		stats, statErr := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		switch {
		case statErr != nil:
			err = os.NewSyscallError("reading packet statistics", statErr)
		case stats.Drops > 0:
			err = fmt.Errorf("reading packet socket: the kernel dropped %d packets", stats.Drops)
		}
	})
	return left, errors.Join(err, ctlErr)
}

func (w *witness) close() { w.file.Close() } // nothing was written

// receive takes one packet off the socket and says what attempt it is, if it is one.
func (w *witness) receive(fd int, buf []byte) (Attempt, bool, error) {
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENETDOWN): // an interface went; the socket goes on
			continue
		case err != nil:
			return Attempt{}, false, err
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			return Attempt{}, false, fmt.Errorf("reading packet socket: got an address of %T", from)
		}
		a, kind := readPacket(bigEndian(link.Protocol), link.Addr[:link.Halen], buf[:n])
		return a, kind == attempt || kind == answer && w.answers, nil
	}
}
