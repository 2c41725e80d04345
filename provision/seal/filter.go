package seal

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// view is what a witness is to see of a network.
type view struct {
	// index is that of the interface behind which Address is.
	index int
	// isolated is for the network of one command: what goes to port 53 over lo is seen as well, for a resolver that listens
	// on a loopback address forwards what it is asked; and every segment that goes to another port of Address, not only
	// those that begin a connection, for nobody begins one from there.
	isolated bool
	// replies, where valid, are passed over: what leaves by another interface to this address from this TCP port.
	replies netip.AddrPort
}

const pass, drop = "pass", "drop"

// filter passes outgoing packets as view says. What leaves by another interface is passed where it is not loopback.
// Offsets count from the network header (SOCK_DGRAM).
func (v view) filter() []bpf.Instruction {
	a := Address()
	onLoopback, onOtherPort, elsewhere := drop, "begins", pass
	if v.isolated {
		onLoopback, onOtherPort = "lo", pass
	}
	if v.replies.IsValid() {
		elsewhere = "elsewhere"
	}
	steps := []step{
		{in: bpf.LoadExtension{Num: bpf.ExtType}},
		{cond: unix.PACKET_OUTGOING, no: drop},
		{in: bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}},
		{cond: loopbackIndex, yes: onLoopback},
		{cond: uint32(v.index), no: elsewhere},
		{in: bpf.LoadExtension{Num: bpf.ExtProto}},
		{cond: unix.ETH_P_ARP, yes: drop},
		{cond: unix.ETH_P_IP, no: pass},
		{in: bpf.LoadAbsolute{Off: 16, Size: 4}},
		{cond: words(a.Addr())[0], no: pass},
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
	}
	steps = append(steps, toLoopbackResolver()...)
	if v.replies.IsValid() {
		steps = append(steps, asReply(v.replies)...)
	}
	return resolve(append(steps,
		step{label: pass, in: bpf.RetConstant{Val: witnessSnaplen}},
		step{label: drop, in: bpf.RetConstant{Val: 0}},
	))
}

// toLoopbackResolver, from "lo" on, passes what goes to port 53.
func toLoopbackResolver() []step {
	return []step{
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
	}
}

// asReply, from "elsewhere" on, drops TCP segments to an address from a port.
func asReply(to netip.AddrPort) []step {
	steps := []step{{label: "elsewhere", in: bpf.LoadExtension{Num: bpf.ExtProto}}}
	if to.Addr().Is4() {
		return append(steps,
			step{cond: unix.ETH_P_IP, no: pass},
			step{in: bpf.LoadAbsolute{Off: 16, Size: 4}},
			step{cond: words(to.Addr())[0], no: pass},
			step{in: bpf.LoadAbsolute{Off: 9, Size: 1}},
			step{cond: unix.IPPROTO_TCP, no: pass},
			step{in: bpf.LoadAbsolute{Off: 6, Size: 2}},
			step{mask: 0x1fff, yes: pass},
			step{in: bpf.LoadMemShift{Off: 0}},
			step{in: bpf.LoadIndirect{Off: 0, Size: 2}},
			step{cond: uint32(to.Port()), yes: drop, no: pass},
		)
	}
	steps = append(steps,
		step{cond: unix.ETH_P_IPV6, no: pass},
		step{in: bpf.LoadAbsolute{Off: 6, Size: 1}},
		step{cond: unix.IPPROTO_TCP, no: pass},
	)
	for i, word := range words(to.Addr()) {
		steps = append(steps,
			step{in: bpf.LoadAbsolute{Off: uint32(24 + 4*i), Size: 4}},
			step{cond: word, no: pass},
		)
	}
	return append(steps,
		step{in: bpf.LoadAbsolute{Off: 40, Size: 2}},
		step{cond: uint32(to.Port()), yes: drop, no: pass},
	)
}

// words are the address as a filter loads it.
func words(a netip.Addr) (w []uint32) {
	for raw := a.AsSlice(); len(raw) > 0; raw = raw[4:] {
		w = append(w, binary.BigEndian.Uint32(raw))
	}
	return w
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
