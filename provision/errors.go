package provision

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// ExitError is a command that ran on a host and failed. Host.Run returns it; Bake adds what the command printed.
type ExitError struct {
	Code int // exit status; 128 and the signal's number for a command that a signal ended
}

func (e *ExitError) Error() string { return "exit status " + strconv.Itoa(e.Code) }

// EgressError is a sealed command that tried to reach what the seal forbids. Host.Run leaves Script empty; Bake fills
// it in. Attempts has at least one element.
type EgressError struct {
	Script   string // recipe or path of the user's script, as the manifest has it
	Attempts []Attempt
}

func (e *EgressError) Error() string {
	tries := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		tries[i] = a.String()
	}
	who := "a command"
	if e.Script != "" {
		who = strconv.Quote(e.Script)
	}
	return fmt.Sprintf("%s tried to reach %s", who, strings.Join(tries, ", "))
}

// String is the attempt for people: `203.0.113.7 port 443 (tcp, "example.com")`.
func (a Attempt) String() string {
	s := a.Address
	if net.ParseIP(a.Address) == nil { // what a host prints is not trusted to be an address
		s = strconv.Quote(a.Address)
	}
	if a.Port != 0 {
		s += " port " + strconv.Itoa(a.Port)
	}
	s += " (" + a.Proto
	if a.Name != "" {
		s += ", " + strconv.Quote(a.Name)
	}
	return s + ")"
}
