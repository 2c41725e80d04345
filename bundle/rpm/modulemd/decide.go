package modulemd

// decideJobs makes the streams that are asked for active, in order. It returns the level that came of it; one below that of the
// call says that the search begins again.
func (s *search) decideJobs(level int) int {
	first := level
	for i := 0; i < s.learned; i++ {
		c := &s.clauses[i]
		if c.origin != fromJob || c.off {
			continue
		}
		open := s.open(c)
		if len(open) == 0 {
			continue
		}
		before := level
		level = s.choose(level, s.pick(open))
		switch {
		case level > before:
		case level == before:
			i-- // something was learned: choose again
		case level < first:
			return level
		default:
			i = -1 // from the first job
		}
	}
	return level
}

// decideRequirements makes active what active builds require. Requirements that leave a choice are put off until all others
// are met.
func (s *search) decideRequirements(level int) int {
	first := level
	putOff := 0 // the first clause that was put off; -1 when nothing is any more. Counted from 1
	for i, quiet := 0, 0; ; i, quiet = i+1, quiet+1 {
		if quiet >= len(s.clauses) {
			if putOff <= 0 {
				return level
			}
			i, quiet, putOff = putOff-1, 0, -1
		}
		if i >= len(s.clauses) {
			i = 0
		}
		c := &s.clauses[i]
		if c.off || len(c.lits) < 2 {
			continue
		}
		open := s.open(c)
		if len(open) < 2 {
			continue
		}
		if putOff >= 0 && len(s.newest(open)) > 1 {
			if putOff == 0 {
				putOff = i + 1
			}
			continue
		}
		if level = s.choose(level, s.pick(open)); level < first {
			return level
		}
		quiet = -1 // something changed: look at all again
	}
}

// open are the builds of which one must become active for a clause to hold; none when it holds already.
func (s *search) open(c *clause) []int {
	var open []int
	for _, l := range c.lits {
		switch {
		case l < 0 && s.level[-l] <= 0, l > 0 && s.level[l] > 0:
			return nil
		case l > 0 && s.level[l] == 0:
			open = append(open, int(l))
		}
	}
	return open
}

// pick is the best of several builds: of the newest the first by key.
func (s *search) pick(open []int) literal { return literal(s.newest(open)[0]) }
