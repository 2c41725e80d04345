package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Call is one API request, as it was seen.
type Call struct {
	N      int    // from 1, over all calls
	Action string // as the client named it
	Nth    int    // from 1, over the calls of this action
}

// Fault is what goes wrong with a call; the zero value is nothing.
type Fault struct {
	Kind FaultKind
	Code int // the RetCode of FaultRetCode
}

// FaultKind is a way to go wrong.
type FaultKind string

// Ways to go wrong. The last four do to what the action starts what its name says; to other actions they do nothing.
const (
	FaultRetCode   FaultKind = "retcode"    // not done, answered with RetCode Fault.Code
	FaultHTTP503   FaultKind = "503"        // not done, answered with HTTP status 503
	FaultDrop      FaultKind = "drop"       // not done, connection cut
	FaultDropReply FaultKind = "drop-reply" // done, then connection cut
	FaultHang      FaultKind = "hang"       // not done, no answer until the client goes

	FaultStuck       FaultKind = "stuck"        // accepted, but the state that the action leads to never comes
	FaultStuckDisk   FaultKind = "stuck-disk"   // a host runs, and its boot disk is never Normal
	FaultInstallFail FaultKind = "install-fail" // a host ends up in Install Fail
	FaultUnavailable FaultKind = "unavailable"  // an image ends up Unavailable
)

// FaultKinds are all of them.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultRetCode, FaultHTTP503, FaultDrop, FaultDropReply, FaultHang,
		FaultStuck, FaultStuckDisk, FaultInstallFail, FaultUnavailable}
}

// Rule is a fault and the calls that it strikes.
type Rule struct {
	Action string // "*" for all
	Nth    int    // of that action, of all calls for "*"; 0 for each
	Fault  Fault
}

// ParseFault reads a rule as the command line has it: ACTION[:N]=KIND[:ARG], for example CreateUHostInstance:1=retcode:8095.
func ParseFault(text string) (Rule, error) {
	where, what, ok := strings.Cut(text, "=")
	if !ok {
		return Rule{}, fmt.Errorf("reading fault %q: want ACTION[:N]=KIND[:ARG]", text)
	}
	var r Rule
	var nth string
	r.Action, nth, ok = strings.Cut(where, ":")
	if ok {
		n, err := strconv.Atoi(nth)
		if err != nil || n < 1 {
			return Rule{}, fmt.Errorf("reading fault %q: got call %q, want a number from 1", text, nth)
		}
		r.Nth = n
	}
	if _, known := actions()[r.Action]; !known && r.Action != "*" {
		return Rule{}, fmt.Errorf("reading fault %q: the sandbox has no action %q", text, r.Action)
	}
	kind, arg, hasArg := strings.Cut(what, ":")
	r.Fault.Kind = FaultKind(kind)
	if !slices.Contains(FaultKinds(), r.Fault.Kind) {
		return Rule{}, fmt.Errorf("reading fault %q: got kind %q, want one of %v", text, kind, FaultKinds())
	}
	if hasArg != (r.Fault.Kind == FaultRetCode) {
		return Rule{}, fmt.Errorf("reading fault %q: %s:CODE has an argument, the others none", text, FaultRetCode)
	}
	if hasArg {
		code, err := strconv.Atoi(arg)
		if err != nil || code < 1 {
			return Rule{}, fmt.Errorf("reading fault %q: got RetCode %q, want a number from 1", text, arg)
		}
		r.Fault.Code = code
	}
	return r, nil
}

// Faults makes an Options.Fault of rules; the first that fits counts.
func Faults(rules ...Rule) func(Call) Fault {
	return func(c Call) Fault {
		for _, r := range rules {
			nth := c.Nth
			if r.Action == "*" {
				nth = c.N
			}
			if (r.Action == "*" || r.Action == c.Action) && (r.Nth == 0 || r.Nth == nth) {
				return r.Fault
			}
		}
		return Fault{}
	}
}
