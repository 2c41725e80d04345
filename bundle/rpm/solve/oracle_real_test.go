package solve_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

func readInstalled(tb testing.TB, name string) []*rpm.Package {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	packages, err := rpm.ReadInstalled(f)
	if err != nil {
		tb.Fatal(err)
	}
	return packages
}

// machines are package sets of real CentOS 7 hosts.
func machines(tb testing.TB) map[string][]*rpm.Package {
	return map[string][]*rpm.Package{
		"container 7.5": readInstalled(tb, "../../../examples/base/centos-7.5.rpmqa.gz"),
		"httpd24 7.6":   readInstalled(tb, "../testdata/check/centos7-httpd24.rpmqa.gz"),
		"many 7.5":      readInstalled(tb, "../testdata/check/centos7-many.rpmqa.gz"),
	}
}

// eachName is a job for every name that a 64-bit host may install.
func (w *world) eachName(weak bool) []scenarioJob {
	names := map[string]bool{}
	for _, p := range w.scenario.offered() {
		if p.Arch == "x86_64" || p.Arch == "noarch" {
			names[p.Name] = true
		}
	}
	var jobs []scenarioJob
	for _, n := range slices.Sorted(maps.Keys(names)) {
		jobs = append(jobs, scenarioJob{Install: []string{n}, Weak: weak})
	}
	return jobs
}

// eachUpgrade is a job for every name that is installed.
func (w *world) eachUpgrade() []scenarioJob {
	var jobs []scenarioJob
	for _, p := range w.scenario.Installed {
		jobs = append(jobs, scenarioJob{Upgrade: []string{p.Name}})
	}
	return jobs
}

// sample is one of n jobs, drawn anew each time, or all where the long versions of tests are to run.
func sample(jobs []scenarioJob, n int) []scenarioJob {
	if whole() {
		return jobs
	}
	var some []scenarioJob
	for _, i := range rand.Perm(len(jobs))[:len(jobs)/n] {
		some = append(some, jobs[i])
	}
	return some
}

// whole says whether the long versions of tests are to run.
func whole() bool { return os.Getenv("OFFBAKE_SWEEP") == "whole" }

// agree does jobs with both solvers and holds ours to dnf's. trips is how many of them are done on the locked packages
// alone, too.
func (w *world) agree(t *testing.T, o *oracle, jobs []scenarioJob, trips int) {
	t.Helper()
	w.scenario.Jobs = jobs
	reply, err := o.ask(w.request())
	if err != nil {
		t.Fatal(err)
	}
	if whole() {
		trips = len(jobs)
	}
	trip := map[int]bool{}
	for _, i := range rand.Perm(len(jobs))[:min(trips, len(jobs))] {
		trip[i] = true
	}
	solved, same := 0, 0
	for i, j := range jobs {
		theirs := reply.Answers[i].solution()
		f, err := w.judge(o, j, theirs, trip[i])
		if err != nil {
			t.Fatal(err)
		}
		if theirs.solved() {
			solved++
		}
		if f == nil {
			if theirs.solved() {
				same++
			}
			continue
		}
		text := fmt.Sprintf("%s: %s: %s", f.kind, j, difference(f))
		if hard(f.kind) {
			t.Error(text)
		} else {
			t.Log(text)
		}
	}
	t.Logf("%d jobs, %d solved by dnf, %d the same choice, dnf loads in %.2f s and solves in %.2f s", len(jobs), solved, same,
		reply.Load, reply.Solve)
	if solved == 0 || float64(same) < 0.99*float64(solved) {
		t.Errorf("got the same choice in %d of %d, want 99 %%", same, solved)
	}
}

// difference is what a finding is about, without what both answers have.
func difference(f *finding) string {
	if !f.ours.solved() || !f.theirs.solved() || f.kind == "locked" {
		return fmt.Sprintf("%.1500s\nours: %.1500v\ndnf:  %.1500v", f.detail, f.ours, f.theirs)
	}
	only := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	}
	return fmt.Sprintf("%s\nonly ours: %v\nonly dnf: %v", f.detail,
		solution{install: only(f.ours.install, f.theirs.install), remove: only(f.ours.remove, f.theirs.remove)},
		solution{install: only(f.theirs.install, f.ours.install), remove: only(f.theirs.remove, f.ours.remove)})
}

// TestRealEmptyRoot installs every package of the real repositories, each in an empty root.
func TestRealEmptyRoot(t *testing.T) {
	o := startOracle(t)
	for _, repo := range []struct {
		name  string
		names int
		trips int
	}{{"cs9-baseos", 883, 12}, {"docker-el7", 140, 6}} {
		w := realData{}.world(t, nil, nil, realRepo{name: repo.name})
		for _, weak := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s weak=%t", repo.name, weak), func(t *testing.T) {
				jobs := w.eachName(weak)
				if len(jobs) != repo.names {
					t.Errorf("got %d names, want %d", len(jobs), repo.names)
				}
				if weak {
					jobs = sample(jobs, 4)
				}
				w.agree(t, o, jobs, repo.trips)
			})
		}
	}
}

