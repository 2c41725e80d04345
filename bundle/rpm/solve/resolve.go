package solve

import "slices"

// fork is a choice that was made between several packages.
type fork struct {
	options []pid // with a minus those that were tried
	because int32 // the rule that left the choice, 0 where a weak dependency did
	wish    wish
	level   int32 // before the choice
}

// take chooses one of several packages for the sake of a rule and goes on from there.
func (s *solver) take(level int32, options []pid, because int32) int32 {
	if len(options) > 1 {
		options = s.choose(options, choosing)
	}
	if len(options) > 1 && s.future {
		options = s.orderForFuture(level, options)
	}
	if len(options) > 1 {
		s.fork(level, options, because, wish{})
	}
	return s.decide(level, options[0], because)
}

func (s *solver) fork(level int32, options []pid, because int32, w wish) {
	f := fork{options: slices.Clone(options), because: because, wish: w, level: level}
	f.options[0] = -f.options[0]
	s.forks = append(s.forks, f)
}

// orderForFuture puts packages first that installed ones will want, or that will supplement these: while the job is
// decided nothing is said yet of installed packages.
func (s *solver) orderForFuture(level int32, options []pid) []pid {
	n := len(s.queue)
	var guessed []pid
	for i := pid(1); i <= s.host; i++ {
		if s.noUpdate[i] || s.decided[i] != 0 {
			continue
		}
		if len(s.pkgs[i].Recommends)+len(s.pkgs[i].Suggests) > 0 {
			s.queue = append(s.queue, i)
			s.why = append(s.why, 0)
		}
		s.decided[i] = level + 1
		guessed = append(guessed, i)
	}
	if len(guessed) == 0 {
		return options
	}
	s.wish()
	split := func(good func(pid) bool) {
		slices.SortStableFunc(options, func(a, b pid) int { return indicator(!good(a)) - indicator(!good(b)) })
	}
	split(func(q pid) bool { return s.installed(q) || s.wishes.suggested[q] || s.enhances(q) })
	split(func(q pid) bool { return s.installed(q) || s.wishes.recommended[q] || s.supplements(q) })
	for _, i := range guessed {
		s.decided[i] = 0
	}
	if len(s.queue) > n {
		s.queue, s.why = s.queue[:n], s.why[:n]
		s.wishes.stale = true
	}
	return options
}

func indicator(b bool) int {
	if b {
		return 1
	}
	return 0
}

// resolveJobs takes a package for each thing that was asked for.
func (s *solver) resolveJobs(level int32) int32 {
	base := level
	for i := s.jobs.from; i < s.jobs.to; i++ {
		r := &s.rules[i]
		if r.off {
			continue
		}
		open := s.undecided(r, s.candidates)
		if len(open) == 0 {
			continue
		}
		if len(open) > 1 && s.host > 0 {
			open = s.preferInstalled(open)
		}
		before := level
		level = s.take(level, open, i)
		switch {
		case level > before:
		case level == before:
			i--
		case level < base:
			return level
		default:
			i = s.jobs.from - 1
		}
	}
	return level
}

// preferInstalled keeps the installed packages of a list, if there are any and none of them is to be updated.
func (s *solver) preferInstalled(list []pid) []pid {
	if !slices.ContainsFunc(list, s.installed) {
		return list
	}
	if slices.ContainsFunc(list, func(q pid) bool { return s.installed(q) && marked(s.renew, q) }) {
		return list
	}
	return keep(list, s.installed)
}

// outcome is what became of a decision.
type outcome uint8

const (
	advanced outcome = iota
	retry            // a rule was learnt instead
	redo             // earlier decisions were taken back, too
)

func compareLevels(before, after int32) outcome {
	switch {
	case after > before:
		return advanced
	case after == before:
		return retry
	}
	return redo
}

// resolveInstalled decides what becomes of installed packages: those to be updated first, all others stay if they can.
func (s *solver) resolveInstalled(level int32) int32 {
	base := level
	at := max(s.hostAt, 1)
	first := 1
	if s.renew != nil {
		first = 0
	}
	for pass := first; pass < 2; {
		var through bool
		if level, at, through = s.installedPass(level, at, pass); through {
			at = 1
			pass++
			continue
		}
		s.hostAt = at // go on with the package that made trouble
		if level < base {
			return level
		}
		pass = first
	}
	s.hostAt = at
	return level
}

// installedPass goes once over all installed packages, beginning with at. It stops when decisions from before are lost.
func (s *solver) installedPass(level int32, at pid, pass int) (_ int32, _ pid, through bool) {
	base := level
	for n := pid(0); n < s.host; n, at = n+1, at+1 {
		if at > s.host {
			at = 1
		}
		if s.decided[at] > 0 && s.special[at] == nil || pass == 0 && !marked(s.renew, at) {
			continue
		}
		var how outcome
		if level, how = s.resolveOne(level, at); how == advanced {
			continue
		}
		if level < base {
			return level, at, false
		}
		if how == redo {
			n = 0
		}
		n, at = n-1, at-1
	}
	return level, at, true
}

