package guest

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
	captureBuffer  = 16 << 20 // bytes the kernel may hold for us
	captureSnaplen = 2048     // bytes of a packet that we look at
)

// capture sees every packet that leaves a network, before anything can drop it, except those for Address. The kernel
// sorts, so a download through the gateway cannot fill its buffer.
type capture struct {
	file *os.File
	raw  syscall.RawConn
	done chan struct{} // closed when each has returned

	taking sync.Mutex // from a packet's receipt until what it tried is handed over
}

// openCapture begins to record what leaves l. With resolvers it also records what goes to port 53 over lo: a resolver
// that listens on a loopback address forwards what it is asked.
func openCapture(l *link, resolvers bool) (*capture, error) {
	filter, err := bpf.Assemble(captureFilter(l.index, resolvers))
	if err != nil {
		return nil, fmt.Errorf("assembling capture filter: %w", err)
	}
	var fd int
	err = inNetwork(l.ns, func() (err error) {
		// Protocol 0 receives nothing: the filter stands before the first packet.
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, fmt.Errorf("opening capture: %w", err)
	}
	if err := bindCapture(fd, filter); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening capture: %w", err)
	}
	c := &capture{file: os.NewFile(uintptr(fd), "capture"), done: make(chan struct{})}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		closeFiles(c.file)
		return nil, fmt.Errorf("opening capture: %w", err)
	}
	return c, nil
}

func bindCapture(fd int, filter []bpf.RawInstruction) error {
	program := make([]unix.SockFilter, len(filter))
	for i, in := range filter {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return os.NewSyscallError("attaching filter", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
		return os.NewSyscallError("setting buffer", err)
	}
	// No interface: all of them, also those that a command makes for itself.
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL)})
	return os.NewSyscallError("bind", err)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// captureFilter passes outgoing packets on eth0 but those to Address, and with resolvers those to port 53 on lo. What
// leaves by another interface is passed where it is not loopback. Without resolvers a TCP segment to another port of
// Address passes only where it begins a connection: others answer one that Dial made. Offsets count from the network header (SOCK_DGRAM).
func captureFilter(eth0 int, resolvers bool) []bpf.Instruction {
	const pass, drop = "pass", "drop"
	a := Address()
	ip := a.Addr().As4()
	gateway := uint32(ip[0])<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
	onLoopback, onOtherPort := drop, "begins"
	if resolvers {
		onLoopback, onOtherPort = "lo", pass
	}
	return resolve([]step{
		{in: bpf.LoadExtension{Num: bpf.ExtType}},
		{cond: unix.PACKET_OUTGOING, no: drop},
		{in: bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}},
		{cond: loopbackIndex, yes: onLoopback},
		{cond: uint32(eth0), no: pass},
		{in: bpf.LoadExtension{Num: bpf.ExtProto}},
		{cond: unix.ETH_P_ARP, yes: drop},
		{cond: unix.ETH_P_IP, no: pass},
		{in: bpf.LoadAbsolute{Off: 16, Size: 4}},
		{cond: gateway, no: pass},
		{in: bpf.LoadAbsolute{Off: 9, Size: 1}},
		{cond: unix.IPPROTO_TCP, no: pass},
		{in: bpf.LoadAbsolute{Off: 6, Size: 2}},
		{mask: 0x1fff, yes: pass}, // a later fragment has no port
		{in: bpf.LoadMemShift{Off: 0}},
		{in: bpf.LoadIndirect{Off: 2, Size: 2}},
		{cond: uint32(a.Port()), yes: drop, no: onOtherPort},
		{label: "begins", in: bpf.LoadIndirect{Off: 13, Size: 1}}, // RFC 9293, 3.1: the flags
		{mask: 0x02, no: drop},
		{mask: 0x10, yes: drop, no: pass},

		{label: "lo", in: bpf.LoadExtension{Num: bpf.ExtProto}},
		{cond: unix.ETH_P_IPV6, yes: "lo6"},
		{cond: unix.ETH_P_IP, no: drop},
		{in: bpf.LoadAbsolute{Off: 6, Size: 2}},
		{mask: 0x1fff, yes: drop},
		{in: bpf.LoadAbsolute{Off: 9, Size: 1}},
		{cond: unix.IPPROTO_UDP, yes: "lo4 port"},
		{cond: unix.IPPROTO_TCP, no: drop},
		{label: "lo4 port", in: bpf.LoadMemShift{Off: 0}},
		{in: bpf.LoadIndirect{Off: 2, Size: 2}},
		{cond: dnsPort, yes: pass, no: drop},

		{label: "lo6", in: bpf.LoadAbsolute{Off: 6, Size: 1}},
		{cond: unix.IPPROTO_UDP, yes: "lo6 port"},
		{cond: unix.IPPROTO_TCP, no: drop},
		{label: "lo6 port", in: bpf.LoadAbsolute{Off: 42, Size: 2}},
		{cond: dnsPort, yes: pass, no: drop},

		{label: pass, in: bpf.RetConstant{Val: captureSnaplen}},
		{label: drop, in: bpf.RetConstant{Val: 0}},
	})
}

