package sandbox

// Call is one API request, as it was seen.
type Call struct {
	N      int    // from 1, over all calls
	Action string // as the client named it
	Nth    int    // from 1, over the calls of this action
}

// Fault is what goes wrong with a call; the zero value is nothing.
type Fault struct {
	Kind FaultKind
	Code int // RetCode of FaultRetCode
}

// FaultKind is a way to go wrong.
type FaultKind string
