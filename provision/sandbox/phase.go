package sandbox

// phase is a state and what it waits for to become the next one: for the work behind it, and for having been seen.
type phase struct {
	state string
	next  string // "" : it stays
	busy  bool   // the work goes on
	stuck bool   // by a fault: the next never comes
	seen  int    // in how many answers
}

// advance takes the next state when it is time.
func (p *phase) advance(polls int) {
	if p.next != "" && !p.busy && !p.stuck && p.seen >= polls {
		*p = phase{state: p.next}
	}
}
