package solve_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/rpm/solve"
)

// TestChoices holds one case for each of the ways in which dnf decides, the answers being dnf 4.14's.
func TestChoices(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, world, spec, want string
	}{
		{"newest", "repo r 99\npkg a 0 1 1 noarch\npkg a 1 0 1 noarch\npkg a 0 9 1 noarch\n", "a", "+a-1:0-1.noarch"},
		{"priority before version", "repo r 99\npkg a 0 2 1 noarch\nrepo s 10\npkg a 0 1 1 noarch\n", "a", "+a-1-1.noarch"},
		{"architecture before version", "repo r 99\npkg a 0 2 1 i686\npkg a 0 1 1 x86_64\n", "a", "+a-1-1.x86_64"},
		{"no architecture is as good", "repo r 99\npkg a 0 2 1 noarch\npkg a 0 1 1 x86_64\n", "a", "+a-2-1.noarch"},
		{"32 bits where nothing else is", "repo r 99\npkg a 0 1 1 i686\n requires b\npkg b 0 1 1 i686\n", "a", "+a-1-1.i686 +b-1-1.i686"},
		{"both widths in one version", "repo r 99\npkg a 0 1 1 noarch\n requires b(32)\n requires b\npkg b 0 1 1 i686\n provides b(32)\n" +
			"pkg b 0 1 1 x86_64\npkg b 0 2 1 x86_64\npkg c 0 1 1 noarch\n requires b\n", "a", "+a-1-1.noarch +b-1-1.i686 +b-1-1.x86_64"},
		{"names in order", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg c 0 1 1 noarch\n provides x\npkg b 0 1 1 noarch\n provides x\n",
			"a", "+a-1-1.noarch +b-1-1.noarch"},
		{"suggested before others", "repo r 99\npkg a 0 1 1 noarch\n requires x\n suggests c\npkg c 0 1 1 noarch\n provides x\n" +
			"pkg b 0 1 1 noarch\n provides x\n", "a", "+a-1-1.noarch +c-1-1.noarch"},
		{"recommended before suggested", "repo r 99\npkg a 0 1 1 noarch\n requires x\n suggests c\n recommends d\n" +
			"pkg c 0 1 1 noarch\n provides x\npkg d 0 1 1 noarch\n provides x\n", "a", "+a-1-1.noarch +d-1-1.noarch"},
		{"one that supplements", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg b 0 1 1 noarch\n provides x\n" +
			"pkg c 0 1 1 noarch\n provides x\n supplements a\n", "a", "+a-1-1.noarch +c-1-1.noarch"},
		{"current before outdated", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg b 0 1 1 noarch\n provides x\npkg b 0 2 1 noarch\n" +
			"pkg c 0 1 1 noarch\n provides x\n", "a", "+a-1-1.noarch +c-1-1.noarch"},
		{"newer of what both provide", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg b 0 1 1 noarch\n provides x = 1\n" +
			"pkg c 0 1 1 noarch\n provides x = 2\n", "a", "+a-1-1.noarch +c-1-1.noarch"},
		{"not the obsoleted one", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg b 0 1 1 noarch\n provides x\n" +
			"pkg c 0 1 1 noarch\n provides x\n obsoletes b\n", "a", "+a-1-1.noarch +c-1-1.noarch"},
		{"circle of obsoletes", "repo r 99\npkg a 0 1 1 noarch\n requires x\npkg b 0 1 1 noarch\n provides x\n obsoletes c\n" +
			"pkg c 0 1 1 noarch\n provides x\n obsoletes d\npkg d 0 1 1 noarch\n provides x\n obsoletes b\n", "a", "+a-1-1.noarch +b-1-1.noarch"},
		{"what is there", "installed\npkg c 0 1 1 noarch\n provides x\nrepo r 99\npkg a 0 1 1 noarch\n requires x\n" +
			"pkg b 0 1 1 noarch\n provides x\n", "a", "+a-1-1.noarch"},
		{"update of what is there", "installed\npkg c 0 1 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n requires x\n" +
			"pkg b 0 1 1 noarch\n provides x\npkg c 0 2 1 noarch\n provides x\n", "a", "+a-1-1.noarch c-1-1.noarch>c-2-1.noarch"},
		{"older where nothing else does", "installed\npkg b 0 2 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n requires b = 1\n" +
			"pkg b 0 1 1 noarch\n", "a", "+a-1-1.noarch b-2-1.noarch>b-1-1.noarch"},
		{"never erase", "installed\npkg b 0 1 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n conflicts b\n", "a", "unsolvable"},
		{"obsoleted one goes", "installed\npkg b 0 1 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n obsoletes b\n", "a", "+a-1-1.noarch -b-1-1.noarch"},
		{"obsoletes are about names", "installed\npkg c 0 1 1 noarch\n provides b\nrepo r 99\npkg a 0 1 1 noarch\n obsoletes b\n", "a",
			"+a-1-1.noarch"},
		{"split package", "installed\npkg old 0 1 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n obsoletes old < 2\n" +
			"pkg b 0 1 1 noarch\n obsoletes old < 2\n", "a", "+a-1-1.noarch +b-1-1.noarch -old-1-1.noarch"},
		{"conflict with itself", "repo r 99\npkg a 0 1 1 noarch\n provides x\n conflicts x\n obsoletes a\n", "a", "+a-1-1.noarch"},
		{"conflict with a file", "repo r 99\npkg a 0 1 1 noarch\n conflicts /usr/bin/b\n requires b\npkg b 0 1 1 noarch\n file /usr/bin/b\n",
			"a", "unsolvable"},
		{"features of rpm", "repo r 99\npkg a 0 1 1 noarch\n requires rpmlib(Anything) <= 99\n", "a", "+a-1-1.noarch"},
		{"broken before", "installed\npkg b 0 1 1 noarch\n requires gone\n conflicts c\npkg c 0 1 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n",
			"a", "+a-1-1.noarch"},
		{"no way but back", "repo r 99\npkg a 0 1 1 noarch\n requires x\n requires y\npkg b 0 1 1 noarch\n provides x\n conflicts d\n" +
			"pkg c 0 1 1 noarch\n provides x\npkg d 0 1 1 noarch\n provides y\n", "a", "+a-1-1.noarch +c-1-1.noarch +d-1-1.noarch"},
		{"less is enough", "repo r 99\npkg a 0 1 1 noarch\n requires x\n requires z\npkg b 0 1 1 noarch\n provides x\n" +
			"pkg c 0 1 1 noarch\n provides x\npkg z 0 1 1 noarch\n requires y\npkg y 0 1 1 noarch\n requires c\n", "a",
			"+a-1-1.noarch +c-1-1.noarch +y-1-1.noarch +z-1-1.noarch"},
	} {
		if got := install(solve.NewPool(options(t, tt.world)), tt.spec); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestDowngrade has no package become older unless that is allowed.
func TestDowngrade(t *testing.T) {
	t.Parallel()
	pool := solve.NewPool(options(t, "installed\npkg b 0 2 1 noarch\nrepo r 99\npkg a 0 1 1 noarch\n requires b = 1\npkg b 0 1 1 noarch\n"))
	for _, tt := range []struct {
		allowed bool
		want    string
	}{{false, "unsolvable"}, {true, "+a-1-1.noarch b-2-1.noarch>b-1-1.noarch"}} {
		if got := told(pool.Solve(solve.Job{Install: []string{"a"}, Downgrade: tt.allowed})); got != tt.want {
			t.Errorf("downgrade %v: got %q, want %q", tt.allowed, got, tt.want)
		}
	}
}

// TestInstallOnly has versions of a kernel side by side, three of them.
func TestInstallOnly(t *testing.T) {
	t.Parallel()
	pool := solve.NewPool(options(t, `
installed
pkg kernel 0 1 1 x86_64
pkg kernel 0 2 1 x86_64
pkg module 0 1 1 x86_64
  requires kernel = 1
repo r 99
pkg kernel 0 3 1 x86_64
pkg kernel 0 4 1 x86_64
`))
	for _, tt := range []struct {
		job  solve.Job
		want string
	}{
		{solve.Job{Install: []string{"kernel"}}, ""},
		{solve.Job{Install: []string{"kernel-3"}}, "+kernel-3-1.x86_64"},
		{solve.Job{Upgrade: []string{"kernel"}}, "+kernel-4-1.x86_64"},
		{solve.Job{Install: []string{"kernel-3", "kernel-4"}}, "+kernel-3-1.x86_64 +kernel-4-1.x86_64 -kernel-1-1.x86_64 -module-1-1.x86_64"},
	} {
		if got := told(pool.Solve(tt.job)); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.job, got, tt.want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	world := `
installed
pkg a 0 1 1 x86_64
pkg b 0 1 1 noarch
  requires a = 1
pkg old 0 1 1 noarch
pkg best 0 9 1 noarch
repo r 99
pkg a 0 2 1 x86_64
pkg a 0 3 1 i686
pkg b 0 2 1 noarch
  requires a >= 1
pkg new 0 1 1 noarch
  obsoletes old
pkg best 0 8 1 noarch
pkg other 0 1 1 noarch
`
	pool := solve.NewPool(options(t, world))
	for _, tt := range []struct {
		specs []string
		want  string
	}{
		{[]string{"a"}, "a-1-1.x86_64>a-2-1.x86_64 b-1-1.noarch>b-2-1.noarch"},
		{[]string{"b"}, "b-1-1.noarch>b-2-1.noarch"},
		{[]string{"old"}, "+new-1-1.noarch -old-1-1.noarch"},
		{[]string{"best", "other", "nothing"}, ""},
		{[]string{"*"}, "+new-1-1.noarch a-1-1.x86_64>a-2-1.x86_64 b-1-1.noarch>b-2-1.noarch -old-1-1.noarch"},
	} {
		if got := told(pool.Solve(solve.Job{Upgrade: tt.specs})); got != tt.want {
			t.Errorf("upgrade %q: got %q, want %q", tt.specs, got, tt.want)
		}
	}
}

func TestWeak(t *testing.T) {
	t.Parallel()
	pool := solve.NewPool(options(t, `
installed
pkg host 0 1 1 noarch
  recommends declined
repo r 99
pkg a 0 1 1 noarch
  recommends b
  recommends (c if host)
  recommends (d if nothing)
  recommends declined
  suggests s
pkg b 0 1 1 noarch
  recommends broken
pkg broken 0 1 1 noarch
  requires nothing
pkg c 0 1 1 noarch
pkg d 0 1 1 noarch
pkg s 0 1 1 noarch
pkg helper 0 1 1 noarch
  supplements a
pkg both 0 1 1 noarch
  supplements (a and nothing)
pkg declined 0 1 1 noarch
`))
	if got := told(pool.Solve(solve.Job{Install: []string{"a"}})); got != "+a-1-1.noarch" {
		t.Errorf("got %q without weak dependencies", got)
	}
	got, err := pool.Solve(solve.Job{Install: []string{"a"}, Weak: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("+a-1-1.noarch +b-1-1.noarch +c-1-1.noarch +helper-1-1.noarch", told(got, nil)); diff != "" {
		t.Error(diff)
	}
	for _, item := range got.Install {
		if want := item.Package.Name != "a"; item.Reason.Weak != want || want && (item.Reason.By == nil || item.Reason.By.Name != "a") {
			t.Errorf("got reason %+v of %s", item.Reason, item.Package.Name)
		}
	}
}

// TestReasons says of every package why it comes.
func TestReasons(t *testing.T) {
	t.Parallel()
	pool := solve.NewPool(options(t, `
installed
pkg held 0 1 1 noarch
  requires lib = 1
pkg lib 0 1 1 noarch
pkg up 0 1 1 noarch
repo r 99
pkg app 0 1 1 noarch
  requires lib >= 2
  requires (tool or other)
pkg lib 0 2 1 noarch
pkg held 0 2 1 noarch
  requires lib = 2
pkg tool 0 1 1 noarch
pkg up 0 2 1 noarch
  requires base
pkg base 0 1 1 noarch
`))
	tr, err := pool.Solve(solve.Job{Install: []string{"app"}, Upgrade: []string{"up"}, Downgrade: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	note := func(i solve.Item) {
		if got[i.Package.Name] = i.Reason.Spec; i.Reason.By != nil {
			got[i.Package.Name] = i.Reason.By.Name + ": " + i.Reason.Dep.String()
		}
		if i.Repo == nil || i.Repo.ID != "r" {
			t.Errorf("got repository %v of %s", i.Repo, i.Package.Name)
		}
	}
	for _, i := range tr.Install {
		note(i)
	}
	for _, c := range tr.Upgrade {
		note(c.Item)
	}
	want := map[string]string{"app": "app", "lib": "app: lib >= 2", "tool": "app: (tool or other)", "held": "held: ", "up": "up", "base": "up: base"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