// TestRealInstalled installs and upgrades on what real hosts have.
func TestRealInstalled(t *testing.T) {
	o, data := startOracle(t), realData{}
	for name, installed := range machines(t) {
		t.Run(name, func(t *testing.T) {
			w := data.world(t, installed, nil, realRepo{name: "docker-el7"})
			names, upgrades := w.eachName(false), w.eachUpgrade()
			if name != "container 7.5" {
				names, upgrades = sample(names, 4), sample(upgrades, 8)
			}
			jobs := append(names, scenarioJob{Upgrade: []string{"*"}}, scenarioJob{Install: []string{"docker-ce"}, Upgrade: []string{"*"}},
				scenarioJob{Install: []string{"docker-ce", "docker-ce-cli"}}, scenarioJob{Install: []string{"docker-ce", "docker-ce-cli", "containerd.io"}, Weak: true})
			w.agree(t, o, append(jobs, upgrades...), 8)
		})
	}
	w := data.world(t, readInstalled(t, "../../../examples/base/centos-7.5.rpmqa.gz"), nil, realRepo{name: "docker-el7"})
	s, err := solveJob(w.pool, scenarioJob{Install: []string{"docker-ce"}})
	if err != nil || !s.solved() {
		t.Fatalf("got %v, %v", s, err)
	}
	if got := [3]int{len(s.transaction.Install), len(s.transaction.Upgrade), len(s.transaction.Remove)}; got != [3]int{26, 4, 0} {
		t.Errorf("got %d installs, upgrades and removals for docker-ce on the CentOS 7.5 container set, want 26, 4 and 0", got)
	}
}

// TestRealSpecs asks for packages of real repositories in all the ways that users do, several at once, of repositories
// with priorities and with packages excluded.
func TestRealSpecs(t *testing.T) {
	o, data := startOracle(t), realData{}
	seed := firstSeed()
	r := rand.New(rand.NewPCG(seed, 1))
	for _, world := range []struct {
		name      string
		installed []*rpm.Package
		exclude   []string
		repos     []realRepo
		jobs      int
	}{
		{"cs9", nil, nil, []realRepo{{name: "cs9-baseos"}}, 100},
		{"cs9 excludes", nil, []string{"glibc-minimal-langpack", "*.i686", "systemd-libs-249*", "kernel-core"}, []realRepo{{name: "cs9-baseos"}}, 30},
		{"two repositories", nil, nil, []realRepo{{name: "docker-el7", priority: 10}, {name: "cs9-baseos"}}, 30},
		{"two repositories the other way round", nil, nil, []realRepo{{name: "docker-el7"}, {name: "cs9-baseos", priority: 50}}, 30},
		{"equal repositories", nil, []string{"glibc*.i686"}, []realRepo{{name: "docker-el7"}, {name: "cs9-baseos"}}, 30},
		{"twins", machines(t)["many 7.5"], nil, []realRepo{{name: "docker-el7", id: "one"}, {name: "docker-el7", id: "two"}}, 30},
		{"el7 to cs9", machines(t)["container 7.5"], nil, []realRepo{{name: "cs9-baseos"}}, 30},
	} {
		t.Run(world.name, func(t *testing.T) {
			w := data.world(t, world.installed, world.exclude, world.repos...)
			if whole() {
				world.jobs *= 10
			}
			t.Logf("-seed %d", seed)
			w.agree(t, o, w.randomJobs(r, world.jobs), 3)
		})
	}
}

// randomJobs draws jobs of one to four specs.
func (w *world) randomJobs(r *rand.Rand, n int) []scenarioJob {
	offered := w.scenario.offered()
	one := func() string {
		p := offered[r.IntN(len(offered))]
		if r.IntN(2) == 0 {
			return p.Name
		}
		forms := []string{p.Name + "." + p.Arch, p.Name + "-" + p.EVR.Version, p.Name + "-" + p.EVR.Version + "-" + p.EVR.Release, p.NEVRA(),
			p.Name + "-0:" + p.EVR.Version, p.Name[:len(p.Name)/2+1] + "*", p.Name + "-" + p.EVR.Version[:1] + "*", p.Name + "*." + p.Arch,
			"nosuch-" + p.Name}
		for _, kind := range depKinds(p)[:2] {
			for range min(2, len(*kind.list)) {
				forms = append(forms, (*kind.list)[r.IntN(len(*kind.list))].String())
			}
		}
		if len(p.Files) > 0 {
			forms = append(forms, p.Files[r.IntN(len(p.Files))], filepath.Dir(p.Files[0])+"/*"+filepath.Base(p.Files[0])[1:])
		}
		return forms[r.IntN(len(forms))]
	}
	var jobs []scenarioJob
	for range n {
		j := scenarioJob{Weak: r.IntN(3) == 0}
		for {
			j.Install = append(j.Install, one())
			if r.IntN(3) > 0 || len(j.Install) == 4 {
				break
			}
		}
		if len(w.scenario.Installed) > 0 && r.IntN(3) == 0 {
			j.Upgrade = append(j.Upgrade, w.scenario.Installed[r.IntN(len(w.scenario.Installed))].Name)
		}
		jobs = append(jobs, j)
	}
	return jobs
}