// resolveOne updates an installed package if that is called for, and keeps it otherwise.
func (s *solver) resolveOne(level int32, i pid) (int32, outcome) {
	number := s.update.from + i - 1
	if r := &s.rules[number]; r.p == 0 || r.off {
		number = s.feature.from + i - 1
	}
	if s.rules[number].p == 0 {
		number = s.update.from + i - 1
	}
	if s.rules[number].p == 0 {
		return level, advanced
	}
	var options []pid
	if !s.noUpdate[i] && (s.decided[i] < 0 || marked(s.renew, i)) {
		if s.special[i] != nil {
			if options = s.specialOptions(i); options != nil {
				number = s.feature.from + i - 1
				if s.rules[number].p == 0 {
					number = s.update.from + i - 1
				}
			}
		} else {
			options = s.updateOptions(&s.rules[number])
		}
	}
	options = s.aimed(i, options)
	if len(options) > 0 {
		before := level
		level = s.take(level, options, number)
		if how := compareLevels(before, level); how != advanced {
			return level, how
		}
	}
	if s.decided[i] == 0 {
		before := level
		level = s.decide(level, i, s.update.from+i-1)
		return level, compareLevels(before, level)
	}
	return level, advanced
}

// updateOptions are the packages of an update rule that are still open, none when one of them is there.
func (s *solver) updateOptions(r *rule) []pid {
	options := s.candidates[:0]
	if !r.each(func(l lit) bool {
		if s.decided[l] == 0 {
			options = append(options, l)
		}
		return s.decided[l] <= 0
	}) {
		return nil
	}
	return options
}

// aimed keeps those that Job.Upgrade means for an installed package, if it means any.
func (s *solver) aimed(i pid, options []pid) []pid {
	targets := s.targets[i]
	if len(options) == 0 || targets == nil {
		return options
	}
	return keep(options, func(q pid) bool { return slices.Contains(targets, q) })
}

// specialOptions is the one package that is to come for an installed installonly package that is to be updated, nil for
// none: the best of all, were they not installonly.
func (s *solver) specialOptions(i pid) []pid {
	var options []pid
	if s.decided[i] >= 0 {
		options = append(options, i)
	}
	for _, q := range s.special[i] {
		if s.decided[q] >= 0 {
			options = append(options, q)
		}
	}
	for _, q := range slices.Clone(options) {
		if !s.installed(q) {
			continue
		}
		for _, o := range s.special[i] {
			if s.decided[o] < 0 && !s.installed(o) && s.identical(o, q) {
				options = append(options, o)
			}
		}
	}
	if options = s.aimed(i, options); len(options) == 0 {
		return nil
	}
	best := s.choose(options, choosing)[0]
	if best == i || s.decided[best] != 0 {
		return nil
	}
	return []pid{best}
}

// resolveDependencies goes over all rules until each is kept. Where several packages would do, it first looks for rules
// that leave less choice.
func (s *solver) resolveDependencies(level int32) int32 {
	base := level
	postponed := int32(0) // the first rule that leaves a choice; -1 when it is time to choose
	for i, n := int32(1), int32(1); ; i, n = i+1, n+1 {
		count := int32(len(s.rules))
		if n >= count {
			if postponed <= 0 {
				return level
			}
			i, n, postponed = postponed, 1, -1
		}
		if i == count {
			i = 1
		}
		open := s.choice(&s.rules[i])
		if len(open) == 0 {
			continue
		}
		if postponed >= 0 {
			if open = s.choose(open, narrowing); len(open) > 1 {
				if postponed == 0 {
					postponed = i
				}
				continue
			}
		}
		if level = s.take(level, open, i); level < base {
			return level
		}
		n = 0
	}
}

// choice are the packages that could make a rule hold, of which no other rule says anything yet; none when it holds.
func (s *solver) choice(r *rule) []pid {
	if r.off || r.p == 0 || r.p < 0 && (r.rest == nil || s.decided[-r.p] <= 0) {
		return nil // a rule of two that is about a package that is there has forced the other
	}
	if r.rest == nil {
		if r.q <= 0 || s.decided[r.p] != 0 || s.decided[r.q] != 0 {
			return nil
		}
		return append(s.candidates[:0], r.p, r.q)
	}
	return s.undecided(r, s.candidates)
}

// resolveOrphaned keeps installed packages that nothing could take the place of, as far as that goes.
func (s *solver) resolveOrphaned(level int32) (_ int32, again bool) {
	for _, i := range s.orphaned {
		if s.decided[i] != 0 {
			continue
		}
		before := level
		again = true
		if level = s.decide(level, i, 0); level < before {
			return level, true
		}
	}
	if again {
		return level, true
	}
	return level, false
}

// minimize looks for a choice that turned out needless: an option that came anyway by another way, or one that something
// recommends where the one that was taken is not. It goes back to the first of these.
func (s *solver) minimize(level int32) (_ int32, again bool) {
	if len(s.forks) == 0 {
		return level, false
	}
	s.wish()
	at, option := -1, 0
	for k := len(s.forks) - 1; k >= 0; k-- {
		if o, found := s.betterOption(&s.forks[k]); found {
			at, option = k, o
		}
	}
	if at < 0 {
		return level, false
	}
	f := s.forks[at]
	q := f.options[option]
	f.options[option] = -q
	s.revert(f.level)
	s.forks = append(s.forks[:at], f) // revert has dropped it
	if f.because == 0 {
		s.noteWeak(q, f.wish)
	}
	return s.decide(f.level, q, f.because), true
}

func (s *solver) betterOption(f *fork) (int, bool) {
	wanted := func(q pid) bool { return s.wishes.recommended[q] || s.supplements(q) }
	lead := -1
	for i, q := range f.options {
		switch {
		case q <= 0:
		case s.decided[q] > f.level:
			return i, true
		case lead < 0 && wanted(q):
			lead = i
		}
	}
	if lead < 0 {
		return 0, false
	}
	for _, q := range f.options {
		if q < 0 && s.decided[-q] == f.level+1 && !wanted(-q) {
			return lead, true
		}
	}
	return 0, false
}
