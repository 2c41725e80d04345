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
	seedFlag        = flag.Uint64("seed", 0, "first seed of the random repositories; 0 means 1, and draws one in a whole sweep")
	casesFlag       = flag.Int("cases", 0, "number of random repositories; 0 means what CI runs")
	jobsFlag        = flag.Int("jobs", 10, "jobs in each random repository")
	foundFlag       = flag.String("found", "", "folder in which differences are left, each made small")
	differencesFlag = flag.Bool("differences", false, "make differences in choice small, too, not only failures")
)

// firstSeed is the same in every run of CI, so that a change is judged by itself; make sweep asks what nobody has asked yet.
func firstSeed() uint64 {
	switch {
	case *seedFlag != 0:
		return *seedFlag
	case whole():
		return rand.Uint64N(1 << 40)
	}
	return 1
}

// inCI is how many of n random worlds one run takes: .ci/test runs these tests a second time, without race detection, for all.
func inCI(n int) int {
	if raceDetected {
		return max(1, n/10)
	}
	return n
}

// randomRun does random worlds and counts what came of them.
type randomRun struct {
	o                         *oracle
	start                     time.Time
	jobs, solved, same, trips int
	refused                   int            // worlds whose module streams cannot be
	kinds                     map[string]int // of findings
}

func newRandomRun(t *testing.T) *randomRun {
	t.Helper()
	return &randomRun{o: startOracle(t), start: time.Now(), kinds: map[string]int{}}
}

func (r *randomRun) report(t *testing.T, seed uint64, cases int) {
	t.Helper()
	t.Logf("seeds %d to %d (-seed %d -cases %d): %d jobs in %v, %d solved by both, %d the same choice (%.2f %%), %d round trips, "+
		"%d worlds refused, findings %v", seed, seed+uint64(cases)-1, seed, cases, r.jobs, time.Since(r.start).Round(time.Millisecond),
		r.solved, r.same, 100*float64(r.same)/float64(max(r.solved, 1)), r.trips, r.refused, r.kinds)
	if cases > 50 && (r.solved < r.jobs/2 || r.solved > r.jobs*19/20) {
		t.Errorf("got %d of %d jobs solved, want most and not all", r.solved, r.jobs)
	}
	// One in a thousand differs in choice, and dnf is wrong less often. Where few are asked, one is no rate.
	if other := r.solved - r.same; other > max(1, r.solved/100) {
		t.Errorf("got another choice in %d of %d, want at most 1 in 100", other, r.solved)
	}
	if wrong := r.kinds["dnf wrong"]; wrong > max(1, r.jobs/200) {
		t.Errorf("got %d of %d jobs in which dnf is wrong, want at most 1 in 200", wrong, r.jobs)
	}
}

// finding is one job whose answer is not as it must be.
type finding struct {
	kind         string // "error", "solvable", "missing", "invalid", "locked", "choice", "dnf wrong"
	ours, theirs solution
	detail       string
	job          scenarioJob
	seed         uint64 // of the world, where it is a random one
}

// judge compares both answers to the job of a world; nil when there is nothing to tell. With trip, dnf also does the job on
// the locked packages alone. Dnf is wrong only where what it would leave installed may not be; that excuses no answer of ours
// that may not be, either.
func (w *world) judge(o *oracle, j scenarioJob, theirs solution, trip bool) (*finding, error) {
	ours, err := solveJob(w.pool, j)
	f := &finding{ours: ours, theirs: theirs, job: j}
	switch {
	case err != nil:
		f.kind, f.detail = "error", err.Error()
		return f, nil
	case theirs.solved() && !theirs.same(ours) && w.checkTheirs(theirs) != "":
		// Libsolv fails rarely, with weak dependencies of packages in several versions.
		f.kind, f.detail = "dnf wrong", w.checkTheirs(theirs)
		if ours.solved() {
			if text := w.check(ours.transaction); text != "" {
				f.kind, f.detail = "invalid", text
			}
		}
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
	if trip || !ours.same(theirs) {
		if f.detail = w.check(ours.transaction); f.detail != "" {
			f.kind = "invalid"
			return f, nil
		}
	}
	if trip {
		alone, locked, exact, err := w.onLocked(o, j)
		if err != nil {
			return nil, err
		}
		if !exact {
			f.kind, f.detail = "locked", fmt.Sprintf("locked: %v\ndnf on it: %v", locked, alone)
			if w.wrongOnLocked(alone) {
				f.kind = "dnf wrong"
			}
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
	seed, cases := firstSeed(), *casesFlag
	if cases == 0 {
		cases = inCI(250)
	}
	if whole() {
		cases *= 20
	}
	run, dir := newRandomRun(t), t.TempDir()
	for n := range uint64(cases) {
		s := newGenerator(seed + n).scenario(*jobsFlag)
		if err := run.world(t, filepath.Join(dir, fmt.Sprint(n)), s, seed+n); err != nil {
			t.Fatalf("seed %d: %v", seed+n, err)
		}
	}
	run.report(t, seed, cases)
}

// world does one random world.
func (r *randomRun) world(t *testing.T, dir string, s *scenario, seed uint64) error {
	t.Helper()
	defer os.RemoveAll(dir)
	w, err := newWorld(dir, s)
	if err != nil && s.hasModules() { // the streams contradict each other: package modulemd has the oracle for that
		r.refused++
		return nil
	}
	if err != nil {
		return err
	}
	reply, err := r.o.ask(w.request())
	if err != nil {
		return err
	}
	if reply.Refused {
		r.refused++
		return nil
	}
	told := map[string]bool{}
	for i, j := range s.Jobs {
		theirs := reply.Answers[i].solution()
		r.jobs++
		f, err := w.judge(r.o, j, theirs, true)
		if err != nil {
			return err
		}
		if theirs.solved() && (f == nil || f.kind == "choice") {
			r.solved++
			r.trips++
		}
		if f == nil {
			if theirs.solved() {
				r.same++
			}
			continue
		}
		r.kinds[f.kind]++
		if (hard(f.kind) || *differencesFlag) && !told[f.kind] && r.kinds[f.kind] <= 40 {
			f.seed = seed
			r.tell(t, w, f)
			told[f.kind] = true
		}
	}
	return nil
}

// tell reports a finding, made small, and fails the test where it must.
func (r *randomRun) tell(t *testing.T, w *world, f *finding) {
	t.Helper()
	small := w.scenario.clone()
	small.Jobs = []scenarioJob{f.job}
	shrunk, g := shrink(r.o, filepath.Join(w.dir, "shrink"), small, f)
	text := fmt.Sprintf("seed %d, kind %s\nours: %v\ndnf:  %v\n%s", f.seed, g.kind, g.ours, g.theirs, g.detail)
	if *foundFlag != "" {
		name := filepath.Join(*foundFlag, fmt.Sprintf("%s-%d.txt", strings.ReplaceAll(g.kind, " ", "-"), f.seed))
		body := "# " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n# ") + "\n" + shrunk.String()
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Error(err)
		}
	}
	if hard(f.kind) {
		t.Errorf("%s\n%s", text, shrunk)
	} else {
		t.Logf("%s\n%s", text, shrunk)
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