// step is one instruction of a filter with names instead of distances: a load or return, or a test of the accumulator
// for equality with cond or, where mask is set, for any bit of it. An empty yes or no goes on to the next step.
type step struct {
	label      string
	in         bpf.Instruction
	cond, mask uint32
	yes, no    string
}

func resolve(steps []step) []bpf.Instruction {
	at := map[string]int{}
	for i, s := range steps {
		if s.label != "" {
			at[s.label] = i
		}
	}
	program := make([]bpf.Instruction, len(steps))
	for i, s := range steps {
		skip := func(label string) uint8 {
			if label == "" {
				return 0
			}
			return uint8(at[label] - i - 1)
		}
		switch {
		case s.in != nil:
			program[i] = s.in
		case s.mask != 0:
			program[i] = bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: s.mask, SkipTrue: skip(s.yes), SkipFalse: skip(s.no)}
		default:
			program[i] = bpf.JumpIf{Cond: bpf.JumpEqual, Val: s.cond, SkipTrue: skip(s.yes), SkipFalse: skip(s.no)}
		}
	}
	return program
}

// each calls f for every attempt until f returns false, stop is called or the capture closed.
func (c *capture) each(f func(Attempt) bool) {
	defer close(c.done)
	buf := make([]byte, captureSnaplen)
	for {
		more := true
		var recvErr error
		err := c.raw.Read(func(fd uintptr) bool {
			c.taking.Lock()
			defer c.taking.Unlock()
			var a Attempt
			var ok bool
			if a, ok, recvErr = receive(int(fd), buf); ok {
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
func (c *capture) stop() {
	c.file.SetReadDeadline(time.Unix(1, 0)) // a packet socket takes deadlines
	<-c.done
}

// drain returns what the kernel still holds. It fails when the kernel had to drop any packet since the capture began:
// then nobody can say what was tried. What each has taken before it has handed over.
func (c *capture) drain() (left []Attempt, err error) {
	c.taking.Lock()
	defer c.taking.Unlock()
	buf := make([]byte, captureSnaplen)
	ctlErr := c.raw.Control(func(fd uintptr) {
		for {
			a, ok, recvErr := receive(int(fd), buf)
			if errors.Is(recvErr, unix.EAGAIN) {
				break
			}
			if recvErr != nil {
				err = fmt.Errorf("reading capture: %w", recvErr)
				return
			}
			if ok {
				left = append(left, a)
			}
		}
		stats, statErr := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
		switch {
		case statErr != nil:
			err = os.NewSyscallError("reading capture statistics", statErr)
		case stats.Drops > 0:
			err = fmt.Errorf("reading capture: the kernel dropped %d packets", stats.Drops)
		}
	})
	return left, errors.Join(err, ctlErr)
}

func (c *capture) close() { closeFiles(c.file) }

// receive takes one packet off the socket and says what attempt it is, if it is one.
func receive(fd int, buf []byte) (Attempt, bool, error) {
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
			return Attempt{}, false, fmt.Errorf("reading capture: got an address of %T", from)
		}
		a, ok := readPacket(bigEndian(link.Protocol), link.Addr[:link.Halen], buf[:n])
		return a, ok, nil
	}
}
