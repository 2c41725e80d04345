package solve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/rpm/solve"
)

// TestExplainRandom asks random repositories for what they cannot give. Whatever is told is a sentence of bounded length, the
// same every time, and what is said to be provided by nothing is not.
func TestExplainRandom(t *testing.T) {
	cases := uint64(100)
	if whole() {
		cases = 5000
	}
	told, lacking := 0, 0
	for seed := range cases {
		s := newGenerator(seed).scenario(8)
		for _, j := range s.Jobs {
			problems := unsolvable(t, s, j)
			if !slices.EqualFunc(problems, unsolvable(t, s, j), func(a, b solve.Problem) bool { return a.Text == b.Text }) {
				t.Errorf("seed %d:%s: told otherwise when asked again", seed, j)
			}
			for _, p := range problems {
				told++
				if what := badSentence(p); what != "" {
					t.Errorf("seed %d:%s: %s: %q", seed, j, what, p.Text)
				}
				if dep, found := strings.CutPrefix(p.Text, "nothing provides "+p.Dep+" needed by "); found && !strings.HasPrefix(p.Dep, "(") {
					lacking++
					if by := s.provider(p.Dep); by != "" {
						t.Errorf("seed %d:%s: %s has %s, needed by %s", seed, j, by, p.Dep, dep)
					}
				}
			}
		}
	}
	if told < int(cases)/2 || lacking < int(cases)/4 {
		t.Errorf("got %d problems, %d of them that something is missing; the test has lost its bite", told, lacking)
	}
}

// unsolvable is what is told of a job, nothing when it can be done.
func unsolvable(t *testing.T, s *scenario, j scenarioJob) []solve.Problem {
	t.Helper()
	o := solve.PoolOptions{Installed: s.Installed, Exclude: s.Exclude}
	for _, r := range s.Repos {
		o.Repos = append(o.Repos, &rpm.Repo{ID: r.ID, Priority: r.Priority, Packages: r.Packages})
	}
	_, err := solve.NewPool(o).Solve(solve.Job{Install: j.Install, Upgrade: j.Upgrade, Weak: j.Weak, Downgrade: len(j.Install) > 0})
	var e *solve.Error
	if !errors.As(err, &e) {
		if err != nil {
			t.Fatal(err)
		}
		return nil
	}
	if len(e.Problems) == 0 {
		t.Errorf("%s: an error without problems", j)
	}
	return e.Problems
}

// badSentence says what is wrong with the form of a problem's text.
func badSentence(p solve.Problem) string {
	switch {
	case p.Text == "" || strings.ContainsAny(p.Text, "\n\t"):
		return "no line"
	case len(p.Text) > 2000:
		return "a wall of text"
	case strings.Contains(p.Text, "excludes itself"):
		return "no reason"
	case strings.HasSuffix(p.Text, " "), strings.HasSuffix(p.Text, ";"), strings.Contains(p.Text, "  "), strings.Contains(p.Text, ", ;"),
		strings.Contains(p.Text, "but ;"), strings.Contains(p.Text, "()"):
		return "a gap"
	case p.Package == "":
		return "no package"
	}
	return ""
}

// provider is an installed or offered package that meets a plain dependency and is not excluded, "" for none.
func (s *scenario) provider(dep string) string {
	want := parseDep(dep)
	for _, p := range slices.Concat(s.Installed, s.offered()) {
		if slices.ContainsFunc(p.Provides, func(d rpm.Dep) bool { return d.Meets(want) }) || slices.Contains(p.Files, want.Name) {
			return p.NEVRA()
		}
	}
	return ""
}
