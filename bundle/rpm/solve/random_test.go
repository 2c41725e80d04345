package solve_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	seedFlag        = flag.Uint64("seed", 0, "first seed of the random repositories; 0 draws one")
	casesFlag       = flag.Int("cases", 0, "number of random repositories; 0 means what CI runs")
	jobsFlag        = flag.Int("jobs", 8, "jobs in each random repository")
	foundFlag       = flag.String("found", "", "folder in which differences are left, each made small")
	differencesFlag = flag.Bool("differences", false, "make differences in choice small, too, not only failures")
)

// tally counts what came of random jobs.
type tally struct {
	jobs, solved, same, trips int
	kinds                     map[string]int
}

// finding is one job whose answer is not as it must be.
type finding struct {
	kind         string // "error", "solvable", "missing", "invalid", "locked", "choice", "dnf wrong"
	ours, theirs solution
	detail       string
}

// judge compares both answers to the job of a world; nil when there is nothing to tell.
func (w *world) judge(o *oracle, j scenarioJob, theirs solution, trip bool) (*finding, error) {
	ours, err := solveJob(w.pool, j)
	f := &finding{ours: ours, theirs: theirs}
	switch {
	case err != nil:
		f.kind, f.detail = "error", err.Error()
		return f, nil
	case theirs.solved() && !theirs.same(ours) && w.checkTheirs(theirs) != "":
		// Libsolv fails rarely, with weak dependencies of packages in several versions.
		f.kind, f.detail = "dnf wrong", w.checkTheirs(theirs)
		return f, nil
	case ours.solved() != theirs.solved():
		f.kind = "solvable"
		return f, nil
	case !ours.solved():
		if ours.missing == theirs.missing {
			return nil, nil
		}
		f.kind = "missing"
		return f, nil
	}
	if f.detail = w.check(ours.transaction); f.detail != "" {
		f.kind = "invalid"
		return f, nil
	}
	if trip {
		alone, locked, exact, err := w.onLocked(o, j)
		if err != nil {
			return nil, err
		}
		if !exact {
			f.kind, f.detail = "locked", fmt.Sprintf("locked: %v\ndnf on it: %v", locked, alone)
			return f, nil
		}
	}
	if !ours.same(theirs) {
		f.kind = "choice"
		return f, nil
	}
	return nil, nil
}

// hard says whether a kind of finding fails a test.
func hard(kind string) bool { return kind != "choice" && kind != "dnf wrong" }

// TestRandom lets dnf and our solver do the same jobs in random worlds. It prints its seed; -seed repeats it.
func TestRandom(t *testing.T) {
	seed, cases := *seedFlag, *casesFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 40)
	}
	if cases == 0 {
		cases = 400
	}
	o, dir := startOracle(t), t.TempDir()
	sum := tally{kinds: map[string]int{}}
	start := time.Now()
	for n := range uint64(cases) {
		if err := runSeed(t, o, filepath.Join(dir, fmt.Sprint(n)), seed+n, &sum); err != nil {
			t.Fatalf("seed %d: %v", seed+n, err)
		}
	}
	t.Logf("seeds %d to %d (-seed %d -cases %d): %d jobs in %v, %d solved by both, %d the same choice (%.2f %%), %d round trips, findings %v",
		seed, seed+uint64(cases)-1, seed, cases, sum.jobs, time.Since(start).Round(time.Millisecond), sum.solved, sum.same,
		100*float64(sum.same)/float64(max(sum.solved, 1)), sum.trips, sum.kinds)
}

// runSeed does one random world.
func runSeed(t *testing.T, o *oracle, dir string, seed uint64, sum *tally) error {
	w, err := newWorld(dir, newGenerator(seed).scenario(*jobsFlag))
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	reply, err := o.ask(w.request())
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for i, j := range w.scenario.Jobs {
		theirs := reply.Answers[i].solution()
		sum.jobs++
		f, err := w.judge(o, j, theirs, true)
		if err != nil {
			return err
		}
		if theirs.solved() && (f == nil || f.kind == "choice") {
			sum.solved++
			sum.trips++
		}
		if f == nil {
			if theirs.solved() {
				sum.same++
			}
			continue
		}
		sum.kinds[f.kind]++
		if (hard(f.kind) || *differencesFlag) && !told[f.kind] && sum.kinds[f.kind] <= 40 {
			tell(t, o, w, j, seed, f)
			told[f.kind] = true
		}
	}
	return nil
}

// tell reports a finding, made small, and fails the test where it must.
func tell(t *testing.T, o *oracle, w *world, j scenarioJob, seed uint64, f *finding) {
	t.Helper()
	small := w.scenario.clone()
	small.Jobs = []scenarioJob{j}
	shrunk, g := shrink(o, filepath.Join(w.dir, "shrink"), small, f)
	text := fmt.Sprintf("seed %d, kind %s\n%s\nours: %v\ndnf:  %v\n%s\n", seed, g.kind, shrunk, g.ours, g.theirs, g.detail)
	if *foundFlag != "" {
		name := filepath.Join(*foundFlag, fmt.Sprintf("%s-%d.txt", g.kind, seed))
		body := "# " + strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("seed %d, kind %s\nours: %v\ndnf:  %v\n%s", seed, g.kind, g.ours, g.theirs, g.detail)), "\n", "\n# ") + "\n" + shrunk.String()
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Error(err)
		}
	}
	if hard(f.kind) {
		t.Error(text)
	} else {
		t.Log(text)
	}
}

// judgeScenario does the first job of a scenario in a fresh world.
func judgeScenario(o *oracle, dir string, s *scenario) (*finding, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	w, err := newWorld(dir, s)
	if err != nil {
		return nil, err
	}
	reply, err := o.ask(w.request())
	if err != nil {
		return nil, err
	}
	return w.judge(o, s.Jobs[0], reply.Answers[0].solution(), true)
}
